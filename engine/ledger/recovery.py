"""After a crash: what a dead worker had claimed and has no result for is in doubt, and counted so."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import structlog

from engine.ledger import holds, reconcile, wallets
from engine.ledger.commit import add_deltas
from engine.ledger.pool import Connection, Pool
from engine.ledger.retries import unpack
from engine.ledger.sql import load

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    claims: int
    in_doubt: int  # messages
    campaigns: frozenset[UUID]


async def recover(pool: Pool, worker_id: int, *, lease_margin_s: float = 0.0) -> Recovered:
    """Close the open claims of dead workers, in doubt where a message is not complete.

    Dead is a worker that stopped, whose lease ran out `lease_margin_s` ago, or an earlier start under
    this worker's name. Repeatable; one transaction a dead worker.
    """
    queries = load("recovery")
    claims = in_doubt = 0
    campaigns: set[UUID] = set()
    async with pool.acquire() as connection:
        for dead in await connection.fetch(queries["dead"], worker_id, lease_margin_s):
            async with connection.transaction():
                done = await take_over(connection, worker_id, dead["worker_id"])
            claims += done.claims
            in_doubt += done.in_doubt
            campaigns |= done.campaigns
        async with connection.transaction():
            await wallets.give_back_lots(connection)
    if claims:
        log.warning("claims of dead workers closed", claims=claims, in_doubt=in_doubt)
    return Recovered(claims, in_doubt, frozenset(campaigns))


async def take_over(connection: Connection, worker_id: int, dead_id: int) -> Recovered:
    """Close the open claims of one worker, in the caller's transaction; `worker_id` writes what changes."""
    queries = load("recovery")
    rows = await connection.fetch(queries["open_claims"], dead_id)
    touched = {row["campaign_id"] for row in rows}
    await reconcile.lock(connection, (), touched)
    claimed = _claimed(rows)
    keys = set(zip(claimed.slices, claimed.rows, strict=True))
    before = await reconcile.states(connection, keys)
    reserved = await reserved_of(connection, rows)
    doubted = await connection.fetch(
        queries["doubt"],
        claimed.slices,
        claimed.rows,
        claimed.parts,
        claimed.attempts,
        claimed.accounts,
        claimed.binds,
        dead_id,
        f"worker {dead_id}",
        claimed.channels,
    )
    after = await reconcile.states(connection, keys)
    await _hold(connection, worker_id, reserved, doubted)
    deltas = reconcile.changes(before, after)
    named = await reconcile.campaign_keys(connection, deltas)
    await add_deltas(connection, worker_id, {named[id_]: counted for id_, counted in deltas.items()})
    await connection.execute(queries["close"], [row["claim_id"] for row in rows])
    in_doubt = len({(row["slice_id"], row["row_no"]) for row in doubted})
    return Recovered(len(rows), in_doubt, frozenset(touched))


@dataclass(slots=True)
class Reserved:
    """What a claim still has reserved for one of its (row, part) pairs; part 0 is all of the message."""

    workspace_id: UUID
    slice_id: int  # the origin's
    row: int
    part: int
    attempt: int
    amount: int
    ended: frozenset[int] = frozenset()  # parts it is through with
    part_cost: int = 0


async def reserved_of(connection: Connection, claims: Iterable[asyncpg.Record]) -> list[Reserved]:
    """What these open claims still have reserved, by pair; what costs nothing is left out."""
    pairs: list[Reserved] = []
    for row in claims:
        if row["workspace_id"] is None:
            continue
        of, costs = _claimed([row]), unpack("i", row["row_costs"])
        pairs += [
            Reserved(row["workspace_id"], of.slices[i], of.rows[i], of.parts[i], of.attempts[i], costs[i])
            for i in range(len(of.rows))
            if costs[i]
        ]
    return await _less_ended(connection, pairs)


async def _less_ended(connection: Connection, pairs: list[Reserved]) -> list[Reserved]:
    """`pairs` with what their claim reserved, less what the parts cost that it is through with."""
    if not pairs:
        return pairs
    found = await connection.fetch(
        load("recovery")["reserved"],
        [each.slice_id for each in pairs],
        [each.row for each in pairs],
        [each.part for each in pairs],
        [each.attempt for each in pairs],
        [each.amount for each in pairs],
    )
    for each, row in zip(pairs, found, strict=True):
        each.ended, each.part_cost = frozenset(row["ended"]), row["part_cost"]
        each.amount = max(0, each.amount - len(each.ended) * each.part_cost)
    return pairs


async def _hold(
    connection: Connection, worker_id: int, reserved: Iterable[Reserved], doubted: Iterable[asyncpg.Record]
) -> None:
    """What is reserved for parts that are in doubt now is held, the rest goes back."""
    parts: dict[tuple[int, int], list[int]] = {}
    for row in doubted:
        parts.setdefault((row["slice_id"], row["row_no"]), []).append(row["part"])
    kept: list[holds.Hold] = []
    moved: dict[UUID, wallets.Moved] = {}
    for each in reserved:
        left = each.amount
        for part in sorted(parts.get((each.slice_id, each.row), ())):
            if part in each.ended or (each.part and part != each.part):
                continue
            amount = left if part == 0 else min(left, each.part_cost)
            kept.append(holds.Hold(each.slice_id, each.row, part, each.attempt, each.workspace_id, amount))
            left -= amount
        moved.setdefault(each.workspace_id, wallets.Moved()).refund(left)
    await holds.add(connection, kept)
    await wallets.book(connection, worker_id, moved)


@dataclass(slots=True)
class _Claimed:
    """(origin slice, row, part) of every claimed row; columns for one statement."""

    slices: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    accounts: list[int | None] = field(default_factory=list)
    binds: list[int | None] = field(default_factory=list)
    channels: list[int | None] = field(default_factory=list)


def _claimed(claims: list[asyncpg.Record]) -> _Claimed:
    found = _Claimed()
    for row in claims:
        start, stop = row["row_start"], row["row_end"]
        rows, parts, origin = list(range(start, stop)), [0] * (stop - start), row["slice_id"]
        if row["origin_slice_id"] is not None:
            origin = row["origin_slice_id"]
            rows = unpack("i", row["explicit_rows"])[start:stop].tolist()
            parts = unpack("h", row["explicit_parts"])[start:stop].tolist()
        count = len(rows)
        found.slices += [origin] * count
        found.rows += rows
        found.parts += parts
        found.attempts += [row["attempt"]] * count
        found.accounts += [row["account_id"]] * count
        found.binds += [row["bind_number"]] * count
        found.channels += [row["channel_id"]] * count
    return found
