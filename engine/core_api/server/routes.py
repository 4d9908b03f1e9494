"""Routes: kept, and explained for a number."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api import schema
from engine.core_api.server.answers import answer, body, whole_number
from engine.core_api.server.state import engine
from engine.ledger import routes as stored
from engine.ledger import routing

_MOST = 2**31 - 1


async def every_route(request: Request) -> Response:
    """All routes, by prefix and position."""
    return answer(await stored.routes(engine(request).pool))


async def create(request: Request) -> Response:
    """A new route."""
    spec = await body(request, schema.RouteSpec)
    return answer(await stored.put(engine(request).pool, None, spec), 201)


async def change(request: Request) -> Response:
    """Change a route that is still at `version`."""
    spec = await body(request, schema.RouteSpec)
    return answer(await stored.put(engine(request).pool, _id(request), spec))


async def delete(request: Request) -> Response:
    """Remove a route that is still at `version`; campaigns that began keep their plan."""
    await stored.delete(engine(request).pool, _id(request), whole_number(request, "version", 0, _MOST))
    return Response(status_code=204)


async def explain(request: Request) -> Response:
    """Where a number's message goes now, and why."""
    question = await body(request, schema.RouteQuestion)
    return answer(await routing.explain(engine(request).pool, question))


def _id(request: Request) -> int:
    return min(int(request.path_params["id"]), _MOST)


routes = [
    Route("/routes", every_route, methods=["GET"]),
    Route("/routes", create, methods=["POST"]),
    Route("/routes/explain", explain, methods=["POST"]),
    Route("/routes/{id:int}", change, methods=["PUT"]),
    Route("/routes/{id:int}", delete, methods=["DELETE"]),
]
