"""The legs of a campaign that goes by routes: made once, before its first row is released; and what becomes
of rows whose channel cannot send any more."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from engine._fast.columns import REJECT_NO_ROUTE
from engine.dispatch.campaign import Unsendable, check_rows, check_sealed
from engine.dispatch.planner import MAX_SLICE_ROWS
from engine.ledger import campaigns, partitions, reconcile, retries, routing
from engine.ledger.commit import add_deltas, add_errors
from engine.ledger.numbers import permutation
from engine.ledger.pool import AWAY, Connection, Pool
from engine.ledger.sql import load
from engine.ledger.states import ENCODE_CODE, ENCODE_STATUS
from engine.recipients.chunk import read_numbers

if TYPE_CHECKING:
    from asyncpg import Record

log = structlog.get_logger(__name__)

NO_ROUTE_FITS = "no route fits this campaign"  # the reason of one that waits for it


async def plan_due(pool: Pool, worker_id: int) -> tuple[bool, list[tuple[UUID, str]]]:
    """See to every campaign by routes that waits for its legs, or has rows without a route: whether one has
    legs now, and campaigns that cannot go out, with the reason."""
    planned, unsendable = False, []
    for row in await pool.fetch(load("legs")["unplanned"]):
        campaign_id, leg_no = row["campaign_id"], row["leg_no"]
        try:
            if leg_no is None:
                planned |= await plan(pool, campaign_id, worker_id)
            else:
                while await fail_chunk(pool, campaign_id, leg_no, worker_id):
                    pass
        except _Ended:
            log.info("campaign ended before it was planned", campaign=str(campaign_id))
        except Unsendable as error:
            unsendable.append((campaign_id, str(error)))
        except AWAY:
            raise
        except Exception:  # the others do not wait for this one
            log.exception("campaign not planned", campaign=str(campaign_id))
    return planned, unsendable


async def plan(pool: Pool, campaign_id: UUID, worker_id: int) -> bool:
    """Give a campaign in Sending its legs, by the routes as they are now: all of them in one transaction.
    Returns whether it has legs that it had not before.

    Nothing happens where another worker is at it, or where no route fits the campaign at all: that may
    change. Raises Unsendable where a chunk is not what was sealed.
    """
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
        for at, chunk in enumerate(chunks):
            stored = await connection.fetchrow(queries["chunk"], row["upload_id"], chunk["chunk_no"])
            ends, permutation = await asyncio.to_thread(_grouped, stored, chunk["chunk_no"], routes)
            await connection.execute(queries["add_chunk"], campaign_id, chunk["chunk_no"], ends, permutation)
            for leg_no, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
                if end > start:
                    first[leg_no] = min(first[leg_no], at)
        # not before here: until now a pause or a cancel did not have to wait for the plan
        if await connection.fetchval(queries["hold"], campaign_id) is None:
            raise _Ended
        for leg_no, channel_ids in enumerate(routes.legs):
            await connection.execute(
                queries["add_leg"], campaign_id, leg_no, list(channel_ids), first[leg_no]
            )
        await connection.execute(load("dispatch")["reason"], campaign_id, "")
    log.info("campaign planned", campaign=str(campaign_id), legs=len(routes.legs) - 1)
    return True


class _Ended(Exception):
    """Paused or cancelled while its legs were made: they are made again when it goes on."""


def _grouped(
    stored: Record | None, chunk_no: int, routes: routing.RoutePlan
) -> tuple[list[int], bytes | None]:
    """Where each leg's rows end, and the chunk's rows in that order (None: as they are)."""
    chunk = check_sealed(stored, chunk_no)
    numbers = array("q", read_numbers(chunk["data"]))
    check_rows(chunk, chunk_no, len(numbers))
    legs = pa.array(routes.legs_of(numbers), pa.int32())
    counted = {each["values"]: each["counts"] for each in pc.value_counts(legs).to_pylist()}
    ends = list(accumulate(counted.get(leg_no, 0) for leg_no in range(len(routes.legs))))
    if len(counted) == 1:
        return ends, None
    order = array("i")
    order.frombytes(pc.sort_indices(legs).cast(pa.int32()).buffers()[1])  # stable: in a leg as in the file
    del order[len(numbers) :]  # Arrow's padding
    return ends, retries.pack(order)


async def fail_chunk(pool: Pool, campaign_id: UUID, leg_no: int, worker_id: int) -> bool:
    """Fail the rows of one chunk that no route leads anywhere, with a status of our own; whether there may
    be more. A transaction a chunk: slice ids are the whole engine's, nobody waits long for one."""
    queries = load("legs")
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(queries["alone"], str(campaign_id)):
            return False
        if await connection.fetchval(queries["hold"], campaign_id) is None:
            return False
        chunk = await connection.fetchrow(queries["next_chunk"], campaign_id, leg_no)
        if chunk is None:
            return False
        if chunk["row_count"]:
            places = range(chunk["row_start"], chunk["row_start"] + chunk["row_count"])
            await _fail(connection, campaign_id, leg_no, chunk, places, worker_id)
        await connection.execute(queries["behind"], campaign_id, leg_no, chunk["chunk_no"])
        await campaigns.finish_if_done(connection, campaign_id)
    return True


