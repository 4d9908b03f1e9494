"""One bind at work: a queue of claims, and a pump that writes what window and pace allow. No I/O of its
own."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from typing import Protocol

from engine import faults
from engine._fast import pdu
from engine._fast.columns import EncodedBatch
from engine.channels.interface import Bind
from engine.dispatch.campaign import CampaignRun
from engine.dispatch.claims import Claim
from engine.dispatch.pacer import Pacer
from engine.dispatch.planner import EXPRESS
from engine.dispatch.retry import Retry, RetryQueue

RATE_EVERY_S = 0.05
OVERDUE_S = 5.0  # beyond its time a retry goes before express: that may fill the link for hours


class Fence(Protocol):
    """Who may write, until when: `deadline` in monotonic seconds."""

    deadline: float


class Shared(Protocol):
    """What the binds of an account share."""

    pacer: Pacer
    retries: RetryQueue
    fence: Fence
    claims: dict[int, Claim]


class Sender:
    """Feeds one bind. `on_written` is called with each claim whose last PDU was written."""

    def __init__(
        self, bind: Bind, window_size: int, shared: Shared, on_written: Callable[[Claim], None]
    ) -> None:
        self.bind = bind
        self.window_size = window_size
        self.paused_until = float("-inf")
        self.queue: deque[Claim] = deque()
        self.unwritten = 0  # PDUs in the queue
        self.express = 0  # of them of express claims
        self.stopping = False
        self.drained = False  # takes no new claims; what it has goes out
        self._shared = shared
        self._on_written = on_written
        self._target = 2 * window_size
        self._written = 0
        self._more_parts = 0  # written, beyond one a PDU, and not taken of the pacer yet
        self._measured_at = 0.0
        self._per_s = 0.0

    @property
    def ready(self) -> bool:
        return self.bind.submits and self.bind.bound and not self.stopping

    @property
    def takes(self) -> bool:
        """New claims."""
        return self.ready and not self.drained

    def push(self, claim: Claim) -> None:
        """An express claim goes before bulk ones, also before the rest of one that was begun."""
        at = len(self.queue)
        if _is_express(claim):
            while at and not _is_express(self.queue[at - 1]):
                at -= 1
            self.express += claim.unwritten
        self.queue.insert(at, claim)
        self.unwritten += claim.unwritten

    @property
    def low(self) -> bool:
        """Less is left to write than was aimed at: time for the next claim."""
        return 2 * self.unwritten <= self._target

    @property
    def low_on_express(self) -> bool:
        """The same of express rows, however much bulk is left."""
        return 2 * self.express <= self._target

    def wanted(self, now: float, ahead_s: float, most: int) -> int:
        """Rows to claim now, so that the bind does not wait for the commit: what it writes in `ahead_s`, at
        least twice its window, at most `most`. 0 while half of that is there."""
        if not self.takes:
            return 0
        self._measure(now)
        self._target = min(max(2 * self.window_size, int(self._per_s * ahead_s)), most)
        return self._target - self.unwritten if self.low else 0

    def wanted_express(self, ahead_s: float, most: int) -> int:
        """The same of express rows: bulk that waits here keeps none of them waiting for its claim."""
        if not self.takes or most < 1:
            return 0
        target = min(max(2 * self.window_size, int(self._per_s * ahead_s)), most)
        return target - self.express if 2 * self.express <= target else 0

    def pump(self, now: float) -> int:
        """Write as many PDUs as window, pace and fence allow: express claims first, but for retries that are
        overdue, then due retries, then bulk claims in order. Returns how many."""
        shared, bind = self._shared, self.bind
        if now < self.paused_until or now >= shared.fence.deadline or not (self.ready and bind.writable):
            return 0
        budget = min(bind.free, shared.pacer.tokens(now))
        if self.express:
            express = min(self.express, shared.pacer.tokens(now, express=True))
            budget = max(budget, min(bind.free, express))
        written = 0
        while written < budget:
            retry = shared.retries.take(budget - written, now - OVERDUE_S if self.express else now)
            if retry is not None:
                written += self._resend(retry)
            elif self.queue:
                written += self._write(self.queue[0], budget - written)
            else:
                break
        if written:
            shared.pacer.take(written + self._more_parts, now, written)
            self._more_parts = 0
            self._written += written
        return written

    def drop(self, run: CampaignRun | None = None) -> list[Claim]:
        """Take the claims of a campaign (or all) out of the queue."""
        dropped = [claim for claim in self.queue if run is None or claim.slice.run is run]
        self.queue = deque(claim for claim in self.queue if claim not in dropped)
        self.unwritten -= sum(claim.unwritten for claim in dropped)
        self.express -= sum(claim.unwritten for claim in dropped if _is_express(claim))
        return dropped

    def encode(self, make: Callable[[int], EncodedBatch]) -> EncodedBatch:
        """A batch with sequence numbers of this bind. One run without interruption: the numbers stay
        together."""
        batch = make(self.bind.reserve_sequences(1))
        if batch.count > 1:
            self.bind.reserve_sequences(batch.count - 1)
        return batch

    def _write(self, claim: Claim, most: int) -> int:
        stop = min(claim.written + most, claim.stop)
        count = stop - claim.written
        if count:
            info = claim.info
            self.bind.submit(
                claim.outgoing, claim.written, stop, info.message_slice, info.attempt, claim.handle
            )
            self._count_parts(claim.outgoing, claim.written, stop)
            faults.point("after_write")
        claim.written = stop
        self.unwritten -= count
        if _is_express(claim):
            self.express -= count
        if stop == claim.stop:
            self.queue.popleft()
            self._on_written(claim)
        return count

    def _resend(self, retry: Retry) -> int:
        claim = self._shared.claims[retry.claim]
        indices: array[int] = retry.indices
        batch = self.encode(lambda first: pdu.take(claim.outgoing, indices, first))
        self.bind.submit(
            batch, 0, batch.count, claim.info.message_slice, retry.attempt, claim.handle, indices
        )
        self._count_parts(batch, 0, batch.count)
        faults.point("after_write")
        return batch.count

    def _count_parts(self, batch: EncodedBatch, start: int, stop: int) -> None:
        """The TPS is in parts: one PDU with a message_payload may stand for several."""
        if batch.billed is not None:
            self._more_parts += sum(batch.billed[start:stop]) - (stop - start)

    def _measure(self, now: float) -> None:
        passed = now - self._measured_at
        if passed >= RATE_EVERY_S:
            self._per_s = max(self._written / passed, self._per_s / 2)
            self._written, self._measured_at = 0, now


def _is_express(claim: Claim) -> bool:
    return claim.slice.run.lane == EXPRESS
