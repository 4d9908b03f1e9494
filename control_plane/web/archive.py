"""The archive: what is in it, into it, and back."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.campaigns.model import Campaign
from control_plane.errors import Invalid
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.views import campaign_facts, campaign_row

PAGE = 50


class ArchivePages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/archive", self.index, methods=["GET"]),
            Route("/campaigns/{id}/archive", self.archive, methods=["POST"]),
            Route("/campaigns/{id}/restore", self.choose, methods=["GET"]),
            Route("/campaigns/{id}/restore", self.restore, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """What is archived, latest change first."""
        visit, after = visit_of(request), request.query_params.get("after") or None
        page = await self.services.archive.list(visit.member, limit=PAGE, after=after)
        lives = await self.services.campaigns.lives(visit.member, page.records)
        if wants_json(request):
            content = [
                {
                    "id": live.campaign.id,
                    "name": live.campaign.name,
                    "state": live.state,
                    "archived_at": live.campaign.archived_at,
                }
                for live in lives
            ]
            return json_answer({"campaigns": content, "next": page.next})
        return await self.pages.page(
            request,
            visit,
            "archive/list.html",
            rows=[
                {
                    **campaign_row(live),
                    "archived_at": live.campaign.archived_at,
                    "archived_by": live.campaign.archived_by,
                }
                for live in lives
            ],
            may_restore=visit.may(Action.ARCHIVE_CAMPAIGNS),
            engine_down=not all(live.reachable for live in lives),
            next_url=f"/archive?after={page.next}" if page.next else "",
            first_url="/archive" if after else "",
        )

    async def archive(self, request: Request) -> Response:
        """Take a campaign out of the lists; 409 with the reason where it is not over."""
        visit = visit_of(request)
        campaign = await self.services.archive.archive(visit.member, request.path_params["id"])
        return self._standing(request, campaign, "archived")

    async def choose(self, request: Request) -> Response:
        """Who takes a campaign over whose author is not active any more."""
        visit = visit_of(request)
        visit.member.require(Action.ARCHIVE_CAMPAIGNS)
        campaign = await self.services.campaigns.get(visit.member, request.path_params["id"])
        if not campaign.archived:
            return go(f"/campaigns/{campaign.id}")
        return await self._choose_page(request, visit, campaign, {}, 200)

    async def _choose_page(
        self, request: Request, visit: Visit, campaign: Campaign, errors: dict[str, str], status: int
    ) -> Response:
        active = await self.services.archive.owner(visit.member, campaign) is not None
        owners: list[dict[str, Any]] = []
        if not active and visit.may(Action.VIEW_MEMBERS):
            owners = [
                {"value": str(user.id), "word": user.name, "note": user.email}
                for user in await self.services.archive.owners(visit.member)
            ]
        return await self.pages.page(
            request,
            visit,
            "archive/restore.html",
            status,
            campaign=campaign_facts(campaign),
            active=active,
            owners=owners,
            errors=errors,
        )

    async def restore(self, request: Request) -> Response:
        """Back into the lists; with `owner` where its author is not active any more."""
        visit, form = visit_of(request), await read_form(request)
        campaign_id = request.path_params["id"]
        try:
            campaign = await self.services.archive.restore(visit.member, campaign_id, form.get("owner", ""))
        except Invalid as error:
            if wants_json(request):
                raise
            found = await self.services.campaigns.get(visit.member, campaign_id)
            errors = error.errors if "owner" in form else {}
            return await self._choose_page(request, visit, found, errors, 422)
        return self._standing(request, campaign, "restored")

    def _standing(self, request: Request, campaign: Campaign, done: str) -> Response:
        if wants_json(request):
            content = {"id": campaign.id, "state": campaign.state, "archived_at": campaign.archived_at}
            return json_answer(content)
        return go(f"/campaigns/{campaign.id}?done={done}")
