"""Sender IDs and channels: to look at."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.campaigns.engine_errors import engine
from control_plane.errors import EngineUnavailable, Forbidden
from control_plane.services import Services
from control_plane.web.answers import json_answer, wants_json
from control_plane.web.render import Pages
from control_plane.web.session import visit_of
from control_plane.web.translation import _
from control_plane.web.views import bind_look, sender_look
from engine.core_api import schema


class Reference:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/senders", self.senders, methods=["GET"]),
            Route("/channels", self.channels, methods=["GET"]),
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

    async def channels(self, request: Request) -> Response:
        """Channels with the state of their binds."""
        visit = visit_of(request)
        if not (visit.actor.super_admin or visit.may(Action.VIEW_CHANNELS)):
            raise Forbidden(_("Your role may not view channels."))
        channels: list[schema.Channel] = []
        reachable = True
        try:
            with engine("channel"):
                channels = await self.services.core.channels()
        except EngineUnavailable:
            if wants_json(request):
                raise
            reachable = False
        if wants_json(request):
            return json_answer({"channels": channels})
        return await self.pages.page(
            request,
            visit,
            "channels.html",
            channels=[_channel(channel) for channel in channels],
            engine_down=not reachable,
        )


def _channel(channel: schema.Channel) -> dict[str, Any]:
    return {
        "id": channel.channel_id,
        "name": channel.name,
        "kind": channel.kind.upper(),
        "account": channel.account,
        "tps": channel.tps,
        "binds": [
            {
                "number": bind.number,
                "view": bind_look(bind.state),
                "reason": bind.reason,
                "in_flight": bind.in_flight,
                "window_size": bind.window_size,
                "changed_at": bind.changed_at,
            }
            for bind in channel.binds
        ],
    }
