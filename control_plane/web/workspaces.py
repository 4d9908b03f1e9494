"""Workspaces: all of the installation for those who run it, the settings of one, and the switch."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.errors import Invalid
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form
from control_plane.web.render import Pages
from control_plane.web.session import WORKSPACE_COOKIE, Visit, visit_of
from control_plane.web.translation import _
from control_plane.web.views import Look
from control_plane.workspaces.choices import RETENTIONS, SWITCHES, countries, time_zones
from control_plane.workspaces.model import RETENTION_DAYS, Workspace

PAGE = 25
YEAR_S = 365 * 24 * 3600


class WorkspacePages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/workspace", self.switch, methods=["POST"]),
            Route("/workspaces", self.index, methods=["GET"]),
            Route("/workspaces", self.create, methods=["POST"]),
            Route("/workspaces/new", self.new, methods=["GET"]),
            Route("/workspaces/{id}", self.show, methods=["GET"]),
            Route("/workspaces/{id}/rename", self.rename, methods=["POST"]),
            Route("/workspaces/{id}/suspend", self.suspend, methods=["POST"]),
            Route("/workspaces/{id}/resume", self.resume, methods=["POST"]),
            Route("/settings", self.settings, methods=["GET"]),
            Route("/settings", self.configure, methods=["POST"]),
        ]

    async def switch(self, request: Request) -> Response:
        """Another workspace becomes the current one; a Super Admin's choice is audited there."""
        visit = visit_of(request)
        wanted = (await read_form(request)).get("workspace", "")
        if not wanted:
            left = go("/")
            left.delete_cookie(WORKSPACE_COOKIE)
            return left
        workspace = await self.services.workspaces.opened(visit.actor, wanted)
        await self.services.looks.opened(visit.actor, workspace)
        response = go("/campaigns" if visit.actor.super_admin and not workspace.master else "/")
        response.set_cookie(
            WORKSPACE_COOKIE, str(workspace.id), max_age=YEAR_S, httponly=True, samesite="lax",
            secure=self.services.settings.secure_cookies,
        )  # fmt: skip
        return response

    # All of the installation

    async def index(self, request: Request) -> Response:
        """Every workspace with its state and counts, by name."""
        visit, after = visit_of(request), request.query_params.get("after") or None
        page = await self.services.workspaces.page(visit.actor, limit=PAGE, after=after)
        counts = await self.services.counts.of(visit.actor, [one.id for one in page.records])
        rows: list[dict[str, Any]] = [
            {
                "id": one.id,
                "name": one.name,
                "state": one.state,
                "look": _look(one),
                "country": one.default_country,
                "zone": one.time_zone,
                "campaigns": counts[one.id].campaigns,
                "waiting": counts[one.id].waiting,
                "may_open": visit.actor.super_admin or one.id in visit.actor.memberships,
                "here": visit.workspace is not None and visit.workspace.id == one.id,
            }
            for one in page.records
        ]
        if wants_json(request):
            for row in rows:
                del row["look"]
            return json_answer({"workspaces": rows, "next": page.next})
        pulse = await self.pages.pulse.view()
        path = request.url.path
        return await self.pages.page(
            request,
            visit,
            "workspaces/list.html",
            rows=rows,
            total=await self.services.workspaces.count(visit.actor),
            in_flight=pulse.in_flight if pulse else None,
            sent_per_s=pulse.sent_per_s if pulse else None,
            next_url=f"{path}?after={page.next}" if page.next else "",
            first_url=path if after else "",
        )

    async def new(self, request: Request) -> Response:
        """The form for another workspace."""
        return await self._new_page(request, visit_of(request), {}, {}, 200)

    async def _new_page(
        self, request: Request, visit: Visit, form: Mapping[str, str], errors: Mapping[str, str], status: int
    ) -> Response:
        fields = {"name": "", "default_country": "", "time_zone": "UTC", **form}
        return await self.pages.page(
            request,
            visit,
            "workspaces/new.html",
            status,
            form=fields,
            errors=errors,
            zones=time_zones(),
            countries=countries(),
        )

    async def create(self, request: Request) -> Response:
        """A new workspace: its name, its time zone, its default country."""
        visit, form = visit_of(request), await read_form(request)
        try:
            workspace = await self.services.workspaces.found(visit.actor, form)
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._new_page(request, visit, form, error.errors, 422)
        if wants_json(request):
            return json_answer({"id": workspace.id, "name": workspace.name}, 201)
        return go(f"/workspaces/{workspace.id}?done=workspace-created")

    async def show(self, request: Request) -> Response:
        """One workspace as those who run the installation manage it: name, state, counts."""
        visit = visit_of(request)
        workspace = await self.services.workspaces.look(visit.actor, request.path_params["id"])
        return await self._page(request, visit, workspace, {}, {}, 200)

    async def _page(
        self,
        request: Request,
        visit: Visit,
        workspace: Workspace,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        status: int,
    ) -> Response:
        counted = (await self.services.counts.of(visit.actor, [workspace.id]))[workspace.id]
        if wants_json(request):
            return json_answer(
                {
                    "id": workspace.id,
                    "name": workspace.name,
                    "state": workspace.state,
                    "campaigns": counted.campaigns,
                    "waiting": counted.waiting,
                }
            )
        return await self.pages.page(
            request,
            visit,
            "workspaces/manage.html",
            status,
            workspace=workspace,
            look=_look(workspace),
            counted=counted,
            form={"name": form.get("name", workspace.name), "why": form.get("why", "")},
            errors=errors,
            may_open=visit.actor.super_admin or workspace.id in visit.actor.memberships,
        )

    async def rename(self, request: Request) -> Response:
        """Give it another name."""
        return await self._managed(request, "rename")

    async def suspend(self, request: Request) -> Response:
        """Its people look and change nothing until it is resumed; the reason is told to them."""
        return await self._managed(request, "suspend")

    async def resume(self, request: Request) -> Response:
        """Let its people work again."""
        return await self._managed(request, "resume")

    async def _managed(self, request: Request, act: str) -> Response:
        visit, form, wanted = visit_of(request), await read_form(request), request.path_params["id"]
        workspaces = self.services.workspaces
        try:
            if act == "rename":
                workspace = await workspaces.rename(visit.actor, wanted, form.get("name", ""))
            elif act == "suspend":
                workspace = await workspaces.suspend(visit.actor, wanted, form.get("why", ""))
            else:
                workspace = await workspaces.resume(visit.actor, wanted)
        except Invalid as error:
            if wants_json(request):
                raise
            found = await workspaces.look(visit.actor, wanted)
            return await self._page(request, visit, found, form, error.errors, 422)
        if wants_json(request):
            return json_answer({"id": workspace.id, "name": workspace.name, "state": workspace.state})
        return go(f"/workspaces/{workspace.id}?done=workspace-{act}")

    # Of one's own

    async def settings(self, request: Request) -> Response:
        """The settings of the workspace, for its admins."""
        visit = visit_of(request)
        visit.member.require(Action.MANAGE_WORKSPACE)
        workspace = await self.services.workspaces.get(visit.member)
        if wants_json(request):
            return json_answer(_settings(workspace))
        return await self._settings_page(request, visit, workspace, {}, {}, 200)

    async def configure(self, request: Request) -> Response:
        """Change the settings; each change is audited with what it was before."""
        visit, form = visit_of(request), await read_form(request)
        try:
            workspace = await self.services.workspaces.configure(visit.member, form)
        except Invalid as error:
            if wants_json(request):
                raise
            found = await self.services.workspaces.get(visit.member)
            return await self._settings_page(request, visit, found, form, error.errors, 422)
        if wants_json(request):
            return json_answer(_settings(workspace))
        return go("/settings?done=settings-saved")

    async def _settings_page(
        self,
        request: Request,
        visit: Visit,
        workspace: Workspace,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        status: int,
    ) -> Response:
        quiet = workspace.quiet_hours
        present = {
            "name": workspace.name,
            "time_zone": workspace.time_zone,
            "default_country": workspace.default_country,
            "quiet_begin": quiet.begin if quiet else "",
            "quiet_end": quiet.end if quiet else "",
            "retention_days": str(workspace.retention_days),
            **{name: "1" if getattr(workspace, name) else "0" for name in SWITCHES},
        }
        present |= {name: form[name] for name in present if name in form}
        return await self.pages.page(
            request,
            visit,
            "workspaces/settings.html",
            status,
            form=present,
            errors=errors,
            zones=time_zones(),
            countries=countries(),
            retentions=_retentions(workspace.retention_days),
            switches=_switches(),
            master=bool(workspace.master),
        )


