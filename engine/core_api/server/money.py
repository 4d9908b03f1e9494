"""Wallets and price lists."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body, limit, path_uuid
from engine.core_api.server.state import engine
from engine.ledger import prices, wallets


async def every_wallet(request: Request) -> Response:
    """All wallets, with what is free, reserved and charged."""
    return answer(await wallets.wallets(engine(request).pool))


async def one_wallet(request: Request) -> Response:
    """A workspace's wallet; 404 where it has none and is not charged."""
    return answer(await wallets.wallet(engine(request).pool, path_uuid(request)))


async def transact(request: Request) -> Response:
    """Credit or debit a wallet; the first credit opens it. Campaigns that wait for it go on."""
    spec = await body(request, schema.TransactionSpec)
    state = engine(request)
    changed = await wallets.transact(state.pool, path_uuid(request), spec)
    await state.dispatcher.changed()
    return answer(changed)


async def transactions(request: Request) -> Response:
    """What people changed in a wallet, the newest first."""
    cursor = request.query_params.get("cursor")
    page = await wallets.transactions(engine(request).pool, path_uuid(request), cursor, limit(request, 100))
    return answer(page)


async def publish_rates(request: Request) -> Response:
    """A whole price list under the next version. Campaigns that wait for one go on."""
    spec = await body(request, schema.RateSheetSpec)
    state = engine(request)
    published = await prices.publish(state.pool, spec)
    await state.dispatcher.changed()
    return answer(published, 201)


async def rate_sheets(request: Request) -> Response:
    """All price lists, and the one that counts now."""
    return answer(await prices.sheets(engine(request).pool))


async def rates(request: Request) -> Response:
    """The rates of one price list."""
    version = request.path_params["version"]
    if version > 2**31 - 1:
        raise Refused("not-found", 404, "There is no such price list")
    return answer(await prices.rates(engine(request).pool, version))


routes = [
    Route("/wallets", every_wallet, methods=["GET"]),
    Route("/wallets/{id}", one_wallet, methods=["GET"]),
    Route("/wallets/{id}/transactions", transact, methods=["POST"]),
    Route("/wallets/{id}/transactions", transactions, methods=["GET"]),
    Route("/rates", publish_rates, methods=["POST"]),
    Route("/rates", rate_sheets, methods=["GET"]),
    Route("/rates/{version:int}", rates, methods=["GET"]),
]
