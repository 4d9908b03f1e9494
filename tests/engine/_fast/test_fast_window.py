"""The window: what is in flight, what comes back late, what never does; the C code equal to its twin."""

import importlib
import itertools
import random
from array import array
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._fast.columns import STATUS_LOST, STATUS_TIMEOUT, EncodedBatch, ParsedBatch
from engine._fast.pure import window as pure

fast = importlib.import_module("engine._fast.window")
both = pytest.mark.parametrize("window", [fast.Window, pure.Window], ids=["c", "twin"])

LAST = 0x7FFFFFFF


def plain(batch: Any) -> dict[str, Any]:
    return {
        f.name: (getattr(getattr(batch, f.name), "typecode", None), getattr(batch, f.name))
        for f in fields(batch)
    }


def batch_of(sequences: list[int]) -> EncodedBatch:
    n = len(sequences)
    return EncodedBatch(
        row=array("i", [s % 1000 for s in sequences]),
        part=array("h", [1 + s % 3 for s in sequences]),
        parts=array("h", [3] * n),
        msisdn=array("q", [447_700_000_000 + s for s in sequences]),
        sequence=array("I", sequences),
        count=n,
    )


def responses(pairs: list[tuple[int, int, bytes]]) -> ParsedBatch:
    parsed = ParsedBatch()
    for sequence, status, id_ in pairs:
        parsed.resp_sequence.append(sequence)
        parsed.resp_status.append(status)
        parsed.resp_ids += id_
        parsed.resp_id_end.append(len(parsed.resp_ids))
    return parsed


def register(window: Any, sequences: list[int], now_us: int = 1_000) -> None:
    window.register(batch_of(sequences), 0, len(sequences), 70, 1, 3, now_us)


@both
def test_a_response_gives_back_what_was_registered(window: Any) -> None:
    flight = window(10)
    flight.register(batch_of([4, 5, 6]), 1, 3, 70, 2, 9, 1_000, array("i", [30, 31, 32]))
    result = flight.resolve(responses([(6, 0, b"id-6"), (5, 0x45, b"")]), 5_000)
    assert (list(result.claim), list(result.index), list(result.row)) == ([9, 9], [32, 31], [6, 5])
    assert (list(result.slice_id), list(result.attempt)) == ([70, 70], [2, 2])
    assert (list(result.status), list(result.late)) == ([0, 0x45], [0, 0])
    assert (list(result.sent_us), list(result.done_us)) == ([1_000] * 2, [5_000] * 2)
    assert (result.ids, list(result.id_end)) == (b"id-6", [4, 4])
    assert (flight.in_flight, flight.free, flight.unknown) == (0, 10, 0)


@both
def test_more_than_its_size_is_refused_and_leaves_it_as_it_was(window: Any) -> None:
    flight = window(3)
    register(flight, [1, 2])
    with pytest.raises(ValueError, match="do not fit"):
        register(flight, [3, 4])
    assert flight.in_flight == 2
    register(flight, [3])
    assert flight.free == 0


@both
def test_a_sequence_number_in_flight_is_refused_and_nothing_is_registered(window: Any) -> None:
    flight = window(8)
    register(flight, [1])
    for sequences in ([2, 3, 1], [4, 5, 4]):
        with pytest.raises(ValueError, match="in flight already"):
            register(flight, sequences)
        assert flight.in_flight == 1
    assert flight.resolve(responses([(2, 0, b""), (1, 0, b"")]), 2).count == 1


@both
def test_a_straggler_whose_slot_was_taken_is_still_resolved(window: Any) -> None:
    flight = window(4)
    stragglers = [1, 1 + 16, 1 + 32]  # one slot in a ring of 16
    for sequence in stragglers:
        register(flight, [sequence])
    for sequence in range(100, 400):
        register(flight, [sequence])
        assert flight.resolve(responses([(sequence, 0, b"")]), 9).count == 1
    assert flight.in_flight == 3
    result = flight.resolve(responses([(s, 0, b"%d" % s) for s in stragglers]), 9)
    assert list(result.row) == stragglers
    assert result.ids == b"11733"
    assert (flight.in_flight, flight.unknown) == (0, 0)


@both
@pytest.mark.parametrize("seed", range(5))
def test_a_window_full_of_stragglers_resolves_in_any_order(window: Any, seed: int) -> None:
    order = random.Random(seed)
    flight = window(64)
    waiting: list[int] = []
    fresh = itertools.count(1, 256)  # one slot in a ring of 256: all but one are in the overflow table
    for _ in range(40):
        while len(waiting) < 64:
            waiting.append(next(fresh))
            register(flight, waiting[-1:])
        order.shuffle(waiting)
        for _ in range(order.randrange(1, 65)):
            sequence = waiting.pop()
            assert list(flight.resolve_one(sequence, 0, 9).row) == [sequence % 1000]
        assert flight.in_flight == len(waiting)
    assert flight.unknown == 0


@both
def test_a_timeout_is_reported_once_and_its_late_response_is_told_late(window: Any) -> None:
    flight = window(4)
    register(flight, [1], now_us=1_000)
    register(flight, [2], now_us=2_000)
    assert flight.oldest_us == 1_000
    expired = flight.expire(2_000, 31_000)
    assert (list(expired.status), list(expired.row), list(expired.done_us)) == (
        [STATUS_TIMEOUT],
        [1],
        [31_000],
    )
    assert flight.expire(2_000, 32_000).count == 0
    assert (flight.in_flight, flight.oldest_us) == (2, 2_000)
    late = flight.resolve(responses([(1, 0, b"x")]), 40_000)
    assert (list(late.late), list(late.status), flight.in_flight) == ([1], [0], 1)


