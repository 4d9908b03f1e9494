"""One's own account: who one is, the password, and the sessions that are open."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.errors import NotFound
from control_plane.services import Services
from control_plane.web.agents import agent_words
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.render import Pages
from control_plane.web.roles import role_word
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _


class AccountPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/account", self.account, methods=["GET"]),
            Route("/account/sessions/others/revoke", self.revoke_others, methods=["POST"]),
            Route("/account/sessions/{id}/revoke", self.revoke, methods=["POST"]),
        ]

    async def account(self, request: Request) -> Response:
        """Who one is, the form to change the password, and one's sessions."""
        visit = visit_of(request)
        if wants_json(request):
            return json_answer({"email": visit.actor.email, "sessions": await self._sessions(visit)})
        return await self.page(request, {}, 200)

    async def page(self, request: Request, errors: dict[str, str], status: int) -> Response:
        visit = visit_of(request)
        memberships = visit.actor.memberships
        roles = [
            {
                "workspace": workspace.name,
                "workspace_id": workspace.id,
                "role": role_word(memberships[workspace.id])
                if workspace.id in memberships
                else _("Super Admin"),
            }
            for workspace in visit.workspaces
        ]
        return await self.pages.page(
            request,
            visit,
            "account.html",
            status,
            roles=roles,
            sessions=await self._sessions(visit),
            has_totp=visit.has_totp,
            recovery_left=await self.services.totp.recovery_left(visit.actor),
            first=False,
            errors=errors,
        )

    async def _sessions(self, visit: Visit) -> list[dict[str, Any]]:
        return [
            {
                "id": session.id,
                "address": session.address,
                "agent": agent_words(session.user_agent),
                "created_at": session.created_at,
                "seen_at": session.seen_at,
                "this": session.id == visit.actor.session_id,
            }
            for session in await self.services.identity.sessions(visit.actor)
        ]

    async def revoke(self, request: Request) -> Response:
        """End one of one's own sessions, from its next request on."""
        visit = visit_of(request)
        try:
            wanted = UUID(request.path_params["id"])
        except ValueError:
            raise NotFound("session") from None
        await self.services.identity.revoke(visit.actor, wanted)
        return go("/account?done=session-revoked")

    async def revoke_others(self, request: Request) -> Response:
        """End all of one's sessions but this one."""
        await self.services.identity.revoke_others(visit_of(request).actor)
        return go("/account?done=sessions-revoked")
