"""Messages in doubt: groups of them, and decisions about a group."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body
from engine.core_api.server.state import engine
from engine.ledger import doubts


async def every(request: Request) -> Response:
    """Groups that wait for a decision, newest first; `campaign` for those of one."""
    given = request.query_params.get("campaign")
    try:
        campaign_id = UUID(given) if given else None
    except ValueError:
        raise Refused("invalid", 422, "A parameter is wrong", "campaign: a UUID", "campaign") from None
    return answer(await doubts.groups(engine(request).pool, campaign_id))


async def resolve(request: Request) -> Response:
    """Send a group again, count it as sent or as not sent, or leave it; once a decision id."""
    state, spec = engine(request), await body(request, schema.DoubtResolution)
    resolved = await doubts.resolve(state.pool, spec, state.dispatcher.worker_id)
    state.dispatcher.wake()
    return answer(resolved)


routes = [
    Route("/doubts", every, methods=["GET"]),
    Route("/doubts/resolve", resolve, methods=["POST"]),
]
