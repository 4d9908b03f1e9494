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
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.access import INSTALLATION, Action, Actor, Member, enter
from control_plane.errors import NotFound, StoreUnavailable
from control_plane.identity.sessions import USER_AGENT_LIMIT
from control_plane.services import Services
from control_plane.web.answers import go, is_fragment, wants_json
from control_plane.workspaces.model import Workspace

SESSION_COOKIE = "heliograph_session"
WORKSPACE_COOKIE = "heliograph_workspace"
PUBLIC = ("/login", "/join", "/reset", "/static/", "/theme", "/favicon.ico")
STOP = "/stop"
LOGOUT = "/logout"
STOP_PATIENCE_S = 0.3  # how long the store may take there, before what is remembered counts
EMERGENCY = re.compile(r"/campaigns/[^/]+/(?:pause|cancel)")
EMERGENCY_PATIENCE_S = 1.5  # and there, where the campaign's document is the better way
UNKNOWN_PATIENCE_S = 5.0  # and before a session is turned away that nobody remembers
SET_UP_TOTP = "/account/totp"
WITHOUT_TOTP = (SET_UP_TOTP, f"{SET_UP_TOTP}/image", LOGOUT, STOP, "/workspace")  # stopping never waits
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
    has_totp: bool = False

    @property
    def lacks_totp(self) -> bool:
        """One of the person's workspaces asks for codes, and they have none."""
        return not self.has_totp and any(one.require_totp for one in self.workspaces)

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
            app = _elsewhere(request, "/password", "Set your own password first.")
        elif found.lacks_totp and scope["path"] not in WITHOUT_TOTP:
            app = _elsewhere(request, SET_UP_TOTP, "Set up codes first: your workspace asks for them.")
        else:
            request.state.visit = found
        await app(scope, receive, self._renewing(request, send))

    def _renewing(self, request: Request, send: Send) -> Send:
        """Brings the browser the new token of a session that was rotated."""
        token: str | None = getattr(request.state, "renewed_token", None)
        if not token:
            return send
        carrier = Response()
        keep_session(carrier, self.services, token)

        async def send_renewed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if not any(value.startswith(f"{SESSION_COOKIE}=") for value in headers.getlist("set-cookie")):
                    headers.append("set-cookie", carrier.headers["set-cookie"])
            await send(message)

        return send_renewed

    async def _confirmed(self, request: Request, token: str) -> Visit | None:
        """By the store, as every request is."""
        arrival = await self.services.identity.arrive(
            token,
            address=_address(request),
            user_agent=request.headers.get("user-agent", ""),
            request_id=request.state.request_id,
            rotate=request.url.path != STOP,  # whose answer may not wait for this one
        )
        if arrival is None:
            return None
        actor = arrival.actor
        if arrival.token:
            request.state.renewed_token = token = arrival.token
        if actor.must_set_password:
            return Visit(self.services, actor, [], None, None)
        workspaces = await self._workspaces(request, actor)
        suspended = frozenset(workspace.id for workspace in workspaces if workspace.suspended)
        actor = msgspec.structs.replace(actor, suspended=suspended)
        visit = self._visit(request, actor, workspaces, has_totp=arrival.has_totp)
        if not visit.lacks_totp:
            self.services.remembered.keep(token, actor, workspaces, self.services.clock())
        return visit

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
        return self._visit(request, actor, known.workspaces, remembered=True, has_totp=True)

    def _visit(
        self,
        request: Request,
        actor: Actor,
        workspaces: list[Workspace],
        *,
        remembered: bool = False,
        has_totp: bool = False,
    ) -> Visit:
        wanted = request.cookies.get(WORKSPACE_COOKIE)
        current = next((workspace for workspace in workspaces if str(workspace.id) == wanted), None)
        if current is None and workspaces and not actor.super_admin:
            current = workspaces[0]
        member = enter(actor, current.id) if current is not None else None
        return Visit(self.services, actor, workspaces, current, member, remembered, has_totp)


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


def _elsewhere(request: Request, path: str, why: str) -> ASGIApp:
    """There is something to do before all else."""
    if wants_json(request) or request.method == "PUT":
        raise HTTPException(403, why)
    if is_fragment(request):
        return Response(status_code=204, headers={"hx-redirect": path})
    return go(path)


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
