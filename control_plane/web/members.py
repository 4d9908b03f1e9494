"""The members of a workspace: who they are, and what its admins change about them."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action, Membership, Role
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound
from control_plane.identity.model import User
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form, whole
from control_plane.web.render import Pages
from control_plane.web.roles import flag_words, role_word, roles
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from control_plane.web.views import Look

PAGE = 50


class MemberPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/members", self.index, methods=["GET"]),
            Route("/members/{id}", self.show, methods=["GET"]),
            Route("/members/{id}", self.change, methods=["POST"]),
            Route("/members/{id}/remove", self.remove, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """The people of the workspace by name: role, flags, last login, state."""
        visit, start = visit_of(request), whole(request.query_params.get("from"), 0) or 0
        people = await self.services.people.members(visit.member)
        rows = [_row(visit, user) for user in people[start : start + PAGE]]
        if wants_json(request):
            content = [{**row, "look": row["look"].word, "flags": ", ".join(row["flags"])} for row in rows]
            return json_answer({"members": content, "total": len(people)})
        may_manage = visit.may(Action.MANAGE_MEMBERS)
        requests = len(await self.services.join_requests.open(visit.member)) if may_manage else 0
        more = start + PAGE < len(people)
        return await self.pages.page(
            request,
            visit,
            "members/list.html",
            rows=rows,
            total=len(people),
            may_manage=may_manage,
            requests=requests,
            next_url=f"/members?from={start + PAGE}" if more else "",
            first_url="/members" if start else "",
        )

    async def show(self, request: Request) -> Response:
        """One member, and for admins the form to change their role or to remove them."""
        visit = visit_of(request)
        return await self._page(request, visit, await self._member(visit, request), "", 200)

    async def change(self, request: Request) -> Response:
        """Another role or other flags; what they could do before ends with their next request."""
        visit, form = visit_of(request), await read_form(request)
        visit.member.require(Action.MANAGE_MEMBERS)
        user = await self._member(visit, request)
        role = next((one for one in Role if one == form.get("role")), None)
        if role is None:
            raise Invalid({"role": _("Choose one of the roles.")})
        membership = Membership(
            role=role,
            is_moderator=role is Role.AUTHOR and _on(form.get("is_moderator")),
            sees_numbers=_on(form.get("sees_numbers")),
        )
        try:
            await self.services.people.change(visit.member, user.id, membership)
        except Conflict as error:
            if wants_json(request):
                raise
            return await self._page(request, visit, user, str(error), 409)
        if wants_json(request):
            return json_answer({"id": user.id, "role": membership.role})
        return go(f"/members/{user.id}?done=member-changed")

    async def remove(self, request: Request) -> Response:
        """Take somebody out of the workspace, from their next request on; what they wrote stays."""
        visit = visit_of(request)
        visit.member.require(Action.MANAGE_MEMBERS)
        user = await self._member(visit, request)
        try:
            if user.id == visit.actor.user_id:
                raise Forbidden(_("Nobody removes themselves: ask another admin."))
            await self.services.people.remove(visit.member, user.id)
        except Conflict as error:
            if wants_json(request):
                raise
            return await self._page(request, visit, user, str(error), 409)
        if wants_json(request):
            return Response(status_code=204)
        return go("/members?done=member-removed")

    async def _member(self, visit: Visit, request: Request) -> User:
        """The one the address names; NotFound for people of other workspaces."""
        try:
            wanted = UUID(request.path_params["id"])
        except ValueError:
            raise NotFound("member") from None
        people = await self.services.people.members(visit.member)
        found = next((user for user in people if user.id == wanted), None)
        if found is None:
            raise NotFound("member")
        return found

    async def _page(self, request: Request, visit: Visit, user: User, problem: str, status: int) -> Response:
        row = _row(visit, user)
        if wants_json(request):
            return json_answer({**row, "look": row["look"].word, "flags": ", ".join(row["flags"])})
        membership = user.memberships[visit.member.workspace_id]
        return await self.pages.page(
            request,
            visit,
            "members/member.html",
            status,
            row=row,
            membership=membership,
            problem=problem,
            roles=roles(),
            may_change=visit.may(Action.MANAGE_MEMBERS) and not row["you"],
        )


def _row(visit: Visit, user: User) -> dict[str, Any]:
    membership = user.memberships[visit.member.workspace_id]
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": role_word(Membership(role=membership.role)),
        "flags": flag_words(membership),
        "last_login_at": user.last_login_at,
        "look": look_of(user),
        "you": user.id == visit.actor.user_id,
    }


def look_of(user: User) -> Look:
    if user.disabled:
        return Look("failed", "slash", _("Disabled"))
    if user.must_set_password:
        return Look("waiting", "waiting", _("Has not logged in yet"))
    return Look("delivered", "delivered", _("Active"))


def _on(value: str | None) -> bool:
    return (value or "").lower() in ("1", "true", "on")
