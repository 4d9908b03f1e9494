"""Recent message ids: whose receipt it is, what it changes; the C code equal to its twin."""

import importlib
from array import array
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._fast.columns import (
    ACCEPTED,
    FAILED,
    KIND_INTERMEDIATE,
    KIND_MO,
    KIND_OTHER_ACK,
    KIND_RECEIPT,
    ReceiptBatch,
    ResultBatch,
)
from engine._fast.pure import recent as pure

fast = importlib.import_module("engine._fast.recent")
both = pytest.mark.parametrize("recent", [fast.RecentIds, pure.RecentIds], ids=["c", "twin"])


def plain(batch: Any) -> dict[str, Any]:
    return {f.name: (getattr(batch, f.name).typecode, getattr(batch, f.name)) for f in fields(batch)}


def results_of(
    ids: list[bytes], rows: list[int] | None = None, claims: list[int] | None = None
) -> ResultBatch:
    n = len(ids)
    batch = ResultBatch(
        count=n,
        claim=array("i", claims or [0] * n),
        slice_id=array("q", [2**40] * n),
        row=array("i", rows or range(n)),
        part=array("h", [1] * n),
        parts=array("h", [2] * n),
        late=array("b", [0] * n),
    )
    for id_ in ids:
        batch.ids += id_
        batch.id_end.append(len(batch.ids))
    return batch


def accepted(n: int) -> array:
    return array("b", [ACCEPTED] * n)


def receipts_of(receipts: list[tuple[bytes, int]], kind: int = KIND_RECEIPT) -> ReceiptBatch:
    batch = ReceiptBatch(
        count=len(receipts),
        kind=array("b", [kind] * len(receipts)),
        verdict=array("b", [v for _, v in receipts]),
    )
    for id_, _ in receipts:
        batch.ids += id_
        batch.id_end.append(len(batch.ids))
    return batch


@both
def test_a_receipt_finds_its_message(recent: Any) -> None:
    ids = recent(10)
    assert ids.put(results_of([b"a1", b"B2"], rows=[7, 8]), accepted(2), 5, 99) == 2
    match = ids.match(receipts_of([(b"B2", 2), (b"b2", 2)]), 5)
    assert (list(match.found), list(match.row), list(match.campaign)) == ([1, 0], [8, 0], [99, 0])
    assert (list(match.slice_id), list(match.part), list(match.parts)) == ([2**40, 0], [1, 0], [2, 0])


@both
def test_an_id_belongs_to_its_account(recent: Any) -> None:
    ids = recent(10)
    ids.put(results_of([b"1"], rows=[3]), accepted(1), 1, 0)
    ids.put(results_of([b"1"], rows=[4]), accepted(1), 2, 0)
    assert list(ids.match(receipts_of([(b"1", 2)]), 1).row) == [3]
    assert list(ids.match(receipts_of([(b"1", 2)]), 2).row) == [4]
    assert list(ids.match(receipts_of([(b"1", 2)]), 3).found) == [0]


@both
def test_verdicts_only_rise_and_the_first_final_one_is_told(recent: Any) -> None:
    ids = recent(4)
    ids.put(results_of([b"x"]), accepted(1), 1, 0)
    match = ids.match(receipts_of([(b"x", 0), (b"x", 1), (b"x", 2), (b"x", 1)]), 1)
    assert list(match.before) == [0, 0, 1, 2]
    assert list(match.after) == [0, 1, 2, 2]
    assert list(match.first) == [0, 1, 0, 0]


@both
def test_all_but_sme_acknowledgements_match(recent: Any) -> None:
    ids = recent(4)
    ids.put(results_of([b"x"]), accepted(1), 1, 0)
    found = {k: ids.match(receipts_of([(b"x", 0)], k), 1).found[0] for k in range(4)}
    assert found == {KIND_RECEIPT: 1, KIND_MO: 1, KIND_INTERMEDIATE: 1, KIND_OTHER_ACK: 0}


