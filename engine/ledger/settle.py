"""Settling: an ended campaign stops waiting for receipts, when none is out or at the horizon."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from engine.ledger import reconcile
from engine.ledger.campaigns import counts
from engine.ledger.commit import add_deltas
from engine.ledger.pool import Pool
from engine.ledger.sql import load
from engine.ledger.states import CampaignState
from engine.smpp import dates

LONGEST_S = 72 * 3600
BEYOND_VALIDITY_S = 24 * 3600
_ENDED_EARLY = frozenset({CampaignState.CANCELLED, CampaignState.FAILED, CampaignState.EXPIRED})


def horizon_s(
    account: dict[str, Any],
    channel: dict[str, Any],
    options: dict[str, Any],
    ended_at: datetime,
    most_s: float,
) -> float:
    """How long after a campaign's end its receipts are awaited: what the account says, else its validity and
    24 hours, at most 72 hours and `most_s`. The validity is the campaign's, else the channel's."""
    if given := account.get("receipt_horizon_s"):
        return float(given)
    validity_s = options.get("validity_s") or channel.get("validity_s")
    if channel.get("validity_mode") == "none":
        validity_s = None
    if period := channel.get("validity_period"):
        validity_s = dates.validity_s(period, ended_at)
    if validity_s is None:
        return min(LONGEST_S, most_s)
    return min(float(validity_s) + BEYOND_VALIDITY_S, LONGEST_S, most_s)


def _horizon_s(rows: Sequence[asyncpg.Record], most_s: float) -> float:
    """The longest of the channels that a campaign went over."""

    def of(row: asyncpg.Record) -> float:
        account, channel, options = (
            msgspec.json.decode(row[name]) for name in ("account_settings", "settings", "options")
        )
        return horizon_s(account, channel, options, row["ended_at"], most_s)

    return max(map(of, rows))


async def settle_due(pool: Pool, worker_id: int, most_s: float) -> list[UUID]:
    """Settle ended campaigns without an open claim: at once where nothing is in flight, else at the horizon
    after their end (`most_s` at most, where the account says nothing), when what is left counts as no
    receipt. Returns those settled now."""
    queries = load("settle")
    settled = []
    async with pool.acquire() as connection:
        candidates: dict[UUID, list[asyncpg.Record]] = {}
        for row in await connection.fetch(queries["candidates"]):
            candidates.setdefault(row["campaign_id"], []).append(row)
        for campaign_id, rows in candidates.items():
            async with connection.transaction():
                await reconcile.lock(connection, (), [campaign_id])
                counted = await counts(connection, campaign_id)
                in_flight = counted.in_flight
                if rows[0]["state"] in _ENDED_EARLY and counted.waiting > in_flight:
                    continue  # its unclaimed rows are not counted as cancelled yet
                waits_s = _horizon_s(rows, most_s)
                if not await connection.fetchval(queries["settle"], campaign_id, in_flight, waits_s):
                    continue
                await connection.execute(queries["close_slices"], campaign_id)
                keys = await reconcile.campaign_keys(connection, [campaign_id])
                await add_deltas(connection, worker_id, {keys[campaign_id]: Counter(no_receipt=in_flight)})
            settled.append(campaign_id)
    return settled
