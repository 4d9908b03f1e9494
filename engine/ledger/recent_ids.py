"""The recent ids after a start: what hot partitions hold that still waits for its receipt."""

from array import array
from collections.abc import Callable

from engine._fast.columns import ACCEPTED, ResultBatch
from engine.ledger.claims import CampaignKey
from engine.ledger.matcher import Matcher
from engine.ledger.pool import Pool
from engine.ledger.sql import load

MOST = 500_000
_CHUNK = 10_000


async def inherit(pool: Pool, worker_id: int) -> None:
    """Become the heir of dead workers: their messages' receipts are this worker's to count. Before
    `load_recent`."""
    queries = load("receipts")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(queries["lock_heirs"], True)
        await connection.execute(queries["inherit"], worker_id)


async def load_recent(
    pool: Pool, matcher: Matcher, worker_id: int, handle: Callable[[CampaignKey], int]
) -> int:
    """Put the newest accepted parts without a verdict, oldest first; at most half the capacity and MOST.

    Parts with a verdict are left out: their repeats and corrections are found by SQL.
    """
    most = min(max(matcher.recent.capacity // 2, 1), MOST)
    loaded = 0
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        cursor = await connection.cursor(load("recent_ids")["waiting"], most, worker_id)
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
                batch.msisdn.append(row["msisdn"])
                batch.sent_us.append(round(row["sent_at"].timestamp() * 1e6))
                batch.ids += row["smsc_id"].encode()
                batch.id_end.append(len(batch.ids))
                batch.count += 1
            for account_id, batch in by_account.items():
                loaded += _put(matcher, batch, account_id)
    return loaded


def _put(matcher: Matcher, batch: ResultBatch, account_id: int) -> int:
    count = batch.count
    batch.index = array("i", bytes(4 * count))
    batch.attempt = array("h", bytes(2 * count))
    batch.status = batch.done_us = array("q", bytes(8 * count))
    batch.late = array("b", bytes(count))
    handles = {handle: handle for handle in set(batch.claim)}
    return matcher.put(batch, array("b", [ACCEPTED]) * count, account_id, handles)
