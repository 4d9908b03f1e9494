"""PDU traces: what goes over a bind, or to and from a number, decoded and masked, for some minutes."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.errors import EngineUnavailable, Invalid
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.channel_form import MSISDN
from control_plane.web.forms import read_form, whole
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from engine.core_api import schema

MINUTES = (1, 5, 15)
SHOWN = 500


class TracePages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/traces", self.index, methods=["GET"]),
            Route("/traces", self.start, methods=["POST"]),
            Route("/traces/{id:int}", self.show, methods=["GET"]),
            Route("/traces/{id:int}/end", self.end, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """Traces under way and done, and the form for a new one."""
        return await self._page(request, visit_of(request), {}, {}, 200)

    async def start(self, request: Request) -> Response:
        """Trace a bind, a number or a message for up to 15 minutes."""
        visit, form = visit_of(request), await read_form(request)
        visit.actor.require(Action.VIEW_TRAFFIC)
        try:
            trace = await self._start(visit, form)
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._page(request, visit, form, error.errors, 422)
        if wants_json(request):
            return json_answer({"trace_id": trace.trace_id}, 201)
        return go(f"/traces/{trace.trace_id}")

    async def show(self, request: Request) -> Response:
        """One trace with its PDUs, newest first, live while it runs."""
        visit = visit_of(request)
        found = await self.services.traffic.trace(visit.actor, request.path_params["id"])
        if wants_json(request):
            return json_answer(found)
        return await self.pages.page(
            request,
            visit,
            "traces/trace.html",
            trace=found.trace,
            pdus=[_pdu(pdu) for pdu in reversed(found.pdus[-SHOWN:])],
            left=max(0, len(found.pdus) - SHOWN),
        )

    async def end(self, request: Request) -> Response:
        """End a trace now."""
        visit, trace_id = visit_of(request), request.path_params["id"]
        await self.services.traffic.end_trace(visit.actor, trace_id)
        if wants_json(request):
            return Response(status_code=204)
        return go(f"/traces/{trace_id}?done=trace-ended")

    async def _start(self, visit: Visit, form: Mapping[str, str]) -> schema.Trace:
        scope, problems = form.get("scope", ""), {}
        msisdn = re.sub(r"[\s().-]", "", form.get("msisdn", ""))
        message_id = None
        if scope not in ("bind", "number", "message"):
            problems["scope"] = _("Choose what to trace.")
        if scope == "number" and not MSISDN.fullmatch(msisdn):
            problems["msisdn"] = _("A number with its country code.")
        if scope == "message":
            try:
                message_id = UUID(form.get("message", "").strip())
            except ValueError:
                problems["message"] = _("A message id: 32 hexadecimal digits in five groups.")
        if scope == "bind" and not form.get("account"):
            problems["account"] = _("Choose the account.")
        minutes = whole(form.get("minutes"), MINUTES[1]) or 0
        if minutes not in range(1, MINUTES[-1] + 1):
            problems["minutes"] = _("1 to 15 minutes.")
        if problems:
            raise Invalid(problems)
        return await self.services.traffic.start_trace(
            visit.actor,
            scope,
            account=form.get("account", "") if scope == "bind" else "",
            number=whole(form.get("bind")) if scope == "bind" else None,
            msisdn=msisdn if scope == "number" else "",
            message_id=message_id,
            seconds=minutes * 60,
        )

    async def _page(
        self,
        request: Request,
        visit: Visit,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        status: int,
    ) -> Response:
        traces: list[schema.Trace] = []
        accounts: list[str] = []
        reachable = True
        try:
            traces = await self.services.traffic.traces(visit.actor)
            accounts = [one.name for one in await self.services.channels.accounts(visit.actor)]
        except EngineUnavailable:
            if wants_json(request):
                raise
            reachable = False
        if wants_json(request):
            return json_answer({"traces": traces})
        wanted = form.get("account") or request.query_params.get("account", "")
        return await self.pages.page(
            request,
            visit,
            "traces/list.html",
            status,
            traces=traces,
            accounts=accounts,
            minutes=MINUTES,
            form={
                "scope": form.get("scope", "bind"),
                "account": wanted,
                "bind": form.get("bind", ""),
                "msisdn": form.get("msisdn", ""),
                "message": form.get("message", ""),
                "minutes": form.get("minutes", str(MINUTES[1])),
            },
            errors=errors,
            engine_down=not reachable,
        )


def _pdu(pdu: schema.TracedPdu) -> dict[str, Any]:
    return {
        "at": pdu.at,
        "time": f"{pdu.at:%H:%M:%S}.{pdu.at.microsecond // 1000:03d}",
        "bind": f"{pdu.account} {pdu.bind}",
        "out": pdu.direction == "out",
        "command": pdu.command,
        "sequence": pdu.sequence,
        "status": pdu.status_name if pdu.status else "",
        "length": pdu.length,
        "fields": [{"term": name, "value": value} for name, value in pdu.fields.items() if value],
        "fault": pdu.fault,
    }
