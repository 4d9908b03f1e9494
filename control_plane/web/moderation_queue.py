"""The moderator's queue: what waits, and for a moment what others have just decided."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from control_plane.access import Action
from control_plane.campaigns.model import Campaign
from control_plane.moderation.content_queue import Verdict, Waiting
from control_plane.services import Services
from control_plane.web.answers import is_fragment, json_answer, wants_json
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from control_plane.web.views import campaign_facts

PAGE = 50
CAMPAIGNS, CONTENT = "campaigns", "content"


class QueuePage:
    """The page asks for itself every five seconds and says what it shows. What waits no longer comes back
    greyed, and is not in what the page says next: so it goes after five seconds."""

    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    async def show(self, request: Request) -> Response:
        """What waits for a decision, oldest first."""
        visit = visit_of(request)
        visit.member.require(Action.DECIDE_CAMPAIGNS)
        moderation = self.services.moderation
        tab = CONTENT if request.query_params.get("tab") == CONTENT else CAMPAIGNS
        counts = {
            CAMPAIGNS: await moderation.count(visit.member),
            CONTENT: await moderation.content.count(visit.member),
        }
        context: dict[str, Any] = {"tab": tab, "tabs": _tabs(tab, counts), "next_url": "", "first_url": ""}
        shown = [one.partition(":")[::2] for one in request.query_params.getlist("shown")[: 2 * PAGE]]
        if tab == CONTENT:
            waiting = await moderation.content.waiting(visit.member, PAGE)
            if wants_json(request):
                return json_answer({"content": waiting, "counts": counts})
            gone = await self._content_gone(visit, shown, waiting)
            rows = [_content_row(visit, one) for one in waiting]
        else:
            after = request.query_params.get("after") or None
            page = await moderation.queue(visit.member, limit=PAGE, after=after)
            if wants_json(request):
                queue = [entry(one) for one in page.records]
                return json_answer({"queue": queue, "next": page.next, "counts": counts})
            ids = {str(one.id) for one in page.records}
            left = [known for kind, known in shown if kind == CAMPAIGNS and known not in ids]
            found = await moderation.decided(visit.member, left)
            gone = [(f"{CAMPAIGNS}:{known}", verdict) for known, verdict in found.items()]
            rows = [self._row(visit, one) for one in page.records]
            context["next_url"] = f"/moderation?after={page.next}" if page.next else ""
            context["first_url"] = "/moderation" if after else ""
        order = [":".join(one) for one in shown]
        context["rows"] = _merged(rows, [_gone_row(key, verdict) for key, verdict in gone], order)
        context["said"] = "; ".join(row["decided"] for row in context["rows"] if row["decided"])
        context["poll"] = _address(request)
        if is_fragment(request):
            return self.pages.fragment(request, visit, "moderation/rows.html", **context)
        return await self.pages.page(request, visit, "moderation/queue.html", **context)

    def _row(self, visit: Visit, campaign: Campaign) -> dict[str, Any]:
        return {
            **campaign_facts(campaign),
            "key": f"{CAMPAIGNS}:{campaign.id}",
            "href": f"/moderation/{campaign.id}",
            "own": bool(self.services.moderation.why_not(visit.member, campaign)),
            "decided": "",
        }

    async def _content_gone(
        self, visit: Visit, shown: Iterable[tuple[str, str]], waiting: list[Waiting]
    ) -> list[tuple[str, Verdict | None]]:
        there = {(one.kind, str(one.id)) for one in waiting}
        return [
            (f"{kind}:{known}", await self.services.moderation.content.verdict(visit.member, kind, known))
            for kind, known in shown
            if kind != CAMPAIGNS and (kind, known) not in there
        ]


def entry(campaign: Campaign) -> dict[str, Any]:
    """A campaign of the queue for programs; `version` goes back with the decision."""
    return {
        "id": campaign.id,
        "version": campaign.revision,
        "name": campaign.name,
        "sender": campaign.sender,
        "text": campaign.text,
        "channel": campaign.channel,
        "by_routes": campaign.by_routes,
        "category": campaign.category,
        "lane": campaign.lane,
        "recipients": campaign.recipients,
        "author": campaign.author,
        "submitted_at": campaign.submitted_at,
        "state": campaign.state,
    }


def _tabs(here: str, counts: dict[str, int]) -> list[dict[str, Any]]:
    words = {CAMPAIGNS: _("Campaigns"), CONTENT: _("Senders and templates")}
    return [
        {
            "href": "/moderation" if name == CAMPAIGNS else f"/moderation?tab={name}",
            "word": word,
            "count": counts[name],
            "here": name == here,
        }
        for name, word in words.items()
    ]


def _content_row(visit: Visit, one: Waiting) -> dict[str, Any]:
    kinds = {"sender": _("Sender"), "template": _("Template")}
    return {
        "key": f"{one.kind}:{one.id}",
        "id": one.id,
        "href": one.href,
        "name": one.name,
        "kind": kinds.get(one.kind, one.kind),
        "text": one.detail,
        "author": one.author,
        "submitted_at": one.at,
        "own": one.author_id == visit.actor.user_id,
        "decided": "",
    }


def _gone_row(key: str, verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:  # withdrawn or deleted: nobody decided it
        return None
    words = {"approved": _("Approved by %(name)s"), "rejected": _("Sent back by %(name)s")}
    decided = words.get(verdict.verdict, _("Decided by %(name)s")) % {"name": verdict.by}
    kind, _colon, known = key.partition(":")
    folder = "" if kind == CAMPAIGNS else f"{kind}s/"
    return {
        "key": key,
        "id": known,
        "href": f"/moderation/{folder}{known}",
        "name": verdict.name,
        "decided": decided,
    }


def _merged(
    rows: list[dict[str, Any]], gone: list[dict[str, Any] | None], order: list[str]
) -> list[dict[str, Any]]:
    """The decided ones stay where they stood on the page."""
    merged = list(rows)
    left = sorted((row for row in gone if row is not None), key=lambda row: order.index(row["key"]))
    for row in left:
        before = order[: order.index(row["key"])]
        places = [i for i, one in enumerate(merged) if one["key"] in before]
        merged.insert(places[-1] + 1 if places else 0, row)
    return merged


def _address(request: Request) -> str:
    """The page's own, without what it showed."""
    kept = [(name, value) for name, value in request.query_params.items() if name in ("tab", "after")]
    return "/moderation" + (f"?{urlencode(kept)}" if kept else "")
