"""How people come into a workspace: invitations and requests, for its admins."""

from collections import defaultdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Membership, Role
from control_plane.errors import Invalid
from control_plane.joining.invitations import Sent
from control_plane.joining.model import Invitation
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form
from control_plane.web.render import Pages
from control_plane.web.roles import flag_words, role_word, roles
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from control_plane.web.views import Look


class JoiningPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/members/joining", self.index, methods=["GET"]),
            Route("/members/invitations", self.invite, methods=["POST"]),
            Route("/members/invitations/{id}/send", self.again, methods=["POST"]),
            Route("/members/invitations/{id}/revoke", self.revoke, methods=["POST"]),
            Route("/members/requests/{id}/accept", self.accept, methods=["POST"]),
            Route("/members/requests/{id}/reject", self.reject, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """Who is invited and who asks to join, and the form to invite somebody."""
        visit = visit_of(request)
        if wants_json(request):
            rows = [_row(visit, one) for one in await self.services.invitations.open(visit.member)]
            asked = await self.services.join_requests.open(visit.member)
            return json_answer(
                {
                    "invitations": [
                        {**row, "look": row["look"].word, "flags": ", ".join(row["flags"])} for row in rows
                    ],
                    "requests": [
                        {"id": one.id, "email": one.email, "name": one.name, "note": one.note}
                        for one in asked
                    ],
                }
            )
        return await self._page(request, visit)

    async def invite(self, request: Request) -> Response:
        """Invite an address in a role; where no e-mail went out, the link is shown this once."""
        visit, form = visit_of(request), await read_form(request)
        try:
            sent = await self.services.invitations.invite(
                visit.member, form.get("email", ""), read_membership(form)
            )
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._page(request, visit, 422, form=form, errors=error.errors)
        return await self._sent(request, visit, sent)

    async def again(self, request: Request) -> Response:
        """Send it again, with another link; the one before ends."""
        visit = visit_of(request)
        sent = await self.services.invitations.again(visit.member, request.path_params["id"])
        return await self._sent(request, visit, sent)

    async def revoke(self, request: Request) -> Response:
        """End an invitation: its link admits nobody."""
        await self.services.invitations.revoke(visit_of(request).member, request.path_params["id"])
        return go("/members/joining?done=invitation-revoked")

    async def accept(self, request: Request) -> Response:
        """Admit who asked to join, in a role."""
        visit, form = visit_of(request), await read_form(request)
        asked = await self.services.join_requests.get(visit.member, request.path_params["id"])
        await self.services.join_requests.accept(visit.member, asked.id, read_membership(form))
        return go("/members/joining?done=request-accepted")

    async def reject(self, request: Request) -> Response:
        """Turn down who asked to join."""
        await self.services.join_requests.reject(visit_of(request).member, request.path_params["id"])
        return go("/members/joining?done=request-rejected")

    async def _sent(self, request: Request, visit: Visit, sent: Sent) -> Response:
        if wants_json(request):
            link = None if sent.mailed else sent.link
            return json_answer({"id": sent.invitation.id, "mailed": sent.mailed, "link": link}, 201)
        if sent.mailed:
            return go("/members/joining?done=invited")
        # Not a redirect: the link is in this answer and nowhere else.
        return await self._page(request, visit, sent=sent)

    async def _page(
        self,
        request: Request,
        visit: Visit,
        status: int = 200,
        *,
        form: dict[str, str] | None = None,
        errors: dict[str, str] | None = None,
        sent: Sent | None = None,
    ) -> Response:
        return await self.pages.page(
            request,
            visit,
            "joining/list.html",
            status,
            rows=[_row(visit, one) for one in await self.services.invitations.open(visit.member)],
            requests=await self.services.join_requests.open(visit.member),
            roles=roles(),
            form=defaultdict(str, form or {}),
            chosen=(form or {}).get("role", str(Role.AUTHOR)),
            errors=errors or {},
            sent=sent,
            mail=self.services.mail.configured,
        )


def read_membership(form: dict[str, str]) -> Membership:
    """Role and flags of a form. Invalid for no role."""
    role = next((one for one in Role if one == form.get("role")), None)
    if role is None:
        raise Invalid({"role": _("Choose one of the roles.")})
    return Membership(
        role=role,
        is_moderator=role is Role.AUTHOR and _on(form.get("is_moderator")),
        sees_numbers=_on(form.get("sees_numbers")),
    )


def _on(value: str | None) -> bool:
    return (value or "").lower() in ("1", "true", "on")


def _row(visit: Visit, invitation: Invitation) -> dict[str, Any]:
    expired = invitation.expires_at <= visit.services.clock()
    if expired:
        look = Look("failed", "clock", _("Expired"))
    elif invitation.mailed:
        look = Look("waiting", "waiting", _("Sent"))
    else:
        look = Look("waiting", "copy", _("Link to hand on"))
    return {
        "id": invitation.id,
        "email": invitation.email,
        "role": role_word(Membership(role=invitation.membership.role)),
        "flags": flag_words(invitation.membership),
        "by": invitation.invited_by,
        "sent_at": invitation.sent_at,
        "expires_at": invitation.expires_at,
        "look": look,
    }
