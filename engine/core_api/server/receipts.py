"""Orphan receipts, messages of people, and how an account's ids are matched."""

from typing import get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body, limit
from engine.core_api.server.state import engine
from engine.ledger import receipt_reports


async def orphans(request: Request) -> Response:
    """Receipts that matched no message, newest first, by `account`, `age`, `smsc_id`, `cursor`, `limit`."""
    query = request.query_params
    age = query.get("age")
    if age is not None and age not in get_args(schema.OrphanAge):
        detail = f"age: one of {', '.join(get_args(schema.OrphanAge))}"
        raise Refused("invalid", 422, "A parameter is wrong", detail, "age")
    page = await receipt_reports.orphans(
        engine(request).pool,
        account=query.get("account"),
        smsc_id=query.get("smsc_id"),
        age=age,
        cursor=query.get("cursor"),
        limit=limit(request, 100),
    )
    return answer(page)


async def retry_orphans(request: Request) -> Response:
    """Look once more for the messages of these orphans, or of all open ones, whatever their age."""
    return answer(
        await receipt_reports.retry_orphans(engine(request).pool, await body(request, schema.OrphanRetry))
    )


async def inbound(request: Request) -> Response:
    """What people sent to us, newest first, by `account`, `cursor`, `limit`."""
    query = request.query_params
    page = await receipt_reports.inbound(
        engine(request).pool,
        account=query.get("account"),
        cursor=query.get("cursor"),
        limit=limit(request, 100),
    )
    return answer(page)


async def account_ids(request: Request) -> Response:
    """An account's bases of message ids, set, learned and in force; the zone its receipts seem to have."""
    return answer(await receipt_reports.account_ids(engine(request).pool, request.path_params["name"]))


async def reset_account_ids(request: Request) -> Response:
    """Forget the bases learned of an account's message ids, and learn them anew."""
    order = await body(request, schema.IdReset)
    return answer(await receipt_reports.reset_ids(engine(request).pool, request.path_params["name"], order))


routes = [
    Route("/orphans", orphans, methods=["GET"]),
    Route("/orphans/retry", retry_orphans, methods=["POST"]),
    Route("/inbound", inbound, methods=["GET"]),
    Route("/accounts/{name}/ids", account_ids, methods=["GET"]),
    Route("/accounts/{name}/ids/reset", reset_account_ids, methods=["POST"]),
]
