"""Settling: an ended campaign stops waiting for receipts, when none is out or at the horizon."""

from collections import Counter
from uuid import UUID

from engine.ledger import reconcile
from engine.ledger.campaigns import counts
from engine.ledger.commit import add_deltas
from engine.ledger.pool import Pool
from engine.ledger.sql import load
from engine.ledger.states import CampaignState


async def settle_due(pool: Pool, worker_id: int, horizon_s: float) -> list[UUID]:
    """Settle ended campaigns without an open claim: at once where nothing is in flight, else `horizon_s`
    after their end, when what is left counts as no receipt. Returns those settled now."""
    queries = load("settle")
    settled = []
    async with pool.acquire() as connection:
        for row in await connection.fetch(queries["candidates"]):
            campaign_id = row["campaign_id"]
            async with connection.transaction():
                await reconcile.lock(connection, (), [campaign_id])
                counted = await counts(connection, campaign_id)
                in_flight = counted.in_flight
                if row["state"] == CampaignState.CANCELLED and counted.waiting > in_flight:
                    continue  # its rows are not counted as cancelled yet
                if not await connection.fetchval(queries["settle"], campaign_id, in_flight, horizon_s):
                    continue
                keys = await reconcile.campaign_keys(connection, [campaign_id])
                await add_deltas(connection, worker_id, {keys[campaign_id]: Counter(no_receipt=in_flight)})
            settled.append(campaign_id)
    return settled
