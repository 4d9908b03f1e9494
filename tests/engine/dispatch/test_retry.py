"""Which outcome a response is, and when what goes again."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.columns import ACCEPTED, DOUBT, FAILED, RETRY, THROTTLED, ResultBatch
from engine.dispatch.retry import DELAYS_S, THROTTLE_PAUSE_S, Retry, RetryQueue, collect, outcomes
from engine.smpp.status import classify


def results(*statuses: int, attempt: int = 0, claim: int = 1, late: int = 0) -> ResultBatch:
    count = len(statuses)
    return ResultBatch(
        count=count,
        claim=array("i", [claim]) * count,
        index=array("i", range(count)),
        attempt=array("h", [attempt]) * count,
        status=array("q", statuses),
        late=array("b", [late]) * count,
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0, ACCEPTED),
        (0x0B, FAILED),
        (0x58, THROTTLED),
        (0x08, RETRY),
        (0x14, RETRY),
        (0x45, RETRY),
        (0x04, THROTTLED),
        (0x400, FAILED),
        (0xFFFFFFFF, FAILED),
        (-1, DOUBT),
        (-2, DOUBT),
    ],
)
def test_a_status_has_its_outcome(status: int, outcome: int) -> None:
    assert list(outcomes(results(0, status, 0), classify)) == [ACCEPTED, outcome, ACCEPTED]


def test_a_temporary_error_fails_after_three_more_tries() -> None:
    codes = [outcomes(results(0x08, attempt=attempt), classify)[0] for attempt in range(4)]
    assert codes == [RETRY, RETRY, RETRY, FAILED]


@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_retries_wait_longer_each_time_and_count_the_attempt(attempt: int) -> None:
    batch = results(0, 0x08, 0x08, attempt=attempt)
    [(delay_s, retry)] = collect(batch, outcomes(batch, classify))
    assert (delay_s, retry.attempt, list(retry.indices)) == (DELAYS_S[attempt], attempt + 1, [1, 2])


def test_a_throttled_part_keeps_its_attempt() -> None:
    batch = results(0x58, attempt=2)
    [(delay_s, retry)] = collect(batch, outcomes(batch, classify))
    assert (delay_s, retry.attempt) == (THROTTLE_PAUSE_S, 2)


def test_late_results_are_not_sent_again() -> None:
    batch = results(0x58, 0x08, late=1)
    assert list(collect(batch, outcomes(batch, classify))) == []


@given(
    added=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 9)), min_size=1, max_size=20),
    most=st.integers(1, 5),
)
def test_the_queue_gives_every_part_once_and_none_early(added: list[tuple[float, int]], most: int) -> None:
    queue = RetryQueue()
    for claim, (due, parts) in enumerate(added):
        queue.add(due, Retry(claim, 0, array("i", range(parts))))
    due_of = {claim: due for claim, (due, _) in enumerate(added)}
    taken: list[tuple[int, int]] = []
    for now in range(102):
        while (retry := queue.take(most, float(now))) is not None:
            assert due_of[retry.claim] <= now
            assert 1 <= len(retry.indices) <= most
            taken += [(retry.claim, index) for index in retry.indices]
    assert sorted(taken) == [(claim, i) for claim, (_, parts) in enumerate(added) for i in range(parts)]
    assert queue.parts == len(queue) == 0
    assert queue.next_at() is None