async def _fail(
    connection: Connection, campaign_id: UUID, leg_no: int, chunk: Record, places: range, worker_id: int
) -> None:
    queries, column = load("legs"), pa.array(read_numbers(chunk["data"]), pa.int64())
    order, chunk_no = permutation(chunk["permutation"]), chunk["chunk_no"]
    for start in range(places.start, places.stop, MAX_SLICE_ROWS):
        stop = min(start + MAX_SLICE_ROWS, places.stop)
        rows = order[start:stop] if order else array("i", range(start, stop))
        numbers = column.take(pa.array(rows, pa.int32())).to_pylist()
        (slice_id,) = await partitions.allot(connection, [len(numbers)])
        of = (campaign_id, chunk_no, leg_no, start, len(numbers))
        await connection.execute(queries["nowhere"], slice_id, *of, worker_id)
        await connection.execute(queries["fail_rows"], slice_id, numbers, ENCODE_STATUS[REJECT_NO_ROUTE])
    failed = len(places)
    keys = await reconcile.campaign_keys(connection, [campaign_id])
    counted = Counter(failed=failed, submissions=failed)
    await add_deltas(connection, worker_id, {keys[campaign_id]: counted})
    error = (campaign_id, "encode", ENCODE_CODE[REJECT_NO_ROUTE])
    await add_errors(connection, worker_id, Counter({error: failed}))


async def fail_over(pool: Pool, closed: Collection[int]) -> int:
    """Rows that nobody claimed and that stand on a closed channel go to the next one of their leg that is
    open; returns how many slices moved. What is in doubt, or in part with an operator, stays where it is.
    Slices that somebody else holds just now are seen to the next time."""
    queries, moved = load("legs"), 0
    async with pool.acquire() as connection, connection.transaction():
        for each in await connection.fetch(queries["stuck"], list(closed)):
            target = _target(each, {*closed, *each["unfit"]})
            if not target:
                continue
            if each["origin_slice_id"] is not None:
                moved += await _move_retries(connection, each, target)
                continue
            moved += 1
            if each["claimed_to"] == 0:
                await connection.execute(queries["move"], each["slice_id"], target)
                continue
            (slice_id,) = await partitions.allot(connection, [each["row_count"] - each["claimed_to"]])
            await connection.execute(queries["split"], slice_id, each["slice_id"], target)
            await _end(connection, each)
    if moved:
        log.warning("rows go over other channels, theirs cannot send", slices=moved)
    return moved


def _target(each: Record, closed: Collection[int]) -> int:
    """The channel a slice goes to; 0 where it stays. What was refused once goes forward only, never in a
    circle."""
    order: list[int] = each["channel_ids"]
    if each["origin_slice_id"] is None or each["fallback_level"] == 0:
        target = routing.first_open(order, closed)
        return 0 if target in closed else target
    at = order.index(each["channel_id"]) if each["channel_id"] in order else len(order)
    return next((channel_id for channel_id in order[at + 1 :] if channel_id not in closed), 0)


async def _move_retries(connection: Connection, each: Record, target: int) -> bool:
    """What of a retry slice may go over another channel; whether something may."""
    queries, start = load("legs"), each["claimed_to"]
    rows = retries.unpack("i", each["explicit_rows"])[start:]
    parts = retries.unpack("h", each["explicit_parts"])[start:]
    found = await connection.fetch(queries["bound_to_operator"], each["origin_slice_id"], rows.tolist())
    bound = {row["row_no"] for row in found}
    pairs: list[tuple[array[int], array[int]]] = [(array("i"), array("h")), (array("i"), array("h"))]
    for row, part in zip(rows, parts, strict=True):
        pairs[row in bound][0].append(row)
        pairs[row in bound][1].append(part)
    free, held = pairs
    if not free[0]:
        return False
    slices = [_again(each, target, each["fallback_level"] + 1, *free)]
    if start == 0 and not held[0]:
        await connection.execute(queries["move"], each["slice_id"], target)
        return True
    if start == 0:
        packed = (retries.pack(held[0]), retries.pack(held[1]))
        await connection.execute(queries["keep"], each["slice_id"], len(held[0]), *packed)
    else:
        if held[0]:
            slices.append(_again(each, each["channel_id"], each["fallback_level"], *held))
        await _end(connection, each)
    await retries.write(connection, slices)
    return True


async def _end(connection: Connection, each: Record) -> None:
    queries = load("legs")
    await connection.execute(queries["hold_claims"], each["slice_id"])
    await connection.execute(queries["end"], each["slice_id"])


def _again(
    each: Record, channel_id: int, level: int, rows: array[int], parts: array[int]
) -> retries.RetrySlice:
    """These pairs of a retry slice as one of their own."""
    return retries.RetrySlice(
        each["origin_slice_id"],
        each["attempt"],
        each["tries"],
        each["resend"],
        max(each["due_at"], datetime.now(UTC)),
        channel_id,
        level,
        rows,
        parts,
    )
