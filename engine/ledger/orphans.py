"""Orphan receipts are tried again: the recent ones every few seconds, the others every minute, to the
horizon."""

from array import array
from collections import Counter
from uuid import UUID

import asyncpg
import structlog

from engine._fast import recent as fast_recent
from engine._fast.columns import ReceiptBatch
from engine.ledger import error_codes, partitions, reconcile
from engine.ledger.commit import add_deltas, add_errors
from engine.ledger.pool import Connection
from engine.ledger.sql import load

log = structlog.get_logger(__name__)

HORIZON_DAYS = 4
AT_ONCE = 20_000  # one scan of the hot partition serves them all
HURRY_S = 0.25
FULL_EVERY = 20  # sweeps


class OrphanSweep:
    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self.next_at = 0.0  # monotonic
        self._sweeps = 0
        self._after = 0  # where the next full sweep goes on

    def due(self, now: float) -> bool:
        if now < self.next_at:
            return False
        self.next_at = now + self._interval_s
        return True

    def swept(self, tried: int, matched: int, now: float) -> None:
        """A full sweep that matched most of what it tried has more behind it: the next one comes at once."""
        if tried == AT_ONCE and matched > tried // 2:
            self.next_at = min(self.next_at, now + HURRY_S)

    async def load(self, connection: Connection) -> list[asyncpg.Record]:
        """The open orphans to try now, at most AT_ONCE."""
        full = self._sweeps % FULL_EVERY == 0
        rows = await connection.fetch(load("orphans")["open"], full, self._after if full else 0, AT_ONCE)
        self._sweeps += 1
        if full:
            self._after = rows[-1]["orphan_id"] if len(rows) == AT_ONCE else 0
        return list(rows)

    def mark(self, recent: fast_recent.RecentIds, orphans: list[asyncpg.Record]) -> None:
        """Tell the recent ids these verdicts: a repeat must not count as the first."""
        by_account: dict[int, ReceiptBatch] = {}
        for row in orphans:
            batch = by_account.setdefault(row["account_id"], ReceiptBatch())
            batch.ids += row["smsc_id"].encode()
            batch.id_end.append(len(batch.ids))
            batch.verdict.append(row["verdict"])
            batch.count += 1
        for account_id, batch in by_account.items():
            batch.kind = array("b", bytes(batch.count))
            recent.match(batch, account_id)

    async def match(self, connection: Connection, worker_id: int, orphans: list[asyncpg.Record]) -> int:
        """Turn orphans whose submission is found into receipts; returns how many. One transaction,
        repeatable."""
        queries = load("orphans")
        since = (partitions.today() - HORIZON_DAYS) << 40
        async with connection.transaction():
            found = await connection.fetch(
                queries["find"],
                [row["orphan_id"] for row in orphans],
                [row["smsc_id"] for row in orphans],
                since,
            )
            if not found:
                return 0
            campaigns = {row["campaign_id"] for row in found}
            await reconcile.lock(connection, (), campaigns)
            keys = {(row["slice_id"], row["row_no"]) for row in found}
            before = await reconcile.states(connection, keys)
            moved = await connection.fetch(
                queries["move"],
                [row["orphan_id"] for row in found],
                [row["slice_id"] for row in found],
                [row["row_no"] for row in found],
                [row["part"] for row in found],
            )
            after = await reconcile.states(connection, keys)
            deltas = reconcile.changes(before, after)
            campaign_of = {row["slice_id"]: row["campaign_id"] for row in found}
            errors: Counter[tuple[UUID, str, str]] = Counter()
            for row in moved:
                campaign_id = campaign_of[row["slice_id"]]
                deltas.setdefault(campaign_id, Counter())["receipts"] += 1
                if row["verdict"] == 1:
                    errors[campaign_id, "receipt", error_codes.receipt_code(row["stat"], row["error"])] += 1
            named = await reconcile.campaign_keys(connection, campaigns)
            await add_deltas(connection, worker_id, {named[id_]: counted for id_, counted in deltas.items()})
            await add_errors(connection, worker_id, errors)
        log.info("orphan receipts matched", matched=len(moved))
        return len(moved)
