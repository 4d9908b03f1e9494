"""The book of claims: what is open, what is given back, what goes again. Random lives of claims add up."""

from array import array
from collections import Counter
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.columns import ACCEPTED, EncodedBatch, ResultBatch
from engine.dispatch.book import Budget, ClaimBook
from engine.dispatch.campaign import CampaignRun, OpenSlice
from engine.dispatch.claims import Claim, cut
from engine.ledger.claims import CampaignKey, ClaimInfo
from engine.ledger.retries import Deferral
from engine.smpp.status import Class, classify


class Written:
    """A writer that only adds up."""

    def __init__(self) -> None:
        self.pending = self.pending_outcomes = 0
        self.counts: Counter[str] = Counter()
        self.closed: set[int] = set()
        self.deferred: list[Deferral] = []

    def results(
        self, bind: Any, batch: Any, outcome: Any, updates: Any, claims: Any, deferrals: Any = ()
    ) -> None:
        self.deferred += deferrals
        for update in updates:
            self.counts["messages"] += update.sent + update.undelivered + update.failed + update.in_doubt
            self.counts["deferred"] += update.deferred
            self.counts["in_doubt"] += update.in_doubt
            if update.closed:
                self.closed.add(claims[update.claim].claim_id)

    def rejected(
        self, claim: Any, rows: Any, codes: Any, msisdn: Any, *, parts: Any = None, closed: bool = False
    ) -> None:
        self.counts["messages"] += len(rows)
        if closed:
            self.closed.add(claim.claim_id)

    def close_claims(self, claims: list[Any]) -> None:
        self.closed |= {claim.claim_id for claim in claims}


def encoded(parts_of_rows: list[int]) -> EncodedBatch:
    """Rows with this many parts; 0 is a row that gives no PDU."""
    batch = EncodedBatch()
    for row, parts in enumerate(parts_of_rows):
        if not parts:
            batch.rejected.append(row)
            batch.reject_code.append(1)
        for part in range(1, parts + 1):
            batch.row.append(row)
            batch.part.append(part)
            batch.parts.append(parts)
            batch.msisdn.append(row)
            batch.sequence.append(len(batch.row))
            batch.end.append(0)
    batch.count = len(batch.row)
    return batch


def make(parts_of_rows: list[int], writer: Written) -> tuple[ClaimBook, Budget, Claim, list[CampaignRun]]:
    key = CampaignKey(uuid4(), UUID(int=1), 1, "me")
    run = CampaignRun(key.campaign_id, key, uuid4(), (1000,), (), cast(Any, None), 0, 0)
    idle: list[CampaignRun] = []
    budget = Budget(1000, cast(Any, writer))
    book = ClaimBook(1, cast(Any, writer), budget, classify, idle.append)
    rows = len(parts_of_rows)
    batch = encoded(parts_of_rows)
    claim = Claim(
        handle=book.next_handle(),
        info=ClaimInfo(7, 5, key.campaign_id, key.workspace_id, 1, "me", 1, 1),
        slice=OpenSlice(5, run, 0, 0, rows, rows),
        row_start=0,
        row_end=rows,
        batch=batch,
        rejected_msisdn=array("q", [0] * len(batch.rejected)),
    )
    return book, budget, claim, idle


def answers(claim: Claim, indices: list[int], status: int = 0) -> ResultBatch:
    batch, count = claim.batch, len(indices)
    return ResultBatch(
        count=count,
        claim=array("i", [claim.handle]) * count,
        index=array("i", indices),
        slice_id=array("q", [5]) * count,
        row=array("i", [batch.row[i] for i in indices]),
        part=array("h", [batch.part[i] for i in indices]),
        parts=array("h", [batch.parts[i] for i in indices]),
        attempt=array("h", [0]) * count,
        msisdn=array("q", [batch.msisdn[i] for i in indices]),
        status=array("q", [status]) * count,
        sent_us=array("q", [1]) * count,
        done_us=array("q", [2]) * count,
        late=array("b", [0]) * count,
        id_end=array("i", [0]) * count,
    )