@both
def test_the_oldest_goes_and_a_reused_id_is_the_newest(recent: Any) -> None:
    ids = recent(2)
    ids.put(results_of([b"a", b"b"], rows=[1, 2]), accepted(2), 1, 0)
    ids.put(results_of([b"a"], rows=[3]), accepted(1), 1, 0)
    ids.put(results_of([b"c"], rows=[4]), accepted(1), 1, 0)
    match = ids.match(receipts_of([(b"a", 0), (b"b", 0), (b"c", 0)]), 1)
    assert (list(match.found), list(match.row), len(ids)) == ([1, 0, 1], [3, 0, 4], 2)


@both
def test_refused_late_and_unnamed_results_are_not_kept(recent: Any) -> None:
    ids = recent(8)
    results = results_of([b"failed", b"", b"late", b"kept"])
    results.late[2] = 1
    assert ids.put(results, array("b", [FAILED, ACCEPTED, ACCEPTED, ACCEPTED]), 1, 0) == 1
    assert len(ids) == 1


@both
def test_campaigns_are_found_by_claim(recent: Any) -> None:
    ids = recent(8)
    ids.put(results_of([b"a", b"b", b"c"], claims=[4, 6, 4]), accepted(3), 1, {4: 40, 6: 60})
    assert list(ids.match(receipts_of([(b"a", 0), (b"b", 0), (b"c", 0)]), 1).campaign) == [40, 60, 40]
    with pytest.raises(KeyError):
        ids.put(results_of([b"d"], claims=[5]), accepted(1), 1, {4: 40})


@both
def test_bad_sizes_are_refused(recent: Any) -> None:
    for capacity in (0, 2**28 + 1):
        with pytest.raises(ValueError, match="capacity"):
            recent(capacity)
    with pytest.raises(ValueError, match="outcome"):
        recent(2).put(results_of([b"a"]), array("b"), 1, 0)


def test_ten_thousand_ids_of_every_length_stay_exact() -> None:
    ids = fast.RecentIds(10_000)
    values = [b"%d" % i + b"x" * (i % 70) for i in range(30_000)]
    ids.put(results_of(values), accepted(len(values)), 1, 0)
    match = ids.match(receipts_of([(value, 2) for value in values]), 1)
    assert list(match.found) == [0] * 20_000 + [1] * 10_000
    assert list(match.row[20_000:]) == list(range(20_000, 30_000))


# Few ids, so that they are reused; some longer than an entry holds itself, some that differ at the end alone.
IDS = st.one_of(
    st.integers(0, 30).map(lambda i: b"%d" % i),
    st.integers(0, 9).map(lambda i: b"0123456789abcdef01234567" + b"z" * i),
    st.binary(max_size=3),
)


class TwoMaps(RuleBasedStateMachine):
    """Whatever is done to both maps, they answer alike."""

    @initialize(capacity=st.sampled_from([1, 2, 7, 20]))
    def start(self, capacity: int) -> None:
        self.capacity = capacity
        self.fast, self.pure = fast.RecentIds(capacity), pure.RecentIds(capacity)

    @rule(
        ids=st.lists(IDS, max_size=15),
        outcome=st.sampled_from([ACCEPTED, ACCEPTED, FAILED]),
        account=st.integers(1, 2),
        campaign=st.one_of(st.integers(0, 5), st.just({0: 7})),
        base=st.integers(0, 1000),
    )
    def put(self, ids: list[bytes], outcome: int, account: int, campaign: Any, base: int) -> None:
        results = results_of(ids, rows=[base + i for i in range(len(ids))])
        codes = array("b", [outcome if i % 3 else ACCEPTED for i in range(len(ids))])
        assert self.fast.put(results, codes, account, campaign) == self.pure.put(
            results, codes, account, campaign
        )

    @rule(
        receipts=st.lists(st.tuples(IDS, st.integers(0, 2)), max_size=15),
        account=st.integers(1, 2),
        kind=st.integers(0, 3),
    )
    def match(self, receipts: list[tuple[bytes, int]], account: int, kind: int) -> None:
        batch = receipts_of(receipts, kind)
        assert plain(self.fast.match(batch, account)) == plain(self.pure.match(batch, account))

    @invariant()
    def holds_at_most_its_capacity(self) -> None:
        assert len(self.fast) == len(self.pure) <= self.capacity


TestTwoMaps = TwoMaps.TestCase
