"""The texts of a sealed campaign: listed for its moderator, and searched."""

from __future__ import annotations

import asyncio
import time
from array import array
from random import Random
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine._fast import text as fast_text
from engine.channels.described import convert
from engine.channels.interface import BadSettings
from engine.channels.message_encoder import repertoire_of
from engine.channels.message_settings import MessageSettings
from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body, path_uuid
from engine.core_api.server.rendered_pick import Chunk, Content
from engine.core_api.server.rendered_scan import Scan, Tariff
from engine.core_api.server.state import EngineState, engine
from engine.ledger import accounts, campaigns, prices, routing, uploads, wallets
from engine.ledger.errors import BadCursor, NotFound
from engine.ledger.routes import LANES
from engine.recipients.chunk import columns_of, msisdn_of, read_chunk
from engine.smpp.text import MalformedTemplate, UnknownColumn, compile_template

if TYPE_CHECKING:
    from engine.ledger.pool import Connection

LIST_S = 60.0  # for a pass over all recipients; ten million take half of it
PAGE_S = 2.0  # for a page of a search
BLOCK = 4_096  # rows of it looked through at once


async def texts(request: Request) -> Response:
    """What a sealed campaign would send: different texts or their extremes, countries, parts and price."""
    state = engine(request)
    campaign = await campaigns.get(state.pool, path_uuid(request))
    content = await _content(state, campaign)
    chunks = await uploads.chunk_rows(state.pool, campaign.upload_id)
    tariff, currency = await _tariff(state, campaign)
    seed = bytes.fromhex(campaign.manifest_hash)
    scan = Scan(content, tariff, sum(rows for _first, rows in chunks.values()), seed)
    until = time.monotonic() + LIST_S
    order = [*chunks]
    Random(seed).shuffle(order)  # what time leaves out is left out at random
    for chunk_no in order:
        data = await uploads.chunk(state.pool, campaign.upload_id, chunk_no)
        await asyncio.to_thread(scan.add, data, chunks[chunk_no][0])
        if time.monotonic() > until:
            break
    return answer(scan.result(campaign, currency))


async def search(request: Request) -> Response:
    """A page of the recipients whose text or variable contains the words."""
    question, state = await body(request, schema.RenderedSearch), engine(request)
    campaign = await campaigns.get(state.pool, path_uuid(request))
    content = await _content(state, campaign)
    if question.column and question.column not in content.columns:
        raise Refused("invalid", 422, "There is no such column", question.column, "column")
    chunks = await uploads.chunk_rows(state.pool, campaign.upload_id)
    recipients = sum(rows for _first, rows in chunks.values())
    at, found = _cursor(question), list[schema.RenderedText]()
    until = time.monotonic() + PAGE_S
    for chunk_no, (first, rows) in chunks.items():
        if first + rows <= at:
            continue
        data = await uploads.chunk(state.pool, campaign.upload_id, chunk_no)
        left = question.limit - len(found)
        more, at = await asyncio.to_thread(_matches, content, question, data, first, at, left)
        found += more
        if len(found) >= question.limit or time.monotonic() > until:
            break
    return answer(
        schema.RenderedMatches(
            texts=found,
            looked_through=min(at, recipients),
            recipients=recipients,
            next=str(at) if at < recipients else None,
        )
    )


def _cursor(question: schema.RenderedSearch) -> int:
    given = question.cursor or "0"
    if not given.isascii() or not given.isdigit() or len(given) > 12:
        raise BadCursor("the cursor is not one of this search's")
    return int(given)


def _matches(
    content: Content, question: schema.RenderedSearch, data: bytes, first: int, at: int, most: int
) -> tuple[list[schema.RenderedText], int]:
    """Of one chunk, from row `at` of all on: the matches, and where to go on."""
    batch = read_chunk(data)
    chunk = Chunk(content, columns_of(batch, content.columns), array("q", msisdn_of(batch)))
    found: list[schema.RenderedText] = []
    for start in range(max(at - first, 0), batch.num_rows, BLOCK):
        stop = min(start + BLOCK, batch.num_rows)
        for row in _hits(chunk, batch, question, start, stop):
            (text,) = chunk.texts(array("i", [row]))
            found.append(chunk.shown(row, text))
            if len(found) == most:
                return found, first + row + 1
    return found, first + batch.num_rows


def _hits(
    chunk: Chunk, batch: pa.RecordBatch, question: schema.RenderedSearch, start: int, stop: int
) -> list[int]:
    values = (
        batch.column(question.column).slice(start, stop - start)
        if question.column
        else chunk.text_column(array("i", range(start, stop)))
    )
    hit = pc.match_substring(values, question.query, ignore_case=True)
    return [start + one for one in pc.indices_nonzero(hit).to_pylist()]


async def _content(state: EngineState, campaign: schema.Campaign) -> Content:
    upload = await uploads.get(state.pool, campaign.upload_id)
    settings = MessageSettings()
    async with state.pool.acquire() as connection:
        if campaign.channel:
            settings = await _settings(connection, campaign.channel)
    try:
        segments = compile_template(campaign.text, upload.columns)
        repertoire = repertoire_of(settings, campaign.options)
    except (UnknownColumn, MalformedTemplate, BadSettings) as error:
        raise Refused("invalid", 422, "The text cannot be rendered", str(error), "text") from error
    return Content(
        template=fast_text.Template(segments),
        repertoire=repertoire,
        columns=upload.columns,
        used=sorted({segment for segment in segments if isinstance(segment, int)}),
        max_parts=settings.max_parts,
        text=campaign.text,
    )


async def _settings(connection: Connection, channel: str) -> MessageSettings:
    stored = next((one.settings for one in await accounts.channels(connection) if one.name == channel), None)
    if stored is None:
        raise NotFound(f"no channel {channel!r}")
    try:
        return convert(stored, MessageSettings)
    except BadSettings as error:
        raise Refused("invalid", 422, "The channel's settings do not fit", str(error), "channel") from error


async def _tariff(state: EngineState, campaign: schema.Campaign) -> tuple[Tariff, str]:
    """Prices by the list that counts now, and the wallet's currency."""
    try:
        currency = (await wallets.wallet(state.pool, campaign.workspace_id)).currency
    except NotFound:
        currency = ""
    async with state.pool.acquire() as connection:
        version = await prices.version_now(connection) if currency else None
        ids = {one.name: one.channel_id for one in await accounts.channels(connection)}
        plan = None
        if not campaign.channel:
            message = routing.Message(
                campaign.sender, campaign.workspace_id, campaign.category, LANES[campaign.lane]
            )
            plan = routing.RoutePlan(await routing.candidates(connection, message))
        wanted = [ids[campaign.channel]] if plan is None else [*{o[0] for o in plan.legs if o}]
        tables = {
            channel_id: await prices.table(connection, version, channel_id, campaign.category)
            for channel_id in wanted
            if version is not None
        }
    return Tariff(tables, ids.get(campaign.channel), plan), currency


routes = [
    Route("/campaigns/{id}/texts", texts, methods=["GET"]),
    Route("/campaigns/{id}/texts/search", search, methods=["POST"]),
]
