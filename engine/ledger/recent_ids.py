"""The recent ids after a start: what hot partitions hold that still waits for its receipt."""

from array import array
from collections.abc import Callable

from engine._fast import recent as fast_recent
from engine._fast.columns import ACCEPTED, ResultBatch
from engine.ledger.claims import CampaignKey
from engine.ledger.pool import Pool
from engine.ledger.sql import load

MOST = 500_000
_CHUNK = 10_000


async def load_recent(
    pool: Pool, recent: fast_recent.RecentIds, capacity: int, handle: Callable[[CampaignKey], int]
) -> int:
    """Put the newest accepted parts without a verdict, oldest first; at most half the capacity and MOST.

    Parts with a verdict are left out: their repeats and corrections are found by SQL.
    """
    most = min(max(capacity // 2, 1), MOST)
    loaded = 0
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        cursor = await connection.cursor(load("recent_ids")["waiting"], most)
        while rows := await cursor.fetch(_CHUNK):
            by_account: dict[int, ResultBatch] = {}
            for row in rows:
                batch = by_account.setdefault(row["account_id"], ResultBatch())
                campaign = CampaignKey(
                    row["campaign_id"], row["workspace_id"], row["channel_id"], row["sender"]
                )
                batch.claim.append(handle(campaign))  # stands for the claim: `put` maps it to itself
                batch.slice_id.append(row["slice_id"])
                batch.row.append(row["row_no"])
                batch.part.append(row["part"])
                batch.parts.append(row["parts"])
                batch.ids += row["smsc_id"].encode()
                batch.id_end.append(len(batch.ids))
                batch.count += 1
            for account_id, batch in by_account.items():
                loaded += _put(recent, batch, account_id)
    return loaded


def _put(recent: fast_recent.RecentIds, batch: ResultBatch, account_id: int) -> int:
    count = batch.count
    batch.index = array("i", bytes(4 * count))
    batch.attempt = array("h", bytes(2 * count))
    batch.msisdn = batch.status = batch.sent_us = batch.done_us = array("q", bytes(8 * count))
    batch.late = array("b", bytes(count))
    handles = {handle: handle for handle in set(batch.claim)}
    return recent.put(batch, array("b", [ACCEPTED]) * count, account_id, handles)