@given(
    parts_of_rows=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    written=st.integers(0, 36),
    answered=st.integers(0, 36),
    returned_first=st.booleans(),
)
def test_given_back_and_booked_rows_add_up_wherever_a_claim_ends(
    parts_of_rows: list[int], written: int, answered: int, returned_first: bool
) -> None:
    writer = Written()
    book, budget, claim, idle = make(parts_of_rows, writer)
    book.open(claim)
    claim.written = max(0, min(written, claim.stop - 1))  # a claim that is wholly written is not released
    first = list(range(min(answered, claim.written)))
    book.results(1, answers(claim, first), 0.0)
    from_row = book.release(claim, 1.0)
    rest = list(range(len(first), claim.written))
    while (retry := book.retries.take(100, 2.0)) is not None:
        rest += retry.indices
    if returned_first:
        book.given_back(claim)
    book.results(1, answers(claim, rest), 2.0)
    if not returned_first:
        assert budget.unsettled == len(parts_of_rows) - from_row, "claimed until they are given back"
        assert from_row == len(parts_of_rows) or not writer.closed, "a closed claim gives nothing back"
        book.given_back(claim)
    assert writer.counts["messages"] == from_row
    assert budget.unsettled == 0
    assert not book.claims
    assert book.quiet.is_set()
    assert idle
    assert writer.closed == ({7} if claim.written else set()), (
        "a claim never begun is closed by the give-back"
    )


def test_a_message_that_was_begun_is_finished() -> None:
    _, _, claim, _ = make([1, 3, 1], Written())
    claim.written, claim.stop = 2, 5
    end = cut(claim)
    assert (end.from_row, end.stop) == (2, 4)


def test_later_parts_of_several_messages_are_no_one_message() -> None:
    """As a retry slice has them: only part 2 of each."""
    _, _, claim, _ = make([1, 1, 1], Written())
    claim.batch.part = array("h", [2, 2, 2])
    claim.written, claim.stop = 1, 3
    end = cut(claim)
    assert (end.from_row, end.stop) == (1, 1)


def test_a_throttled_part_keeps_the_claim_open_until_it_is_accepted() -> None:
    book, budget, claim, _ = make([1, 1], Written())
    book.open(claim)
    claim.written = 2
    booked = book.results(1, answers(claim, [0, 1], 0x58), 10.0)
    assert (booked.sent, budget.unsettled, len(book.claims)) == (0, 2, 1)
    assert book.retries.take(10, 10.5) is None
    retry = book.retries.take(10, 11.5)
    assert retry is not None
    assert book.results(1, answers(claim, list(retry.indices), ACCEPTED), 12.0).sent == 2
    assert not book.claims


def test_a_claim_without_pdus_ends_when_its_turn_to_be_written_comes() -> None:
    writer = Written()
    book, budget, claim, idle = make([0, 0, 0], writer)
    book.open(claim)
    assert (budget.unsettled, writer.closed, len(book.claims)) == (3, set(), 1), (
        "earlier claims are written first"
    )
    book.written(claim)
    assert (budget.unsettled, writer.closed, len(book.claims)) == (0, {7}, 0)
    assert writer.counts["messages"] == 3
    assert idle


def test_what_waits_for_a_retry_that_never_comes_goes_into_a_retry_slice_and_ends_its_claim() -> None:
    writer = Written()
    book, budget, claim, _ = make([1, 2, 1], writer)
    book.open(claim)
    claim.written = 4
    book.results(1, answers(claim, [0]), 10.0)
    book.results(1, answers(claim, [1, 2], 0x58), 10.0)
    book.results(1, answers(claim, [3], 0x08), 10.0)
    book.abandon(11.0, 11_000_000)
    assert (writer.counts["messages"], writer.counts["in_doubt"], writer.counts["deferred"]) == (1, 0, 2)
    pairs = {
        (row, part, each.attempt, each.tries)
        for each in writer.deferred
        for row, part in zip(each.rows, each.parts, strict=True)
    }
    assert pairs == {(1, 1, 1, 0), (1, 2, 1, 0), (2, 1, 2, 1)}, "a try that was not made is not used up"
    assert writer.closed == {7}
    assert (budget.unsettled, len(book.claims), len(book.retries)) == (0, 0, 0)


