"""After a crash: what a dead worker had claimed and has no result for is in doubt, and counted so."""

from dataclasses import dataclass
from uuid import UUID

import structlog

from engine.ledger import reconcile
from engine.ledger.commit import add_deltas
from engine.ledger.pool import Pool
from engine.ledger.sql import load
from engine.ledger.states import MessageState

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
                keys = [
                    (row["slice_id"], number)
                    for row in rows
                    for number in range(row["row_start"], row["row_end"])
                ]
                before = await reconcile.states(connection, keys)
                open_keys = [key for key, (_, state) in before.items() if state is MessageState.OPEN]
                await connection.execute(
                    queries["doubt"], [key[0] for key in open_keys], [key[1] for key in open_keys]
                )
                after = await reconcile.states(connection, open_keys)
                deltas = reconcile.changes(before, after)
                named = await reconcile.campaign_keys(connection, deltas)
                await add_deltas(
                    connection, worker_id, {named[id_]: counted for id_, counted in deltas.items()}
                )
                await connection.execute(queries["close"], [row["claim_id"] for row in rows])
            claims += len(rows)
            in_doubt += len(open_keys)
            campaigns |= touched
    if claims:
        log.warning("claims of dead workers closed", claims=claims, in_doubt=in_doubt)
    return Recovered(claims, in_doubt, frozenset(campaigns))
