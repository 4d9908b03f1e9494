"""People's data: one number found, given out, erased; and what is kept for how long.

The number comes in forms alone, and leaves in none but the answer to one: it is in no address.
"""

from contextlib import suppress
from typing import Any
from uuid import uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.erasure.model import Erasure
from control_plane.erasure.people_data import Findings, digits_of
from control_plane.errors import Conflict, EngineUnavailable, Invalid
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.exports import kept_for
from control_plane.web.forms import decision_of, read_form
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _, ngettext
from control_plane.web.views import Look
from control_plane.workspaces.model import RETENTION_DAYS
from engine.core_api import schema

PAGE = 20
AUDIT_DAYS = 90  # without a workspace's own


class PeoplePages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/people-data", self.index, methods=["GET"]),
            Route("/people-data/find", self.find, methods=["POST"]),
            Route("/people-data/records", self.records, methods=["POST"]),
            Route("/people-data/erase", self.erase, methods=["POST"]),
            Route("/people-data/erasures/{id}", self.erasure, methods=["GET"]),
            Route("/people-data/erasures/{id}/certificate", self.certificate, methods=["GET"]),
        ]

    async def index(self, request: Request) -> Response:
        """The form, what was erased before, and what is kept for how long."""
        visit = visit_of(request)
        if wants_json(request):
            return json_answer(await self.services.people_data.retention(visit.member))
        return await self._page(request, visit, {}, {}, 200)

    async def _page(
        self,
        request: Request,
        visit: Visit,
        form: dict[str, str],
        errors: dict[str, str],
        status: int,
        **found: Any,
    ) -> Response:
        people, after = self.services.people_data, request.query_params.get("after") or None
        page = await people.list(visit.member, limit=PAGE, after=after)
        report = None
        with suppress(EngineUnavailable):  # the page says so
            report = await people.retention(visit.member)
        number = form.get("number", "")
        shown: dict[str, Any] = {"found": None, "stores": [], "refused": "", **found}
        return await self.pages.page(
            request,
            visit,
            "erasure/people.html",
            status,
            form={"number": number, "reason": form.get("reason", ""), "scope": form.get("scope", "")},
            errors=errors,
            may_everywhere=visit.actor.may(Action.MANAGE_WORKSPACES),
            decision=form.get("decision") or str(uuid4()),
            erasures=[_erasure_row(one) for one in page.records],
            next_url=f"/people-data?after={page.next}" if page.next else "",
            first_url="/people-data" if after else "",
            report=report,
            kept=self._kept(visit, report),
            **shown,
        )

    async def find(self, request: Request) -> Response:
        """Look for a number; the answer names the stores that hold it."""
        visit, form = visit_of(request), await read_form(request)
        try:
            found = await self.services.people_data.find(
                visit.member, form.get("number", ""), everywhere=_everywhere(form)
            )
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._page(request, visit, form, error.errors, 422)
        if wants_json(request):
            return json_answer(found)
        return await self._page(request, visit, form, {}, 200, found=found, stores=_stores(found))

    async def records(self, request: Request) -> Response:
        """What is held about a number as a JSON file, for the person it is about."""
        visit, form = visit_of(request), await read_form(request)
        content = await self.services.people_data.give_out(
            visit.member, form.get("number", ""), everywhere=_everywhere(form)
        )
        headers = {"content-disposition": 'attachment; filename="held-about-a-person.json"'}
        return Response(content, media_type="application/json", headers=headers)

    async def erase(self, request: Request) -> Response:
        """Erase a number: `again` is the number once more. 409, and nothing erased, while it is needed."""
        visit, form = visit_of(request), await read_form(request)
        people, number, everywhere = self.services.people_data, form.get("number", ""), _everywhere(form)
        try:
            if digits_of(number) != digits_of(form.get("again", "")):
                raise Invalid({"again": "This is another number than the one that was looked for."})
            done = await people.erase(
                visit.member,
                number,
                decision_id=decision_of(form),
                reason=form.get("reason", ""),
                everywhere=everywhere,
            )
        except (Invalid, Conflict) as error:
            if wants_json(request):
                raise
            errors, status, refused = {}, 409, str(error)
            if isinstance(error, Invalid):
                errors, status, refused = error.errors, 422, ""
                if errors.keys() == {"number"} and _is_number(number):
                    errors = {"again": errors["number"]}
            found = None
            if _is_number(number):
                found = await people.find(visit.member, number, everywhere=everywhere)
            form = {name: value for name, value in form.items() if name != "decision" or status == 422}
            return await self._page(
                request,
                visit,
                form,
                errors,
                status,
                found=found,
                stores=_stores(found) if found else [],
                refused=refused,
            )
        if wants_json(request):
            return json_answer(done.certificate, 201)
        return go(f"/people-data/erasures/{done.id}?done=erased")

    async def erasure(self, request: Request) -> Response:
        """What was done about a number: the certificate as a page to print."""
        visit = visit_of(request)
        erasure = await self.services.people_data.get(visit.member, request.path_params["id"])
        if wants_json(request):
            return json_answer(erasure.certificate)
        certificate = erasure.certificate
        lines = []
        if certificate is not None:
            names = sorted({*certificate.found, *certificate.erased, *certificate.left})
            lines = [
                {
                    "word": store_word(name),
                    "found": certificate.found.get(name, 0),
                    "erased": certificate.erased.get(name, 0),
                    "left": certificate.left.get(name, 0),
                }
                for name in names
            ]
        return await self.pages.page(
            request,
            visit,
            "erasure/certificate.html",
            erasure=_erasure_row(erasure),
            certificate=certificate,
            lines=lines,
        )

    async def certificate(self, request: Request) -> Response:
        """The certificate as a JSON file, whose hash can be checked."""
        visit = visit_of(request)
        erasure = await self.services.people_data.get(visit.member, request.path_params["id"])
        if erasure.certificate is None:
            raise Conflict("There is no certificate: nothing was erased.")
        content = msgspec.json.format(msgspec.json.encode(erasure.certificate, order="sorted"), indent=2)
        headers = {"content-disposition": f'attachment; filename="erasure-{erasure.id}.json"'}
        return Response(content, media_type="application/json", headers=headers)

    def _kept(self, visit: Visit, report: schema.RetentionReport | None) -> list[dict[str, str]]:
        """What is kept how long, in words."""
        audit_days = visit.workspace.retention_days if visit.workspace is not None else RETENTION_DAYS
        lines = []
        if report is not None:
            lines = [
                {
                    "what": _("Messages, submissions, receipts"),
                    "long": _days(report.messages_days),
                    "then": _("dropped a day at a time, behind a seal of counts and a hash"),
                },
                {
                    "what": _("Recipient files"),
                    "long": _days(min(report.files_days, report.numbers_days or report.files_days)),
                    "then": _("after the end of their campaigns; counts and digests stay"),
                },
                {
                    "what": _("Numbers of recipients"),
                    "long": _days(report.numbers_days or report.messages_days),
                    "then": _("of this workspace; the messages stay without them")
                    if report.numbers_days
                    else _("with the messages"),
                },
            ]
        lines.append({"what": _("Audit"), "long": _days(audit_days), "then": _("no number is in it")})
        lines.append(
            {
                "what": _("Exports"),
                "long": kept_for(self.services.settings.exports_keep_s),
                "then": _("the file goes; that there was one is kept a week longer"),
            }
        )
        lines.append(
            {
                "what": _("Campaigns and their texts"),
                "long": _("no limit"),
                "then": _("until somebody deletes a draft"),
            }
        )
        return lines


