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


NUMBER = 447911123456


def results_of(
    ids: list[bytes],
    rows: list[int] | None = None,
    claims: list[int] | None = None,
    msisdn: int = NUMBER,
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
        msisdn=array("q", [msisdn] * n),
        sent_us=array("q", [1_790_000_000_999_999] * n),
    )
    for id_ in ids:
        batch.ids += id_
        batch.id_end.append(len(batch.ids))
    return batch


def accepted(n: int) -> array:
    return array("b", [ACCEPTED] * n)


def receipts_of(
    receipts: list[tuple[bytes, int]], kind: int = KIND_RECEIPT, msisdn: int = NUMBER
) -> ReceiptBatch:
    batch = ReceiptBatch(
        count=len(receipts),
        msisdn=array("q", [msisdn] * len(receipts)),
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


HEX, DEC = 16, 10


@both
@pytest.mark.parametrize(
    ("response", "receipt", "bases"),
    [
        (b"1A2B3C4D", b"439041101", (HEX, DEC)), (b"439041101", b"1a2b3c4d", (DEC, HEX)),
        (b"ffffffffffffffff", b"18446744073709551615", (HEX, DEC)), (b"0000000a", b"10", (HEX, DEC)),
    ],
)  # fmt: skip
def test_ids_in_two_bases_are_one_number(recent: Any, response: bytes, receipt: bytes, bases: Any) -> None:
    ids = recent(10)
    ids.put(results_of([response], rows=[7]), accepted(1), 5, 99, bases[0])
    match = ids.match(receipts_of([(receipt, 2), (receipt + b"0", 2)]), 5, bases[1])
    assert (list(match.found), list(match.row), list(match.by_number)) == ([1, 0], [7, 0], [1, 0])
    assert match.sent_s[0] == 1_790_000_000


@both
def test_a_number_matches_only_with_its_destination(recent: Any) -> None:
    ids = recent(10)
    ids.put(results_of([b"ff"]), accepted(1), 5, 99, HEX)
    found = {
        number: ids.match(receipts_of([(b"255", 2)], msisdn=number), 5, DEC).found[0]
        for number in (NUMBER, 911123456, 7911123456, 11123456, 447911123457, 1123456, -1, 99911123456)
    }
    assert [number for number, hit in found.items() if hit] == [
        NUMBER, 911123456, 7911123456, 11123456, 99911123456,
    ]  # fmt: skip


@both
@pytest.mark.parametrize(
    "id_", [b"6ba7b810-9dad-11d1-80b4-00c04fd430c8", b"10000000000000000", b"0x1f", b" 1", b"-1", b"g1"]
)
def test_what_is_no_number_of_64_bits_is_kept_as_it_is(recent: Any, id_: bytes) -> None:
    ids = recent(10)
    ids.put(results_of([id_]), accepted(1), 5, 99, HEX)
    match = ids.match(receipts_of([(id_, 2)]), 5, HEX)
    assert (list(match.found), list(match.by_number)) == ([1], [0])


@both
def test_numbers_of_two_accounts_never_mix(recent: Any) -> None:
    ids = recent(10)
    ids.put(results_of([b"a"], rows=[3]), accepted(1), 1, 0, HEX)
    ids.put(results_of([b"a"], rows=[4]), accepted(1), 2, 0, HEX)
    assert list(ids.match(receipts_of([(b"10", 2)]), 1, DEC).row) == [3]
    assert list(ids.match(receipts_of([(b"10", 2)]), 2, DEC).row) == [4]
    assert list(ids.match(receipts_of([(b"10", 2)]), 3, DEC).found) == [0]


@both
def test_bad_sizes_are_refused(recent: Any) -> None:
    for capacity in (0, 2**28 + 1):
        with pytest.raises(ValueError, match="capacity"):
            recent(capacity)
    with pytest.raises(ValueError, match="outcome"):
        recent(2).put(results_of([b"a"]), array("b"), 1, 0)
    with pytest.raises(ValueError, match="base"):
        recent(2).put(results_of([b"a"]), accepted(1), 1, 0, 8)
    with pytest.raises(ValueError, match="base"):
        recent(2).match(receipts_of([(b"a", 0)]), 1, 2)


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
    st.text("0123456789abcdefABCDEF", max_size=22).map(str.encode),
)
BASES = st.sampled_from([0, 0, 10, 16])
NUMBERS = st.one_of(
    st.just(NUMBER), st.integers(-1, 10**13), st.sampled_from([NUMBER % 10**k for k in range(13)])
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
        first=st.integers(0, 1000),
        base=BASES,
        msisdn=NUMBERS,
    )
    def put(
        self,
        ids: list[bytes],
        outcome: int,
        account: int,
        campaign: Any,
        first: int,
        base: int,
        msisdn: int,
    ) -> None:
        results = results_of(ids, rows=[first + i for i in range(len(ids))], msisdn=msisdn)
        codes = array("b", [outcome if i % 3 else ACCEPTED for i in range(len(ids))])
        assert self.fast.put(results, codes, account, campaign, base) == self.pure.put(
            results, codes, account, campaign, base
        )

    @rule(
        receipts=st.lists(st.tuples(IDS, st.integers(0, 2)), max_size=15),
        account=st.integers(1, 2),
        kind=st.integers(0, 3),
        base=BASES,
        msisdn=NUMBERS,
    )
    def match(
        self, receipts: list[tuple[bytes, int]], account: int, kind: int, base: int, msisdn: int
    ) -> None:
        batch = receipts_of(receipts, kind, msisdn)
        assert plain(self.fast.match(batch, account, base)) == plain(self.pure.match(batch, account, base))

    @invariant()
    def holds_at_most_its_capacity(self) -> None:
        assert len(self.fast) == len(self.pure) <= self.capacity


TestTwoMaps = TwoMaps.TestCase
