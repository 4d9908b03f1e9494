"""Which outcome a response is, and when what goes again."""

from array import array
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.columns import ACCEPTED, DEFERRED, DOUBT, FAILED, RETRY, THROTTLED, ResultBatch
from engine.dispatch.retry import (
    FIRST_DELAY_S,
    QUEUE_FULL_TRIES,
    THROTTLE_PAUSE_S,
    Delays,
    FullQueues,
    Retry,
    RetryQueue,
    collect,
    defer,
    outcomes,
)
from engine.smpp.status import Class, classify


@dataclass
class Judge:
    """The built-in table, and every try counted from the first."""

    delays: Delays = field(default_factory=Delays)
    full: bool = False
    further: bool = False  # a channel after this one

    def classify(self, claim: int, status: int) -> Class:
        return classify(status)

    def tries(self, claim: int, attempt: int) -> int:
        return attempt

    def has_next(self, claim: int) -> bool:
        return self.further

    def crowded(self) -> bool:
        return self.full


def results(*statuses: int, attempt: int = 0, claim: int = 1, late: int = 0, parts: int = 1) -> ResultBatch:
    count = len(statuses)
    return ResultBatch(
        count=count,
        claim=array("i", [claim]) * count,
        index=array("i", range(count)),
        attempt=array("h", [attempt]) * count,
        parts=array("h", [parts]) * count,
        msisdn=array("q", range(count)),
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
        (0x14, DEFERRED),
        (0x45, RETRY),
        (0x04, THROTTLED),
        (0x400, FAILED),
        (0xFFFFFFFF, FAILED),
        (-1, DOUBT),
        (-2, DOUBT),
    ],
)
def test_a_status_has_its_outcome(status: int, outcome: int) -> None:
    assert list(outcomes(results(0, status, 0), Judge())) == [ACCEPTED, outcome, ACCEPTED]


def test_a_temporary_error_has_three_tries_the_last_one_from_a_retry_slice() -> None:
    codes = [outcomes(results(0x08, attempt=attempt), Judge())[0] for attempt in range(3)]
    assert codes == [RETRY, DEFERRED, FAILED]


def test_a_short_second_wait_stays_in_the_claim() -> None:
    assert outcomes(results(0x08, attempt=1), Judge(Delays(temporary_s=5.0)))[0] == RETRY


def test_a_full_queue_has_its_tries_and_is_a_throttle_where_many_are_full() -> None:
    last = QUEUE_FULL_TRIES - 1
    assert outcomes(results(0x14, attempt=last - 1), Judge())[0] == DEFERRED
    assert outcomes(results(0x14, attempt=last), Judge())[0] == FAILED
    assert outcomes(results(0x14, attempt=last), Judge(full=True))[0] == THROTTLED


@pytest.mark.parametrize(
    ("full", "of", "destinations", "crowded"),
    [
        (41, 200, 41, True),
        (40, 200, 40, False),
        (41, 200, 9, False),
        (41, 200, 10, True),
        (41, 241, 41, False),
    ],
)
def test_over_a_fifth_of_the_last_200_at_ten_destinations_is_crowded(
    full: int, of: int, destinations: int, crowded: bool
) -> None:
    queues = FullQueues()
    first = results(*[0x14] * full)
    first.msisdn = array("q", [i % destinations for i in range(full)])
    queues.see(first, Judge())
    queues.see(results(*[0] * (of - full)), Judge())
    assert queues.crowded is crowded


def test_retries_in_the_claim_count_the_attempt() -> None:
    batch = results(0, 0x08, 0x08)
    [(delay_s, retry)] = collect(batch, outcomes(batch, Judge()), Judge())
    assert (delay_s, retry.attempt, list(retry.indices)) == (FIRST_DELAY_S, 1, [1, 2])


def test_deferred_parts_say_when_and_how_often_they_were_tried() -> None:
    batch = results(0, 0x08, 0x14, attempt=1)
    found = {tuple(retry.indices): (delay_s, tries, retry.attempt) for delay_s, tries, retry, _ in
             defer(batch, outcomes(batch, Judge()), Judge())}  # fmt: skip
    assert found[1,] == (30.0, 2, 2)
    assert 300 <= found[2,][0] <= 900
    assert found[2,][1:] == (2, 2)


def test_what_a_channel_refuses_goes_over_the_next_one_at_once_and_fails_where_there_is_none() -> None:
    batch = results(0x0A, 0x01, attempt=1)
    assert list(outcomes(batch, Judge())) == [FAILED, FAILED]
    judge = Judge(further=True)
    assert list(outcomes(batch, judge)) == [DEFERRED, FAILED]
    assert list(outcomes(results(0x0A, parts=2), judge)) == [FAILED]
    [(delay_s, tries, retry, over_next)] = defer(batch, outcomes(batch, judge), judge)
    assert (delay_s, tries, retry.attempt, over_next) == (0.0, 0, 2, True)


def test_a_throttled_part_keeps_its_attempt() -> None:
    batch = results(0x58, attempt=2)
    [(delay_s, retry)] = collect(batch, outcomes(batch, Judge()), Judge())
    assert (delay_s, retry.attempt) == (THROTTLE_PAUSE_S, 2)


def test_late_results_are_not_sent_again() -> None:
    batch = results(0x58, 0x08, 0x14, late=1)
    outcome = outcomes(batch, Judge())
    assert list(collect(batch, outcome, Judge())) == list(defer(batch, outcome, Judge())) == []


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
