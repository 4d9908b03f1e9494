"""Messages in doubt, grouped by bind and event: one recommended action each, and why."""

from typing import Any, get_args
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.errors import EngineUnavailable, Invalid, NotFound
from control_plane.services import Services
from control_plane.web import format as show
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form, whole
from control_plane.web.options import policies
from control_plane.web.render import Pages
from control_plane.web.session import visit_of
from control_plane.web.translation import _, ngettext
from engine.core_api import schema


class DoubtPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/doubts", self.show, methods=["GET"]),
            Route("/doubts/resolve", self.resolve, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Groups of messages in doubt, newest first; `campaign` narrows them."""
        visit = visit_of(request)
        doubts, wanted = self.services.doubts, request.query_params.get("campaign", "")
        campaign = await self.services.campaigns.get(visit.member, wanted) if wanted else None
        groups: list[schema.DoubtGroup] = []
        reachable = True
        try:
            if campaign is None or campaign.engine_id is not None:
                groups = await doubts.groups(visit.member, campaign.engine_id if campaign else None)
        except EngineUnavailable:
            if wants_json(request):
                raise
            reachable = False
        if wants_json(request):
            return json_answer({"groups": groups})
        ids = await doubts.campaign_ids(visit.member, groups)
        return await self.pages.page(
            request,
            visit,
            "doubts.html",
            groups=[_group(group, ids.get(group.campaign_id)) for group in groups],
            messages=sum(group.messages for group in groups),
            campaign=campaign,
            may_resolve=visit.may(Action.RESOLVE_DOUBTS),
            engine_down=not reachable,
        )

    async def resolve(self, request: Request) -> Response:
        """Decide what becomes of a group: send again, count as sent or not sent, or leave it."""
        visit, form = visit_of(request), await read_form(request)
        visit.member.require(Action.RESOLVE_DOUBTS)
        action, key = form.get("action", ""), form.get("key", "")
        if action not in get_args(schema.DoubtAction):
            raise Invalid({"action": _("Choose one of those offered.")})
        if not key:
            raise NotFound("group of messages in doubt")
        seen = whole(form.get("messages"), 0) or 0
        done = await self.services.doubts.resolve(visit.member, key, action, seen)  # type: ignore[arg-type]
        if wants_json(request):
            return json_answer({"messages": done.messages, "parts": done.parts, "action": done.action})
        return go(f"/doubts?done={'left' if action == 'leave' else 'resolved'}")


def _group(group: schema.DoubtGroup, campaign_id: UUID | None) -> dict[str, Any]:
    reasons = {
        "no_response": _("No response came in time"),
        "connection_lost": _("The connection was lost"),
        "engine_restart": _("The engine ended while sending"),
    }
    bind = _("%(account)s, bind %(n)d") % {"account": group.account, "n": group.bind_number}
    words = {choice["value"]: choice["word"] for choice in policies()}
    return {
        "key": group.key,
        "campaign": group.campaign,
        "campaign_id": campaign_id,
        "where": bind if group.account and group.bind_number else group.account or _("bind not known"),
        "what": reasons[group.reason],
        "event": group.event,
        "first_at": group.first_at,
        "last_at": group.last_at,
        "messages": group.messages,
        "parts": group.parts,
        "policy": words[group.policy],
        "left": group.left,
        "why": group.why,
        "actions": [
            {**_action(action, group.messages), "recommended": action == group.recommended}
            for action in sorted(group.actions, key=lambda one: one != group.recommended)
        ],
    }


def _action(action: schema.DoubtAction, messages: int) -> dict[str, Any]:
    """The button, what it does with its size, and whether it may send somebody the same twice."""
    n = show.number(messages)
    word, effect = {
        "resend": (
            _("Send again"),
            ngettext(
                "%(n)s message goes out once more. If the operator had taken it, it arrives twice.",
                "%(n)s messages go out once more. Those that the operator had taken arrive twice.",
                messages,
            ),
        ),
        "count_as_sent": (
            _("Count as sent"),
            ngettext(
                "%(n)s message counts as sent and is not sent again. A later receipt corrects it.",
                "%(n)s messages count as sent and are not sent again. Later receipts correct them.",
                messages,
            ),
        ),
        "count_as_not_sent": (
            _("Count as not sent"),
            ngettext(
                "%(n)s message counts as failed and is not sent again. A later receipt corrects it.",
                "%(n)s messages count as failed and are not sent again. Later receipts correct them.",
                messages,
            ),
        ),
        "leave": (
            _("Leave them"),
            ngettext(
                "%(n)s message stays in doubt. A receipt may still tell; you can decide later.",
                "%(n)s messages stay in doubt. Receipts may still tell; you can decide later.",
                messages,
            ),
        ),
    }[action]
    return {"value": action, "word": word, "effect": effect % {"n": n}, "twice": action == "resend"}
