"""What becomes of a response, and the short retries inside the claim: parts that wait for their next try, by
the time they are due. What waits longer leaves the claim for a retry slice."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from random import uniform
from typing import Protocol

from engine._fast import masks
from engine._fast.columns import ACCEPTED, DEFERRED, DOUBT, FAILED, RETRY, THROTTLED, ResultBatch
from engine.smpp.status import Class

IN_CLAIM_S = 5.0  # a part that waits longer for its next try goes into a retry slice
FIRST_DELAY_S = 2.0
TEMPORARY_TRIES = 3
QUEUE_FULL_TRIES = 8
THROTTLE_PAUSE_S = 1.0

FULL_WINDOW = 200  # responses
FULL_SHARE = 0.2
FULL_DESTINATIONS = 10

_OUTCOME = {
    Class.OK: ACCEPTED,
    Class.THROTTLE: THROTTLED,
    Class.SESSION: THROTTLED,  # the attempt is not counted either
    Class.PERMANENT: FAILED,
}


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds until the next try: after the second temporary error, and (one to three times) where the queue
    is full."""

    temporary_s: float = 30.0
    queue_full_s: float = 300.0

    def after(self, tries: int) -> float:
        """After `tries` + 1 temporary errors."""
        return FIRST_DELAY_S if tries == 0 else self.temporary_s


class Judge(Protocol):
    """What a response means where it came."""

    delays: Delays

    def classify(self, claim: int, status: int) -> Class:
        """By the map of the claim's channel."""

    def tries(self, claim: int, attempt: int) -> int:
        """Tries of a part that were used up before this attempt."""

    def has_next(self, claim: int) -> bool:
        """Whether the claim's rows may go over a further channel of their leg."""

    def crowded(self) -> bool:
        """Whether full queues are the SMSC's and no longer single subscribers'."""


class FullQueues:
    """The account's last 200 responses: over 20 % "queue full", to 10 destinations at least, is a throttle in
    disguise; less is single subscribers' full boxes."""

    def __init__(self) -> None:
        self._seen = 0
        self._full: deque[tuple[int, int]] = deque()  # position, destination

    def see(self, batch: ResultBatch, judge: Judge) -> None:
        if masks.any_set(batch.status):
            for i, status in enumerate(batch.status):
                if status > 0 and judge.classify(batch.claim[i], status) is Class.QUEUE_FULL:
                    self._full.append((self._seen + i, batch.msisdn[i]))
        self._seen += batch.count
        while self._full and self._full[0][0] < self._seen - FULL_WINDOW:
            self._full.popleft()

    @property
    def crowded(self) -> bool:
        if len(self._full) <= FULL_SHARE * FULL_WINDOW:
            return False
        return len({destination for _, destination in self._full}) >= FULL_DESTINATIONS


def outcomes(batch: ResultBatch, judge: Judge) -> array[int]:
    """One outcome code ('b') for each result. An error that more tries may cure is FAILED once they are used
    up; DEFERRED where the next try is so late that a retry slice takes it.

    Statuses below zero (no response, connection lost) are DOUBT: nobody knows whether the message goes out.
    """
    outcome = array("b", bytes(batch.count))
    if not masks.any_set(batch.status):
        return outcome
    for i, status in enumerate(batch.status):
        if status:
            outcome[i] = DOUBT if status < 0 else _outcome(batch, i, judge)
    return outcome


def _outcome(batch: ResultBatch, i: int, judge: Judge) -> int:
    claim = batch.claim[i]
    kind = judge.classify(claim, batch.status[i])
    known = _OUTCOME.get(kind)
    if known is not None:
        return known
    if kind is Class.CHANNEL:
        # of a message of several parts another may be with this operator
        return DEFERRED if batch.parts[i] == 1 and judge.has_next(claim) else FAILED
    tries = judge.tries(claim, batch.attempt[i])
    if kind is Class.QUEUE_FULL:
        if judge.crowded():
            return THROTTLED
        return FAILED if tries + 1 >= QUEUE_FULL_TRIES else DEFERRED
    if tries + 1 >= TEMPORARY_TRIES:
        return FAILED
    return RETRY if judge.delays.after(tries) <= IN_CLAIM_S else DEFERRED