def _look(workspace: Workspace) -> Look:
    if workspace.suspended:
        return Look("held", "pause", _("Suspended"))
    if workspace.master:
        return Look("flight", "mark", _("Master"))
    return Look("delivered", "delivered", _("Active"))


def _settings(workspace: Workspace) -> dict[str, Any]:
    quiet = workspace.quiet_hours
    return {
        "name": workspace.name,
        "time_zone": workspace.time_zone,
        "default_country": workspace.default_country,
        "quiet_begin": quiet.begin if quiet else "",
        "quiet_end": quiet.end if quiet else "",
        "retention_days": workspace.retention_days,
        **{name: getattr(workspace, name) for name in SWITCHES},
    }


def _retentions(present: int) -> list[dict[str, str]]:
    words = {
        RETENTION_DAYS: _("90 days"),
        180: _("180 days"),
        365: _("1 year (PCI DSS)"),
        1095: _("3 years"),
        2557: _("7 years (SOX)"),
    }
    offered = sorted({*RETENTIONS, present})
    return [{"value": str(days), "word": words.get(days) or _("%d days") % days} for days in offered]


def _switches() -> list[dict[str, str]]:
    listed = [
        (
            "authors_may_request_senders",
            _("Authors may request sender IDs"),
            _("Else only admins propose them. Somebody else decides either way."),
        ),
        (
            "own_approval",
            _("People may approve what is their own"),
            _("One pair of eyes instead of two. Leave it off unless one person runs this workspace."),
        ),
        (
            "moderate_free_templates",
            _("Moderators decide on free and promotional templates"),
            _("Else a template is approved by itself when its syntax and its DLT data are right."),
        ),
        (
            "require_totp",
            _("Members need a second factor"),
            _("Who has none sets one up at the next login, with an authenticator app."),
        ),
    ]
    return [{"name": name, "word": word, "note": note} for name, word, note in listed]
