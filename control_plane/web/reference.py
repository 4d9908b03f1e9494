"""Sender IDs: to look at."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.services import Services
from control_plane.web.answers import json_answer, wants_json
from control_plane.web.render import Pages
from control_plane.web.session import visit_of
from control_plane.web.views import sender_look


class Reference:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/senders", self.senders, methods=["GET"]),
        ]

    async def senders(self, request: Request) -> Response:
        """All revisions as a page; for programs the approved ones."""
        visit = visit_of(request)
        if wants_json(request):
            approved = await self.services.senders.approved(visit.member)
            content = [
                {"revision_id": one.id, "name": one.sender, "revision": one.revision} for one in approved
            ]
            return json_answer({"senders": content})
        rows = [
            {
                "sender": one.sender,
                "view": sender_look(one.state),
                "revision": one.revision,
                "purpose": one.purpose,
                "decided_at": one.decided_at,
                "decided_by": one.decided_by,
            }
            for one in await self.services.senders.list(visit.member)
        ]
        return await self.pages.page(request, visit, "senders.html", rows=rows)
