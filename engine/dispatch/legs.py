"""The legs of a campaign that goes by routes: made once, before its first row is released; and what becomes
of rows whose channel cannot send any more."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from engine._fast.columns import REJECT_NO_ROUTE
from engine.dispatch.planner import MAX_SLICE_ROWS
from engine.ledger import campaigns, partitions, reconcile, retries, routing
from engine.ledger.commit import add_deltas, add_errors
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.ledger.states import ENCODE_CODE, ENCODE_STATUS
from engine.recipients.chunk import read_numbers

if TYPE_CHECKING:
    from asyncpg import Record

log = structlog.get_logger(__name__)

NO_ROUTE_FITS = "no route fits this campaign"  # the reason of one that waits for it


async def plan(pool: Pool, campaign_id: UUID, worker_id: int) -> bool:
    """Give a campaign in Sending its legs, by the routes as they are now: all of them in one transaction.
    Rows that no route leads anywhere fail here. Returns whether it has legs that it had not before.

    Nothing happens where another worker is at it, or where no route fits the campaign at all: that may
    change."""
    queries = load("legs")
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(queries["alone"], str(campaign_id)):
            return False
        row = await connection.fetchrow(queries["message"], campaign_id)
        if row is None:
            return False
        message = routing.Message(row["sender"], row["workspace_id"], row["category"], row["lane"])
        fitting = await routing.candidates(connection, message)
        if not fitting:
            await connection.execute(load("dispatch")["reason"], campaign_id, NO_ROUTE_FITS)
            return False
        routes = routing.RoutePlan(fitting)
        chunks = await connection.fetch(queries["chunks"], row["upload_id"])
        first = [len(chunks)] * len(routes.legs)
        nowhere: list[tuple[int, int, array[int]]] = []
        for at, chunk in enumerate(chunks):
            data = await connection.fetchval(queries["chunk"], row["upload_id"], chunk["chunk_no"])
            ends, permutation, lost = await asyncio.to_thread(_grouped, data, routes)
            await connection.execute(queries["add_chunk"], campaign_id, chunk["chunk_no"], ends, permutation)
            for leg_no, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
                if end > start:
                    first[leg_no] = min(first[leg_no], at)
            if lost:
                nowhere.append((chunk["chunk_no"], ends[-1] - len(lost), lost))
        # not before here: until now a pause or a cancel did not have to wait for the plan
        if await connection.fetchval(queries["hold"], campaign_id) is None:
            raise _Ended
        first[-1] = len(chunks)
        for leg_no, channel_ids in enumerate(routes.legs):
            await connection.execute(
                queries["add_leg"], campaign_id, leg_no, list(channel_ids), first[leg_no]
            )
        failed = await _fail(connection, campaign_id, len(routes.legs) - 1, nowhere, worker_id)
        await connection.execute(load("dispatch")["reason"], campaign_id, "")
        await campaigns.finish_if_done(connection, campaign_id)
    log.info("campaign planned", campaign=str(campaign_id), legs=len(routes.legs) - 1, without_route=failed)
    return True


class _Ended(Exception):
    """Paused or cancelled while its legs were made: they are made again when it goes on."""


async def plan_due(pool: Pool, worker_id: int) -> bool:
    """Give every campaign that waits for its legs some; whether one has them now."""
    planned = False
    for row in await pool.fetch(load("legs")["unplanned"]):
        try:
            planned |= await plan(pool, row["campaign_id"], worker_id)
        except _Ended:
            log.info("campaign ended before it was planned", campaign=str(row["campaign_id"]))
    return planned


def _grouped(data: bytes, routes: routing.RoutePlan) -> tuple[list[int], bytes | None, array[int]]:
    """(where each leg's rows end, the chunk's rows in that order, the numbers of the last leg)."""
    numbers = array("q", read_numbers(data))
    legs = pa.array(routes.legs_of(numbers), pa.int32())
    counted = {each["values"]: each["counts"] for each in pc.value_counts(legs).to_pylist()}
    ends, end = [], 0
    for leg_no in range(len(routes.legs)):
        end += counted.get(leg_no, 0)
        ends.append(end)
    if len(counted) == 1:
        lost = numbers if len(routes.legs) - 1 in counted else array("q")
        return ends, None, lost
    order = array("i")
    order.frombytes(pc.sort_indices(legs).cast(pa.int32()).buffers()[1])  # stable: in a leg as in the file
    del order[len(numbers) :]  # Arrow's padding
    lost = array("q", [numbers[row] for row in order[len(order) - counted.get(len(routes.legs) - 1, 0) :]])
    return ends, retries.pack(order), lost


async def _fail(
    connection: Connection,
    campaign_id: UUID,
    leg_no: int,
    nowhere: Sequence[tuple[int, int, array[int]]],
    worker_id: int,
) -> int:
    """Rows that no route fits: FAILED, with a status of our own. `nowhere`: chunk, where they begin,
    numbers."""
    queries, failed = load("legs"), 0
    for chunk_no, row_start, numbers in nowhere:
        for start in range(0, len(numbers), MAX_SLICE_ROWS):
            part = numbers[start : start + MAX_SLICE_ROWS]
            (slice_id,) = await partitions.allot(connection, [len(part)])
            await connection.execute(
                queries["nowhere"],
                slice_id,
                campaign_id,
                chunk_no,
                leg_no,
                row_start + start,
                len(part),
                worker_id,
            )
            await connection.execute(
                queries["fail_rows"], slice_id, part.tolist(), ENCODE_STATUS[REJECT_NO_ROUTE]
            )
            failed += len(part)
    if failed:
        keys = await reconcile.campaign_keys(connection, [campaign_id])
        counted = Counter(failed=failed, submissions=failed)
        await add_deltas(connection, worker_id, {keys[campaign_id]: counted})
        error = (campaign_id, "encode", ENCODE_CODE[REJECT_NO_ROUTE])
        await add_errors(connection, worker_id, Counter({error: failed}))
    return failed


async def fail_over(pool: Pool, closed: Collection[int]) -> int:
    """Rows that nobody claimed and that stand on a closed channel go to the next one of their leg that is
    open; returns how many slices moved. What is in doubt, or in part with an operator, stays where it
    is."""
    if not closed:
        return 0
    queries, moved = load("legs"), 0
    async with pool.acquire() as connection, connection.transaction():
        for each in await connection.fetch(queries["stuck"], list(closed)):
            target = await _target(connection, each, closed)
            if not target:
                continue
            moved += 1
            if each["claimed_to"] == 0:
                await connection.execute(queries["move"], each["slice_id"], target)
                continue
            if each["origin_slice_id"] is None:
                (slice_id,) = await partitions.allot(connection, [each["row_count"] - each["claimed_to"]])
                await connection.execute(queries["split"], slice_id, each["slice_id"], target)
            else:
                await retries.write(connection, [_rest(each, target)])
            await connection.execute(queries["end"], each["slice_id"])
    if moved:
        log.warning("rows go over other channels, theirs cannot send", slices=moved)
    return moved


async def _target(connection: Connection, each: Record, closed: Collection[int]) -> int:
    """The channel a slice goes to; 0 where it stays. What was refused once goes forward only, never in a
    circle."""
    order: list[int] = each["channel_ids"]
    if each["origin_slice_id"] is None:
        target = routing.first_open(order, closed)
        return 0 if target in closed else target
    at = order.index(each["channel_id"]) if each["channel_id"] in order else len(order)
    target = next((channel_id for channel_id in order[at + 1 :] if channel_id not in closed), 0)
    if not target:
        return 0
    rows = retries.unpack("i", each["explicit_rows"])[each["claimed_to"] :].tolist()
    if await connection.fetchval(load("legs")["stranded"], each["origin_slice_id"], rows):
        return 0
    return target


def _rest(each: Record, channel_id: int) -> retries.RetrySlice:
    """What nobody claimed of a retry slice, on another channel."""
    start = each["claimed_to"]
    return retries.RetrySlice(
        each["origin_slice_id"],
        each["attempt"],
        each["tries"],
        each["resend"],
        max(each["due_at"], datetime.now(UTC)),
        channel_id,
        each["fallback_level"] + 1,
        retries.unpack("i", each["explicit_rows"])[start:],
        retries.unpack("h", each["explicit_parts"])[start:],
    )
