"""What one commit writes: encoded rows, counters, claims to close, and whom to tell afterwards. No I/O
here."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import compress
from operator import eq
from typing import TypeAlias
from uuid import UUID

from engine._fast.columns import (
    ACCEPTED,
    DOUBT,
    FAILED,
    RETRY,
    ClaimUpdate,
    MatchBatch,
    ReceiptBatch,
    ResultBatch,
)
from engine.ledger import error_codes
from engine.ledger.claims import CampaignKey, ClaimInfo
from engine.ledger.rows import CopyStream, both, either, invert, pick, pick_receipts, pick_results
from engine.ledger.states import ENCODE_CODE, ENCODE_STATUS
from engine.ledger.tables import encode_doubts, encode_receipts, encode_submissions

MessageKey: TypeAlias = tuple[int, int]  # slice id, row

_STORED = bytes([1, 1, 1]) + bytes(253)  # outcomes that are rows of submissions
_IS_DOUBT = bytes(DOUBT) + b"\1" + bytes(255 - DOUBT)
_IS_FAILED = bytes(FAILED) + b"\1" + bytes(255 - FAILED)
_IS_ZERO, _IS_ONE = b"\1" + bytes(255), b"\0\1" + bytes(254)
# a late answer cannot be tried again in its claim: whatever refused it, it was not accepted
_LATE_OUTCOME = bytes([ACCEPTED, FAILED, FAILED, FAILED]) + bytes(range(4, 256))


@dataclass(slots=True)
class FirstVerdicts:
    """Receipts that are the first verdict of single-part messages: counted without asking the database."""

    stream: CopyStream = field(default_factory=CopyStream)
    slices: list["array[int]"] = field(default_factory=list)
    rows: list["array[int]"] = field(default_factory=list)
    delivered: int = 0
    undelivered: int = 0

    def keys(self) -> Iterable[MessageKey]:
        for slices, rows in zip(self.slices, self.rows, strict=True):
            yield from zip(slices, rows, strict=True)


@dataclass(slots=True)
class Batch:
    """One commit's content. `slow` are messages whose states are reckoned in SQL before and after."""

    rows: int = 0
    outcomes: int = 0  # of the rows: results and rejections, what a claim waits for
    submissions: CopyStream = field(default_factory=CopyStream)
    late: CopyStream = field(default_factory=CopyStream)
    doubts: CopyStream = field(default_factory=CopyStream)
    quiet_receipts: CopyStream = field(default_factory=CopyStream)  # change no state: repeats, not final
    slow_receipts: CopyStream = field(default_factory=CopyStream)
    orphans: CopyStream = field(default_factory=CopyStream)
    first_verdicts: dict[CampaignKey, FirstVerdicts] = field(default_factory=dict)
    slow: set[MessageKey] = field(default_factory=set)
    slow_campaigns: set[UUID] = field(default_factory=set)
    multi_part: list[tuple["array[int]", "array[int]"]] = field(default_factory=list)
    deltas: dict[CampaignKey, Counter[str]] = field(default_factory=dict)
    errors: Counter[tuple[UUID, str, str]] = field(default_factory=Counter)  # campaign, context, code
    closed: dict[int, tuple[int, UUID]] = field(default_factory=dict)  # claim id -> slice id, campaign
    after_commit: list[Callable[[], None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.closed or self.after_commit or self.deltas)

    def count(self, campaign: CampaignKey, **added: int) -> None:
        counter = self.deltas.get(campaign)
        if counter is None:
            counter = self.deltas[campaign] = Counter()
        for name, number in added.items():
            counter[name] += number

    def close(self, claim: ClaimInfo) -> None:
        self.closed[claim.claim_id] = (claim.slice_id, claim.campaign_id)

    # results -----------------------------------------------------------------------------------------------

    def add_results(
        self,
        batch: ResultBatch,
        outcome: "array[int]",
        updates: Iterable[ClaimUpdate],
        claims: Mapping[int, ClaimInfo],
        account_id: int,
    ) -> None:
        """Outcomes of one bind; `claims` has every handle that stands in them."""
        if 1 in batch.late.tobytes():
            late = batch.late.tobytes()
            self._add_late(
                pick_results(batch, late), array("b", pick(outcome, late).tobytes().translate(_LATE_OUTCOME)),
                claims, account_id,
            )  # fmt: skip
            on_time = invert(late)
            batch, outcome = pick_results(batch, on_time), pick(outcome, on_time)
        if batch.count:
            self._add_on_time(batch, outcome, claims, account_id)
        for update in updates:
            claim = claims[update.claim]
            self.count(
                claim.campaign,
                sent=update.sent + update.undelivered,
                undelivered=update.undelivered,
                failed=update.failed,
                in_doubt=update.in_doubt,
            )
            if update.closed:
                self.close(claim)

    def _add_on_time(
        self, batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo], account_id: int
    ) -> None:
        codes = outcome.tobytes()
        self.rows += batch.count
        self.outcomes += batch.count
        self._count_outcomes(batch, outcome, claims)
        if max(batch.parts) > 1:
            self.multi_part.append((batch.slice_id, batch.row))
        doubts = codes.translate(_IS_DOUBT)
        if 1 in doubts:
            doubted = pick_results(batch, doubts)
            self.doubts.add(encode_doubts(doubted), doubted.count)
        stored = codes.translate(_STORED)
        if 0 in stored:
            batch, outcome = pick_results(batch, stored), pick(outcome, stored)
        if batch.count:
            encoded = encode_submissions(batch, outcome, account_id, _channels(batch, claims))
            self.submissions.add(encoded, batch.count)

    def _add_late(
        self, batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo], account_id: int
    ) -> None:
        """Answers that came after the part was given up: rows, and states reckoned in SQL."""
        self.rows += batch.count
        self.outcomes += batch.count
        self._count_outcomes(batch, outcome, claims)
        self.late.add(encode_submissions(batch, outcome, account_id, _channels(batch, claims)), batch.count)
        self.slow.update(zip(batch.slice_id, batch.row, strict=True))
        self.slow_campaigns.update(claims[claim].campaign_id for claim in set(batch.claim))

    def _count_outcomes(
        self, batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo]
    ) -> None:
        """Parts, rows, throttles and error codes by campaign; messages are the tally's to count."""
        by_claim: Iterable[tuple[tuple[int, int], int]]
        handles = set(batch.claim)
        if len(handles) == 1:
            (only,) = handles
            codes = outcome.tobytes()
            by_claim = [((only, code), codes.count(code)) for code in set(codes)]
        else:
            by_claim = Counter(zip(batch.claim, outcome, strict=True)).items()
        for (handle, code), number in by_claim:
            name = "throttled" if code not in (ACCEPTED, FAILED, RETRY, DOUBT) else "submissions"
            added = {} if code == DOUBT else {name: number}
            if code == ACCEPTED:
                added["parts"] = number
            elif code == RETRY:
                added["retried"] = number
            self.count(claims[handle].campaign, **added)
        failed = outcome.tobytes().translate(_IS_FAILED)
        if 1 in failed:
            pairs = Counter(zip(compress(batch.claim, failed), compress(batch.status, failed), strict=True))
            for (handle, status), number in pairs.items():
                kept = error_codes.response_code(status)
                self.errors[claims[handle].campaign_id, "response", kept] += number

    def add_rejected(
        self, claim: ClaimInfo, rows: "array[int]", codes: "array[int]", msisdn: "array[int]", now_us: int
    ) -> None:
        """Rows that gave no PDU: FAILED, with a status of our own, as one part."""
        count = len(rows)
        if not count:
            return
        batch = ResultBatch(
            count=count,
            slice_id=array("q", [claim.slice_id]) * count,
            row=rows,
            part=array("h", [1]) * count,
            parts=array("h", [1]) * count,
            attempt=array("h", [0]) * count,
            msisdn=msisdn,
            status=array("q", [ENCODE_STATUS[code] for code in codes]),
            sent_us=array("q", [now_us]) * count,
            done_us=array("q", [now_us]) * count,
            id_end=array("i", [0]) * count,
        )
        outcome = array("b", [FAILED]) * count
        self.rows += count
        self.outcomes += count
        self.submissions.add(encode_submissions(batch, outcome, claim.account_id, claim.channel_id), count)
        self.count(claim.campaign, failed=count, submissions=count)
        for code, number in Counter(codes).items():
            self.errors[claim.campaign_id, "encode", ENCODE_CODE[code]] += number

    # receipts ----------------------------------------------------------------------------------------------

    def add_receipts(
        self,
        receipts: ReceiptBatch,
        matched: MatchBatch,
        campaigns: Mapping[int, CampaignKey],
        account_id: int,
        now_us: int,
    ) -> None:
        """The receipts whose message was found (`matched.found`); the others are not looked at."""
        found = matched.found.tobytes()
        first = both(both(found, matched.first.tobytes()), bytes(map((1).__eq__, matched.parts)))
        quiet = both(found, bytes(map(eq, matched.before, matched.after)))
        slow = both(found, invert(either(first, quiet)))
        self.rows += found.count(1)
        for handle, number in Counter(compress(matched.campaign, found)).items():
            self.count(campaigns[handle], receipts=number)
            if 1 in first:
                mine = first
                if number != len(found):
                    mine = both(first, bytes(map(handle.__eq__, matched.campaign)))
                self._add_first(receipts, matched, campaigns[handle], account_id, now_us, mine)
            if 1 in slow and handle in set(compress(matched.campaign, slow)):
                self.slow_campaigns.add(campaigns[handle].campaign_id)
        if 1 in quiet:
            self._encode(self.quiet_receipts, receipts, matched, account_id, now_us, quiet)
        if 1 in slow:
            self._encode(self.slow_receipts, receipts, matched, account_id, now_us, slow)
            self.slow.update(zip(compress(matched.slice_id, slow), compress(matched.row, slow), strict=True))
        self._count_errors(receipts, matched, campaigns)

    def _add_first(
        self,
        receipts: ReceiptBatch,
        matched: MatchBatch,
        campaign: CampaignKey,
        account_id: int,
        now_us: int,
        mask: bytes,
    ) -> None:
        if 1 not in mask:
            return
        group = self.first_verdicts.get(campaign)
        if group is None:
            group = self.first_verdicts[campaign] = FirstVerdicts()
        self._encode(group.stream, receipts, matched, account_id, now_us, mask)
        group.slices.append(pick(matched.slice_id, mask))
        group.rows.append(pick(matched.row, mask))
        verdicts = pick(matched.after, mask).tobytes()
        group.delivered += verdicts.count(2)
        group.undelivered += verdicts.count(1)

    @staticmethod
    def _encode(
        stream: CopyStream,
        receipts: ReceiptBatch,
        matched: MatchBatch,
        account_id: int,
        now_us: int,
        mask: bytes,
    ) -> None:
        if 0 in mask:
            picked = pick_receipts(receipts, mask)
            encoded = encode_receipts(picked, matched, account_id, now_us, lambda column: pick(column, mask))
            stream.add(encoded, picked.count)
        else:
            encoded = encode_receipts(receipts, matched, account_id, now_us, lambda column: column)
            stream.add(encoded, receipts.count)

    def _count_errors(
        self, receipts: ReceiptBatch, matched: MatchBatch, campaigns: Mapping[int, CampaignKey]
    ) -> None:
        """Codes of parts that were undelivered for the first time."""
        after, before = matched.after.tobytes(), matched.before.tobytes()
        if 1 not in after:
            return
        first = both(after.translate(_IS_ONE), before.translate(_IS_ZERO))
        for i in compress(range(len(first)), first):
            start = receipts.error_end[i - 1] if i else 0
            error = bytes(receipts.errors[start : receipts.error_end[i]]).decode("utf-8", "replace")
            code = error_codes.receipt_code(receipts.stat[i], error)
            self.errors[campaigns[matched.campaign[i]].campaign_id, "receipt", code] += 1


def _channels(batch: ResultBatch, claims: Mapping[int, ClaimInfo]) -> "array[int] | int":
    """The channel of each row; one number where all are of one."""
    channels = {claim: claims[claim].channel_id for claim in set(batch.claim)}
    if len(set(channels.values())) == 1:
        return next(iter(channels.values()))
    return array("i", [channels[claim] for claim in batch.claim])
