"""After a crash: what a dead worker had claimed and has no result for is in doubt, and counted so."""

from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import structlog

from engine.ledger import reconcile
from engine.ledger.commit import add_deltas
from engine.ledger.pool import Pool
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
                rows = await connection.fetch(queries["open_claims"], dead["worker_id"])
                touched = {row["campaign_id"] for row in rows}
                await reconcile.lock(connection, (), touched)
                claimed = _claimed(rows)
                keys = set(zip(claimed.slices, claimed.rows, strict=True))
                before = await reconcile.states(connection, keys)
                doubted = await connection.fetch(
                    queries["doubt"],
                    claimed.slices,
                    claimed.rows,
                    claimed.parts,
                    claimed.attempts,
                    claimed.accounts,
                    claimed.binds,
                    dead["worker_id"],
                    f"worker {dead['worker_id']}",
                )
                after = await reconcile.states(connection, keys)
                deltas = reconcile.changes(before, after)
                named = await reconcile.campaign_keys(connection, deltas)
                await add_deltas(
                    connection, worker_id, {named[id_]: counted for id_, counted in deltas.items()}
                )
                await connection.execute(queries["close"], [row["claim_id"] for row in rows])
            claims += len(rows)
            in_doubt += len({(row["slice_id"], row["row_no"]) for row in doubted})
            campaigns |= touched
    if claims:
        log.warning("claims of dead workers closed", claims=claims, in_doubt=in_doubt)
    return Recovered(claims, in_doubt, frozenset(campaigns))


@dataclass(slots=True)
class _Claimed:
    """(origin slice, row, part) of every claimed row; columns for one statement."""

    slices: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    accounts: list[int | None] = field(default_factory=list)
    binds: list[int | None] = field(default_factory=list)


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
    return found
