"""Error codes of a channel: seen, classified, imported; and a tripped channel's reset."""

from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body
from engine.core_api.server.state import engine
from engine.ledger import breaker, error_map


async def show(request: Request) -> Response:
    """The built-in table with the channel's map over it, what came in 7 days, and what nobody mapped."""
    return answer(await error_map.of_channel(engine(request).pool, request.path_params["name"]))


async def put(request: Request) -> Response:
    """Classify a code; dispatch follows within two seconds."""
    spec = await body(request, schema.ErrorCodeSpec)
    return answer(await error_map.put(engine(request).pool, request.path_params["name"], spec))


async def delete(request: Request) -> Response:
    """Back to the built-in class."""
    context = request.path_params["context"]
    if context not in ("response", "receipt"):
        raise Refused("not-found", 404, "There is no such thing")
    await error_map.delete(
        engine(request).pool,
        request.path_params["name"],
        cast(schema.MappedContext, context),
        request.path_params["code"],
    )
    return Response(status_code=204)


async def import_table(request: Request) -> Response:
    """Classify the codes of a CSV table: all lines or none."""
    spec = await body(request, schema.ErrorCodeImport)
    return answer(await error_map.import_table(engine(request).pool, request.path_params["name"], spec))


async def reset(request: Request) -> Response:
    """Let a channel send again that its breaker stopped."""
    state, spec = engine(request), await body(request, schema.ChannelReset)
    await breaker.reset_channel(state.pool, request.path_params["name"], spec)
    state.dispatcher.wake()
    return Response(status_code=204)


routes = [
    Route("/channels/{name}/errors", show, methods=["GET"]),
    Route("/channels/{name}/errors", put, methods=["PUT"]),
    Route("/channels/{name}/errors/import", import_table, methods=["POST"]),
    Route("/channels/{name}/errors/{context}/{code}", delete, methods=["DELETE"]),
    Route("/channels/{name}/reset", reset, methods=["POST"]),
]
