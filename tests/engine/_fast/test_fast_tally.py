"""Messages' outcomes from their parts'; the C code equal to its twin."""

import importlib
from array import array
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._fast.columns import (
    ACCEPTED,
    DEFERRED,
    DOUBT,
    FAILED,
    RETRY,
    THROTTLED,
    ClaimUpdate,
    EncodedBatch,
    ResultBatch,
)
from engine._fast.pure import tally as pure

fast = importlib.import_module("engine._fast.tally")
both = pytest.mark.parametrize("tally", [fast.Tally, pure.Tally], ids=["c", "twin"])


def batch_of(rows: list[int]) -> EncodedBatch:
    return EncodedBatch(row=array("i", rows), count=len(rows))


def results_of(results: list[tuple[int, int, int]], late: int = 0) -> tuple[ResultBatch, array]:
    """(claim, index, outcome) as a batch and its outcomes."""
    batch = ResultBatch(
        count=len(results),
        claim=array("i", [r[0] for r in results]),
        index=array("i", [r[1] for r in results]),
        late=array("b", [late] * len(results)),
    )
    return batch, array("b", [r[2] for r in results])


@both
@pytest.mark.parametrize(
    ("outcomes", "counted"),
    [
        ([ACCEPTED, ACCEPTED], {"sent": 1, "accepted_parts": 2}),
        ([ACCEPTED, FAILED], {"undelivered": 1, "accepted_parts": 1}),
        ([FAILED, FAILED], {"failed": 1}),
        ([FAILED, DOUBT], {"failed": 1}),
        ([ACCEPTED, DOUBT], {"in_doubt": 1, "accepted_parts": 1}),
        ([DOUBT, DOUBT], {"in_doubt": 1}),
        ([DEFERRED, ACCEPTED], {"deferred": 1, "accepted_parts": 1}),
        ([FAILED, DEFERRED], {"deferred": 1}),
        ([DOUBT, DEFERRED], {"deferred": 1}),
    ],
)
def test_a_message_counts_once_by_all_its_parts(
    tally: Any, outcomes: list[int], counted: dict[str, int]
) -> None:
    claims = tally()
    assert claims.open(1, batch_of([5, 5])) == 1
    first = claims.apply(*results_of([(1, 0, outcomes[0])]))
    assert (first[0].closed, first[0].sent + first[0].failed + first[0].in_doubt) == (False, 0)
    both_parts = tally()
    both_parts.open(1, batch_of([5, 5]))
    assert both_parts.apply(*results_of([(1, 0, outcomes[0]), (1, 1, outcomes[1])])) == [
        ClaimUpdate(1, **counted, closed=True)
    ]
    assert len(both_parts) == 0


@both
def test_retries_and_throttles_leave_a_part_open(tally: Any) -> None:
    claims = tally()
    claims.open(1, batch_of([0]))
    assert claims.apply(*results_of([(1, 0, THROTTLED), (1, 0, RETRY)])) == [ClaimUpdate(1)]
    assert claims.apply(*results_of([(1, 0, ACCEPTED)])) == [
        ClaimUpdate(1, sent=1, accepted_parts=1, closed=True)
    ]


@both
def test_late_results_and_a_second_outcome_of_a_part_are_ignored(tally: Any) -> None:
    claims = tally()
    claims.open(1, batch_of([0, 0]))
    assert claims.apply(*results_of([(1, 0, ACCEPTED)], late=1)) == []
    claims.apply(*results_of([(1, 0, DOUBT)]))
    assert claims.apply(*results_of([(1, 0, ACCEPTED)])) == [ClaimUpdate(1)]
    assert claims.open_rows(1) == 1


@both
def test_unknown_claims_and_indices_are_ignored(tally: Any) -> None:
    claims = tally()
    claims.open(1, batch_of([0]))
    assert claims.apply(*results_of([(2, 0, ACCEPTED), (1, 1, ACCEPTED), (1, -1, ACCEPTED)])) == []


