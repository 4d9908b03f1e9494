"""Campaigns until they are submitted: the list, the draft, its review. Afterwards see live.py."""

from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.campaigns.model import Campaign, State
from control_plane.errors import EngineUnavailable, Invalid, NotFound
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.audit_tab import audit_tab
from control_plane.web.dry_run import DryRuns
from control_plane.web.forms import read_form
from control_plane.web.live import LivePages
from control_plane.web.options import OptionFields, options_of
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.steps import steps
from control_plane.web.translation import _
from control_plane.web.uploads import upload_view
from control_plane.web.views import campaign_facts, campaign_row

PAGE = 50
STATES: tuple[State, ...] = ("New", "Building", "Pending", "Approved")


class CampaignPages:
    def __init__(self, services: Services, pages: Pages, live: LivePages, dry_runs: DryRuns) -> None:
        self.services = services
        self.pages = pages
        self.live = live
        self.dry_runs = dry_runs
        self.options = OptionFields(services)

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/campaigns", self.index, methods=["GET"]),
            Route("/campaigns", self.create, methods=["POST"]),
            Route("/campaigns/new", self.new, methods=["GET"]),
            Route("/campaigns/{id}", self.show, methods=["GET"]),
            Route("/campaigns/{id}", self.save, methods=["POST"]),
            Route("/campaigns/{id}/review", self.review, methods=["GET"]),
            Route("/campaigns/{id}/dry-run", self.dry_run, methods=["GET"]),
            Route("/campaigns/{id}/submit", self.submit, methods=["POST"]),
            Route("/campaigns/{id}/withdraw", self.withdraw, methods=["POST"]),
            Route("/campaigns/{id}/delete", self.delete, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """The list, newest change first, by `state`."""
        visit, wanted = visit_of(request), request.query_params.get("state")
        state = next((known for known in STATES if known == wanted), None)
        after = request.query_params.get("after") or None
        page = await self.services.campaigns.list(visit.member, state=state, limit=PAGE, after=after)
        lives = await self.services.campaigns.lives(visit.member, page.records)
        if wants_json(request):
            content = [
                {"id": live.campaign.id, "name": live.campaign.name, "state": live.state} for live in lives
            ]
            return json_answer({"campaigns": content, "next": page.next})
        query = f"state={state}&" if state else ""
        words = {
            None: _("All"),
            "New": _("Drafts"),
            "Pending": _("Awaiting decision"),
            "Approved": _("Approved"),
        }
        filters = [
            {"href": f"/campaigns?state={key}" if key else "/campaigns", "word": word, "here": key == state}
            for key, word in words.items()
        ]
        filters.append({"href": "/archive", "word": _("Archived"), "here": False})
        return await self.pages.page(
            request,
            visit,
            "campaigns/list.html",
            rows=[campaign_row(live) for live in lives],
            filters=filters,
            filtered=state is not None or after is not None,
            engine_down=not all(live.reachable for live in lives),
            next_url=f"/campaigns?{query}after={page.next}" if page.next else "",
            first_url=(f"/campaigns?{query}".rstrip("?&")) if after else "",
        )

    async def new(self, request: Request) -> Response:
        """The form for a draft."""
        visit = visit_of(request)
        visit.member.require(Action.EDIT_CAMPAIGNS)
        return await self._new_page(request, visit, {}, {}, 200)

    async def _new_page(
        self, request: Request, visit: Visit, form: dict[str, str], errors: dict[str, str], status: int
    ) -> Response:
        senders, templates = await self._senders(visit), await self._templates(visit, None)
        chosen = form.get("sender") or (senders[0]["value"] if len(senders) == 1 else "")
        fields = {"name": form.get("name", ""), "sender": chosen, "text": form.get("text", "")}
        fields["template"] = form.get("template", "")
        return await self.pages.page(
            request,
            visit,
            "campaigns/new.html",
            status,
            form=fields,
            errors=errors,
            senders=senders,
            templates=templates,
            **await self.options.context(visit, None, form, errors),
            columns=[],
            count_url="/campaigns/measure",
            steps=steps(None),
            sender=next((one["word"] for one in senders if one["value"] == chosen), ""),
            samples=[],
            measure=None,
            problem=None,
        )

    async def create(self, request: Request) -> Response:
        """A new draft: name, sender (an approved revision), text."""
        visit, form = visit_of(request), await read_form(request)
        try:
            campaign = await self.services.campaigns.create(
                visit.member,
                name=form.get("name", ""),
                sender=form.get("sender", ""),
                text=form.get("text", ""),
                channel=form.get("channel", ""),
                template=form.get("template", ""),
                options=options_of(form),
            )
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._new_page(request, visit, form, error.errors, 422)
        response = go(f"/campaigns/{campaign.id}")
        if wants_json(request):
            response = json_answer({"id": campaign.id, "state": campaign.state}, 201)
            response.headers["location"] = f"/campaigns/{campaign.id}"
        return response

    async def show(self, request: Request) -> Response:
        """A draft's editor for those who write, else the campaign as it stands."""
        visit = visit_of(request)
        campaign = await self.services.campaigns.get(visit.member, request.path_params["id"])
        if campaign.editable and visit.may(Action.EDIT_CAMPAIGNS) and not wants_json(request):
            return await self._edit_page(request, visit, campaign, {}, {}, 200)
        return await self.live.show(request, visit, campaign)

    async def _edit_page(
        self,
        request: Request,
        visit: Visit,
        campaign: Campaign,
        form: dict[str, str],
        errors: dict[str, str],
        status: int,
    ) -> Response:
        try:
            upload = await upload_view(self.services, visit, campaign)
            reachable = True
        except EngineUnavailable:
            upload, reachable = None, False
        fields = {
            "name": form.get("name", campaign.name),
            "sender": form.get("sender", str(campaign.sender_revision_id or "")),
            "text": form.get("text", campaign.text),
            "template": form.get("template", str(campaign.template_version_id or "")),
        }
        senders = await self._senders(visit)
        if all(one["value"] != fields["sender"] for one in senders):
            fields["sender"] = ""  # archived, or replaced by a newer revision: it is chosen anew
        return await self.pages.page(
            request,
            visit,
            "campaigns/edit.html",
            status,
            campaign=campaign_facts(campaign),
            may_archive=visit.may(Action.ARCHIVE_CAMPAIGNS),
            **await audit_tab(visit, campaign.id),
            form=fields,
            errors=errors,
            senders=senders,
            templates=await self._templates(visit, campaign),
            **await self.options.context(visit, campaign, form, errors),
            columns=upload["columns"] if upload else [],
            upload=upload,
            engine_down=not reachable,
            count_url=f"/campaigns/{campaign.id}/measure",
            steps=steps(campaign),
            sender=campaign.sender,
            samples=[],
            measure=None,
            problem=None,
        )

    async def save(self, request: Request) -> Response:
        """Change a draft."""
        visit, form = visit_of(request), await read_form(request)
        campaign_id = request.path_params["id"]
        try:
            campaign = await self.services.campaigns.edit(
                visit.member,
                campaign_id,
                name=form.get("name"),
                sender=form.get("sender"),
                text=form.get("text"),
                channel=form.get("channel"),
                template=form.get("template"),
                options=options_of(form),
            )
        except Invalid as error:
            if wants_json(request):
                raise
            found = await self.services.campaigns.get(visit.member, campaign_id)
            return await self._edit_page(request, visit, found, form, error.errors, 422)
        if wants_json(request):
            return json_answer({"id": campaign.id, "state": campaign.state})
        then = f"/campaigns/{campaign.id}"
        return go(f"{then}/review" if form.get("then") == "review" else f"{then}?done=saved")

    async def review(self, request: Request) -> Response:
        """What submitting will do: parts, alphabets, samples, lines left out."""
        visit = visit_of(request)
        campaign = await self.services.campaigns.get(visit.member, request.path_params["id"])
        if not campaign.editable:
            return go(f"/campaigns/{campaign.id}")
        visit.member.require(Action.EDIT_CAMPAIGNS)
        return await self._review_page(request, visit, campaign, {}, 200)

    async def _review_page(
        self, request: Request, visit: Visit, campaign: Campaign, problems: dict[str, str], status: int
    ) -> Response:
        context = await self.dry_runs.context(visit, campaign)
        found = {**context["found"], **problems}
        return await self.pages.page(
            request,
            visit,
            "campaigns/review.html",
            status,
            campaign=campaign_facts(campaign),
            steps=steps(campaign, "review"),
            problems=list(found.values()),
            sentence=self.dry_runs.submit_sentence(campaign, context["upload"]),
            **context,
        )

    async def dry_run(self, request: Request) -> Response:
        """The count over a large file, fetched by the page when it is there."""
        visit = visit_of(request)
        campaign = await self.services.campaigns.get(visit.member, request.path_params["id"])
        context: dict[str, Any] = await self.dry_runs.context(visit, campaign, wait=True)
        return self.pages.fragment(
            request, visit, "campaigns/dry_run_result.html", campaign=campaign_facts(campaign), **context
        )

    async def submit(self, request: Request) -> Response:
        """Seal the draft and put it into the moderation queue."""
        visit = visit_of(request)
        try:
            campaign = await self.services.campaigns.submit(visit.member, request.path_params["id"])
        except Invalid as error:
            if wants_json(request):
                raise
            found = await self.services.campaigns.get(visit.member, request.path_params["id"])
            return await self._review_page(request, visit, found, error.errors, 422)
        return self._standing(request, campaign, "submitted")

    async def withdraw(self, request: Request) -> Response:
        """Take a campaign back before its decision."""
        visit = visit_of(request)
        campaign = await self.services.campaigns.withdraw(visit.member, request.path_params["id"])
        return self._standing(request, campaign, "withdrawn")

    async def delete(self, request: Request) -> Response:
        """Delete a draft with its recipients."""
        visit = visit_of(request)
        await self.services.campaigns.delete(visit.member, request.path_params["id"])
        if wants_json(request):
            return Response(status_code=204)
        return go("/campaigns?done=deleted")

    def _standing(self, request: Request, campaign: Campaign, done: str) -> Response:
        if wants_json(request):
            return json_answer({"id": campaign.id, "state": campaign.state})
        return go(f"/campaigns/{campaign.id}?done={done}")

    async def _senders(self, visit: Visit) -> list[dict[str, str]]:
        approved = await self.services.senders.approved(visit.member)
        return [{"value": str(one.id), "word": one.sender} for one in approved]

    async def _templates(self, visit: Visit, campaign: Campaign | None) -> list[dict[str, str]]:
        """The newest approved version of each, and the one the draft already has."""
        if not visit.may(Action.VIEW_TEMPLATES):
            return []
        offered = await self.services.templates.approved(visit.member)
        mine = campaign.template_version_id if campaign is not None else None
        if mine is not None and all(one.id != mine for one in offered):
            with suppress(NotFound):
                offered.append(await self.services.templates.version(visit.member, mine))
        return [
            {
                "value": str(one.id),
                "word": _("%(name)s, version %(n)d") % {"name": one.name, "n": one.revision},
                "text": one.content.body,
            }
            for one in offered
        ]
