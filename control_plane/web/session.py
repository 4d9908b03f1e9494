"""Who asks, and in which workspace: resolved once for every request.

Stopping the sending, pausing and cancelling have to work with the documents away: there, and only there, a
session that the store confirmed a moment ago counts (identity/remembered.py). Logging out needs none.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.access import INSTALLATION, Action, Actor, Member, enter
from control_plane.errors import NotFound, StoreUnavailable
from control_plane.identity.sessions import USER_AGENT_LIMIT
from control_plane.services import Services
from control_plane.web.answers import go, is_fragment, wants_json
from control_plane.workspaces.model import Workspace

SESSION_COOKIE = "heliograph_session"
WORKSPACE_COOKIE = "heliograph_workspace"
PUBLIC = ("/login", "/static/", "/theme", "/favicon.ico")
STOP = "/stop"
LOGOUT = "/logout"
STOP_PATIENCE_S = 0.3  # how long the store may take there, before what is remembered counts
EMERGENCY = re.compile(r"/campaigns/[^/]+/(?:pause|cancel)")
EMERGENCY_PATIENCE_S = 1.5  # and there, where the campaign's document is the better way
UNKNOWN_PATIENCE_S = 5.0  # and before a session is turned away that nobody remembers
WITHOUT_OWN_PASSWORD = ("/password", LOGOUT)


class ChooseWorkspace(Exception):
    """A Super Admin asked for a workspace's page before opening one."""


@dataclass(frozen=True)
class Visit:
    """A request by somebody logged in. `member` is None for a Super Admin outside of any workspace.

    `remembered`: the documents are away, so nothing may be asked of them.
    """

    services: Services
    actor: Actor
    workspaces: list[Workspace]
    workspace: Workspace | None
    _member: Member | None
    remembered: bool = False

    @property
    def member(self) -> Member:
        """The actor in the current workspace. ChooseWorkspace where there is none."""
        if self._member is None:
            raise ChooseWorkspace
        return self._member

    def may(self, action: Action) -> bool:
        if action in INSTALLATION:
            return self.actor.may(action)
        return self._member is not None and self._member.may(action)

    @property
    def zone(self) -> str:
        return self.workspace.time_zone if self.workspace is not None else "UTC"


def visit_of(request: Request) -> Visit:
    visit = request.state.visit
    assert isinstance(visit, Visit)
    return visit


class Sessions:
    """Turns the cookie into a Visit.

    Those without one are sent to the login, those with a one-time password to choose their own.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app = app
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == LOGOUT or scope["path"].startswith(PUBLIC):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        token = request.cookies.get(SESSION_COOKIE, "")
        if scope["path"] == STOP:
            found = await self._for_the_stop(request, token, STOP_PATIENCE_S)
        elif EMERGENCY.fullmatch(scope["path"]):
            found = await self._for_the_stop(request, token, EMERGENCY_PATIENCE_S)
        else:
            found = await self._confirmed(request, token)
        app = self.app
        if found is None:
            app = _to_login(request)
        elif found.actor.must_set_password and scope["path"] not in WITHOUT_OWN_PASSWORD:
            app = _to_password(request)
        else:
            request.state.visit = found
        await app(scope, receive, send)

    async def _confirmed(self, request: Request, token: str) -> Visit | None:
        """By the store, as every request is."""
        actor = await self.services.identity.actor(
            token,
            address=_address(request),
            user_agent=request.headers.get("user-agent", ""),
            request_id=request.state.request_id,
        )
        if actor is None:
            return None
        if actor.must_set_password:
            return Visit(self.services, actor, [], None, None)
        workspaces = await self._workspaces(request, actor)
        suspended = frozenset(workspace.id for workspace in workspaces if workspace.suspended)
        actor = msgspec.structs.replace(actor, suspended=suspended)
        self.services.remembered.keep(token, actor, workspaces, self.services.clock())
        return self._visit(request, actor, workspaces)

    async def _workspaces(self, request: Request, actor: Actor) -> list[Workspace]:
        """The actor's own; for a Super Admin also the one that they opened, never all there are."""
        workspaces = await self.services.workspaces.of(actor)
        wanted = request.cookies.get(WORKSPACE_COOKIE, "")
        if actor.super_admin and wanted and all(str(one.id) != wanted for one in workspaces):
            with suppress(NotFound):
                workspaces.append(await self.services.workspaces.opened(actor, wanted))
        return workspaces

    async def _for_the_stop(self, request: Request, token: str, patience_s: float) -> Visit | None:
        """By the store if it answers at once, else as it was last confirmed. StoreUnavailable: by neither."""
        asked = asyncio.create_task(self._confirmed(request, token))
        await asyncio.wait({asked}, timeout=patience_s)
        known = self.services.remembered.find(token, self.services.clock())
        if known is None:  # a store that is only slow may still know it
            await asyncio.wait({asked}, timeout=UNKNOWN_PATIENCE_S)
        if asked.done():
            try:
                return asked.result()
            except StoreUnavailable:
                pass
        else:
            asked.add_done_callback(_let_go)
        if known is None:
            raise StoreUnavailable("The document store does not answer, and this session is not remembered.")
        # Who they are is remembered; from where this request came is not.
        actor = msgspec.structs.replace(
            known.actor,
            address=_address(request) or known.actor.address,
            user_agent=request.headers.get("user-agent", "")[:USER_AGENT_LIMIT],
            request_id=request.state.request_id,
        )
        return self._visit(request, actor, known.workspaces, remembered=True)

    def _visit(
        self, request: Request, actor: Actor, workspaces: list[Workspace], *, remembered: bool = False
    ) -> Visit:
        wanted = request.cookies.get(WORKSPACE_COOKIE)
        current = next((workspace for workspace in workspaces if str(workspace.id) == wanted), None)
        if current is None and workspaces and not actor.super_admin:
            current = workspaces[0]
        member = enter(actor, current.id) if current is not None else None
        return Visit(self.services, actor, workspaces, current, member, remembered)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _let_go(asked: "asyncio.Task[Visit | None]") -> None:
    """An answer that came too late: whatever it is, nobody waits for it."""
    if not asked.cancelled():
        asked.exception()


def _to_login(request: Request) -> ASGIApp:
    if wants_json(request) or request.method == "PUT":
        raise HTTPException(401, "Log in first.")
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = f"/login?next={quote(here, safe='')}" if request.method == "GET" and here != "/" else "/login"
    if is_fragment(request):
        return Response(status_code=204, headers={"hx-redirect": "/login"})
    return go(target)


def _to_password(request: Request) -> ASGIApp:
    if wants_json(request) or request.method == "PUT":
        raise HTTPException(403, "Set your own password first.")
    if is_fragment(request):
        return Response(status_code=204, headers={"hx-redirect": "/password"})
    return go("/password")


def keep_session(response: Response, services: Services, token: str) -> None:
    settings = services.settings
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=settings.session_absolute_s,
        httponly=True,
        samesite="lax",
        secure=settings.secure_cookies,
    )
