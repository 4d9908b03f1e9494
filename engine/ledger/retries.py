"""Retry slices: (row, part) pairs of an earlier slice that go out again, written with the outcome that defers
them."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from asyncpg import Record

from engine.ledger import partitions, wallets
from engine.ledger.claims import ClaimInfo
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load

DUE_EVERY_S = 10  # pairs that are due in the same ten seconds share a slice
MOST_PAIRS = 16_384  # of a slice

assert array("i").itemsize == 4
assert array("h").itemsize == 2


@dataclass(frozen=True, slots=True)
class Deferral:
    """Parts of one claim whose next try is `attempt`, `delay_s` from now. `tries` were used up before it."""

    claim: ClaimInfo
    attempt: int
    tries: int
    delay_s: float
    channel_id: int  # of the next try
    fallback_level: int
    rows: array[int]  # 'i', of the origin slice
    parts: array[int]  # 'h', from 1


@dataclass(frozen=True, slots=True)
class RetrySlice:
    """What a new retry slice holds: `rows[i]`, `parts[i]` of the origin (part 0: all without a result)."""

    origin_slice_id: int
    attempt: int
    tries: int
    resend: bool
    due_at: datetime
    channel_id: int | None  # None: the origin's
    fallback_level: int
    rows: array[int]
    parts: array[int]


def pack(column: array[int]) -> bytes:
    """As stored: little-endian."""
    if sys.byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    return column.tobytes()


def unpack(typecode: str, stored: bytes) -> array[int]:
    """The inverse of `pack`."""
    column = array(typecode)
    column.frombytes(stored)
    if sys.byteorder == "big":
        column.byteswap()
    return column


def gather(deferrals: Sequence[Deferral], now: datetime) -> list[RetrySlice]:
    """One slice for the pairs of an origin, attempt, channel and ten seconds."""
    gathered: dict[tuple[int, int, int, bool, datetime, int | None, int], RetrySlice] = {}
    for each in deferrals:
        due_at = rounded(now + timedelta(seconds=each.delay_s))
        over = (each.channel_id, each.fallback_level)
        key = (each.claim.message_slice, each.attempt, each.tries, each.claim.resend, due_at, *over)
        found = gathered.get(key)
        if found is None:
            found = gathered[key] = RetrySlice(*key, array("i"), array("h"))
        found.rows.extend(each.rows)
        found.parts.extend(each.parts)
    return list(gathered.values())


def rounded(due_at: datetime) -> datetime:
    """Up to the next full ten seconds; a delay under ten is kept."""
    if due_at - datetime.now(UTC) < timedelta(seconds=DUE_EVERY_S):
        return due_at
    over = due_at.timestamp() % DUE_EVERY_S
    return due_at + timedelta(seconds=DUE_EVERY_S - over) if over else due_at


async def write(connection: Connection, slices: Sequence[RetrySlice]) -> list[int]:
    """Insert retry slices, or append to one of the same origin, attempt and time that nobody claims yet; in
    the caller's transaction. Returns the new slices' ids."""
    assert connection.is_in_transaction()
    queries = load("retries")
    fresh: list[RetrySlice] = []
    for each in slices:
        appended = await connection.fetchval(
            queries["append"],
            each.origin_slice_id,
            each.attempt,
            each.tries,
            each.resend,
            each.due_at,
            pack(each.rows),
            pack(each.parts),
            len(each.rows),
            MOST_PAIRS,
            each.channel_id,
            each.fallback_level,
        )
        if appended is None:
            fresh += _split(each)
    if not fresh:
        return []
    ids = await partitions.allot(connection, [len(each.rows) for each in fresh])
    await connection.executemany(
        queries["insert"],
        [
            (
                slice_id,
                each.origin_slice_id,
                len(each.rows),
                pack(each.rows),
                pack(each.parts),
                each.attempt,
                each.tries,
                each.resend,
                each.due_at,
                each.channel_id,
                each.fallback_level,
            )
            for slice_id, each in zip(ids, fresh, strict=True)
        ],
    )
    return ids


def _split(whole: RetrySlice) -> list[RetrySlice]:
    return [
        RetrySlice(
            whole.origin_slice_id,
            whole.attempt,
            whole.tries,
            whole.resend,
            whole.due_at,
            whole.channel_id,
            whole.fallback_level,
            whole.rows[start : start + MOST_PAIRS],
            whole.parts[start : start + MOST_PAIRS],
        )
        for start in range(0, len(whole.rows), MOST_PAIRS)
    ]


async def open_claims(pool: Pool, worker_id: int, account_id: int, age_s: float) -> set[int]:
    """The worker's open claims on an account that are older than this."""
    rows = await pool.fetch(load("retries")["stranded"], worker_id, account_id, age_s)
    return {row["claim_id"] for row in rows}


async def rescue(pool: Pool, claim_ids: Collection[int], worker_id: int) -> int:
    """Close these open claims, of which nothing was ever written: their rows go into retry slices with the
    same attempt, due at once, and what they had reserved goes back. Returns how many were open."""
    async with pool.acquire() as connection, connection.transaction():
        claims = await connection.fetch(load("retries")["stranded_claims"], list(claim_ids))
        moved: dict[UUID, wallets.Moved] = {}
        for row in claims:
            if row["workspace_id"] is not None:
                costs = unpack("i", row["row_costs"])[: row["row_end"] - row["row_start"]]
                moved.setdefault(row["workspace_id"], wallets.Moved()).refund(sum(costs))
        await wallets.book(connection, worker_id, moved)
        await write(connection, _at_once(claims))
        await connection.execute(load("recovery")["close"], [row["claim_id"] for row in claims])
    return len(claims)


async def give_way(connection: Connection, worker_id: int, from_rows: Mapping[int, int]) -> set[UUID]:
    """Before rows are given back (slice id -> first row not begun): those that another worker's claim stands
    behind go into retry slices with the same attempt, due at once, since the slice's watermark cannot go back
    over that claim. Holds the slices until the caller's transaction ends; returns the campaigns concerned."""
    assert connection.is_in_transaction()
    queries, given = load("retries"), (list(from_rows), list(from_rows.values()))
    await connection.execute(queries["hold_slices"], given[0])
    claims = await connection.fetch(queries["overtaken"], *given, worker_id)
    await write(connection, _at_once(claims))
    return {row["campaign_id"] for row in claims}


def _at_once(claims: Sequence[Record]) -> list[RetrySlice]:
    """The rows of these claims as retry slices that are due now."""
    now = datetime.now(UTC)
    again = []
    for row in claims:
        start, stop = row["row_start"], row["row_end"]
        rows, parts = array("i", range(start, stop)), array("h", bytes(2 * (stop - start)))
        if row["origin_slice_id"] is not None:
            rows = unpack("i", row["explicit_rows"])[start:stop]
            parts = unpack("h", row["explicit_parts"])[start:stop]
        if rows:
            origin = row["origin_slice_id"] or row["slice_id"]
            over = (row["channel_id"], row["fallback_level"])
            again.append(
                RetrySlice(origin, row["attempt"], row["tries"], row["resend"], now, *over, rows, parts)
            )
    return again
