"""A channel's error codes: what nobody has classified, what is done about each, one click to change it."""

from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.errors import Conflict, Invalid
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.channel_views import channel_href
from control_plane.web.forms import read_form
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from engine.core_api import schema


class ErrorMapPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/channels/{name}/errors", self.show, methods=["GET"]),
            Route("/channels/{name}/errors", self.classify, methods=["POST"]),
            Route("/channels/{name}/errors/forget", self.forget, methods=["POST"]),
            Route("/channels/{name}/errors/import", self.load, methods=["POST"]),
            Route("/channels/{name}/reset", self.reset, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Codes of the last 7 days: the unmapped first, then each with its class and effect."""
        return await self._page(request, visit_of(request), {}, 200)

    async def classify(self, request: Request) -> Response:
        """Say what is done about a code, from the next message on."""
        visit, form = visit_of(request), await read_form(request)
        visit.actor.require(Action.MANAGE_CHANNELS)
        name = request.path_params["name"]
        try:
            context, error_class = _context(form), form.get("error_class", "")
            if error_class not in get_args(schema.ErrorClass):
                raise Invalid({"error_class": _("Choose one of those offered.")})
            if not form.get("code", "").strip():
                raise Invalid({"code": _("Which code?")})
            entry = await self.services.error_maps.classify(
                visit.actor,
                name,
                context=context,
                code=form["code"],
                error_class=error_class,  # type: ignore[arg-type]  # looked at above
                meaning=form.get("meaning", ""),
                note=form.get("note", ""),
            )
        except (Invalid, Conflict) as error:
            if wants_json(request):
                raise
            errors = error.errors if isinstance(error, Invalid) else {"code": str(error)}
            return await self._page(request, visit, errors, 422)
        if wants_json(request):
            return json_answer({"code": entry})
        return go(f"{channel_href(name)}/errors?done=classified")

    async def forget(self, request: Request) -> Response:
        """Take a code out of the map: the built-in table counts again."""
        visit, form = visit_of(request), await read_form(request)
        visit.actor.require(Action.MANAGE_CHANNELS)
        name = request.path_params["name"]
        await self.services.error_maps.forget(visit.actor, name, _context(form), form.get("code", ""))
        if wants_json(request):
            return Response(status_code=204)
        return go(f"{channel_href(name)}/errors?done=unclassified")

    async def load(self, request: Request) -> Response:
        """Import a table of codes (CSV): all of it or nothing."""
        visit, form = visit_of(request), await read_form(request)
        visit.actor.require(Action.MANAGE_CHANNELS)
        name = request.path_params["name"]
        try:
            done = await self.services.error_maps.load(visit.actor, name, _context(form), form.get("csv", ""))
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._page(request, visit, {"csv": "; ".join(error.errors.values())}, 422, form)
        if wants_json(request):
            return json_answer(done)
        return go(f"{channel_href(name)}/errors?done=imported")

    async def reset(self, request: Request) -> Response:
        """Let a channel that the breaker stopped send again."""
        visit, name = visit_of(request), request.path_params["name"]
        await self.services.error_maps.reset(visit.actor, name)
        if wants_json(request):
            return Response(status_code=204)
        return go(f"{channel_href(name)}/errors?done=reset")

    async def _page(
        self,
        request: Request,
        visit: Visit,
        errors: dict[str, str],
        status: int,
        form: dict[str, str] | None = None,
    ) -> Response:
        name = request.path_params["name"]
        found = await self.services.error_maps.of(visit.actor, name)
        if wants_json(request):
            return json_answer(found)
        everything = request.query_params.get("show") == "all"
        shown = [code for code in found.codes if code not in found.unmapped]
        if not everything:
            shown = [code for code in shown if code.count or code.mapped]
        return await self.pages.page(
            request,
            visit,
            "channels/errors.html",
            status,
            name=name,
            href=channel_href(name),
            tripped=found.tripped,
            tripped_at=found.tripped_at,
            without_id=found.accepted_without_id,
            unmapped=[_row(code) for code in sorted(found.unmapped, key=lambda one: -one.count)],
            codes=[_row(code) for code in sorted(shown, key=lambda one: (-one.count, one.context, one.code))],
            everything=everything,
            classes=classes(),
            contexts=[
                {"value": "response", "word": _("in responses")},
                {"value": "receipt", "word": _("in receipts")},
            ],
            csv=(form or {}).get("csv", ""),
            errors=errors,
        )


def classes() -> list[dict[str, str]]:
    """What can be done about a code."""
    return [
        {
            "value": "channel",
            "word": _("This channel"),
            "note": _("it goes over the next channel of its route, else it fails"),
        },
        {"value": "permanent", "word": _("Permanent"), "note": _("the message fails at once")},
        {"value": "temporary", "word": _("Temporary"), "note": _("tried again, up to 3 times")},
        {"value": "queue_full", "word": _("Queue full"), "note": _("that message again in 5 to 15 minutes")},
        {"value": "throttle", "word": _("Throttle"), "note": _("the bind slows down, nothing is lost")},
        {"value": "session", "word": _("Session"), "note": _("this bind stops, the message goes elsewhere")},
    ]


def _context(form: dict[str, str]) -> schema.MappedContext:
    context = form.get("context", "")
    if context not in get_args(schema.MappedContext):
        raise Invalid({"context": _("In responses or in receipts?")})
    return context  # type: ignore[return-value]  # looked at just now


def _row(code: schema.ErrorCode) -> dict[str, Any]:
    words = {one["value"]: one["word"] for one in classes()}
    return {
        "context": code.context,
        "seen_in": _("response") if code.context == "response" else _("receipt"),
        "code": code.code,
        "name": code.name,
        "class_word": words[code.error_class],
        "error_class": code.error_class,
        "effect": code.effect,
        "meaning": code.meaning,
        "note": code.note,
        "mapped": code.mapped,
        "count": code.count,
        "last_at": code.last_at,
    }
