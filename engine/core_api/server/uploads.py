"""Recipient files: created, streamed in, resumed, discarded."""

import asyncio
from uuid import UUID

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body, limit, path_uuid, whole_number
from engine.core_api.server.state import EngineState, engine
from engine.ledger import reports, uploads
from engine.recipients import ingest
from engine.recipients.dialect import UnusableFile

log = structlog.get_logger(__name__)

MAX_UPLOAD_BYTES = 16 << 30


async def create(request: Request) -> Response:
    """Idempotent: the same upload id gives the same upload."""
    spec = await body(request, schema.UploadSpec)
    return answer(await uploads.create(engine(request).pool, spec), 201)


async def show(request: Request) -> Response:
    """Counters of an upload, and the byte where it goes on."""
    return answer(await uploads.get(engine(request).pool, path_uuid(request)))


async def data(request: Request) -> Response:
    """Take bytes from `offset` on; with `final`, the file ends with them.

    A stream that breaks off keeps what was committed: `byte_offset` of the upload says where to go on.
    """
    state, upload_id = engine(request), path_uuid(request)
    offset = whole_number(request, "offset", 0, MAX_UPLOAD_BYTES)
    final = whole_number(request, "final", 0, 1) == 1
    lock = state.upload_locks.setdefault(upload_id, asyncio.Lock())
    if lock.locked():
        raise Refused("upload-busy", 409, "The upload is under way", "another request is sending this file")
    async with lock:
        try:
            await _take(state, upload_id, request, offset, final)
        finally:
            state.upload_locks.pop(upload_id, None)
    return answer(await uploads.get(state.pool, upload_id))


async def _take(state: EngineState, upload_id: UUID, request: Request, offset: int, final: bool) -> None:
    target = await ingest.Ingest.open(state.pool, upload_id)
    if offset != target.offset:
        raise Refused(
            "wrong-offset",
            409,
            "The upload goes on elsewhere",
            f"the next byte is {target.offset}, not {offset}",
            "offset",
        )
    try:
        await _take_all(target, request, final)
    except ClientDisconnect:
        log.info("upload broke off", upload_id=str(upload_id), committed=target.committed_offset)
        raise Refused("upload-broken-off", 400, "The upload broke off") from None
    except UnusableFile as error:
        raise Refused("unusable-file", 422, "The file cannot be read", str(error), "file") from error


async def _take_all(target: ingest.Ingest, request: Request, final: bool) -> None:
    async for piece in request.stream():
        if piece:
            await target.feed(piece)
    if final:
        await target.finish()
    else:
        await target.commit()


async def discard(request: Request) -> Response:
    """Drop all that came of an upload."""
    state, upload_id = engine(request), path_uuid(request)
    lock = state.upload_locks.get(upload_id)
    if lock is not None and lock.locked():
        raise Refused("upload-busy", 409, "The upload is under way", "wait for it to end, then discard it")
    await ingest.discard(state.pool, upload_id)
    return Response(status_code=204)


async def errors(request: Request) -> Response:
    """A page of bad lines with their reasons, and exact counts by code."""
    page = await reports.job_errors(
        engine(request).pool,
        upload_id=path_uuid(request),
        cursor=request.query_params.get("cursor"),
        limit=limit(request, 100),
    )
    return answer(page)


routes = [
    Route("/uploads", create, methods=["POST"]),
    Route("/uploads/{id}", show, methods=["GET"]),
    Route("/uploads/{id}", discard, methods=["DELETE"]),
    Route("/uploads/{id}/data", data, methods=["PUT"]),
    Route("/uploads/{id}/errors", errors, methods=["GET"]),
]
