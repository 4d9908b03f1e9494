"""Stop all sending, and orders to accounts and their binds. Every worker hears with the commit."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.bus.postgres import STOPS, WORK, ring
from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body, path_uuid
from engine.core_api.server.state import engine
from engine.ledger import decisions, leases, stops
from engine.ledger.pool import Connection

_MOST_WEIGHT = 1000.0


async def stop(request: Request) -> Response:
    """Stop sending of everything, a workspace or a channel, on all workers."""
    state, spec = engine(request), await body(request, schema.StopSpec)
    async with state.pool.acquire() as connection, connection.transaction():
        made = await stops.stop(connection, spec)
        await ring(connection, STOPS)
    state.dispatcher.halted()
    return answer(made, 201)


async def every_stop(request: Request) -> Response:
    """The open stops, then the last that were lifted."""
    return answer(await stops.listed(engine(request).pool))


async def lift(request: Request) -> Response:
    """Let sending go on, where no other stop holds it."""
    state, spec = engine(request), await body(request, schema.LiftSpec)
    async with state.pool.acquire() as connection, connection.transaction():
        lifted = await stops.lift(connection, path_uuid(request), spec)
        await ring(connection, STOPS)
    state.dispatcher.halted()
    return answer(lifted)


async def drain(request: Request) -> Response:
    """No new claims on the account; its binds stay for receipts."""
    name = request.path_params["name"]
    return await _order(request, f"drain {name}", lambda c: leases.drain_account(c, name, True))


async def undrain(request: Request) -> Response:
    """The account takes claims again."""
    name = request.path_params["name"]
    return await _order(request, f"undrain {name}", lambda c: leases.drain_account(c, name, False))


async def rebind(request: Request) -> Response:
    """Leave one bind and come back."""
    return await _bind_order(request, "rebind")


async def drain_bind(request: Request) -> Response:
    """One bind takes no new claims; it stays for receipts."""
    return await _bind_order(request, "drain")


async def undrain_bind(request: Request) -> Response:
    """The bind takes claims again."""
    return await _bind_order(request, "undrain")


async def weight(request: Request) -> Response:
    """A workspace's share of a busy channel."""
    state, spec, workspace_id = engine(request), await body(request, schema.WeightSpec), path_uuid(request)
    if not 0 < spec.weight <= _MOST_WEIGHT:
        raise Refused("invalid", 422, "The weight does not fit", "weight: above 0, at most 1000", "weight")

    async def act() -> schema.Done:
        await leases.set_weight(connection, workspace_id, spec.weight)
        return schema.Done()

    async with state.pool.acquire() as connection, connection.transaction():
        given = msgspec.json.encode([workspace_id, spec], order="deterministic")
        await decisions.once(connection, spec.decision_id, "weight", given, schema.Done, act)
        await ring(connection, WORK)
    state.dispatcher.wake()
    return Response(status_code=204)


async def _bind_order(request: Request, order: leases.Order) -> Response:
    name, number = request.path_params["name"], request.path_params["number"]
    return await _order(
        request, f"{order} {name}/{number}", lambda c: leases.control_bind(c, name, number, order)
    )


async def _order(request: Request, command: str, give: Callable[[Connection], Awaitable[None]]) -> Response:
    state, spec = engine(request), await body(request, schema.ControlSpec)

    async def act() -> schema.Done:
        await give(connection)
        return schema.Done()

    async with state.pool.acquire() as connection, connection.transaction():
        await decisions.once(connection, spec.decision_id, command, command.encode(), schema.Done, act)
        await ring(connection, WORK)
    state.dispatcher.wake()
    return Response(status_code=204)


routes = [
    Route("/stops", stop, methods=["POST"]),
    Route("/stops", every_stop, methods=["GET"]),
    Route("/stops/{id}/lift", lift, methods=["POST"]),
    Route("/accounts/{name}/drain", drain, methods=["POST"]),
    Route("/accounts/{name}/undrain", undrain, methods=["POST"]),
    Route("/accounts/{name}/binds/{number:int}/rebind", rebind, methods=["POST"]),
    Route("/accounts/{name}/binds/{number:int}/drain", drain_bind, methods=["POST"]),
    Route("/accounts/{name}/binds/{number:int}/undrain", undrain_bind, methods=["POST"]),
    Route("/workspaces/{id}/weight", weight, methods=["PUT"]),
]
