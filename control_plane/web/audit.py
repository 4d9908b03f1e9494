"""The audit's page: filters that live in the address, newest first, each entry whole; and its export."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from control_plane.access import MASTER_ID, Action
from control_plane.audit.export import Format, head, lines
from control_plane.audit.outbox import Event, acted
from control_plane.audit.search import SCAN_LIMIT, Question
from control_plane.services import Services
from control_plane.web.answers import json_answer, wants_json
from control_plane.web.audit_tab import audit_row
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _

PAGE = 50
FIELDS = ("actor", "action", "kind", "target", "address", "since", "until", "text", "of")
FIELD_LIMIT = 200
MEDIA: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
KINDS = (
    "account",
    "audit",
    "campaign",
    "channel",
    "doubts",
    "export",
    "inbound",
    "login",
    "member",
    "numbers",
    "orphans",
    "password",
    "person",
    "prices",
    "recipients",
    "route",
    "sender",
    "session",
    "stop",
    "template",
    "trace",
    "user",
    "wallet",
    "workspace",
)


class AuditPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/audit", self.show, methods=["GET"]),
            Route("/audit/export", self.export, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """Who did what when, newest first, by `actor`, `action`, `kind`, `target`, `address`, `since`,
        `until`, `text`; of the Master workspace also `of=installation`."""
        visit = visit_of(request)
        visit.member.require(Action.VIEW_AUDIT)
        given = _given(request)
        errors: dict[str, str] = {}
        asked = _question(given, visit.zone, errors)
        if wants_json(request) and errors:
            raise HTTPException(400, next(iter(errors.values())))
        after = request.query_params.get("after") or None
        answer = await self.services.searches.page(visit.member, asked, PAGE, after)
        if wants_json(request):
            return json_answer({"events": answer.events, "next": answer.next})
        filtered = {name: value for name, value in given.items() if name != "of" and value}
        return await self.pages.page(
            request,
            visit,
            "audit/list.html",
            422 if errors else 200,
            rows=[{**audit_row(one), "by": _links(given, one)} for one in answer.events],
            form=given,
            kinds=KINDS,
            errors=errors,
            filtered=bool(filtered),
            chips=[
                {"word": f"{_word(name)}: {value}", "href": _href({**given, name: ""})}
                for name, value in filtered.items()
            ],
            clear_url=_href({"of": given["of"]}),
            scopes=_scopes(visit, given),
            whole_chain=asked.installation,
            exports=[
                {"word": "CSV", "href": _href({**given, "format": "csv"}, "/audit/export")},
                {"word": "JSON", "href": _href({**given, "format": "jsonl"}, "/audit/export")},
            ],
            short=bool(asked.text) and answer.next is not None and len(answer.events) < PAGE,
            looked=min(answer.scanned, SCAN_LIMIT),
            next_url=_href({**given, "after": answer.next}) if answer.next else "",
            first_url=_href(given) if after else "",
        )

    async def export(self, request: Request) -> Response:
        """All that the filters find as a file: `format` csv or jsonl. It is in the audit before it begins."""
        visit = visit_of(request)
        visit.member.require(Action.VIEW_AUDIT)
        wanted = request.query_params.get("format", "csv")
        form = next((one for one in MEDIA if one == wanted), None)
        errors: dict[str, str] = {}
        asked = _question(_given(request), visit.zone, errors)
        if form is None or errors:
            raise HTTPException(400, next(iter(errors.values()), _("Choose CSV or JSON.")))
        now = self.services.clock()
        details = {"format": form, **asked.facts()}
        workspace_id = visit.member.workspace_id
        happened = acted(
            visit.member, "audit.export", now, workspace_id=workspace_id, target_kind="audit", details=details
        )
        await self.services.audit.record(happened)
        blocks = self.services.searches.every(visit.member, asked)
        first = await anext(blocks)  # what fails here is answered as an error, not as half a file
        name = f"audit-{now:%Y-%m-%d}.{form}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(_stream(form, first, blocks), media_type=MEDIA[form], headers=headers)


async def _stream(
    form: Format, first: list[Event], blocks: AsyncIterator[list[Event]]
) -> AsyncIterator[bytes]:
    yield head(form) + lines(first, form)
    async for block in blocks:
        if block:
            yield lines(block, form)


def _given(request: Request) -> dict[str, str]:
    query = request.query_params
    return {name: query.get(name, "").replace("\x00", "").strip()[:FIELD_LIMIT] for name in FIELDS}


def _question(given: dict[str, str], zone: str, errors: dict[str, str]) -> Question:
    """What is wrong is left out and named in `errors`."""
    return Question(
        actor=given["actor"],
        action=given["action"],
        kind=given["kind"],
        target=_id(given, errors),
        address=given["address"],
        since=_moment(given, "since", zone, errors),
        until=_moment(given, "until", zone, errors),
        text=given["text"],
        installation=given["of"] == "installation",
    )


def _id(given: dict[str, str], errors: dict[str, str]) -> UUID | None:
    if not given["target"]:
        return None
    try:
        return UUID(given["target"])
    except ValueError:
        errors["target"] = _("This is no id: it has 32 digits, 0 to 9 and a to f.")
        return None


def _moment(given: dict[str, str], name: str, zone: str, errors: dict[str, str]) -> datetime | None:
    """A day of the workspace's zone (`until`: its end), or a moment with its zone."""
    text = given[name]
    if not text:
        return None
    try:
        if len(text) <= 10:
            day = date.fromisoformat(text) + timedelta(days=name == "until")
            begin = datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
            return begin - timedelta(milliseconds=name == "until")
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        errors[name] = _("This is no day: write it as 2026-05-31.")
        return None


def _scopes(visit: Visit, given: dict[str, str]) -> list[dict[str, Any]]:
    """Of the Master workspace: its own events, or those that belong to no workspace."""
    if visit.member.workspace_id != MASTER_ID:
        return []
    whole = given["of"] == "installation"
    return [
        {"word": _("This workspace"), "href": "/audit", "here": not whole},
        {"word": _("Logins and people"), "href": "/audit?of=installation", "here": whole},
    ]


def _links(given: dict[str, str], event: Event) -> dict[str, str]:
    """Where one leads to all of the same."""
    return {
        "actor": _href({**given, "actor": event.actor}) if event.actor else "",
        "action": _href({**given, "action": event.action}),
        "target": _href({**given, "target": str(event.target_id)}) if event.target_id else "",
        "address": _href({**given, "address": event.address}) if event.address else "",
    }


def _href(query: dict[str, str | None] | dict[str, str], path: str = "/audit") -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _word(name: str) -> str:
    return {
        "actor": _("Who"),
        "action": _("Action"),
        "kind": _("Kind"),
        "target": _("Thing"),
        "address": _("Address"),
        "since": _("From"),
        "until": _("Until"),
        "text": _("Text"),
    }[name]
