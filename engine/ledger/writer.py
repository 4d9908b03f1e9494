"""Group commit: outcomes and receipts are buffered as encoded rows and written by one transaction after
another.

Sending goes on while a batch is committed; with the database away the buffer grows and `pending` tells
dispatch to stop feeding. Nothing is dropped: a batch is tried until it is in, and written once however
often it is tried.
"""

import asyncio
import random
import time
from array import array
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar
from uuid import UUID

import asyncpg
import structlog

from engine._fast import recent as fast_recent
from engine._fast.columns import ClaimUpdate, ReceiptBatch, ResultBatch
from engine.ledger.batch import Batch, MessageKey
from engine.ledger.claims import BindKey, CampaignKey, ClaimInfo
from engine.ledger.commit import commit
from engine.ledger.held import HeldReceipts
from engine.ledger.orphans import OrphanSweep
from engine.ledger.pool import AWAY, Connection, Pool
from engine.ledger.recent_ids import load_recent
from engine.ledger.sql import load

log = structlog.get_logger(__name__)

T = TypeVar("T")

LONGEST_WAIT_S = 0.25  # from the first buffered row to its commit's start
FEW_ROWS = 64  # after a batch this small the next commit waits for more rows
FEW_ROWS_WAIT_S = 0.1
_BACKOFF_S = (0.05, 5.0)


