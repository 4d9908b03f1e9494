"""Routes: the list, the form, and the question where a number goes and why."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.channels.changes import differences
from control_plane.errors import Conflict, EngineUnavailable, Forbidden, Invalid
from control_plane.routing.route_form import read_question, read_route
from control_plane.routing.routing import told
from control_plane.services import Services
from control_plane.web.answers import go, is_fragment, json_answer, wants_json
from control_plane.web.channel_views import history_view
from control_plane.web.forms import decision_of, read_form, whole
from control_plane.web.render import Pages
from control_plane.web.route_views import (
    answer_view,
    channel_rows,
    form_of,
    kinds,
    lane_words,
    route_href,
    route_view,
)
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from engine.core_api import schema

FRESH = {"position": "100", "enabled": "1"}
ROUTE_FIELDS = ("name", "prefix", "position", "workspace", "category", "sender_kind", "lane", "enabled")


class RoutePages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/routes", self.index, methods=["GET"]),
            Route("/routes", self.create, methods=["POST"]),
            Route("/routes/new", self.new, methods=["GET"]),
            Route("/routes/explain", self.index, methods=["GET"]),
            Route("/routes/explain", self.explain, methods=["POST"]),
            Route("/routes/{id:int}", self.edit, methods=["GET"]),
            Route("/routes/{id:int}", self.save, methods=["POST"]),
            Route("/routes/{id:int}/enable", self.enable, methods=["POST"]),
            Route("/routes/{id:int}/disable", self.disable, methods=["POST"]),
            Route("/routes/{id:int}/delete", self.delete, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """All routes for those who manage channels; for every role, where a number goes."""
        visit = visit_of(request)
        if wants_json(request):
            return json_answer({"routes": await self.services.routing.every(visit.actor)})
        return await self._list(request, visit, {}, {}, None, 200)

    async def explain(self, request: Request) -> Response:
        """Where a number goes now, over what, and why; nothing is sent. The number is not kept."""
        visit, form = visit_of(request), await read_form(request)
        manage = visit.actor.may(Action.MANAGE_CHANNELS)
        if not manage:
            visit.member.require(Action.VIEW_CHANNELS)
        routing = self.services.routing
        try:
            question = read_question(form)
            if manage:
                found = await routing.explain(visit.actor, question)
            else:
                found = await routing.explain_ours(visit.member, question)
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._list(request, visit, form, error.errors, None, 422)
        if wants_json(request):
            return json_answer(found)
        answer = answer_view(question, found)
        if is_fragment(request):
            return self.pages.fragment(request, visit, "routes/answer.html", answer=answer, manage=manage)
        return await self._list(request, visit, form, {}, answer, 200)

    async def new(self, request: Request) -> Response:
        """The form for a new route; `of` names one to begin with."""
        visit = visit_of(request)
        visit.actor.require(Action.MANAGE_CHANNELS)
        values = FRESH
        if (of := whole(request.query_params.get("of"))) is not None:
            known = await self.services.routing.route(visit.actor, of)
            values = {**form_of(known), "name": _("%(name)s copy") % {"name": known.name}}
        return await self._form(request, visit, None, values, {}, 200)

    async def edit(self, request: Request) -> Response:
        """The form of a route that is there, and who changed it."""
        visit = visit_of(request)
        route = await self.services.routing.route(visit.actor, request.path_params["id"])
        if wants_json(request):
            return json_answer({"route": route})
        values = {**form_of(route), "version": str(route.version)}
        return await self._form(request, visit, route, values, {}, 200)

    async def create(self, request: Request) -> Response:
        """A new route; the same form sent twice makes one."""
        visit, form = visit_of(request), await read_form(request)
        visit.actor.require(Action.MANAGE_CHANNELS)
        decision_id = decision_of(form)
        try:
            spec = read_route(form, decision_id)
            route = await self.services.routing.create(visit.actor, spec)
        except (Invalid, Conflict) as error:
            if wants_json(request):
                raise
            errors = error.errors if isinstance(error, Invalid) else {"route": str(error)}
            return await self._form(request, visit, None, form, errors, 422)
        except EngineUnavailable:
            if wants_json(request):
                raise
            kept = {**form, "decision": str(decision_id)}
            return await self._form(request, visit, None, kept, {}, 503, unanswered=True)
        if wants_json(request):
            return json_answer({"route_id": route.route_id, "location": route_href(route.route_id)}, 201)
        return go("/routes?done=route-created")

    async def save(self, request: Request) -> Response:
        """Change a route that is still as it was when its form was opened."""
        visit, form = visit_of(request), await read_form(request)
        route = await self.services.routing.route(visit.actor, request.path_params["id"])
        spec, decision_id = None, decision_of(form)
        try:
            whole_form = {**form_of(route), **form} if wants_json(request) else form
            spec = read_route(whole_form, decision_id, whole(form.get("version")) or 0)
            if spec.category is None and route.category == "":  # no field says "without"; it stays
                spec = msgspec.structs.replace(spec, category="")
            await self.services.routing.change(visit.actor, route, spec)
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._form(request, visit, route, form, error.errors, 422)
        except Conflict as error:
            if wants_json(request) or spec is None:
                raise
            return await self._late(request, visit, form, spec, error)
        except EngineUnavailable:
            if wants_json(request):
                raise
            kept = {**form, "decision": str(decision_id)}
            return await self._form(request, visit, route, kept, {}, 503, unanswered=True)
        if wants_json(request):
            return json_answer({"location": route_href(route.route_id)})
        return go("/routes?done=route-saved")

    async def enable(self, request: Request) -> Response:
        """Campaigns that begin from now on go by it."""
        return await self._switch(request, enabled=True)

    async def disable(self, request: Request) -> Response:
        """No campaign goes by it any more, but those that have begun."""
        return await self._switch(request, enabled=False)

    async def delete(self, request: Request) -> Response:
        """Remove a route that is still as it was when its page was opened."""
        visit, form = visit_of(request), await read_form(request)
        version = whole(form.get("version"))
        await self.services.routing.delete(visit.actor, request.path_params["id"], version)
        return Response(status_code=204) if wants_json(request) else go("/routes?done=route-deleted")

    async def _switch(self, request: Request, *, enabled: bool) -> Response:
        visit, form = visit_of(request), await read_form(request)
        route = await self.services.routing.switch(
            visit.actor,
            request.path_params["id"],
            whole(form.get("version")),
            enabled=enabled,
            decision_id=uuid4(),
        )
        if wants_json(request):
            return json_answer({"location": route_href(route.route_id)})
        return go(f"/routes?done={'route-enabled' if enabled else 'route-disabled'}")

    async def _late(
        self, request: Request, visit: Visit, form: dict[str, str], spec: schema.RouteSpec, error: Conflict
    ) -> Response:
        """Somebody was first: what is stored now and what was typed, side by side; nothing typed is lost."""
        now = await self.services.routing.route(visit.actor, request.path_params["id"])
        if now.version == spec.version:
            return await self._form(request, visit, now, form, {"route": str(error)}, 409)
        values = {**form, "version": str(now.version), "decision": ""}
        stale = [f"{name}: {pair}" for name, pair in differences(told(now), told(spec)).items()]
        return await self._form(request, visit, now, values, {}, 409, stale=stale, late=True)

    async def _form(
        self,
        request: Request,
        visit: Visit,
        route: schema.Route | None,
        values: Mapping[str, str],
        errors: Mapping[str, str],
        status: int,
        *,
        stale: list[str] | None = None,
        late: bool = False,
        unanswered: bool = False,
    ) -> Response:
        channels: list[str] = []
        offered: dict[str, Any] = {}
        try:
            channels = [one.name for one in await self.services.channels.all()]
            offered = await self._offered(visit)
        except EngineUnavailable:
            if not unanswered:
                raise
            offered = await self._known(visit)
        rows = channel_rows(values, channels)
        known = {*ROUTE_FIELDS, "channels"}
        known |= {f"{row['name']}.{cell}" for row in rows for cell in ("channel", "tier", "weight")}
        history = (
            await self.services.routing.history(visit.actor, route.route_id) if route is not None else []
        )
        return await self.pages.page(
            request,
            visit,
            "routes/form.html",
            status,
            route=route,
            action=route_href(route.route_id) if route is not None else "/routes",
            form={name: values.get(name, "") for name in (*ROUTE_FIELDS, "without_category", "version")},
            decision=values.get("decision") or str(uuid4()),
            rows=rows,
            errors=errors,
            loose=[line for name, line in errors.items() if name not in known],
            stale=stale or [],
            late=late,
            unanswered=unanswered,
            activity=history_view(history),
            **offered,
        )

    async def _offered(self, visit: Visit) -> dict[str, Any]:
        """What the selects offer."""
        every = await self.services.routing.every(visit.actor)
        categories = {one.category for one in every if one.category}
        categories |= {*await self.services.money.categories()}
        return {**await self._known(visit), "categories": sorted(categories)}

    async def _known(self, visit: Visit) -> dict[str, Any]:
        """What they offer without the engine."""
        workspaces = await self.services.workspaces.every(visit.actor, Action.MANAGE_CHANNELS)
        return {
            "workspaces_offered": [{"value": str(one.id), "word": one.name} for one in workspaces],
            "kinds": kinds(),
            "lanes": lane_words(),
            "categories": [],
        }

    async def _list(
        self,
        request: Request,
        visit: Visit,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        answer: dict[str, Any] | None,
        status: int,
    ) -> Response:
        if is_fragment(request) and errors:
            return self.pages.fragment(
                request, visit, "routes/answer_errors.html", status, lines=[*errors.values()]
            )
        manage = visit.actor.may(Action.MANAGE_CHANNELS)
        if not (manage or visit.may(Action.VIEW_CHANNELS)):
            raise Forbidden(_("Your role may not view channels."))
        rows: list[dict[str, Any]] = []
        offered: dict[str, Any] = {"workspaces_offered": [], "lanes": lane_words(), "categories": []}
        some, reachable = False, True
        try:
            if manage:
                names: dict[UUID, str] = {
                    one.id: one.name
                    for one in await self.services.workspaces.every(visit.actor, Action.MANAGE_CHANNELS)
                }
                every = await self.services.routing.every(visit.actor)
                rows = [route_view(one, names) for one in every]
                offered, some = await self._offered(visit), bool(rows)
            else:
                ours = await self.services.routing.offered(visit.member)
                offered["categories"] = sorted({one.category for one in ours if one.category})
                some = bool(ours)
        except EngineUnavailable:
            reachable = False
        current = str(visit.workspace.id) if visit.workspace is not None else ""
        return await self.pages.page(
            request,
            visit,
            "routes/list.html",
            status,
            rows=rows,
            some=some,
            manage=manage,
            engine_down=not reachable,
            question={
                "msisdn": form.get("msisdn", ""),
                "sender": form.get("sender", ""),
                "workspace": form.get("workspace", current),
                "category": form.get("category", ""),
                "lane": form.get("lane", "bulk"),
            },
            answer=answer,
            errors=errors,
            **offered,
        )