@dataclass(slots=True)
class Retry:
    """PDUs of one claim for one further try: `indices` ('i') into the claim's EncodedBatch."""

    claim: int
    attempt: int
    indices: array[int] = field(default_factory=lambda: array("i"))


def collect(batch: ResultBatch, outcome: array[int], judge: Judge) -> Iterator[tuple[float, Retry]]:
    """(delay in seconds, Retry) for the parts of a batch that go again in their claim, one for each claim,
    attempt and delay.

    A throttled part keeps its attempt, a retried one gets the next. A late result says nothing here: that
    part was reported as in doubt, and stays with whoever resolves the doubt.
    """
    groups: dict[tuple[int, int, float], Retry] = {}
    for i, code in enumerate(outcome):
        if code not in (RETRY, THROTTLED) or batch.late[i]:
            continue
        claim, attempt = batch.claim[i], batch.attempt[i]
        delay_s = THROTTLE_PAUSE_S
        if code == RETRY:
            delay_s = judge.delays.after(judge.tries(claim, attempt))
            attempt += 1
        groups.setdefault((claim, attempt, delay_s), Retry(claim, attempt)).indices.append(batch.index[i])
    for (_, _, delay_s), group in groups.items():
        yield delay_s, group


def defer(batch: ResultBatch, outcome: array[int], judge: Judge) -> Iterator[tuple[float, int, Retry, bool]]:
    """(delay in seconds, tries used up, Retry, whether over the next channel) for the parts that go on in a
    retry slice, with their next attempt."""
    groups: dict[tuple[int, int, Class], Retry] = {}
    for i, code in enumerate(outcome):
        if code != DEFERRED or batch.late[i]:
            continue
        claim, attempt = batch.claim[i], batch.attempt[i] + 1
        kind = judge.classify(claim, batch.status[i])
        groups.setdefault((claim, attempt, kind), Retry(claim, attempt)).indices.append(batch.index[i])
    for (claim, attempt, kind), group in groups.items():
        if kind is Class.CHANNEL:
            yield 0.0, 0, group, True
            continue
        tries = judge.tries(claim, attempt)
        delay_s = judge.delays.after(tries - 1)
        if kind is Class.QUEUE_FULL:
            delay_s = judge.delays.queue_full_s * uniform(1.0, 3.0)
        yield delay_s, tries, group, False


class RetryQueue:
    """Retries of one account by due time; any of its binds may take them."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Retry]] = []
        self._order = count()
        self.parts = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due: float, retry: Retry) -> None:
        assert retry.indices, "an empty retry"
        heappush(self._heap, (due, next(self._order), retry))
        self.parts += len(retry.indices)

    def next_at(self) -> float | None:
        """When the first is due, monotonic seconds."""
        return self._heap[0][0] if self._heap else None

    def take(self, most: int, now: float) -> Retry | None:
        """At most `most` parts that are due, of one claim and attempt; what is left of them stays first."""
        if not self._heap or most < 1 or self._heap[0][0] > now:
            return None
        due, order, retry = heappop(self._heap)
        if len(retry.indices) > most:
            heappush(self._heap, (due, order, Retry(retry.claim, retry.attempt, retry.indices[most:])))
            retry.indices = retry.indices[:most]
        self.parts -= len(retry.indices)
        return retry

    def remove(self, claims: set[int]) -> list[Retry]:
        """Take out all that waits of these claims."""
        removed = [retry for _, _, retry in self._heap if retry.claim in claims]
        self._heap = [entry for entry in self._heap if entry[2].claim not in claims]
        heapify(self._heap)
        self.parts -= sum(len(retry.indices) for retry in removed)
        return removed