def _everywhere(form: dict[str, str]) -> bool:
    return form.get("scope") == "everywhere"


def _is_number(number: str) -> bool:
    try:
        return bool(digits_of(number))
    except Invalid:
        return False


def _days(days: int) -> str:
    return ngettext("%(num)s day", "%(num)s days", days) % {"num": days}


def store_word(name: str) -> str:
    """A store of the engine, in words."""
    return {
        "recipient_chunks": _("Recipient files"),
        "submissions": _("Submissions to operators"),
        "receipts": _("Receipts of its messages"),
        "messages_done": _("Messages that are settled"),
        "doubts": _("Messages in doubt"),
        "job_errors": _("Errors of recipient files"),
        "orphan_receipts": _("Orphan receipts"),
        "inbound": _("Inbound messages"),
        "test_messages": _("Test messages"),
        "traces": _("Traces"),
        "trace_pdus": _("Traced PDUs"),
        "decisions": _("Answers to commands"),
    }.get(name, name)


def _stores(found: Findings) -> list[dict[str, Any]]:
    kept = _("stay, without the number")
    rows = [
        {
            "word": store_word(name),
            "count": count,
            "then": {
                "recipient_chunks": _(
                    "the person's rows are emptied; the row count and the sealed digest stay"
                ),
                "receipts": kept,
                "inbound": _("what the person wrote goes too"),
                "trace_pdus": _("deleted"),
            }.get(name, _("the number is taken out; what was sent and counted stays")),
        }
        for name, count in found.counts.items()
    ]
    if found.exports:
        rows.append({"word": _("Exports"), "count": len(found.exports), "then": _("the files are deleted")})
    return rows


def _erasure_row(erasure: Erasure) -> dict[str, Any]:
    looks = {
        "done": Look("delivered", "delivered", _("Erased")),
        "refused": Look("failed", "failed", _("Refused")),
        "begun": Look("held", "held", _("Broke off: erase it again")),
    }
    return {
        "id": erasure.id,
        "look": looks[erasure.state],
        "ctn_hash": erasure.ctn_hash,
        "reason": erasure.reason,
        "answer": erasure.answer,
        "everywhere": erasure.everywhere,
        "asked_at": erasure.asked_at,
        "by": erasure.by,
    }