def test_a_full_box_leaves_the_claim_and_slows_nobody() -> None:
    writer = Written()
    book, budget, claim, _ = make([1] * 4, writer)
    book.open(claim)
    claim.written = 4
    booked = book.results(1, answers(claim, [2], 0x14), 10.0)
    assert (booked.classes, booked.throttled, len(book.retries)) == (set(), 0, 0)
    [deferral] = writer.deferred
    assert (list(deferral.rows), list(deferral.parts), deferral.attempt) == ([2], [1], 1)
    assert 300 <= deferral.delay_s <= 900
    assert book.results(1, answers(claim, [0, 1, 3]), 10.0).sent == 3
    assert (writer.closed, budget.unsettled) == ({7}, 0)


def test_full_queues_at_many_destinations_are_a_throttle() -> None:
    book, _, claim, _ = make([1] * 200, Written())
    book.open(claim)
    claim.written = 200
    booked = book.results(1, answers(claim, list(range(40)), 0x14), 10.0)
    assert booked.throttled == 0, "20 % of the last 200 are not over 20 %"
    booked = book.results(1, answers(claim, [40], 0x14), 10.0)
    assert booked.throttled == 1
    assert booked.classes == {Class.THROTTLE}


@pytest.mark.parametrize(("failed", "trips"), [(449, False), (450, True)])
def test_a_campaigns_breaker_trips_on_exactly_90_percent_of_its_last_500(failed: int, trips: bool) -> None:
    book, _, claim, _ = make([1] * 500, Written())
    book.open(claim)
    claim.written = 500
    book.results(1, answers(claim, list(range(500 - failed))), 10.0)
    book.results(1, answers(claim, list(range(500 - failed, 500)), 0x0A), 10.0)
    assert [(each.run, each.reason) for each in book.tripped] == (
        [(claim.slice.run, "breaker: 0x0A on 90 %")] if trips else []
    )


def test_a_map_of_the_channel_says_what_a_code_means() -> None:
    writer = Written()
    book, _, claim, _ = make([1, 1], writer)
    book.maps = {1: {0x45B: Class.TEMPORARY}, 2: {0x45C: Class.TEMPORARY}}
    book.open(claim)
    claim.written = 2
    book.results(1, answers(claim, [0], 0x45B), 10.0)
    assert book.retries.parts == 1
    book.results(1, answers(claim, [1], 0x45C), 10.0)
    assert (book.retries.parts, writer.counts["messages"]) == (1, 1), "another channel's map is not asked"


def test_uncommitted_outcomes_count_against_the_bound() -> None:
    writer = Written()
    book, budget, claim, _ = make([1] * 10, writer)
    book.open(claim)
    assert budget.room == 990
    book.results(1, answers(claim, list(range(10))), 0.0)
    writer.pending = writer.pending_outcomes = 10
    assert budget.room == 990
    writer.pending = writer.pending_outcomes = 0
    assert budget.room == 1000


def test_uncommitted_receipts_take_no_room_until_the_ledger_is_far_behind() -> None:
    writer = Written()
    _, budget, _, _ = make([1], writer)
    writer.pending, writer.pending_outcomes = 4000, 10
    assert budget.room == 990
    writer.pending = 4001
    assert budget.room == 0


def test_handles_are_never_reused_while_open() -> None:
    book, _, claim, _ = make([1], Written())
    book.open(claim)
    assert book.next_handle() != claim.handle


def test_two_claims_of_one_handle_are_refused() -> None:
    book, _, claim, _ = make([1], Written())
    book.open(claim)
    with pytest.raises(ValueError, match="open already"):
        book.open(claim)
