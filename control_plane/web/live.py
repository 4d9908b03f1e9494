"""A campaign from its submission on: the live page, its figures as JSON and as a stream, its controls."""

import functools
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from control_plane.access import Action
from control_plane.campaigns.archive import why_not
from control_plane.campaigns.emergency import Emergency
from control_plane.campaigns.model import Campaign, Control, Live
from control_plane.services import Services
from control_plane.web.answers import go, is_fragment, json_answer, wants_json
from control_plane.web.audit_tab import audit_tab
from control_plane.web.campaign_channels import CampaignChannels
from control_plane.web.feed import Feeds
from control_plane.web.options import policies
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.steps import steps
from control_plane.web.tabs import Tabs
from control_plane.web.translation import _
from control_plane.web.views import LiveView, campaign_facts, live_view, share

CONTROLS: tuple[Control, ...] = ("pause", "resume", "cancel")


class LivePages:
    def __init__(
        self, services: Services, pages: Pages, feeds: Feeds, tabs: Tabs, over: CampaignChannels
    ) -> None:
        self.services = services
        self.pages = pages
        self.over = over
        self.feeds = feeds
        self.tabs = tabs

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/campaigns/{id}/status", self.status, methods=["GET"]),
            Route("/campaigns/{id}/events", self.events, methods=["GET"]),
            Route("/campaigns/{id}/series", self.series, methods=["GET"]),
            Route("/campaigns/{id}/channels", self.channels, methods=["GET"]),
            Route("/campaigns/{id}/actions", self.actions, methods=["GET"]),
            *(
                Route(f"/campaigns/{{id}}/{control}", self._control(control), methods=["POST"])
                for control in CONTROLS
            ),
        ]

    async def show(self, request: Request, visit: Visit, campaign: Campaign) -> Response:
        live = await self.services.campaigns.live(visit.member, campaign.id)
        view = live_view(live)
        if wants_json(request):
            return json_answer({"id": campaign.id, "name": campaign.name, **view.to_json()})
        if is_fragment(request):
            tab = await self.tabs.context(request, visit, live)
            return self.pages.fragment(request, visit, "campaigns/tabs.html", **tab)
        context = {
            "campaign": campaign_facts(campaign),
            "live": view,
            **self._actions_context(visit, live),
        }
        if campaign.state != "Approved":
            return await self._waiting(request, visit, live, context)
        return await self.pages.page(
            request,
            visit,
            "campaigns/live.html",
            tiles=_tiles(view),
            **await self.over.context(visit, campaign, final=view.final),
            policy_note=next(one["note"] for one in policies() if one["value"] == campaign.in_doubt),
            **context,
            **await self.tabs.context(request, visit, live),
        )

    async def _waiting(self, request: Request, visit: Visit, live: Live, context: dict[str, Any]) -> Response:
        campaign = live.campaign
        title, text = {
            "New": (_("A draft"), _("Its author is still writing it.")),
            "Building": (
                _("Being prepared"),
                _("The engine seals the recipients and the text, so that what is approved is what is sent."),
            ),
            "Pending": (
                _("Waiting for a moderator"),
                _(
                    "Somebody else than its authors reads it and decides. "
                    "This page changes by itself when they have."
                ),
            ),
        }[campaign.state]
        if campaign.archived:
            title, text = _("Archived"), _("It is in no list but the archive's. Restore it to go on with it.")
        sample = {
            "text": campaign.text,
            "coding": _("as written"),
            "parts": 0,
            "characters": len(campaign.text),
        }
        return await self.pages.page(
            request,
            visit,
            "campaigns/waiting.html",
            waiting_title=title,
            waiting_text=text,
            steps=steps(campaign, "decision" if campaign.state != "New" else "write"),
            samples=[{**sample, "to": ""}],
            activity=self.tabs.activity(live),
            **await audit_tab(visit, campaign.id),
            **await self.over.context(visit, campaign, final=True),
            **context,
        )

    async def status(self, request: Request) -> Response:
        """State, reason, counts, rate and time left as JSON."""
        visit = visit_of(request)
        live = await self.services.campaigns.live(visit.member, request.path_params["id"])
        return json_answer(live_view(live).to_json())

    async def events(self, request: Request) -> Response:
        """The same as a stream of server-sent events, once a second."""
        visit = visit_of(request)
        campaign = await self.services.campaigns.get(visit.member, request.path_params["id"])

        async def look() -> dict[str, Any]:
            return live_view(await self.services.campaigns.live(visit.member, campaign.id)).to_json()

        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(
            self.feeds.stream(campaign.id, look), media_type="text/event-stream", headers=headers
        )

    async def series(self, request: Request) -> Response:
        """Messages sent, delivered and failed in each 10 seconds."""
        visit = visit_of(request)
        return json_answer(await self.services.campaigns.series(visit.member, request.path_params["id"]))

    async def channels(self, request: Request) -> Response:
        """Over which channels it goes: planned and given out on each; numbers without a route."""
        visit = visit_of(request)
        live = await self.services.campaigns.live(visit.member, request.path_params["id"])
        if wants_json(request):
            return json_answer(
                {"channels": await self.services.campaigns.channels(visit.member, live.campaign.id)}
            )
        context = await self.over.context(visit, live.campaign, final=live_view(live).final)
        return self.pages.fragment(
            request, visit, "campaigns/channels.html", campaign=campaign_facts(live.campaign), **context
        )

    async def actions(self, request: Request) -> Response:
        """The buttons that fit the state, for the page whose state just changed."""
        visit = visit_of(request)
        live = await self.services.campaigns.live(visit.member, request.path_params["id"])
        return self.pages.fragment(
            request,
            visit,
            "campaigns/actions.html",
            campaign=campaign_facts(live.campaign),
            **self._actions_context(visit, live),
        )

    def _control(self, control: Control) -> Callable[..., Any]:
        return functools.partial(self._command, control)

    async def _command(self, control: Control, request: Request) -> Response:
        """Pause, resume or cancel, as the path says."""
        visit = visit_of(request)
        if visit.remembered and control != "resume":
            return await self._emergency(request, visit, control)
        live = await self.services.campaigns.command(visit.member, request.path_params["id"], control)
        if wants_json(request):
            return json_answer(live_view(live).to_json())
        return go(f"/campaigns/{live.campaign.id}")

    async def _emergency(self, request: Request, visit: Visit, control: Emergency) -> Response:
        """The documents are away: the engine is told directly."""
        there = await self.services.emergencies.command(visit.member, request.path_params["id"], control)
        if wants_json(request):
            return json_answer(
                {"campaign_id": there.campaign_id, "state": there.state, "without_documents": True}
            )
        title = {
            "pause": _("Paused: %(name)s") % {"name": there.name},
            "cancel": _("Cancelled: %(name)s") % {"name": there.name},
        }[control]
        return await self.pages.page(request, visit, "campaigns/away.html", heading=title)

    def _actions_context(self, visit: Visit, live: Live) -> dict[str, Any]:
        campaign = live.campaign
        waits = campaign.state in ("Building", "Pending")
        decides = campaign.state == "Pending" and not self.services.moderation.why_not(visit.member, campaign)
        return {
            "controls": live.controls if visit.may(Action.CONTROL_CAMPAIGNS) else (),
            "may_archive": visit.may(Action.ARCHIVE_CAMPAIGNS)
            and not campaign.archived
            and not why_not(live),
            "may_restore": visit.may(Action.ARCHIVE_CAMPAIGNS) and bool(campaign.archived),
            "export_href": f"/exports/new?campaign={campaign.id}"
            if campaign.state == "Approved" and visit.may(Action.EXPORT_RECORDS)
            else "",
            "may_withdraw": waits and visit.may(Action.EDIT_CAMPAIGNS),
            "decide_href": f"/moderation/{campaign.id}" if decides else "",
        }


def _tiles(view: LiveView) -> list[dict[str, Any]]:
    """The outcome of the recipients; `always` ones are shown at zero."""
    listed = [
        ("delivered", "delivered", "delivered", _("Delivered"), _("receipt says so"), True),
        ("in_flight", "flight", "flight", _("In flight"), _("await a receipt"), True),
        ("failed", "failed", "failed", _("Failed"), _("refused or undelivered"), True),
        ("in_doubt", "doubt", "doubt", _("In doubt"), _("outcome unknown"), True),
        ("unsent", "waiting", "waiting", _("Waiting"), _("not sent yet"), True),
        ("no_receipt", "held", "held", _("No receipt"), _("none in time"), False),
        ("cancelled", "waiting", "slash", _("Cancelled"), _("not sent"), False),
    ]
    return [
        {
            "key": key,
            "tone": tone,
            "icon": icon,
            "word": word,
            "note": note,
            "always": always,
            "value": view.outcome[key] if view.reachable else None,
            "share": share(view.outcome[key], view.counts.accepted) if view.reachable else None,
        }
        for key, tone, icon, word, note, always in listed
    ]
