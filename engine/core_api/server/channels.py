"""SMSC accounts, channels, and the state of the engine itself."""

import inspect

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine import __version__
from engine._fast import PURE
from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body
from engine.core_api.server.state import engine
from engine.ledger import accounts


async def health(request: Request) -> Response:
    """Cheap: no database. 200 also while stopping, so that the caller can tell why it gets no service."""
    state = engine(request)
    return answer(
        schema.Health(
            status="stopping" if state.stopping else "ok",
            version=__version__,
            schema_version=state.schema_version,
            implementation="pure" if PURE else "c",
            worker=state.worker,
        )
    )


async def pulse(request: Request) -> Response:
    """Messages in flight, rates, binds."""
    return answer(engine(request).dispatcher.pulse())


async def published_schema(_request: Request) -> Response:
    """JSON Schema of every type of this API."""
    types = [
        kind
        for _, kind in inspect.getmembers(schema, inspect.isclass)
        if issubclass(kind, schema.Struct) and kind is not schema.Struct
    ]
    _, components = msgspec.json.schema_components(types)
    return answer({"version": schema.VERSION, "components": components})


async def put_account(request: Request) -> Response:
    """Insert or change an SMSC account. The password never comes back."""
    spec = await body(request, schema.AccountSpec)
    _same_name(request, spec.name)
    state = engine(request)
    async with state.pool.acquire() as connection:
        await accounts.upsert_account(connection, spec, state.secrets)
    state.dispatcher.wake()
    return Response(status_code=204)


async def put_channel(request: Request) -> Response:
    """Insert or change a channel over an account."""
    spec = await body(request, schema.ChannelSpec)
    _same_name(request, spec.name)
    state = engine(request)
    async with state.pool.acquire() as connection:
        await accounts.upsert_channel(connection, spec)
    state.dispatcher.wake()
    return Response(status_code=204)


async def every_channel(request: Request) -> Response:
    """All channels with the state of their binds."""
    state = engine(request)
    live = {(bind.account, bind.number): bind for bind in state.dispatcher.binds()}
    async with state.pool.acquire() as connection:
        stored = await accounts.published_channels(connection)
    # What this worker holds it knows better than the table; other workers' binds stand in the table.
    return answer(
        [
            msgspec.structs.replace(
                channel, binds=[live.get((bind.account, bind.number), bind) for bind in channel.binds]
            )
            for channel in stored
        ]
    )


def _same_name(request: Request, name: str) -> None:
    if request.path_params["name"] != name:
        raise Refused("invalid", 422, "The name does not fit", "name: not the one of the path", "name")


routes = [
    Route("/health", health, methods=["GET"]),
    Route("/pulse", pulse, methods=["GET"]),
    Route("/schema", published_schema, methods=["GET"]),
    Route("/accounts/{name}", put_account, methods=["PUT"]),
    Route("/channels", every_channel, methods=["GET"]),
    Route("/channels/{name}", put_channel, methods=["PUT"]),
]
