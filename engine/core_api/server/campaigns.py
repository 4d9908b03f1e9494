"""Campaigns: sealed, commanded, watched."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body, limit, path_uuid, whole_number
from engine.core_api.server.state import engine
from engine.ledger import campaigns, equation, records, reports

MAX_IDS = 200


async def seal(request: Request) -> Response:
    """Seal a manifest; the campaign waits in Pending for its approval."""
    spec = await body(request, schema.CampaignSpec)
    return answer(await campaigns.create(engine(request).pool, spec), 201)


async def command(request: Request) -> Response:
    """Start, pause, resume, cancel or return a campaign, once a decision id."""
    state, order = engine(request), await body(request, schema.CampaignCommand)
    moved = await campaigns.command(state.pool, path_uuid(request), order, rate=state.dispatcher.rate_per_s)
    await state.dispatcher.changed()
    return answer(moved)


async def show(request: Request) -> Response:
    """One campaign: state, reason, counts, rate, time left."""
    state = engine(request)
    return answer(await campaigns.get(state.pool, path_uuid(request), rate=state.dispatcher.rate_per_s))


async def several(request: Request) -> Response:
    """Up to 200 campaigns by `ids`."""
    state, given = engine(request), request.query_params.get("ids", "").split(",")
    try:
        ids = [UUID(text) for text in given if text]
    except ValueError:
        raise Refused(
            "invalid", 422, "A parameter is wrong", "ids: UUIDs with commas between", "ids"
        ) from None
    if len(ids) > MAX_IDS:
        raise Refused("invalid", 422, "A parameter is wrong", f"ids: at most {MAX_IDS}", "ids")
    return answer(
        schema.Campaigns(
            campaigns=await campaigns.get_many(state.pool, ids, rate=state.dispatcher.rate_per_s)
        )
    )


async def channels(request: Request) -> Response:
    """Over which channels a campaign's messages go."""
    return answer(await campaigns.channels(engine(request).pool, path_uuid(request)))


async def series(request: Request) -> Response:
    """What was sent, delivered and failed in each 10 seconds."""
    return answer(await reports.series(engine(request).pool, path_uuid(request)))


async def message_errors(request: Request) -> Response:
    """Error codes of responses and receipts with their counts."""
    return answer(await reports.message_errors(engine(request).pool, path_uuid(request)))


async def job_errors(request: Request) -> Response:
    """Errors of the workflow: lines of the file, refused binds."""
    page = await reports.job_errors(
        engine(request).pool,
        campaign_id=path_uuid(request),
        cursor=request.query_params.get("cursor"),
        limit=limit(request, 100),
    )
    return answer(page)


async def recipients(request: Request) -> Response:
    """A page of messages with their state, by `cursor`, `limit` and `state`."""
    query = request.query_params
    page = await reports.recipients(
        engine(request).pool,
        path_uuid(request),
        cursor=query.get("cursor"),
        limit=limit(request, 50),
        state=query.get("state"),
    )
    return answer(page)


async def delivery_records(request: Request) -> Response:
    """A page of delivery records with whole numbers, for a file; `cursor` goes on, `limit` up to 5,000."""
    most = whole_number(request, "limit", records.PAGE, records.PAGE)
    cursor = request.query_params.get("cursor")
    return answer(await records.page(engine(request).pool, path_uuid(request), cursor, most))


async def recount(request: Request) -> Response:
    """The equation recounted from the rows, beside the statistics."""
    return answer(await equation.recount(engine(request).pool, path_uuid(request)))


routes = [
    Route("/campaigns", seal, methods=["POST"]),
    Route("/campaigns", several, methods=["GET"]),
    Route("/campaigns/{id}", show, methods=["GET"]),
    Route("/campaigns/{id}/commands", command, methods=["POST"]),
    Route("/campaigns/{id}/series", series, methods=["GET"]),
    Route("/campaigns/{id}/channels", channels, methods=["GET"]),
    Route("/campaigns/{id}/message-errors", message_errors, methods=["GET"]),
    Route("/campaigns/{id}/job-errors", job_errors, methods=["GET"]),
    Route("/campaigns/{id}/recipients", recipients, methods=["GET"]),
    Route("/campaigns/{id}/records", delivery_records, methods=["GET"]),
    Route("/campaigns/{id}/equation", recount, methods=["GET"]),
]
