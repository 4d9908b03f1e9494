"""Retention by workspace, what of it was done, and what is held about a person's number or erased."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body, limit, path_uuid
from engine.core_api.server.state import engine
from engine.ledger import decisions, retention
from engine.recipients import erasure, people

_MOST_DAYS = 3650


async def set_retention(request: Request) -> Response:
    """After how many days a workspace's recipients' numbers go."""
    state, spec, workspace_id = (
        engine(request),
        await body(request, schema.WorkspaceRetention),
        path_uuid(request),
    )
    if spec.days is not None and not 1 <= spec.days <= _MOST_DAYS:
        raise Refused("invalid", 422, "The days do not fit", f"days: 1 to {_MOST_DAYS}, or null", "days")

    async def act() -> schema.Done:
        await retention.set_workspace(connection, workspace_id, spec.days)
        return schema.Done()

    async with state.pool.acquire() as connection, connection.transaction():
        given = msgspec.json.encode([workspace_id, spec], order="deterministic")
        await decisions.once(connection, spec.decision_id, "retention", given, schema.Done, act)
    return Response(status_code=204)


async def report(request: Request) -> Response:
    """What of a workspace is kept how long, and what has gone."""
    state, workspace_id = engine(request), path_uuid(request)
    made = await retention.report(
        state.pool,
        workspace_id,
        at=state.settings.retention_at,
        messages_days=state.settings.retention_days,
        files_days=state.settings.uploads_keep_days,
    )
    return answer(made)


async def find(request: Request) -> Response:
    """What is held about a person's number, in a workspace or everywhere."""
    state, question = engine(request), await body(request, schema.PersonQuestion)
    return answer(await people.find(state.pool, question))


async def erase(request: Request) -> Response:
    """Erase a person's number, of a workspace or everywhere; 409 while what may still send holds it."""
    state, spec = engine(request), await body(request, schema.ErasureSpec)
    return answer(await erasure.erase(state.pool, state.secrets, spec), 201)


async def erasures(request: Request) -> Response:
    """The latest erasures, newest first, by `limit`."""
    return answer(await erasure.listed(engine(request).pool, limit(request, 100)))


routes = [
    Route("/workspaces/{id}/retention", set_retention, methods=["PUT"]),
    Route("/workspaces/{id}/retention", report, methods=["GET"]),
    Route("/people/find", find, methods=["POST"]),
    Route("/erasures", erase, methods=["POST"]),
    Route("/erasures", erasures, methods=["GET"]),
]
