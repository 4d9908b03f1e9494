"""Group commit: outcomes and receipts are buffered as encoded rows and written by one transaction after
another.

Sending goes on while a batch is committed; with the database away the buffer grows and `pending` tells
dispatch to stop feeding. Nothing is dropped: a batch is tried until it is in, and written once however
often it is tried. Receipts that cannot be committed within a second go to the local journal, are
acknowledged, and are replayed in order when the database is back.
"""

import asyncio
import contextlib
import random
import time
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

import asyncpg
import structlog

from engine import faults
from engine._fast import masks
from engine._fast.columns import ACCEPTED, ClaimUpdate, ReceiptBatch, ResultBatch
from engine.core_api import schema
from engine.ledger.batch import Batch, MessageKey, matchable
from engine.ledger.claims import BindKey, CampaignKey, ClaimInfo
from engine.ledger.commit import commit
from engine.ledger.held import MOST, Held, HeldReceipts, is_receipt, may_be_receipt
from engine.ledger.intake import Answer
from engine.ledger.journal import Entry, Journal, Record
from engine.ledger.matcher import Matcher
from engine.ledger.orphans import OrphanSweep
from engine.ledger.outage import REPLAY_ROWS, Outage
from engine.ledger.pool import AWAY, Connection, Pool
from engine.ledger.recent_ids import inherit, load_recent
from engine.ledger.retries import Deferral
from engine.ledger.rows import both, completed, invert, pick_receipts
from engine.ledger.sql import load
from engine.ledger.tables import encode_orphans

log = structlog.get_logger(__name__)

T = TypeVar("T")

