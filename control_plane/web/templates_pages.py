"""Message templates: the list, one with its versions, its form with a live preview, a decision's page."""

from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action, Role
from control_plane.errors import Invalid
from control_plane.services import Services
from control_plane.templates.content import read_content, read_variables
from control_plane.templates.model import SmsContent, Template, TemplateVersion
from control_plane.templates.states import Status
from control_plane.templates.templates import Filter
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form, whole
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.template_views import (
    TemplateMeasures,
    categories,
    content_types,
    form_of,
    template_look,
    template_row,
    variable_fields,
    version_view,
)

PAGE = 50
FILTERS = ("search", "status", "content_type", "category")
SEARCH_LIMIT = 100


class TemplatePages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages
        self.measures = TemplateMeasures(services)

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/templates", self.index, methods=["GET"]),
            Route("/templates", self.create, methods=["POST"]),
            Route("/templates/new", self.new, methods=["GET"]),
            Route("/templates/measure", self.measure, methods=["POST"]),
            Route("/templates/{id}", self.show, methods=["GET"]),
            Route("/templates/{id}", self.save, methods=["POST"]),
            Route("/templates/{id}/edit", self.edit, methods=["GET"]),
            Route("/templates/{id}/withdraw", self.withdraw, methods=["POST"]),
            Route("/moderation/templates/{id}", self.decision, methods=["GET"]),
            Route("/moderation/templates/{id}/approve", self.approve, methods=["POST"]),
            Route("/moderation/templates/{id}/reject", self.reject, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """Templates by name, filtered and searched by the address."""
        visit, query = visit_of(request), request.query_params
        wanted = {name: query.get(name, "").strip()[:SEARCH_LIMIT] for name in FILTERS}
        found = await self.services.templates.list(visit.member, Filter(**wanted))
        if wants_json(request):
            return json_answer({"templates": [_entry(one.newest) for one in found]})
        start = whole(query.get("from"), 0) or 0
        shown, kept = found[start : start + PAGE], {name: value for name, value in wanted.items() if value}
        following = urlencode({**kept, "from": start + PAGE})
        return await self.pages.page(
            request,
            visit,
            "sms_templates/list.html",
            rows=[template_row(one) for one in shown],
            wanted=wanted,
            filtered=bool(kept) or start > 0,
            statuses=[{"value": one, "word": template_look(one).word} for one in get_args(Status)],
            types=content_types(),
            categories=categories(),
            may_write=visit.may(Action.EDIT_TEMPLATES),
            next_url=f"/templates?{following}" if len(found) > start + PAGE else "",
            first_url=f"/templates?{urlencode(kept)}".rstrip("?") if start else "",
        )

    async def show(self, request: Request) -> Response:
        """One template: its newest version or the one the address names, a preview, all versions."""
        visit = visit_of(request)
        template = await self._template(request, visit)
        if wants_json(request):
            return json_answer({"template": [_entry(one) for one in template.versions]})
        named = request.query_params.get("version")
        version = next((one for one in template.versions if str(one.revision) == named), template.newest)
        pending = version.status == "PENDING"
        own = version.author_id == visit.actor.user_id or visit.member.role is Role.ADMIN
        writes = visit.may(Action.EDIT_TEMPLATES)
        return await self.pages.page(
            request,
            visit,
            "sms_templates/show.html",
            item=template_row(template),
            version=version_view(version),
            versions=[version_view(one) for one in template.versions],
            usable=version_view(template.usable) if template.usable is not None else None,
            may_write=writes and template.newest.status != "PENDING",
            may_withdraw=writes and pending and own,
            may_decide=pending and not await self.services.templates.why_not(visit.member, version),
            sender=template.name,
            **await self.measures.preview(visit, version.content),
        )

    async def new(self, request: Request) -> Response:
        """The form for a new template."""
        visit = visit_of(request)
        visit.member.require(Action.EDIT_TEMPLATES)
        return await self._form(request, visit, None, form_of(None), {}, 200)

    async def edit(self, request: Request) -> Response:
        """The form of the next version, beginning with the newest."""
        visit = visit_of(request)
        visit.member.require(Action.EDIT_TEMPLATES)
        template = await self._template(request, visit)
        return await self._form(request, visit, template, form_of(template.newest), {}, 200)

    async def measure(self, request: Request) -> Response:
        """The preview beside the form: parts, alphabet, price, and rows for new variables."""
        visit, form = visit_of(request), await read_form(request)
        visit.member.require(Action.EDIT_TEMPLATES)
        variables = read_variables(form)
        described = {value for field, value in form.items() if field.startswith("variable_")}
        return self.pages.fragment(
            request,
            visit,
            "sms_templates/measure.html",
            sender=form.get("name", ""),
            form=variable_fields(variables),
            variables=variables,
            swap_variables={one.name for one in variables} != described,
            **await self.measures.context(visit, form.get("body", ""), variables),
        )

    async def create(self, request: Request) -> Response:
        """A new template: approved at once, or after a decision, or failed with the reasons."""
        visit, form = visit_of(request), await read_form(request)
        visit.member.require(Action.EDIT_TEMPLATES)
        try:
            content = _content(form)
            version = await self.services.templates.create(visit.member, form.get("name", ""), content)
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._form(request, visit, None, form, error.errors, 422)
        return self._standing(request, version, 201)

    async def save(self, request: Request) -> Response:
        """The next version; campaigns keep theirs."""
        visit, form = visit_of(request), await read_form(request)
        visit.member.require(Action.EDIT_TEMPLATES)
        template = await self._template(request, visit)
        try:
            version = await self.services.templates.revise(
                visit.member, template.id, _content(form), seen=whole(form.get("version"))
            )
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._form(request, visit, template, form, error.errors, 422)
        return self._standing(request, version)

    async def withdraw(self, request: Request) -> Response:
        """Take back the version that waits for its decision."""
        visit = visit_of(request)
        visit.member.require(Action.EDIT_TEMPLATES)
        template = await self._template(request, visit)
        version = await self.services.templates.withdraw(visit.member, template.newest.id)
        if wants_json(request):
            return json_answer(_entry(version))
        return go(f"/templates/{version.template_id}?done=template-withdrawn")

    # Deciding

    async def decision(self, request: Request) -> Response:
        """A version with its preview and what it changes, and the decision on it."""
        visit = visit_of(request)
        visit.member.require(Action.DECIDE_TEMPLATES)
        version = await self.services.templates.version(visit.member, request.path_params["id"])
        if wants_json(request):
            return json_answer(_entry(version))
        return await self._decision_page(request, visit, version, {}, "", 200)

    async def approve(self, request: Request) -> Response:
        """Approve a version: campaigns may choose it."""
        return await self._decide(request, approve=True)

    async def reject(self, request: Request) -> Response:
        """Give a version back with a note."""
        return await self._decide(request, approve=False)

    async def _decide(self, request: Request, *, approve: bool) -> Response:
        visit, form = visit_of(request), await read_form(request)
        templates, version_id, note = self.services.templates, request.path_params["id"], form.get("note", "")
        try:
            version = await templates.decide(visit.member, version_id, approve=approve, note=note)
        except Invalid as error:
            if wants_json(request):
                raise
            found = await templates.version(visit.member, version_id)
            return await self._decision_page(request, visit, found, error.errors, note, 422)
        if wants_json(request):
            return json_answer(_entry(version))
        done = "template-approved" if approve else "template-rejected"
        return go(f"/templates/{version.template_id}?done={done}")

    async def _decision_page(
        self,
        request: Request,
        visit: Visit,
        version: TemplateVersion,
        errors: Mapping[str, str],
        note: str,
        status: int,
    ) -> Response:
        template = await self.services.templates.template(visit.member, version.template_id)
        older = (one for one in template.versions if one.revision < version.revision)
        before = next((one for one in older if one.status == "APPROVED"), None)
        decided = version.decided_at is not None
        return await self.pages.page(
            request,
            visit,
            "sms_templates/decision.html",
            status,
            version=version_view(version),
            before=version_view(before) if before is not None else None,
            decided=decided,
            why_not="" if decided else await self.services.templates.why_not(visit.member, version),
            errors=dict(errors),
            note=note,
            sender=version.name,
            **await self.measures.preview(visit, version.content),
        )

    # Inside

    async def _template(self, request: Request, visit: Visit) -> Template:
        return await self.services.templates.template(visit.member, request.path_params["id"])

    def _standing(self, request: Request, version: TemplateVersion, status: int = 200) -> Response:
        if wants_json(request):
            return json_answer(_entry(version), status)
        path = f"/templates/{version.template_id}"
        done = version.status.lower()  # what failed says so itself
        return go(path if version.status == "FAILED" else f"{path}?done=template-{done}")

    async def _form(
        self,
        request: Request,
        visit: Visit,
        template: Template | None,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        status: int,
    ) -> Response:
        variables = read_variables(form)
        blank = {"name": "", "body": "", "dlt_template_id": "", "dlt_registered": ""}
        blank |= {"content_type": "", "category": ""}
        return await self.pages.page(
            request,
            visit,
            "sms_templates/form.html",
            status,
            item=template_row(template) if template is not None else None,
            form={**blank, **form, **variable_fields(variables)},
            variables=variables,
            errors=dict(errors),
            types=content_types(),
            categories=categories(),
            open_dlt=bool(form.get("dlt_template_id") or form.get("dlt_registered")) or _india(visit),
            sender=form.get("name", "") or (template.name if template is not None else ""),
            **await self.measures.context(visit, form.get("body", ""), variables),
        )


def _india(visit: Visit) -> bool:
    return visit.workspace is not None and visit.workspace.default_country == "IN"


def _content(form: Mapping[str, str]) -> SmsContent:
    content, problems = read_content(form)
    if content is None:
        raise Invalid(problems)
    return content


def _entry(version: TemplateVersion) -> dict[str, Any]:
    """A version for programs."""
    content = version.content
    return {
        "id": version.template_id,
        "number": version.number,
        "name": version.name,
        "channel": version.channel,
        "version_id": version.id,
        "version": version.revision,
        "status": version.status,
        "reasons": version.reasons,
        "body": content.body,
        "variables": [
            {"name": one.name, "sample": one.sample, "max_length": one.max_length}
            for one in content.variables
        ],
        "content_type": content.content_type,
        "category": content.category,
        "dlt_template_id": content.dlt_template_id,
        "dlt_registered": content.dlt_registered,
        "author": version.author,
        "created_at": version.created_at,
        "decided_by": version.decided_by,
        "note": version.note,
    }
