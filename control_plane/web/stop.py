"""Stop all sending: the page that says what a stop will do and does it, and the banner of stops in force.

`/stop` works with the documents away (web/session.py): it asks nothing of them. Lifting does not.
"""

from collections.abc import Mapping
from typing import get_args
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import MASTER_ID, Action, enter
from control_plane.errors import ControlPlaneError, Forbidden, Invalid, NotFound
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.banner import Banner
from control_plane.web.forms import read_form
from control_plane.web.render import Pages
from control_plane.web.session import STOP, Visit, visit_of
from control_plane.web.translation import _
from control_plane.workspaces.model import Workspace
from engine.core_api import schema


class StopPages:
    def __init__(self, services: Services, pages: Pages, banner: Banner) -> None:
        self.services = services
        self.pages = pages
        self.banner = banner
        self._every: list[Workspace] = []  # to be stopped while the documents are away

    @property
    def routes(self) -> list[Route]:
        return [
            Route(STOP, self.show, methods=["GET"]),
            Route(STOP, self.stop, methods=["POST"]),
            Route("/stop/{id}/lift", self.lift, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """What can be stopped, what that does, and the stops in force. Works with the documents away."""
        visit = visit_of(request)
        if wants_json(request):
            stops = [stop for stop in await self.services.stops.open() if self.banner.concerns(visit, stop)]
            return json_answer({"stops": stops})
        return await self._page(request, visit, {}, {}, 200)

    async def stop(self, request: Request) -> Response:
        """Stop a workspace, a channel or everything, at once. Works with the documents away."""
        visit, form = visit_of(request), await read_form(request)
        scope = form.get("scope", "")
        if scope not in get_args(schema.StopScope):
            raise Invalid({"scope": _("Choose what is to be stopped.")})
        try:
            stop = await self.services.stops.stop(
                visit.actor,
                scope,  # type: ignore[arg-type]  # looked at above
                workspace_id=_workspace(visit, form) if scope == "workspace" else None,
                channel=form.get("channel") or None,
                reason=form.get("reason", ""),
                without_store=visit.remembered,
            )
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._page(request, visit, form, error.errors, 422)
        finally:
            self.banner.stale()
        if wants_json(request):
            return json_answer({"stop": stop, "confirmed": stop is not None}, 201 if stop else 202)
        return go(f"{STOP}?done={'stopped' if stop else 'stop-asked'}")

    async def lift(self, request: Request) -> Response:
        """Let a stopped workspace, channel or everything send again."""
        visit = visit_of(request)
        try:
            stop_id = UUID(request.path_params["id"])
        except ValueError:
            raise NotFound("stop") from None
        stop = await self.services.stops.lift(visit.actor, stop_id)
        self.banner.stale()
        return json_answer({"stop": stop}) if wants_json(request) else go(f"{STOP}?done=lifted")

    async def _page(
        self, request: Request, visit: Visit, form: Mapping[str, str], errors: Mapping[str, str], status: int
    ) -> Response:
        choosable = await self._stoppable(visit)
        scopes = _scopes(visit, choosable)
        if not scopes:
            raise Forbidden(_("Your role may not stop the sending."))
        channels: list[str] = []
        reachable = True
        try:
            channels = [channel.name for channel in await self.services.channels.all()]
        except ControlPlaneError:
            reachable = False
        if not channels:
            scopes = [scope for scope in scopes if scope["value"] != "channel"]
        wanted = form.get("scope") or request.query_params.get("scope", "")
        known = [scope["value"] for scope in scopes]
        return await self.pages.page(
            request,
            visit,
            "stop.html",
            status,
            scopes=scopes,
            chosen=wanted if wanted in known else known[0] if visit.workspace else known[-1],
            channels=channels,
            chosen_channel=form.get("channel") or request.query_params.get("channel", ""),
            choosable=choosable,
            chosen_workspace=form.get("workspace") or (str(visit.workspace.id) if visit.workspace else ""),
            reason=form.get("reason", ""),
            engine_down=not reachable,
            remembered=visit.remembered,
            errors=errors,
            stops=await self.banner.rows(visit),
        )

    async def _stoppable(self, visit: Visit) -> list[dict[str, str]]:
        """The workspaces whose sending the actor may stop; with the documents away, as last seen here."""
        if visit.actor.may(Action.STOP_EVERYTHING):
            if not visit.remembered:
                self._every = await self.services.workspaces.every(visit.actor, Action.STOP_EVERYTHING)
            known = {one.id: one for one in (*self._every, *visit.workspaces)}
            found = [one for one in known.values() if one.id != MASTER_ID]
        else:
            found = [one for one in visit.workspaces if enter(visit.actor, one.id).may(Action.STOP_WORKSPACE)]
        return [{"value": str(one.id), "word": one.name} for one in found]


def _scopes(visit: Visit, choosable: list[dict[str, str]]) -> list[dict[str, str]]:
    scopes = []
    if choosable:
        scopes.append(
            {
                "value": "workspace",
                "word": _("A workspace"),
                "note": _("All of its campaigns, on every channel."),
            }
        )
    if visit.actor.may(Action.STOP_EVERYTHING):
        scopes += [
            {
                "value": "channel",
                "word": _("A channel"),
                "note": _("All that goes out over it, of everybody."),
            },
            {"value": "everything", "word": _("Everything"), "note": _("Every channel and every workspace.")},
        ]
    return scopes


def _workspace(visit: Visit, form: Mapping[str, str]) -> UUID | None:
    wanted = form.get("workspace", "")
    if not wanted:
        return visit.workspace.id if visit.workspace is not None else None
    try:
        return UUID(wanted)
    except ValueError:
        raise NotFound("workspace") from None
