"""The moderator's queue and the page of a decision."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.campaigns.model import Campaign
from control_plane.errors import Invalid
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.campaign_channels import CampaignChannels
from control_plane.web.dry_run import DryRuns
from control_plane.web.forms import read_form, whole
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from control_plane.web.views import campaign_facts

PAGE = 50


class ModerationPages:
    def __init__(self, services: Services, pages: Pages, dry_runs: DryRuns, over: CampaignChannels) -> None:
        self.services = services
        self.pages = pages
        self.dry_runs = dry_runs
        self.over = over

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/moderation", self.queue, methods=["GET"]),
            Route("/moderation/{id}", self.show, methods=["GET"]),
            Route("/moderation/{id}/dry-run", self.dry_run, methods=["GET"]),
            Route("/moderation/{id}/approve", self.approve, methods=["POST"]),
            Route("/moderation/{id}/reject", self.reject, methods=["POST"]),
        ]

    async def queue(self, request: Request) -> Response:
        """What waits for a decision, oldest first."""
        visit, after = visit_of(request), request.query_params.get("after") or None
        page = await self.services.moderation.queue(visit.member, limit=PAGE, after=after)
        if wants_json(request):
            return json_answer({"queue": [_entry(one) for one in page.records], "next": page.next})
        rows = [
            {
                **campaign_facts(one),
                "own": bool(self.services.moderation.why_not(visit.member, one)),
            }
            for one in page.records
        ]
        return await self.pages.page(
            request,
            visit,
            "moderation/queue.html",
            rows=rows,
            next_url=f"/moderation?after={page.next}" if page.next else "",
            first_url="/moderation" if after else "",
        )

    async def show(self, request: Request) -> Response:
        """What will go out, and the decision on it."""
        visit = visit_of(request)
        visit.member.require(Action.DECIDE_CAMPAIGNS)
        campaign = await self.services.campaigns.get(visit.member, request.path_params["id"])
        if wants_json(request):
            return json_answer(_entry(campaign))
        return await self._page(request, visit, campaign, {}, "", 200)

    async def dry_run(self, request: Request) -> Response:
        """The count over a large file, fetched by the page when it is there."""
        visit = visit_of(request)
        visit.member.require(Action.DECIDE_CAMPAIGNS)
        campaign = await self.services.campaigns.get(visit.member, request.path_params["id"])
        context = await self.dry_runs.context(visit, campaign, wait=True)
        return self.pages.fragment(
            request,
            visit,
            "campaigns/dry_run_result.html",
            campaign=campaign_facts(campaign),
            **{**context, "found": {}},
        )

    async def approve(self, request: Request) -> Response:
        """Approve the version that was looked at; sending starts."""
        visit, form = visit_of(request), await read_form(request)
        revision = whole(form.get("version"), -1)
        campaign = await self.services.moderation.approve(
            visit.member, request.path_params["id"], -1 if revision is None else revision
        )
        if wants_json(request):
            return json_answer({"id": campaign.id, "state": campaign.state})
        return go(f"/campaigns/{campaign.id}?done=approved")

    async def reject(self, request: Request) -> Response:
        """Give it back with a note."""
        visit, form = visit_of(request), await read_form(request)
        revision, note = whole(form.get("version"), -1), form.get("note", "")
        campaign_id = request.path_params["id"]
        try:
            campaign = await self.services.moderation.reject(
                visit.member, campaign_id, -1 if revision is None else revision, note
            )
        except Invalid as error:
            if wants_json(request):
                raise
            found = await self.services.campaigns.get(visit.member, campaign_id)
            return await self._page(request, visit, found, error.errors, note, 422)
        if wants_json(request):
            return json_answer({"id": campaign.id, "state": campaign.state})
        return go("/moderation?done=rejected")

    async def _page(
        self,
        request: Request,
        visit: Visit,
        campaign: Campaign,
        errors: dict[str, str],
        note: str,
        status: int,
    ) -> Response:
        decided = _decided(campaign)
        context: dict[str, Any] = {"upload": None, "count": None, "error_counts": [], "dry_run_url": ""}
        if decided is None:
            context = await self.dry_runs.context(visit, campaign, path="/moderation")
        return await self.pages.page(
            request,
            visit,
            "moderation/decision.html",
            status,
            **{"recipients": campaign.recipients, **context},
            campaign=campaign_facts(campaign),
            decided=decided,
            why_not=self.services.moderation.why_not(visit.member, campaign),
            sentence=self.dry_runs.approve_sentence(campaign),
            errors={"note": "", "version": "", **errors},
            note=note,
            **await self.over.context(visit, campaign),
        )


def _entry(campaign: Campaign) -> dict[str, Any]:
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


def _decided(campaign: Campaign) -> dict[str, str] | None:
    """By whom, where a decision has been made."""
    decision = campaign.decision
    if decision is None or campaign.state not in ("Approved", "New"):
        return None
    words = {
        "approved": _("Approved by %(name)s") % {"name": decision.by},
        "rejected": _("Sent back by %(name)s") % {"name": decision.by},
    }
    return {"title": words[decision.verdict], "text": decision.note or _("There is nothing left to decide.")}
