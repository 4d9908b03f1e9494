"""Short retries, inside the claim: parts that wait for their next try, by the time they are due."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from engine._fast.columns import ACCEPTED, DOUBT, FAILED, RETRY, THROTTLED, ResultBatch
from engine.smpp.status import Class

DELAYS_S = (1.0, 2.0, 4.0)  # a temporary error is tried again this often, then it is FAILED
THROTTLE_PAUSE_S = 1.0

_OUTCOME = {
    Class.OK: ACCEPTED,
    Class.THROTTLE: THROTTLED,
    Class.SESSION: THROTTLED,  # the attempt is not counted either
    Class.PERMANENT: FAILED,
}


def outcomes(batch: ResultBatch, classify: Callable[[int], Class]) -> array[int]:
    """One outcome code ('b') for each result. An error that more tries may cure is FAILED once they are used
    up.

    Statuses below zero (no response, connection lost) are DOUBT: nobody knows whether the message goes out.
    """
    outcome = array("b", bytes(batch.count))
    if not any(batch.status):
        return outcome
    known: dict[int, int] = {0: ACCEPTED}
    for i, status in enumerate(batch.status):
        code = known.get(status)
        if code is None:
            code = DOUBT if status < 0 else _OUTCOME.get(classify(status), RETRY)
            known[status] = code
        if code == RETRY and batch.attempt[i] >= len(DELAYS_S):
            code = FAILED
        outcome[i] = code
    return outcome


@dataclass(slots=True)
class Retry:
    """PDUs of one claim for one further try: `indices` ('i') into the claim's EncodedBatch."""

    claim: int
    attempt: int
    indices: array[int] = field(default_factory=lambda: array("i"))


def collect(batch: ResultBatch, outcome: array[int]) -> Iterator[tuple[float, Retry]]:
    """(delay in seconds, Retry) for the parts of a batch that go again, one for each claim, attempt and
    delay.

    A throttled part keeps its attempt, a retried one gets the next. A late result says nothing here: that
    part was reported as in doubt, and stays with whoever resolves the doubt.
    """
    groups: dict[tuple[int, int, float], Retry] = {}
    for i, code in enumerate(outcome):
        if code not in (RETRY, THROTTLED) or batch.late[i]:
            continue
        attempt = batch.attempt[i]
        delay_s = THROTTLE_PAUSE_S
        if code == RETRY:
            delay_s = DELAYS_S[attempt]
            attempt += 1
        group = groups.setdefault((batch.claim[i], attempt, delay_s), Retry(batch.claim[i], attempt))
        group.indices.append(batch.index[i])
    for (_, _, delay_s), group in groups.items():
        yield delay_s, group


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
