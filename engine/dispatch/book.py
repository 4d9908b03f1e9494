"""The claims of one account in memory: opened, their results booked, retried, given back. No I/O."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from engine import faults
from engine._fast import masks, tally
from engine._fast.columns import DEFERRED, DOUBT, FAILED, THROTTLED, ResultBatch
from engine.dispatch.breaker import Breaker
from engine.dispatch.campaign import CampaignRun
from engine.dispatch.claims import Claim, cut, rejected
from engine.dispatch.retry import Delays, FullQueues, Retry, RetryQueue, collect, defer, outcomes
from engine.ledger.claims import BindKey, ClaimInfo
from engine.ledger.retries import Deferral
from engine.ledger.states import NOT_SENT
from engine.ledger.writer import LedgerWriter
from engine.smpp.status import Class

_LATE_S = 900.0  # how long a claim with a doubt is remembered, for late responses
_HANDLES = (1 << 31) - 1
_MOST_PENDING = 4  # times `max_claimed`: rows the ledger may be behind with, receipts too


class Budget:
    """Claimed rows without a committed result, over all accounts: at most `max_claimed`."""

    def __init__(self, max_claimed: int, writer: LedgerWriter) -> None:
        self.max_claimed = max_claimed
        self.unsettled = 0  # rows in claims that have no outcome yet
        self._writer = writer

    @property
    def room(self) -> int:
        """Rows that may be claimed now; outcomes that are not committed count as none. Receipts take no
        room, but a ledger that is far behind with them is fed nothing."""
        if self._writer.pending > _MOST_PENDING * self.max_claimed:
            return 0
        return self.max_claimed - self.unsettled - self._writer.pending_outcomes


@dataclass(frozen=True, slots=True)
class Tripped:
    """A breaker that says stop: of a campaign, or of a whole channel where `run` is None."""

    run: CampaignRun | None
    channel_id: int
    reason: str


@dataclass(slots=True)
class Booked:
    """What a batch of results led to, for the pump."""

    sent: int = 0  # messages accepted whole
    throttled: int = 0  # parts the SMSC sent back as too fast
    classes: set[Class] = field(default_factory=set)  # of the responses that held a part up


class ClaimBook:
    """`on_idle(run)` is called when the last open claim of a campaign ends, `on_tripped` when `tripped` has
    something for the feeder."""

    def __init__(
        self,
        account_id: int,
        writer: LedgerWriter,
        budget: Budget,
        classify: Callable[[int], Class],
        on_idle: Callable[[CampaignRun], None],
    ) -> None:
        self.claims: dict[int, Claim] = {}
        self.retries = RetryQueue()
        self.delays = Delays()
        self.maps: Mapping[int, Mapping[int, Class]] = {}  # by channel: classes over the built-in table's
        self.tripped: list[Tripped] = []
        self.on_tripped: Callable[[], None] = lambda: None
        self.quiet = asyncio.Event()  # no claim is open
        self.quiet.set()
        self._account_id = account_id
        self._writer = writer
        self._budget = budget
        self._classify = classify
        self._on_idle = on_idle
        self._tally = tally.Tally()
        self._full = FullQueues()
        self._breakers: dict[int, Breaker] = {}  # by channel
        self._handles = count(1)
        self._infos: dict[int, ClaimInfo] = {}  # of open claims, and of those a late response may name
        self._late: deque[tuple[float, int]] = deque()

    def next_handle(self) -> int:
        """The next claim's handle: int32, not in use."""
        while (handle := next(self._handles) & _HANDLES) in self._infos or not handle:
            pass
        return handle

    def open(self, claim: Claim) -> None:
        """Follow a committed claim, to be pushed to its bind. One without a PDU ends when its turn to be
        written comes: earlier claims of its slice are written before."""
        claim.open_rows = claim.awaited(claim.row_start)
        self._budget.unsettled += claim.open_rows
        claim.stop = claim.batch.count
        self._tally.open(claim.handle, claim.batch)
        self.claims[claim.handle] = claim
        self._infos[claim.handle] = claim.info
        claim.slice.run.open_claims += 1
        self.quiet.clear()

    def results(self, bind_number: int, batch: ResultBatch, now: float) -> Booked:
        """Book the outcomes of parts; what goes again waits in `retries`, or for a retry slice."""
        faults.point("after_response")
        self._full.see(batch, self)
        outcome = outcomes(batch, self)
        self._watch(batch, outcome)
        deferrals = []
        if DEFERRED in outcome.tobytes():
            deferrals = [
                self._deferral(retry.claim, retry, tries, delay_s, over_next=over_next)
                for delay_s, tries, retry, over_next in defer(batch, outcome, self)
            ]
        return self._book(bind_number, batch, outcome, deferrals, now)

    def written(self, claim: Claim) -> None:
        """Its last PDU went out: rows without a PDU are booked now, when they cannot be given back any
        more."""
        ended = not self._tally.open_rows(claim.handle)
        self._reject(claim, claim.row_end, closed=ended)
        if ended:
            self._forget(claim, 0.0)

    def release(self, claim: Claim, now: float) -> int:
        """End a claim where its last begun message ends; returns the slice's first row that was not begun.

        Parts missing of that message go out by any bind. The caller gives the rows back in the ledger and
        calls `given_back` then: the claim is not closed before, or its rows would be lost between the two.
        """
        end = cut(claim)
        left = array("i", range(claim.written, end.stop))
        if left:
            self.retries.add(now, Retry(claim.handle, claim.info.attempt, left))
        claim.returning = claim.awaited(end.from_row)
        claim.open_rows -= claim.returning  # they count against the bound until they are given back
        self._reject(claim, end.from_row)
        self._tally.release(claim.handle, end.from_row)
        claim.stop, claim.row_end = claim.written, end.from_row
        if not self._tally.open_rows(claim.handle):
            if not claim.returning and not claim.open_rows:
                self._writer.close_claims([claim.info])  # what is left of it has its result
            self._forget(claim, now)
        return end.from_row

    def given_back(self, claim: Claim) -> None:
        """The ledger has the rows that `release` left; where nothing was begun, that closed the claim."""
        self._budget.unsettled -= claim.returning
        claim.returning = 0
        if not claim.open_rows and claim.row_end > claim.row_start:
            self._writer.close_claims([claim.info])

    def abandon(self, now: float, now_us: int, claims: set[int] | None = None) -> None:
        """What waits for its next try in these claims (None: in all) goes into retry slices, so that the
        claims end: it is not in doubt, as no try of it is out."""
        for retry in self.retries.remove(set(self.claims) if claims is None else claims):
            claim, count = self.claims[retry.claim], len(retry.indices)
            batch = claim.outgoing
            unsent = ResultBatch(
                count=count,
                claim=array("i", [retry.claim]) * count,
                index=retry.indices,
                slice_id=array("q", [claim.info.message_slice]) * count,
                row=array("i", [batch.row[i] for i in retry.indices]),
                part=array("h", [batch.part[i] for i in retry.indices]),
                parts=array("h", [batch.parts[i] for i in retry.indices]),
                attempt=array("h", [retry.attempt]) * count,
                msisdn=array("q", [batch.msisdn[i] for i in retry.indices]),
                status=array("q", [NOT_SENT]) * count,
                sent_us=array("q", [now_us]) * count,
                done_us=array("q", [now_us]) * count,
                late=array("b", bytes(count)),
                id_end=array("i", bytes(4 * count)),
            )
            tries = self.tries(retry.claim, retry.attempt)
            following = Retry(retry.claim, retry.attempt + 1, retry.indices)
            deferral = self._deferral(retry.claim, following, tries, 0.0)
            self._book(0, unsent, array("b", [DEFERRED]) * count, [deferral], now)

    async def flush(self) -> None:
        """Everything booked so far is in the ledger when this returns."""
        await self._writer.flush()

    # what a response means (`retry.Judge`) ------------------------------------------------------------------

    def classify(self, claim: int, status: int) -> Class:
        mapped = self.maps.get(self._infos[claim].channel_id)
        if mapped is not None and status in mapped:
            return mapped[status]
        return self._classify(status)

    def tries(self, claim: int, attempt: int) -> int:
        found = self.claims.get(claim)
        again = found.slice.again if found else None
        return attempt - (again.attempt - again.tries) if again else attempt

    def has_next(self, claim: int) -> bool:
        """Not where an earlier attempt is in doubt: it may be with this claim's operator."""
        found = self.claims.get(claim)
        return found is not None and not found.info.resend and found.slice.run.next_channel > 0

    def crowded(self) -> bool:
        return self._full.crowded

    # booking ------------------------------------------------------------------------------------------------

    def _book(
        self, bind_number: int, batch: ResultBatch, outcome: array[int], deferrals: list[Deferral], now: float
    ) -> Booked:
        updates = self._tally.apply(batch, outcome)
        ended = [update.claim for update in updates if update.closed]
        for update in updates:
            update.closed = update.closed and not self.claims[update.claim].returning
        key = BindKey(self._account_id, bind_number)
        self._writer.results(key, batch, outcome, updates, self._infos, deferrals)
        booked = Booked()
        if masks.any_set(outcome):
            self._note(batch, outcome, now, booked)
        for update in updates:
            claim = self.claims[update.claim]
            rows = update.sent + update.undelivered + update.failed + update.in_doubt + update.deferred
            self._settle(claim, rows)
            claim.slice.run.accepted.add(update.sent, now)
            booked.sent += update.sent
        for handle in ended:
            self._forget(self.claims[handle], now)
        return booked

    def _deferral(
        self, handle: int, retry: Retry, tries: int, delay_s: float, *, over_next: bool = False
    ) -> Deferral:
        claim = self.claims[handle]
        batch, again = claim.outgoing, claim.slice.again
        return Deferral(
            claim.info,
            retry.attempt,
            tries,
            delay_s,
            claim.slice.run.next_channel if over_next else claim.info.channel_id,
            (again.fallback_level if again else 0) + over_next,
            array("i", [batch.row[i] for i in retry.indices]),
            array("h", [batch.part[i] for i in retry.indices]),
        )

    def _watch(self, batch: ResultBatch, outcome: array[int]) -> None:
        """Feed the breakers."""
        if not masks.any_set(outcome):
            for handle, passed in masks.counts(batch.claim, b"\1" * batch.count).items():
                claim = self.claims.get(handle)
                if claim is not None:
                    claim.slice.run.breaker.passed(passed)
                    self._breaker(claim.info.channel_id).passed(passed)
            return
        for i, code in enumerate(outcome):
            claim = self.claims.get(batch.claim[i])
            if claim is None or code == THROTTLED or batch.late[i]:
                continue
            run, channel = claim.slice.run, self._breaker(claim.info.channel_id)
            status, channel_id = batch.status[i], claim.info.channel_id
            refused = code == DEFERRED and self.classify(claim.handle, status) is Class.CHANNEL
            if refused:  # the campaign goes on over its next channel; this one may be at fault
                run.breaker.passed(1)
                self._trip(None, channel_id, channel.failed(status, run.campaign_id))
                continue
            if code != FAILED:
                run.breaker.passed(1)
                channel.passed(1)
                continue
            self._trip(run, channel_id, run.breaker.failed(status, run.campaign_id))
            self._trip(None, channel_id, channel.failed(status, run.campaign_id))

    def _breaker(self, channel_id: int) -> Breaker:
        found = self._breakers.get(channel_id)
        if found is None:
            found = self._breakers[channel_id] = Breaker(campaigns_needed=2)
        return found

    def _trip(self, run: CampaignRun | None, channel_id: int, reason: str) -> None:
        if not reason:
            return
        (run.breaker if run else self._breakers[channel_id]).reset()
        self.tripped.append(Tripped(run, channel_id, reason))
        self.on_tripped()

    def _note(self, batch: ResultBatch, outcome: array[int], now: float, booked: Booked) -> None:
        if DOUBT in outcome:
            for handle in {claim for claim, code in zip(batch.claim, outcome, strict=True) if code == DOUBT}:
                if handle in self.claims:
                    self.claims[handle].doubted = True
        for delay_s, retry in collect(batch, outcome, self):
            assert retry.claim in self.claims, "a closed claim has nothing to send"
            self.retries.add(now + delay_s, retry)
        if THROTTLED in outcome:
            held = Counter(
                (claim, status)
                for claim, status, code in zip(batch.claim, batch.status, outcome, strict=True)
                if code == THROTTLED
            )
            for (handle, status), parts in held.items():
                kind = self.classify(handle, status)
                kind = Class.THROTTLE if kind is Class.QUEUE_FULL else kind
                booked.classes.add(kind)
                booked.throttled += parts if kind is Class.THROTTLE else 0

    def _reject(self, claim: Claim, below_row: int, *, closed: bool = False) -> None:
        found = rejected(claim, below_row)
        if found.rows:
            self._writer.rejected(
                claim.info, found.rows, found.codes, found.msisdn, parts=found.parts, closed=closed
            )
            self._settle(claim, len(found.rows))
        elif closed:
            self._writer.close_claims([claim.info])

    def _settle(self, claim: Claim, rows: int) -> None:
        claim.open_rows -= rows
        self._budget.unsettled -= rows
        assert claim.open_rows >= 0, "more outcomes than rows"

    def _forget(self, claim: Claim, now: float) -> None:
        assert claim.open_rows == 0, "a claim ends with all its rows"
        del self.claims[claim.handle]
        while self._late and self._late[0][0] < now:
            self._infos.pop(self._late.popleft()[1], None)
        if claim.doubted:
            self._late.append((now + _LATE_S, claim.handle))
        else:
            del self._infos[claim.handle]
        run = claim.slice.run
        run.open_claims -= 1
        if not self.claims:
            self.quiet.set()
        if not run.open_claims:
            self._on_idle(run)
