"""The proof that the books are right, asked for and looked up."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api import schema
from engine.core_api.server.answers import answer, body, limit
from engine.core_api.server.state import engine
from engine.ledger import verify as books


async def verify(request: Request) -> Response:
    """Verify the ledger, one campaign or one day; answers when it is done, some seconds a million rows."""
    spec = await body(request, schema.VerifySpec)
    return answer(await books.verify(engine(request).pool, spec.campaign_id, spec.day, trigger="core_api"))


async def latest(request: Request) -> Response:
    """The latest runs, newest first, by `limit`."""
    return answer(await books.runs(engine(request).pool, limit(request, 30)))


routes = [
    Route("/verify", verify, methods=["POST"]),
    Route("/verify", latest, methods=["GET"]),
]
