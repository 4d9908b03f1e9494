"""The first page: a member's workspace at a glance, or all workspaces for a Super Admin; and the pulse."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.campaigns.model import Live
from control_plane.services import Services
from control_plane.web import format as show
from control_plane.web.render import Pages, queue_count
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from control_plane.web.views import campaign_row
from control_plane.web.workspaces import WorkspacePages

RECENT = 50
SHOWN = 8


class Overview:
    def __init__(self, services: Services, pages: Pages, workspaces: WorkspacePages) -> None:
        self.services = services
        self.pages = pages
        self.workspaces = workspaces

    @property
    def routes(self) -> list[Route]:
        return [Route("/", self.show, methods=["GET"]), Route("/pulse", self.pulse, methods=["GET"])]

    async def pulse(self, request: Request) -> Response:
        """The top bar's figures."""
        visit = visit_of(request)
        count = await queue_count(visit)
        return self.pages.fragment(
            request,
            visit,
            "parts/pulse.html",
            pulse=await self.pages.pulse.view(),
            swap_banner=True,
            stops=await self.pages.banner.rows(visit),
            audit_troubles=self.pages.banner.audit(visit),
            swap_count=count is not None,
            queue_count=count,
        )

    async def show(self, request: Request) -> Response:
        """What is going out and what waits; all workspaces for a Super Admin."""
        visit = visit_of(request)
        if visit.actor.super_admin:
            return await self.workspaces.index(request)
        return await self._member(request, visit)

    async def _member(self, request: Request, visit: Visit) -> Response:
        campaigns = self.services.campaigns
        recent = (await campaigns.list(visit.member, limit=RECENT)).records
        lives = await campaigns.lives(visit.member, recent)
        active = [live for live in lives if live.state in ("Sending", "Paused", "Building")]
        active += [
            live
            for live in lives
            if live.campaign.state == "Approved" and live.state in ("Pending", "Unknown")
        ]
        waiting = [live for live in lives if live.campaign.state == "Pending"]
        drafts = [live for live in lives if live.state == "New"]
        ended = [live for live in lives if live.state in ("Done", "Cancelled", "Failed", "Expired")]
        return await self.pages.page(
            request,
            visit,
            "overview.html",
            engine_down=not all(live.reachable for live in lives),
            tiles=_tiles(lives, active, waiting, drafts),
            groups=[
                group
                for group in (
                    _group(_("On the way"), active, "flight", _("Nothing is on the way"),
                           _("An approved campaign shows here while it is sent.")),
                    _waiting_group(visit, waiting),
                    _group(_("Drafts"), drafts, "draft", "", "") if drafts else None,
                    _group(_("Lately ended"), ended, "delivered", "", "") if ended else None,
                )
                if group is not None
            ],
        )  # fmt: skip


def _waiting_group(visit: Visit, waiting: list[Live]) -> dict[str, Any]:
    group = _group(
        _("Awaiting decision"), waiting, "moderation", _("Nothing waits for a decision"),
        _("Submitted campaigns stay here until a moderator decides."),
    )  # fmt: skip
    if visit.may(Action.DECIDE_CAMPAIGNS) and waiting:
        return {**group, "href": "/moderation", "more": _("Decide")}
    if visit.may(Action.EDIT_CAMPAIGNS) and not waiting:
        return {**group, "act_href": "/campaigns/new", "act": _("New campaign")}
    return group


def _group(title: str, lives: list[Live], icon: str, empty_title: str, empty_text: str) -> dict[str, Any]:
    more = (
        {"href": "/campaigns", "more": _("All campaigns")} if len(lives) > SHOWN else {"href": "", "more": ""}
    )
    return {
        "title": title,
        "rows": [campaign_row(live) for live in lives[:SHOWN]],
        "icon": icon,
        "empty_title": empty_title,
        "empty_text": empty_text,
        "act_href": "",
        "act": "",
        "brief": icon in ("draft", "moderation"),
        **more,
    }


def _tiles(
    lives: list[Live], active: list[Live], waiting: list[Live], drafts: list[Live]
) -> list[dict[str, str]]:
    engines = [live.engine for live in lives if live.engine is not None and live.campaign.state == "Approved"]
    delivered = sum(engine.counts.delivered for engine in engines)
    concluded = delivered + sum(
        engine.counts.undelivered + engine.counts.failed + engine.counts.no_receipt for engine in engines
    )
    share = show.percent(delivered / concluded) if concluded else "–"
    return [
        _tile(_("On the way"), len(active), _("campaigns sending, paused or starting")),
        _tile(
            _("Sent a second"), sum(engine.rate_per_s for engine in engines), _("this workspace"), rate=True
        ),
        _tile(_("In flight"), sum(engine.counts.in_flight for engine in engines), _("await a receipt")),
        {
            "label": _("Delivered"),
            "figure": share,
            "note": _("of %(n)s concluded, lately") % {"n": show.number(concluded)}
            if concluded
            else _("none concluded yet"),
        },
        _tile(_("Awaiting decision"), len(waiting), _("campaigns")),
        _tile(_("Drafts"), len(drafts), _("not submitted")),
    ]


def _tile(label: str, value: float | None, note: str, *, rate: bool = False) -> dict[str, str]:
    return {"label": label, "figure": show.rate(value) if rate else show.number(value), "note": note}