@both
def test_one_batch_updates_every_claim_it_touches(tally: Any) -> None:
    claims = tally()
    claims.open(1, batch_of([0, 1]))
    claims.open(2, batch_of([0]))
    updates = claims.apply(*results_of([(2, 0, ACCEPTED), (1, 1, FAILED), (2, 0, ACCEPTED)]))
    assert updates == [
        ClaimUpdate(2, sent=1, accepted_parts=1, closed=True),
        ClaimUpdate(1, failed=1),
    ]


@both
def test_released_rows_no_longer_wait_but_touched_ones_do(tally: Any) -> None:
    claims = tally()
    claims.open(1, batch_of([0, 1, 2, 2, 3]))
    claims.apply(*results_of([(1, 0, ACCEPTED), (1, 2, RETRY)]))
    assert claims.release(1, 1) == 2  # row 2 was sent and is to be tried again
    assert claims.open_rows(1) == 1
    assert claims.apply(*results_of([(1, 1, ACCEPTED)])) == [ClaimUpdate(1)]
    assert claims.apply(*results_of([(1, 2, ACCEPTED), (1, 3, ACCEPTED)]))[0].closed


@both
def test_a_claim_of_nothing_is_closed_at_once(tally: Any) -> None:
    claims = tally()
    assert claims.open(1, batch_of([])) == 0
    assert claims.open(2, batch_of([4])) == 1
    assert claims.release(2, 0) == 1
    assert (claims.open_rows(2), len(claims), claims.release(2, 0)) == (0, 0, 0)


@both
def test_a_handle_is_open_once_and_outcomes_match_results(tally: Any) -> None:
    claims = tally()
    claims.open(1, batch_of([0]))
    with pytest.raises(ValueError, match="open already"):
        claims.open(1, batch_of([0]))
    with pytest.raises(ValueError, match="outcome"):
        claims.apply(results_of([(1, 0, ACCEPTED)])[0], array("b"))


RESULTS = st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 9), st.integers(0, 6)), max_size=20)


class TwoTallies(RuleBasedStateMachine):
    """Whatever is done to both tallies, they answer alike; each row is counted once."""

    @initialize()
    def start(self) -> None:
        self.fast, self.pure = fast.Tally(), pure.Tally()
        self.opened = self.counted = self.released = 0

    @rule(claim=st.integers(0, 3), parts=st.lists(st.integers(1, 3), max_size=5))
    def open(self, claim: int, parts: list[int]) -> None:
        batch = batch_of([row for row, n in enumerate(parts) for _ in range(n)])
        if self.pure.open_rows(claim):
            with pytest.raises(ValueError, match="open already"):
                self.fast.open(claim, batch)
        else:
            assert self.fast.open(claim, batch) == self.pure.open(claim, batch) == len(parts)
            self.opened += len(parts)

    @rule(results=RESULTS, late=st.sampled_from([0, 0, 0, 1]))
    def apply(self, results: list[tuple[int, int, int]], late: int) -> None:
        updates = self.fast.apply(*results_of(results, late))
        assert updates == self.pure.apply(*results_of(results, late))
        self.counted += sum(u.sent + u.undelivered + u.failed + u.in_doubt + u.deferred for u in updates)

    @rule(claim=st.integers(0, 3), from_row=st.integers(-1, 5))
    def release(self, claim: int, from_row: int) -> None:
        dropped = self.fast.release(claim, from_row)
        assert dropped == self.pure.release(claim, from_row)
        self.released += dropped

    @invariant()
    def every_row_is_open_counted_or_released(self) -> None:
        still_open = [self.fast.open_rows(claim) for claim in range(4)]
        assert still_open == [self.pure.open_rows(claim) for claim in range(4)]
        assert len(self.fast) == len(self.pure)
        assert self.opened == self.counted + self.released + sum(still_open)


TestTwoTallies = TwoTallies.TestCase
