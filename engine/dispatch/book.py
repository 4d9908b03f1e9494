"""The claims of one account in memory: opened, their results booked, retried, given back. No I/O."""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from engine._fast.columns import DOUBT, STATUS_LOST, THROTTLED, ResultBatch
from engine._fast.tally import Tally
from engine.dispatch.campaign import CampaignRun
from engine.dispatch.claims import Claim, cut, rejected
from engine.dispatch.retry import Retry, RetryQueue, collect, outcomes
from engine.ledger.claims import BindKey, ClaimInfo
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


@dataclass(slots=True)
class Booked:
    """What a batch of results led to, for the pump."""

    sent: int = 0  # messages accepted whole
    classes: set[Class] = field(default_factory=set)  # of the responses that held a part up


class ClaimBook:
    """`on_idle(run)` is called when the last open claim of a campaign ends."""

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
        self.quiet = asyncio.Event()  # no claim is open
        self.quiet.set()
        self._account_id = account_id
        self._writer = writer
        self._budget = budget
        self._classify = classify
        self._on_idle = on_idle
        self._tally = Tally()
        self._handles = count(1)
        self._infos: dict[int, ClaimInfo] = {}  # of open claims, and of those a late response may name
        self._late: deque[tuple[float, int]] = deque()

    def next_handle(self) -> int:
        """The next claim's handle: int32, not in use."""
        while (handle := next(self._handles) & _HANDLES) in self._infos or not handle:
            pass
        return handle

    def open(self, claim: Claim) -> bool:
        """Follow a committed claim. False if none of its rows gave a PDU: then it is booked and closed
        already."""
        rows = claim.row_end - claim.row_start
        self._budget.unsettled += rows
        claim.open_rows = rows
        claim.stop = claim.batch.count
        if not self._tally.open(claim.handle, claim.batch):
            self._reject(claim, claim.row_end, closed=True)
            return False
        self.claims[claim.handle] = claim
        self._infos[claim.handle] = claim.info
        claim.slice.run.open_claims += 1
        self.quiet.clear()
        return True

    def results(self, bind_number: int, batch: ResultBatch, now: float) -> Booked:
        """Book the outcomes of parts; what goes again waits in `retries`."""
        outcome = outcomes(batch, self._classify)
        updates = self._tally.apply(batch, outcome)
        ended = [update.claim for update in updates if update.closed]
        for update in updates:
            update.closed = update.closed and not self.claims[update.claim].returning
        self._writer.results(BindKey(self._account_id, bind_number), batch, outcome, updates, self._infos)
        booked = Booked()
        if any(outcome):
            self._note(batch, outcome, now, booked)
        for update in updates:
            claim = self.claims[update.claim]
            self._settle(claim, update.sent + update.undelivered + update.failed + update.in_doubt)
            claim.slice.run.accepted.add(update.sent, now)
            booked.sent += update.sent
        for handle in ended:
            self._forget(self.claims[handle], now)
        return booked

    def written(self, claim: Claim) -> None:
        """Its last PDU went out: rows without a PDU are booked now, when they cannot be given back any
        more."""
        self._reject(claim, claim.row_end)

    def release(self, claim: Claim, now: float) -> int:
        """End a claim where its last begun message ends; returns the slice's first row that was not begun.

        Parts missing of that message go out by any bind. The caller gives the rows back in the ledger and
        calls `given_back` then: the claim is not closed before, or its rows would be lost between the two.
        """
        end = cut(claim)
        left = array("i", range(claim.written, end.stop))
        if left:
            self.retries.add(now, Retry(claim.handle, 0, left))
        claim.returning = claim.row_end - end.from_row
        claim.open_rows -= claim.returning  # they count against the bound until they are given back
        self._reject(claim, end.from_row)
        self._tally.release(claim.handle, end.from_row)
        claim.stop, claim.row_end = claim.written, end.from_row
        if not self._tally.open_rows(claim.handle):
            self._forget(claim, now)
        return end.from_row

    def given_back(self, claim: Claim) -> None:
        """The ledger has the rows that `release` left; where nothing was begun, that closed the claim."""
        self._budget.unsettled -= claim.returning
        claim.returning = 0
        if not claim.open_rows and claim.row_end > claim.row_start:
            self._writer.close_claims([claim.info])

    def abandon(self, now: float, now_us: int) -> None:
        """What waits for its next try gets none: in doubt, so that its claims end."""
        while (retry := self.retries.take(_HANDLES, float("inf"))) is not None:
            claim, count = self.claims[retry.claim], len(retry.indices)
            batch = claim.batch
            lost = ResultBatch(
                count=count,
                claim=array("i", [retry.claim]) * count,
                index=retry.indices,
                slice_id=array("q", [claim.info.slice_id]) * count,
                row=array("i", [batch.row[i] for i in retry.indices]),
                part=array("h", [batch.part[i] for i in retry.indices]),
                parts=array("h", [batch.parts[i] for i in retry.indices]),
                attempt=array("h", [retry.attempt]) * count,
                msisdn=array("q", [batch.msisdn[i] for i in retry.indices]),
                status=array("q", [STATUS_LOST]) * count,
                sent_us=array("q", [now_us]) * count,
                done_us=array("q", [now_us]) * count,
                late=array("b", bytes(count)),
                id_end=array("i", bytes(4 * count)),
            )
            self.results(0, lost, now)

    def _note(self, batch: ResultBatch, outcome: array[int], now: float, booked: Booked) -> None:
        if DOUBT in outcome:
            for handle in {claim for claim, code in zip(batch.claim, outcome, strict=True) if code == DOUBT}:
                if handle in self.claims:
                    self.claims[handle].doubted = True
        for delay_s, retry in collect(batch, outcome):
            assert retry.claim in self.claims, "a closed claim has nothing to send"
            self.retries.add(now + delay_s, retry)
        if THROTTLED in outcome:
            held = {s for s, code in zip(batch.status, outcome, strict=True) if code == THROTTLED}
            booked.classes = {self._classify(status) for status in held}

    def _reject(self, claim: Claim, below_row: int, *, closed: bool = False) -> None:
        rows, codes, numbers = rejected(claim, below_row)
        if rows:
            self._writer.rejected(claim.info, rows, codes, numbers, closed=closed)
            self._settle(claim, len(rows))
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