@both
def test_a_forgotten_straggler_frees_its_place_and_is_then_unknown(window: Any) -> None:
    flight = window(2)
    register(flight, [1, 2])
    flight.expire(1_001)
    assert flight.forget_before(1_000) == 0
    assert flight.forget_before(1_001) == 2
    assert flight.free == 2
    assert flight.resolve(responses([(1, 0, b"")]), 5).count == 0
    assert flight.unknown == 1


@both
def test_a_lost_connection_reports_each_part_once_in_order(window: Any) -> None:
    flight = window(8)
    register(flight, [LAST, 1, 2])
    register(flight, [3], now_us=500)
    flight.expire(1_000)
    lost = flight.drain(9_000)
    assert list(lost.row) == [LAST % 1000, 1, 2]
    assert set(lost.status) == {STATUS_LOST}
    assert (flight.in_flight, flight.drain(9_001).count) == (0, 0)


@both
def test_a_generic_nack_resolves_its_part(window: Any) -> None:
    flight = window(2)
    register(flight, [7])
    assert list(flight.resolve_one(7, 3, 2_000).status) == [3]
    assert flight.resolve_one(7, 3, 2_000).count == 0
    assert flight.unknown == 1


@both
@pytest.mark.parametrize("size", [0, -1, 2**20 + 1])
def test_a_window_has_a_sensible_size(window: Any, size: int) -> None:
    with pytest.raises(ValueError, match="window holds"):
        window(size)


@both
@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (0, 3), (2, 1)])
def test_pdus_outside_the_batch_are_refused(window: Any, start: int, stop: int) -> None:
    with pytest.raises(IndexError):
        window(5).register(batch_of([1, 2]), start, stop, 1, 1, 1, 1)


# Near each other, over the wrap, and a ring apart, so that slots are fought over.
SEQUENCES = st.one_of(
    st.integers(1, 80),
    st.integers(LAST - 10, LAST),
    st.integers(0, 40).map(lambda k: 1 + 16 * k),
    st.integers(0, 2**32 - 1),
)
TIMES = st.integers(0, 200)


class TwoWindows(RuleBasedStateMachine):
    """Whatever is done to both windows, they answer alike and hold at most their size."""

    @initialize(size=st.sampled_from([1, 3, 8, 30]))
    def start(self, size: int) -> None:
        self.size = size
        self.fast, self.pure = fast.Window(size), pure.Window(size)

    def alike(self, name: str, *arguments: Any) -> None:
        answers = []
        for window in (self.fast, self.pure):
            try:
                answer = getattr(window, name)(*arguments)
                answers.append(plain(answer) if hasattr(answer, "count") else answer)
            except (ValueError, IndexError) as error:
                answers.append(type(error))
        assert answers[0] == answers[1]

    @rule(
        sequences=st.lists(SEQUENCES, max_size=12),
        claim=st.integers(0, 9),
        now_us=TIMES,
        mapped=st.booleans(),
    )
    def register(self, sequences: list[int], claim: int, now_us: int, mapped: bool) -> None:
        index = array("i", [100 + i for i in range(len(sequences))]) if mapped else None
        self.alike("register", batch_of(sequences), 0, len(sequences), 2**40 + claim, 1, claim, now_us, index)

    @rule(start=st.integers(1, 60), length=st.integers(1, 12), now_us=TIMES)
    def register_run(self, start: int, length: int, now_us: int) -> None:
        self.alike("register", batch_of(list(range(start, start + length))), 0, length, 5, 1, 4, now_us)

    @rule(
        pairs=st.lists(st.tuples(SEQUENCES, st.integers(0, 2**32 - 1), st.binary(max_size=5)), max_size=12),
        now_us=TIMES,
    )
    def resolve(self, pairs: list[tuple[int, int, bytes]], now_us: int) -> None:
        self.alike("resolve", responses(pairs), now_us)

    @rule(data=st.data(), now_us=TIMES)
    def resolve_known(self, data: st.DataObject, now_us: int) -> None:
        known = list(self.pure._slots)
        if known:
            chosen = data.draw(st.lists(st.sampled_from(known), max_size=8))
            self.alike("resolve", responses([(s, 0, b"%d" % s) for s in chosen]), now_us)

    @rule(sequence=SEQUENCES, status=st.integers(0, 2**32 - 1), now_us=TIMES)
    def resolve_one(self, sequence: int, status: int, now_us: int) -> None:
        self.alike("resolve_one", sequence, status, now_us)

    @rule(before_us=TIMES, now_us=st.integers(-1, 300))
    def expire(self, before_us: int, now_us: int) -> None:
        self.alike("expire", before_us, now_us)

    @rule(before_us=TIMES)
    def forget_before(self, before_us: int) -> None:
        self.alike("forget_before", before_us)

    @rule(now_us=TIMES)
    def drain(self, now_us: int) -> None:
        self.alike("drain", now_us)

    @invariant()
    def holds_at_most_its_size(self) -> None:
        for name in ("in_flight", "free", "unknown", "oldest_us", "size"):
            assert getattr(self.fast, name) == getattr(self.pure, name)
        assert 0 <= self.fast.in_flight <= self.size


TestTwoWindows = TwoWindows.TestCase
