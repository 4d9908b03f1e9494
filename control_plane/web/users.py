"""People of the installation: found, disabled, their workspaces and roles, Super Admins."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action, Actor
from control_plane.errors import Conflict, Forbidden
from control_plane.identity.model import User
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form, whole
from control_plane.web.joining import read_membership
from control_plane.web.members import look_of
from control_plane.web.render import Pages
from control_plane.web.roles import flag_words, role_word, roles
from control_plane.web.session import Visit, visit_of

PAGE = 50


class UserPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/users", self.index, methods=["GET"]),
            Route("/users/{id}", self.show, methods=["GET"]),
            Route("/users/{id}/disable", self.disable, methods=["POST"]),
            Route("/users/{id}/enable", self.enable, methods=["POST"]),
            Route("/users/{id}/super-admin", self.super_admin, methods=["POST"]),
            Route("/users/{id}/membership", self.membership, methods=["POST"]),
            Route("/users/{id}/password", self.password, methods=["POST"]),
            Route("/users/{id}/totp/reset", self.reset_totp, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """Everybody of the installation, by address; searched by a part of it or of the name."""
        visit, start = visit_of(request), whole(request.query_params.get("from"), 0) or 0
        text = request.query_params.get("q", "")[:100]
        found = await self.services.users.search(visit.actor, text, start=start, limit=PAGE)
        if wants_json(request):
            return json_answer({"users": [_told(user) for user in found.users], "total": found.total})
        more = start + PAGE < found.total
        return await self.pages.page(
            request,
            visit,
            "users/list.html",
            rows=[_row(user) for user in found.users],
            total=found.total,
            text=text,
            next_url=_address(text, start + PAGE) if more else "",
            first_url=_address(text) if start else "",
        )

    async def show(self, request: Request) -> Response:
        """One person: their workspaces, and what an administrator changes about them."""
        return await self._page(request, await self._user(request))

    async def disable(self, request: Request) -> Response:
        """Turn somebody away from their next request on."""
        return await self._do(request, lambda actor, key: self.services.users.set_disabled(actor, key, True))

    async def enable(self, request: Request) -> Response:
        """Let somebody log in again."""
        return await self._do(request, lambda actor, key: self.services.users.set_disabled(actor, key, False))

    async def super_admin(self, request: Request) -> Response:
        """Make somebody a Super Admin, or no longer one; the last one stays."""
        on = (await read_form(request)).get("on") == "1"
        return await self._do(request, lambda actor, key: self.services.users.set_super_admin(actor, key, on))

    async def membership(self, request: Request) -> Response:
        """Somebody's role in a workspace; without a role they are taken out of it."""
        form = await read_form(request)
        membership = read_membership(form) if form.get("role") else None
        return await self._do(
            request,
            lambda actor, key: self.services.users.set_membership(
                actor, key, form.get("workspace", ""), membership
            ),
        )

    async def reset_totp(self, request: Request) -> Response:
        """Let somebody log in without codes, whose phone is lost."""
        return await self._do(request, self.services.users.reset_totp)

    async def password(self, request: Request) -> Response:
        """Issue a one-time password, shown once; their sessions end."""
        user = await self._user(request)
        try:
            password = await self.services.users.issue_password(visit_of(request).actor, user.id)
        except (Conflict, Forbidden) as error:
            return await self._refused(request, user, error)
        if wants_json(request):
            return json_answer({"password": password}, 201)
        return await self._page(request, await self._user(request), password=password)

    async def _do(self, request: Request, act: Callable[[Actor, UUID], Awaitable[User]]) -> Response:
        user = await self._user(request)
        try:
            changed = await act(visit_of(request).actor, user.id)
        except (Conflict, Forbidden) as error:
            return await self._refused(request, user, error)
        if wants_json(request):
            return json_answer(_told(changed))
        return go(f"/users/{user.id}?done=user-changed")

    async def _refused(self, request: Request, user: User, error: Conflict | Forbidden) -> Response:
        if wants_json(request):
            raise error
        status = 409 if isinstance(error, Conflict) else 403
        return await self._page(request, user, status, problem=str(error))

    async def _user(self, request: Request) -> User:
        return await self.services.users.get(visit_of(request).actor, request.path_params["id"])

    async def _page(
        self, request: Request, user: User, status: int = 200, *, problem: str = "", password: str = ""
    ) -> Response:
        visit = visit_of(request)
        if wants_json(request):
            return json_answer(_told(user))
        return await self.pages.page(
            request,
            visit,
            "users/user.html",
            status,
            row=_row(user),
            problem=problem,
            password=password,
            places=await self._places(visit, user),
            roles=roles(),
            may_change=user.id != visit.actor.user_id and (visit.actor.super_admin or not user.super_admin),
        )

    async def _places(self, visit: Visit, user: User) -> list[dict[str, Any]]:
        """Every workspace, those they are in first."""
        found = []
        for workspace in await self.services.workspaces.every(visit.actor, Action.MANAGE_USERS):
            membership = user.memberships.get(workspace.id)
            found.append(
                {
                    "id": workspace.id,
                    "name": workspace.name,
                    "role": str(membership.role) if membership else "",
                    "flags": flag_words(membership) if membership else [],
                    "is_moderator": bool(membership and membership.is_moderator),
                    "sees_numbers": bool(membership and membership.sees_numbers),
                }
            )
        return sorted(found, key=lambda place: not place["role"])


def _address(text: str, start: int = 0) -> str:
    query = {name: value for name, value in (("q", text), ("from", start)) if value}
    return "/users" + (f"?{urlencode(query)}" if query else "")


def _row(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "look": look_of(user),
        "super_admin": user.super_admin,
        "disabled": user.disabled,
        "has_totp": user.has_totp,
        "workspaces": len(user.memberships),
        "last_login_at": user.last_login_at,
    }


def _told(user: User) -> dict[str, Any]:
    row = _row(user)
    memberships = {str(key): role_word(one) for key, one in user.memberships.items()}
    return {**row, "look": row["look"].word, "memberships": memberships}