class LedgerWriter:
    """The one writer of a worker's outcomes and receipts. All calls but `run`, `flush`, `stop` are
    without I/O."""

    def __init__(
        self,
        pool: Pool,
        worker_id: int,
        *,
        recent_capacity: int = 1_000_000,
        commit_interval_s: float = 0.02,
        hold_s: float = 0.3,
        orphan_interval_s: float = 3.0,
        on_closed: Callable[[set[UUID]], None] | None = None,
    ) -> None:
        self.worker_id = worker_id
        self.away = False  # the last try to commit found no database
        self.inbound = 0  # deliver_sm that are no receipts: acknowledged, not kept
        self.commit_s = 0.0  # duration of the last commit
        self.last_rows = 0
        self._pool = pool
        self._interval_s = commit_interval_s
        self._on_closed = on_closed
        self._recent = fast_recent.RecentIds(recent_capacity)
        self._recent_capacity = recent_capacity
        self._handles: dict[CampaignKey, int] = {}
        self._campaigns: dict[int, CampaignKey] = {}
        self._batch = Batch()
        self._committing: Batch | None = None
        self._number: int | None = None
        self._early: set[MessageKey] = set()
        self._held = HeldReceipts(hold_s)
        self._orphans = OrphanSweep(orphan_interval_s)
        self._first_row_at = 0.0
        self._filled = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._connection: asyncpg.pool.PoolConnectionProxy | None = None
        self._stopping = False

    # what dispatch calls ------------------------------------------------------------------------------------

    def handle(self, campaign: CampaignKey) -> int:
        """The campaign's small number in this process, for `ClaimInfo.campaign_handle`."""
        found = self._handles.get(campaign)
        if found is None:
            found = self._handles[campaign] = len(self._handles) + 1
            self._campaigns[found] = campaign
        return found

    @property
    def pending(self) -> int:
        """Rows buffered and not yet committed; dispatch stops feeding above its limit."""
        committing = self._committing.rows if self._committing else 0
        return self._batch.rows + committing + self._held.count

    @property
    def pending_outcomes(self) -> int:
        """Those of `pending` that are outcomes: until they are committed, their rows are claimed without a
        result."""
        committing = self._committing.outcomes if self._committing else 0
        return self._batch.outcomes + committing

    def results(
        self,
        bind: BindKey,
        batch: ResultBatch,
        outcome: "array[int]",
        updates: list[ClaimUpdate],
        claims: Mapping[int, ClaimInfo],
    ) -> None:
        """Outcomes of submit_sm parts, and what the tally made of them. `claims`: by claim handle, every
        one in it.

        DOUBT becomes a row of doubts, THROTTLED a count, the others rows of submissions. Claims of
        closed updates are closed in the same commit. Raises KeyError for a claim that is missing,
        ValueError for another length.
        """
        if len(outcome) != batch.count:
            raise ValueError("one outcome for each result")
        handles = {claim: claims[claim].campaign_handle for claim in set(batch.claim)}
        assert all(self._campaigns[handles[claim]] == claims[claim].campaign for claim in handles)
        self._recent.put(batch, outcome, bind.account_id, handles)
        self._batch.add_results(batch, outcome, updates, claims, bind.account_id)
        self._wake()

    def rejected(
        self,
        claim: ClaimInfo,
        rows: "array[int]",
        codes: "array[int]",
        msisdn: "array[int]",
        *,
        closed: bool = False,
    ) -> None:
        """Rows of a claim that gave no PDU (EncodedBatch.rejected, reject_code and their numbers): FAILED."""
        self._batch.add_rejected(claim, rows, codes, msisdn, _now_us())
        if closed:
            self._batch.close(claim)
        self._wake()

    def close_claims(self, claims: list[ClaimInfo]) -> None:
        """Claims that end without a further result: all that was left of them was given back."""
        for claim in claims:
            self._batch.close(claim)
        self._wake()

    def receipts(self, account_id: int, batch: ReceiptBatch, acknowledge: Callable[[], None]) -> None:
        """Receipts of an account; `acknowledge` is called once, when every one of them is committed.

        One that came before its response waits `hold_s` for it, then becomes an orphan.
        """
        matched = self._recent.match(batch, account_id)
        if 1 in matched.found.tobytes():
            self._batch.add_receipts(batch, matched, self._campaigns, account_id, _now_us())
        self.inbound += self._held.add(batch, matched, account_id, acknowledge, self._batch, time.monotonic())
        self._wake()

    # the loop -----------------------------------------------------------------------------------------------

    async def rebuild(self) -> int:
        """Load the recent ids from the hot partitions; once, before any bind. Returns how many."""
        async with self._one_at_a_time:  # an orphan matched meanwhile would leave its id without the verdict
            return await load_recent(self._pool, self._recent, self._recent_capacity, self.handle)

    async def run(self) -> None:
        """Commit until `stop`; sweeps orphans in between."""
        while not self._stopping:
            await self._until_due()
            await self._flush(last=False)
            if not self._stopping and self._orphans.due(time.monotonic()):
                await self.sweep_orphans()

    async def flush(self) -> None:
        """Returns when everything buffered before the call is committed. Receipts that wait for their
        response may go on waiting."""
        await self._flush(last=False)

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Commit what there is, held receipts as orphans, and end `run`. Raises TimeoutError where the
        database stays away: then `pending` rows are not written, and their claims will be in doubt."""
        self._stopping = True
        self._filled.set()
        try:
            await asyncio.wait_for(self._flush(last=True), timeout_s)
        except TimeoutError:
            log.error("ledger not written at stop", rows=self.pending)
            raise
        finally:
            await self._release()

    def _wake(self) -> None:
        if not self._filled.is_set():
            self._first_row_at = time.monotonic()
            self._filled.set()

    async def _until_due(self) -> None:
        """Wait for rows, then long enough to gather more of them; or for held receipts or the orphans."""
        waits = [self._orphans.next_at, *self._held.deadlines()]
        timeout_s = max(0.0, min(waits) - time.monotonic())
        try:
            await asyncio.wait_for(self._filled.wait(), timeout_s)
        except TimeoutError:
            return
        pause_s = min(max(self._interval_s, self.commit_s), LONGEST_WAIT_S)
        if self.last_rows < FEW_ROWS and self._batch.rows < FEW_ROWS:
            pause_s = max(pause_s, FEW_ROWS_WAIT_S)
        left_s = self._first_row_at + pause_s - time.monotonic()
        if left_s > 0 and not self._stopping:
            await asyncio.sleep(left_s)

    async def _flush(self, *, last: bool) -> None:
        async with self._one_at_a_time:
            if self._committing is not None:  # an earlier call was cancelled in the middle
                await self._write()
            self._held.place(self._recent, self._batch, self._campaigns, time.monotonic(), last=last)
            self._swap()
            await self._write()

    def _swap(self) -> None:
        """From here on new rows go into the next batch."""
        self._filled.clear()
        if self._batch:
            self._committing, self._batch = self._batch, Batch()

    async def _write(self) -> None:
        batch = self._committing
        if batch is None:
            return
        if self._number is None:
            queries = load("commit")
            last = await self._persist(lambda c: c.fetchval(queries["last_number"], self.worker_id))
            if last is None:
                raise LookupError(f"no worker {self.worker_id}")
            self._number = last
        number, careful = self._number + 1, False
        started = time.monotonic()
        while True:
            try:
                self._early = await self._persist(partial(self._commit, number, batch, careful))
                break
            except asyncpg.UniqueViolationError as error:
                if careful:
                    raise
                log.error("a row is in the ledger already", table=error.table_name, rows=batch.rows)
                careful = True
        self._number, self._committing = number, None
        self.commit_s, self.last_rows = time.monotonic() - started, batch.rows
        for told in batch.after_commit:
            try:
                told()
            except Exception:  # of the caller's link: what is committed stays committed
                log.exception("acknowledging failed")
        if self._on_closed and batch.closed:
            self._on_closed({campaign_id for _, campaign_id in batch.closed.values()})

    async def _commit(
        self, number: int, batch: Batch, careful: bool, connection: Connection
    ) -> set[MessageKey]:
        return await commit(connection, self.worker_id, number, batch, self._early, careful=careful)

    async def sweep_orphans(self) -> None:
        """Orphans whose submission is in by now: see `orphans`."""
        async with self._one_at_a_time:
            found = await self._persist(self._orphans.load)
            if not found:
                return
            # No await from here to the swap: a repeat that comes later must see the verdict in the
            # recent ids, and one that came before must be committed before the orphan's message is reckoned.
            self._orphans.mark(self._recent, found)
            self._swap()
            await self._write()
            matched = await self._persist(lambda c: self._orphans.match(c, self.worker_id, found))
            self._orphans.swept(len(found), matched, time.monotonic())

    async def _persist(self, act: Callable[[Connection], Awaitable[T]]) -> T:
        """Run a transaction until the database takes it."""
        backoff_s = _BACKOFF_S[0]
        while True:
            try:
                if self._connection is None:
                    self._connection = await self._pool.acquire()
                done = await act(self._connection)
            except asyncpg.UniqueViolationError:
                raise
            except (*AWAY, asyncpg.PostgresError) as error:
                known = isinstance(error, AWAY)
                log.warning(
                    "ledger away" if known else "ledger refuses", error=repr(error), rows=self.pending
                )
                self.away = True
                await self._release()
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
                backoff_s = min(backoff_s * 2, _BACKOFF_S[1])
            else:
                self.away = False
                return done

    async def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await self._pool.release(connection, timeout=1)
            except AWAY:
                log.debug("connection was gone")


def _now_us() -> int:
    return time.time_ns() // 1000
