"""Traffic that belongs to no campaign: orphan receipts, and what people write to us."""

from typing import Any, get_args
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.errors import EngineUnavailable
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.channel_views import account_href
from control_plane.web.forms import read_form
from control_plane.web.render import Pages
from control_plane.web.session import visit_of
from control_plane.web.translation import _
from control_plane.web.views import Look
from engine.core_api import schema

PAGE = 50


class TrafficPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/orphans", self.orphans, methods=["GET"]),
            Route("/orphans/retry", self.retry, methods=["POST"]),
            Route("/inbound", self.inbound, methods=["GET"]),
        ]

    async def orphans(self, request: Request) -> Response:
        """Receipts whose message is not known, newest first, by `account` and `age`."""
        visit = visit_of(request)
        query = request.query_params
        account, wanted, after = query.get("account") or None, query.get("age"), query.get("after") or None
        age: schema.OrphanAge | None = next(
            (one for one in get_args(schema.OrphanAge) if one == wanted), None
        )
        page = schema.Orphans(orphans=[], waiting=0, aged=0, next=None)
        reachable = True
        try:
            page = await self.services.traffic.orphans(
                visit.actor, account=account, age=age, cursor=after, limit=PAGE
            )
        except EngineUnavailable:
            if wants_json(request):
                raise
            reachable = False
        if wants_json(request):
            return json_answer(page)
        words = {
            None: _("All"),
            "waiting": _("Waiting"),
            "aged": _("Too old to be tried by itself"),
            "matched": _("Matched since"),
        }
        return await self.pages.page(
            request,
            visit,
            "orphans.html",
            rows=[_orphan(one) for one in page.orphans],
            open=page.waiting + page.aged,
            account=account or "",
            filters=[
                {"href": _href("/orphans", account=account, age=key), "word": word, "here": key == age}
                for key, word in words.items()
            ],
            next_url=_href("/orphans", account=account, age=age, after=page.next) if page.next else "",
            first_url=_href("/orphans", account=account, age=age) if after else "",
            engine_down=not reachable,
        )

    async def retry(self, request: Request) -> Response:
        """Look once more for the messages of all open orphans."""
        visit, form = visit_of(request), await read_form(request)
        account = form.get("account") or None
        tried = await self.services.traffic.retry_orphans(visit.actor, account)
        if wants_json(request):
            return json_answer({"orphans": tried})
        return go(_href("/orphans", account=account, done="retried"))

    async def inbound(self, request: Request) -> Response:
        """What people wrote to us, newest first, by `account`."""
        visit = visit_of(request)
        account, after = (
            request.query_params.get("account") or None,
            request.query_params.get("after") or None,
        )
        page = schema.InboundPage(messages=[], next=None)
        reachable = True
        try:
            page = await self.services.traffic.inbound(visit.actor, account=account, cursor=after, limit=PAGE)
        except EngineUnavailable:
            if wants_json(request):
                raise
            reachable = False
        if wants_json(request):
            return json_answer(page)
        return await self.pages.page(
            request,
            visit,
            "inbound.html",
            rows=[_inbound(one) for one in page.messages],
            account=account or "",
            next_url=_href("/inbound", account=account, after=page.next) if page.next else "",
            first_url=_href("/inbound", account=account) if after else "",
            engine_down=not reachable,
        )


def _href(path: str, **query: str | None) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _orphan(one: schema.Orphan) -> dict[str, Any]:
    look = {
        "waiting": Look("held", "clock", _("Waiting")),
        "aged": Look("waiting", "slash", _("Aged")),
        "matched": Look("delivered", "delivered", _("Matched")),
    }[one.age]
    return {
        "account": one.account,
        "account_href": account_href(one.account),
        "smsc_id": one.smsc_id,
        "msisdn": one.msisdn,
        "sender": one.sender,
        "status": one.status,
        "look": look,
        "why": one.why,
        "arrived_at": one.arrived_at,
    }


def _inbound(one: schema.Inbound) -> dict[str, Any]:
    words = {"message": "", "acknowledgement": _("acknowledgement"), "malformed": _("malformed")}
    return {
        "account": one.account,
        "kind": words[one.kind],
        "msisdn": one.msisdn,
        "destination": one.destination,
        "text": one.text,
        "part": _("part %(part)d of %(parts)d") % {"part": one.part, "parts": one.parts}
        if one.parts > 1
        else "",
        "received_at": one.received_at,
        "was_receipt": one.receipt_at is not None,
    }
