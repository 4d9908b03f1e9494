"""Price lists: all versions, what is in one, and the next one from CSV."""

from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.errors import Conflict, EngineUnavailable, Invalid
from control_plane.money.money import NOTE_LIMIT
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import decision_of, read_form
from control_plane.web.money_views import price_prefix, price_view
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from engine.core_api import schema


class PricePages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/prices", self.index, methods=["GET"]),
            Route("/prices", self.publish, methods=["POST"]),
            Route("/prices/{version:int}", self.show, methods=["GET"]),
        ]

    async def index(self, request: Request) -> Response:
        """All price lists, the one that counts now, and the form for the next."""
        return await self._page(request, visit_of(request), {}, {}, 200)

    async def show(self, request: Request) -> Response:
        """The prices of one list, narrowed by a prefix."""
        visit, version = visit_of(request), min(request.path_params["version"], 2**31 - 1)
        sheet, rates = await self.services.money.sheet(visit.actor, version)
        if wants_json(request):
            return json_answer({"sheet": sheet, "rates": rates})
        prefix = price_prefix(request.query_params)
        prices = price_view(sheet, rates, prefix, "", f"/prices/{version}")
        return await self.pages.page(request, visit, "money/sheet.html", prices=prices, sheet=sheet)

    async def publish(self, request: Request) -> Response:
        """The next price list, whole: all of it or nothing; the same form sent twice publishes one."""
        visit, form = visit_of(request), await read_form(request)
        visit.actor.require(Action.MANAGE_MONEY)
        note, decision_id = form.get("note", "").strip(), decision_of(form)
        try:
            if len(note) > NOTE_LIMIT:
                raise Invalid({"note": _("Use at most %(n)d characters.") % {"n": NOTE_LIMIT}})
            sheet = await self.services.money.publish(visit.actor, form.get("csv", ""), note, decision_id)
        except (Invalid, Conflict) as error:
            if wants_json(request):
                raise
            errors = error.errors if isinstance(error, Invalid) else {"csv": str(error)}
            named = {name if name == "note" else "csv": line for name, line in errors.items()}
            return await self._page(request, visit, form, named, 422)
        except EngineUnavailable:
            if wants_json(request):
                raise
            kept = {**form, "decision": str(decision_id)}
            return await self._page(request, visit, kept, {}, 503, unanswered=True)
        if wants_json(request):
            return json_answer({"version": sheet.version, "location": f"/prices/{sheet.version}"}, 201)
        return go("/prices?done=published")

    async def _page(
        self,
        request: Request,
        visit: Visit,
        form: dict[str, str],
        errors: dict[str, str],
        status: int,
        *,
        unanswered: bool = False,
    ) -> Response:
        found = schema.RateSheets(sheets=[], current=None)
        reachable = True
        try:
            found = await self.services.money.sheets(visit.actor)
        except EngineUnavailable:
            if wants_json(request):
                raise
            reachable = False
        if wants_json(request):
            return json_answer(found)
        return await self.pages.page(
            request,
            visit,
            "money/prices.html",
            status,
            sheets=found.sheets,
            current=found.current,
            form={"csv": form.get("csv", ""), "note": form.get("note", "")},
            decision=form.get("decision") or str(uuid4()),
            errors=errors,
            engine_down=not reachable,
            unanswered=unanswered,
        )