LONGEST_WAIT_S = 0.25  # from the first buffered row to its commit's start
MANY_ROWS = 2048  # as many spread a commit's fixed costs thin: it begins at once
FEW_ROWS = 64  # after a batch this small the next commit waits for more rows
FEW_ROWS_WAIT_S = 0.1
_BACKOFF_S = (0.05, 5.0)
_UNANSWERED_S = 0.9  # receipts that wait longer for their commit go to the journal
_UNANSWERED_AWAY_S = 0.4  # the same while the database does not answer
_WATCH_S = 0.1


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
        journal: Journal | None = None,
    ) -> None:
        self.worker_id = worker_id
        self.away = False  # the last try to commit found no database
        self.inbound = 0  # deliver_sm that are no receipts, since the start
        self.commit_s = 0.0  # duration of the last commit
        self.last_rows = 0
        self._pool = pool
        self._interval_s = commit_interval_s
        self._on_closed = on_closed
        self._matcher = Matcher(recent_capacity)
        self._handles: dict[CampaignKey, int] = {}
        self._campaigns: dict[int, CampaignKey] = {}
        self._batch = Batch()
        self._committing: Batch | None = None
        self._number: int | None = None
        self._early: set[MessageKey] = set()
        self._held = HeldReceipts(hold_s)
        self._orphans = OrphanSweep(orphan_interval_s, self._matcher)
        self._outage = None if journal is None else Outage(journal)
        self._after_replay: list[tuple[int, ReceiptBatch, int, Answer]] | None = None
        self._replayed_to: int | None = None  # of the journal an earlier process left; None: not asked yet
        self._rebuilt = self._outage is None or not self._outage.active
        self._last_batches: dict[int, int] = {}  # of the workers whose commits the journal names
        self._first_row_at = self._committing_since = 0.0
        self._filled = asyncio.Event()
        self._many = asyncio.Event()  # rows enough to commit at once
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

    @property
    def lag_s(self) -> float:
        """Age of the oldest row that is not committed."""
        if self._committing is not None:
            return time.monotonic() - self._committing_since
        return time.monotonic() - self._first_row_at if self._filled.is_set() else 0.0

    @property
    def unacknowledged(self) -> int:
        """Receipts that were read and are neither committed nor in the journal."""
        batches = [each for each in (self._committing, self._batch) if each is not None]
        pieces = sum(piece.receipts.count for each in batches for piece in each.intake.pieces)
        return pieces + self._held.count + (0 if self._outage is None else self._outage.queued)

    def results(
        self,
        bind: BindKey,
        batch: ResultBatch,
        outcome: "array[int]",
        updates: list[ClaimUpdate],
        claims: Mapping[int, ClaimInfo],
        deferrals: Sequence[Deferral] = (),
    ) -> None:
        """Outcomes of submit_sm parts, and what the tally made of them. `claims`: by claim handle, every
        one in it.

        DOUBT becomes a row of doubts, THROTTLED a count, the others rows of submissions; `deferrals` become
        retry slices in the same commit. Claims of
        closed updates are closed in the same commit. Raises KeyError for a claim that is missing,
        ValueError for another length.
        """
        if len(outcome) != batch.count:
            raise ValueError("one outcome for each result")
        handles = {claim: claims[claim].campaign_handle for claim in masks.distinct(batch.claim)}
        assert all(self._campaigns[handles[claim]] == claims[claim].campaign for claim in handles)
        kept = self._matcher.put(batch, matchable(batch, outcome, claims), bind.account_id, handles)
        if kept < outcome.tobytes().count(ACCEPTED):  # some have no id, or are late or resent
            self._batch.count_without_id(batch, outcome, claims)
        self._batch.add_results(batch, outcome, updates, claims, bind, self.worker_id, deferrals)
        self._wake()

    def rejected(
        self,
        claim: ClaimInfo,
        rows: "array[int]",
        codes: "array[int]",
        msisdn: "array[int]",
        *,
        parts: "array[int] | None" = None,
        closed: bool = False,
    ) -> None:
        """Rows of a claim that gave no PDU (EncodedBatch.rejected, reject_code and their numbers): FAILED.
        `parts`: which part each is, where not the first (retries)."""
        self._batch.add_rejected(claim, rows, codes, msisdn, _now_us(), parts)
        if closed:
            self._batch.close(claim)
        self._wake()

    def close_claims(self, claims: list[ClaimInfo]) -> None:
        """Claims that end without a further result: all that was left of them was given back."""
        for claim in claims:
            self._batch.close(claim)
        self._wake()

    def receipts(self, account_id: int, batch: ReceiptBatch, acknowledge: Callable[[int], None]) -> None:
        """Receipts and messages of an account. `acknowledge` is called once with a command_status: 0 when
        every one of them is committed or in the fsynced journal, ESME_RX_T_APPN where neither can be.

        A receipt that came before its response waits `hold_s` for it, then becomes an orphan.
        """
        batch, received_us, answer = completed(batch), _now_us(), Answer(acknowledge)
        if self._after_replay is not None:
            self._after_replay.append((account_id, batch, received_us, answer))
        elif self._outage is not None and self._outage.active:
            self._outage.put([Entry(account_id, received_us, batch)], [answer], refuse=True)
        else:
            self._take(account_id, batch, received_us, answer, time.monotonic())
        self._wake()

    @property
    def journal(self) -> schema.ReceiptJournal:
        """How the local journal of receipts is."""
        return self._outage.state() if self._outage else schema.ReceiptJournal()

    def _take(
        self, account_id: int, batch: ReceiptBatch, received_us: int, answer: Answer | None, now: float
    ) -> None:
        """Into the next commit. Without an `answer` they come from the journal, and do not wait for
        responses."""
        batch = self._matcher.read(batch, account_id)
        matched = self._matcher.match(batch, account_id, received_us)
        found = matched.found.tobytes()
        if 1 in found:
            by = self._matcher.by_number(account_id)
            self._batch.add_receipts(batch, matched, self._campaigns, account_id, received_us, by)
        missing = may_be_receipt(batch, matched)
        message = both(invert(found), invert(missing))
        if 1 in message:
            self._batch.intake.add_messages(batch, message, account_id, received_us)
            self._batch.rows += message.count(1)
            self.inbound += message.count(1)
        if 1 in missing:
            kept = pick_receipts(batch, missing)
            if answer is None:
                self._give_up(kept, account_id, received_us)
            else:
                self._held.add(Held(kept, account_id, received_us, now, now + self._held.hold_s, answer))
                batch = pick_receipts(batch, invert(missing))
        if answer is not None:
            if batch.count:
                self._batch.intake.add(Entry(account_id, received_us, batch), now)
            if 1 not in missing:
                self._batch.intake.answers.append(answer)

    def _give_up(self, receipts: ReceiptBatch, account_id: int, received_us: int) -> None:
        """Their message is not known: orphans, and messages that read like a receipt."""
        flagged = is_receipt(receipts)
        if 1 in flagged:
            orphans = pick_receipts(receipts, flagged)
            self._batch.orphans.add(encode_orphans(orphans, account_id, received_us), orphans.count)
        if 0 in flagged:
            others = pick_receipts(receipts, invert(flagged))
            self._batch.intake.add_unflagged(others, account_id, received_us)
            self.inbound += others.count
        self._batch.rows += receipts.count

    def _place_held(self, now: float, *, last: bool) -> None:
        """Put what matches by now, and what waited long enough (`last`: all), into the next commit."""
        for held in self._held.take():
            matched = self._matcher.match(held.receipts, held.account_id, held.received_us)
            found = matched.found.tobytes()
            placed = None
            if 1 in found:
                by = self._matcher.by_number(held.account_id)
                self._batch.add_receipts(
                    held.receipts, matched, self._campaigns, held.account_id, held.received_us, by
                )
                placed = pick_receipts(held.receipts, found)
                held.receipts = pick_receipts(held.receipts, invert(found))
            if held.receipts.count:
                if not last and held.deadline > now and self._held.count <= MOST:
                    self._held.add(held)
                else:
                    self._give_up(held.receipts, held.account_id, held.received_us)
                    self._batch.intake.add(
                        Entry(held.account_id, held.received_us, held.receipts), held.since
                    )
                    held.receipts = ReceiptBatch()
            if placed is not None:
                self._batch.intake.add(Entry(held.account_id, held.received_us, placed), held.since)
            if not held.receipts.count and held.answer is not None:
                self._batch.intake.answers.append(held.answer)

    # the loop -----------------------------------------------------------------------------------------------

    async def rebuild(self) -> int:
        """Load the recent ids from the hot partitions; once, before any bind. Returns how many."""
        async with self._one_at_a_time:  # an orphan matched meanwhile would leave its id without the verdict
            await self._persist(self._matcher.refresh)
            await inherit(self._pool, self.worker_id)
            loaded = await load_recent(self._pool, self._matcher, self.worker_id, self.handle)
            await self._number_known()
        self._rebuilt = True
        self._wake()
        return loaded

    async def run(self) -> None:
        """Commit until `stop`; replays the journal and sweeps orphans in between."""
        watching = asyncio.create_task(self._watch(), name="receipts-watch") if self._outage else None
        try:
            while not self._stopping:
                await self._until_due()
                await self._flush(last=False)
                if not self._stopping:
                    await self.replay()
                if not self._stopping and self._orphans.due(time.monotonic()):
                    await self.sweep_orphans()
        finally:
            if watching is not None:
                watching.cancel()

    async def flush(self) -> None:
        """Returns when everything buffered before the call is committed. Receipts that wait for their
        response may go on waiting."""
        await self._flush(last=False)

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Commit what there is, held receipts as orphans, and end `run`. Raises TimeoutError where the
        database stays away: then `pending` rows are not written, and their claims will be in doubt."""
        self._stopping = True
        self._filled.set()
        self._many.set()
        try:
            await asyncio.wait_for(self._flush(last=True), timeout_s)
            if self._outage is not None:
                await self._outage.settled()
        except TimeoutError:
            log.error("ledger not written at stop", rows=self.pending)
            raise
        finally:
            await self._release()

    def _wake(self) -> None:
        if not self._filled.is_set():
            self._first_row_at = time.monotonic()
            self._filled.set()
        if self._batch.rows >= MANY_ROWS:
            self._many.set()

    async def _until_due(self) -> None:
        """Wait for rows, then long enough to gather more of them; or for held receipts or the orphans."""
        waits = [self._orphans.next_at, *self._held.deadlines()]
        if self._replays:
            waits.append(0.0)
        timeout_s = max(0.0, min(waits) - time.monotonic())
        try:
            await asyncio.wait_for(self._filled.wait(), timeout_s)
        except TimeoutError:
            return
        pause_s = min(max(self._interval_s, self.commit_s), LONGEST_WAIT_S)
        if self.last_rows < FEW_ROWS and self._batch.rows < FEW_ROWS:
            pause_s = max(pause_s, FEW_ROWS_WAIT_S)
        left_s = self._first_row_at + pause_s - time.monotonic()
        if left_s > 0 and not self._stopping and self._batch.rows < MANY_ROWS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._many.wait()

    async def _flush(self, *, last: bool) -> None:
        async with self._one_at_a_time:
            if self._committing is not None:  # an earlier call was cancelled in the middle
                await self._write()
            self._place_held(time.monotonic(), last=last)
            self._swap()
            await self._write()

    def _swap(self) -> None:
        """From here on new rows go into the next batch."""
        since = self._first_row_at if self._filled.is_set() else time.monotonic()
        self._filled.clear()
        self._many.clear()
        if self._batch:
            self._committing_since = since
            self._committing, self._batch = self._batch, Batch()

    async def _write(self) -> None:
        batch = self._committing
        if batch is None:
            return
        last = await self._number_known()
        number, careful = last + 1, False
        faults.point("before_commit")
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
        faults.point("after_commit")
        batch.intake.answer()
        for told in batch.after_commit:
            try:
                told()
            except Exception:  # of the caller's link: what is committed stays committed
                log.exception("acknowledging failed")
        if self._on_closed and batch.closed:
            self._on_closed({campaign_id for _, campaign_id in batch.closed.values()})

    async def _number_known(self) -> int:
        """Of this worker's last commit."""
        if self._number is None:
            queries = load("commit")
            last = await self._persist(lambda c: c.fetchval(queries["last_number"], self.worker_id))
            if last is None:
                raise LookupError(f"no worker {self.worker_id}")
            self._number = last
        return self._number

    async def _commit(
        self, number: int, batch: Batch, careful: bool, connection: Connection
    ) -> set[MessageKey]:
        return await commit(connection, self.worker_id, number, batch, self._early, careful=careful)

    async def sweep_orphans(self) -> None:
        """Orphans whose submission is in by now: see `orphans`. And what the receipts taught is stored."""
        async with self._one_at_a_time:
            await self._write()  # what an earlier call left that was cancelled in the middle
            await self._persist(self._matcher.refresh)
            found = await self._persist(self._orphans.load)
            if not found:
                return
            # No await from here to the swap: a repeat that comes later must see the verdict in the
            # recent ids, and one that came before must be committed before the orphan's message is reckoned.
            self._orphans.mark(found)
            self._swap()
            await self._write()
            matched, early = await self._persist(lambda c: self._orphans.match(c, self.worker_id, found))
            self._early |= early
            self._orphans.swept(len(found), matched, time.monotonic())

    # the database away --------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Receipts that cannot be committed in time go to the journal."""
        while True:
            await asyncio.sleep(_WATCH_S)
            committing = self._committing.intake.since if self._committing else float("inf")
            since = min(committing, self._batch.intake.since, self._held.since)
            limit_s = _UNANSWERED_AWAY_S if self.away else _UNANSWERED_S
            if time.monotonic() - since > max(limit_s, self._held.hold_s if not self.away else 0.0):
                self.spill()

    def spill(self) -> None:
        """Everything unanswered goes to the journal, and what comes from now on, until it is replayed.

        What stands in a commit that is tried still is replayed only if that commit never comes about.
        """
        outage = self._outage
        if outage is None or self._number is None:
            return
        if not outage.active:
            log.warning("receipts go to the journal", pending=self.pending)
        outage.active = True
        entries: list[Entry] = []
        answers: list[Answer] = []
        number = self._number
        for batch in (self._committing, self._batch):
            if batch is None:
                continue
            number += 1
            entries += [
                Entry(piece.account_id, piece.received_us, piece.receipts, self.worker_id, number)
                for piece in batch.intake.pieces
            ]
            answers += batch.intake.answers
            batch.intake.forget_pieces()
        held = self._held.take()
        outage.put(entries, answers, refuse=False)
        outage.put(
            [Entry(each.account_id, each.received_us, each.receipts) for each in held],
            [each.answer for each in held if each.answer is not None],
            refuse=True,
        )

    @property
    def _replays(self) -> bool:
        """Is there something to replay, and are the recent ids there to match it?"""
        return self._rebuilt and self._outage is not None and self._outage.active

    async def replay(self) -> None:
        """The journal's next receipts, into a commit that also says how far it is replayed."""
        if not self._replays:
            return
        outage = self._outage
        assert outage is not None
        async with self._one_at_a_time:
            await self._write()  # what an earlier call left that was cancelled in the middle
            last = await self._number_known()
            records = await outage.journal.take(REPLAY_ROWS)
            await self._ask_what_is_in(outage.journal, records)
            if outage.journal.drained:
                records += await self._last_records(outage)
            # No await from here to the swap: what is live comes after what is replayed.
            now = time.monotonic()
            for record in records:
                if not self._is_in(record, last):
                    entry = record.entry
                    self._take(entry.account_id, entry.receipts, entry.received_us, None, now)
            if records and outage.journal.journal_id is not None:
                self._batch.intake.journal = (outage.journal.journal_id, records[-1].number)
            if self._after_replay is not None:
                outage.active = False
                self._take_after_replay(now)
            self._swap()
            await self._write()
            if not outage.active and outage.journal.drained and outage.idle:
                outage.journal.discard()
                self._replayed_to = 0
                log.info("receipts are committed again")

    async def _last_records(self, outage: Outage) -> list[Record]:
        """What was being written to the journal when it seemed to be drained. What comes meanwhile waits in
        memory for these milliseconds, to come after it."""
        self._after_replay = []
        await outage.settled()
        records = await outage.journal.take(REPLAY_ROWS)
        if not outage.journal.drained or not outage.idle:  # more than one commit holds: not yet
            waiting, self._after_replay = self._after_replay, None
            for account_id, batch, received_us, answer in waiting:
                outage.put([Entry(account_id, received_us, batch)], [answer], refuse=True)
        return records

    def _take_after_replay(self, now: float) -> None:
        waiting, self._after_replay = self._after_replay or [], None
        for account_id, batch, received_us, answer in waiting:
            self._take(account_id, batch, received_us, answer, now)

    async def _ask_what_is_in(self, journal: Journal, records: list[Record]) -> None:
        """How far an earlier process replayed, and which commits of its came about."""
        queries = load("journal")
        if self._replayed_to is None:
            journal_id = journal.journal_id
            found = await self._persist(lambda c: c.fetchval(queries["replayed_to"], journal_id))
            self._replayed_to = found or 0
        named = {record.entry.worker_id for record in records if record.entry.commit}
        for worker_id in named - self._last_batches.keys() - {self.worker_id}:
            last = await self._persist(partial(_last_batch, worker_id=worker_id))
            self._last_batches[worker_id] = last

    def _is_in(self, record: Record, last: int) -> bool:
        """Is it in the ledger already, in a commit that comes before this one, or in this one?"""
        entry = record.entry
        if record.number <= (self._replayed_to or 0):
            return True
        if not entry.commit:
            return False
        if entry.worker_id == self.worker_id:
            return True  # this process tries that commit until it is in
        return entry.commit <= self._last_batches[entry.worker_id]

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


async def _last_batch(connection: Connection, worker_id: int) -> int:
    async with connection.transaction():
        return int(await connection.fetchval(load("journal")["last_batch"], worker_id) or 0)
