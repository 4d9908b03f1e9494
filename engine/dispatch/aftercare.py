"""What the feeder sees to between claims: breakers, the channels' error classes, retry slices that are due,
and claims of ours that nothing in memory knows."""

from __future__ import annotations

import time
from array import array
from collections.abc import Collection, Mapping

import structlog

from engine.bus.postgres import ring
from engine.dispatch.book import ClaimBook
from engine.dispatch.campaign import Again, CampaignRun, OpenSlice
from engine.dispatch.claims import Claim
from engine.dispatch.planner import LegKey
from engine.dispatch.pricing import Price
from engine.dispatch.worker import Worker
from engine.ledger import breaker, error_map, retries, wallets
from engine.ledger.pool import Pool
from engine.ledger.sql import load

log = structlog.get_logger(__name__)

_DUE_EVERY_S = 0.5
_DUE_AT_ONCE = 64  # slices
_CLASSES_EVERY_S = 2.0
_STRANDED_EVERY_S = 30.0
_STRANDED_AGE_S = 10.0


class Aftercare:
    """Each method looks at its own interval and does nothing in between."""

    def __init__(self, pool: Pool, worker: Worker) -> None:
        self._pool = pool
        self._worker = worker
        self._due_at = self._classes_at = 0.0
        self._stranded_at = time.monotonic() + _STRANDED_EVERY_S

    async def trip(self, book: ClaimBook) -> list[CampaignRun]:
        """Write what breakers said; returns the campaigns that stop."""
        stopped = []
        while book.tripped:
            tripped = book.tripped[0]
            async with self._pool.acquire() as connection, connection.transaction():
                if tripped.run is None:
                    done = await breaker.trip_channel(connection, tripped.channel_id, tripped.reason)
                else:
                    done = await breaker.trip_campaign(connection, tripped.run.campaign_id, tripped.reason)
                await ring(connection)
            if done:
                campaign = str(tripped.run.campaign_id) if tripped.run else ""
                log.error("breaker", reason=tripped.reason, campaign=campaign, channel=tripped.channel_id)
            if tripped.run is not None:
                stopped.append(tripped.run)
            book.tripped.pop(0)
        return stopped

    async def unpaid(self, run: CampaignRun, price: Price) -> bool:
        """Pause a campaign whose next message the wallet cannot pay; False where it can after all."""
        paused = await wallets.pause_unpaid(self._pool, run.campaign_id, price.workspace_id, price.amount)
        if paused:
            log.warning("campaign paused: no balance", campaign=str(run.campaign_id))
            async with self._pool.acquire() as connection:
                await ring(connection)
        return paused

    async def classes(self, book: ClaimBook, now: float) -> None:
        """The channels' maps of response codes, as they are now."""
        if now < self._classes_at:
            return
        book.maps = await error_map.classes(self._pool)
        self._classes_at = now + _CLASSES_EVERY_S

    async def due(
        self, runs: Mapping[LegKey, CampaignRun], known: Collection[int], now: float
    ) -> list[OpenSlice]:
        """Retry slices of these legs that may be claimed now, but those in `known`."""
        if now < self._due_at or not runs:
            return []
        rows = await self._pool.fetch(
            load("retries")["due"],
            [leg.campaign_id for leg in runs],
            list(known),
            _DUE_AT_ONCE,
            [leg.leg_no for leg in runs],
            [leg.channel_id for leg in runs],
        )
        self._due_at = now + (0.0 if len(rows) == _DUE_AT_ONCE else _DUE_EVERY_S)
        return [
            OpenSlice(
                row["slice_id"],
                runs[LegKey(row["campaign_id"], row["leg_no"], row["channel_id"])],
                row["chunk_no"],
                row["row_start"],
                row["row_count"],
                row["claimed_to"],
                again=Again(
                    row["origin_slice_id"],
                    retries.unpack("i", row["explicit_rows"]),
                    retries.unpack("h", row["explicit_parts"])
                    if row["explicit_parts"] is not None
                    else array("h", bytes(2 * row["row_count"])),
                    row["attempt"],
                    row["tries"],
                    row["resend"],
                    row["fallback_level"],
                ),
            )
            for row in rows
        ]

    async def stranded(self, book: ClaimBook, account_id: int, ending: Collection[Claim], now: float) -> None:
        """Claims that were committed after their answer was lost, and after we had asked: nothing of them was
        written, so their rows go into retry slices. Those in `ending` are open only until their rows are
        given back."""
        if now < self._stranded_at:
            return
        self._stranded_at = now + _STRANDED_EVERY_S
        found = await retries.open_claims(self._pool, self._worker.worker_id, account_id, _STRANDED_AGE_S)
        unknown = found - {claim.info.claim_id for claim in (*book.claims.values(), *ending)}
        if unknown:
            await book.flush()  # what ended in memory meanwhile is closed in the ledger by this
            rescued = await retries.rescue(self._pool, unknown, self._worker.worker_id)
            if rescued:
                log.warning("claims whose answer was lost are taken up again", claims=rescued)
