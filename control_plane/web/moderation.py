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
from control_plane.web.moderation_queue import QueuePage, entry
from control_plane.web.moderation_texts import WhatGoesOut
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from control_plane.web.views import campaign_facts


def reasons() -> list[str]:
    """Why campaigns are sent back most often: the words begin a note, which goes on by hand."""
    return [
        _("The text does not say who sends it."),
        _("The sender does not fit the text."),
        _("The link does not lead to a domain of ours."),
        _("A variable is empty or wrong for some recipients."),
        _("The file or a country of it is not the right one."),
        _("It is not clear that these people agreed to be written to."),
        _("It costs more than it needs to: shorten it, or write it without special characters."),
    ]


class ModerationPages:
    def __init__(self, services: Services, pages: Pages, dry_runs: DryRuns, over: CampaignChannels) -> None:
        self.services = services
        self.pages = pages
        self.dry_runs = dry_runs
        self.over = over
        self.goes_out = WhatGoesOut(services)
        self.queue = QueuePage(services, pages)

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/moderation", self.queue.show, methods=["GET"]),
            Route("/moderation/{id}", self.show, methods=["GET"]),
            Route("/moderation/{id}/dry-run", self.dry_run, methods=["GET"]),
            Route("/moderation/{id}/texts", self.texts, methods=["GET"]),
            Route("/moderation/{id}/approve", self.approve, methods=["POST"]),
            Route("/moderation/{id}/reject", self.reject, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """What will go out, and the decision on it. `opened` of it goes back with an approval."""
        visit = visit_of(request)
        campaign, opened = await self.services.moderation.open(visit.member, request.path_params["id"])
        if wants_json(request):
            return json_answer({**entry(campaign), "opened": opened})
        return await self._page(request, visit, campaign, opened, {}, "", 200)

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

    async def texts(self, request: Request) -> Response:
        """What its recipients would read, by `list` and `page`, or what `q` finds in it (`in` a variable)."""
        visit = visit_of(request)
        visit.member.require(Action.DECIDE_CAMPAIGNS)
        campaign = await self.services.campaigns.get(visit.member, request.path_params["id"])
        if wants_json(request):
            return json_answer(await self.services.moderation.texts(visit.member, campaign))
        context = await self.goes_out.context(visit, campaign, request.query_params, wait=True)
        return self.pages.fragment(
            request, visit, "moderation/goes_out.html", campaign=campaign_facts(campaign), **context
        )

    async def approve(self, request: Request) -> Response:
        """Approve the version that was looked at; sending starts."""
        visit, form = visit_of(request), await read_form(request)
        revision = whole(form.get("version"), -1)
        campaign = await self.services.moderation.approve(
            visit.member,
            request.path_params["id"],
            -1 if revision is None else revision,
            form.get("opened", ""),
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
            found, opened = await self.services.moderation.open(visit.member, campaign_id)
            return await self._page(request, visit, found, opened, error.errors, note, 422)
        if wants_json(request):
            return json_answer({"id": campaign.id, "state": campaign.state})
        return go("/moderation?done=rejected")

    async def _page(
        self,
        request: Request,
        visit: Visit,
        campaign: Campaign,
        opened: str,
        errors: dict[str, str],
        note: str,
        status: int,
    ) -> Response:
        decided = _decided(campaign)
        query = request.query_params
        context: dict[str, Any] = {"upload": None, "count": None, "error_counts": [], "dry_run_url": ""}
        context |= {"listing": None, "listing_url": "", "listing_away": False, "compared": None}
        if decided is None:
            context |= await self.dry_runs.context(visit, campaign, path="/moderation")
            context |= await self.goes_out.context(visit, campaign, query)
            context["compared"] = await self.goes_out.compared(visit, campaign)
        before, following = await self.services.moderation.neighbours(visit.member, campaign)
        return await self.pages.page(
            request,
            visit,
            "moderation/decision.html",
            status,
            **{"recipients": campaign.recipients, **context},
            campaign=campaign_facts(campaign),
            opened=opened,
            decided=decided,
            why_not=self.services.moderation.why_not(visit.member, campaign),
            sentence=self.dry_runs.approve_sentence(campaign),
            errors={"note": "", "version": "", **errors},
            note=note,
            reasons=reasons(),
            rejecting=bool(errors.get("note")) or query.get("act") == "reject",
            before_href=f"/moderation/{before.id}" if before else "",
            next_href=f"/moderation/{following.id}" if following else "",
            **await self.over.context(visit, campaign),
        )


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
