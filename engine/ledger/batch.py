"""What one commit writes: encoded rows, counters, claims to close, and whom to tell afterwards. No I/O
here."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, compress
from operator import and_, eq
from typing import NamedTuple, TypeAlias
from uuid import UUID

from engine._fast import masks, prefixes
from engine._fast.columns import (
    ACCEPTED,
    DEFERRED,
    DOUBT,
    FAILED,
    RETRY,
    THROTTLED,
    ClaimUpdate,
    MatchBatch,
    ReceiptBatch,
    ResultBatch,
)
from engine.ledger import error_codes
from engine.ledger.claims import BindKey, CampaignKey, ClaimInfo
from engine.ledger.holds import Ending, Hold
from engine.ledger.intake import Intake
from engine.ledger.retries import Deferral
from engine.ledger.rows import CopyStream, both, either, invert, pick_receipts, pick_results
from engine.ledger.states import ENCODE_CODE, ENCODE_STATUS
from engine.ledger.tables import encode_doubts, encode_receipts, encode_submissions
from engine.ledger.wallets import Moved

MessageKey: TypeAlias = tuple[int, int]  # slice id, row

_STORED = bytes([1, 1, 1, 0, 0, 1]) + bytes(250)  # outcomes that are rows of submissions
_IS_DOUBT = bytes(DOUBT) + b"\1" + bytes(255 - DOUBT)
_IS_FAILED = bytes(FAILED) + b"\1" + bytes(255 - FAILED)
_IS_ACCEPTED = bytes(ACCEPTED) + b"\1" + bytes(255 - ACCEPTED)
_OUTCOMES = 6
_IS_ZERO, _IS_ONE = b"\1" + bytes(255), b"\0\1" + bytes(254)
# a late answer cannot be tried again in its claim: whatever refused it, it was not accepted
_LATE_OUTCOME = bytes([ACCEPTED, FAILED, FAILED, FAILED, DOUBT, FAILED]) + bytes(range(6, 256))


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
    """One commit's content. `slow` are messages whose states are reckoned in SQL before and after; those in
    `untallied` no tally counts: parts of them go, or went, through a retry slice."""

    rows: int = 0
    outcomes: int = 0  # of the rows: results and rejections, what a claim waits for
    submissions: CopyStream = field(default_factory=CopyStream)
    late: CopyStream = field(default_factory=CopyStream)
    doubts: CopyStream = field(default_factory=CopyStream)
    late_doubts: CopyStream = field(default_factory=CopyStream)
    deferrals: list[Deferral] = field(default_factory=list)
    quiet_receipts: CopyStream = field(default_factory=CopyStream)  # change no state: repeats, not final
    slow_receipts: CopyStream = field(default_factory=CopyStream)
    orphans: CopyStream = field(default_factory=CopyStream)
    first_verdicts: dict[CampaignKey, FirstVerdicts] = field(default_factory=dict)
    slow: set[MessageKey] = field(default_factory=set)
    untallied: set[MessageKey] = field(default_factory=set)
    slow_campaigns: set[UUID] = field(default_factory=set)
    multi_part: list[tuple["array[int]", "array[int]"]] = field(default_factory=list)
    deltas: dict[CampaignKey, Counter[str]] = field(default_factory=dict)
    errors: Counter[tuple[UUID, str, str]] = field(default_factory=Counter)  # campaign, context, code
    codes: Counter[tuple[int, str, str]] = field(default_factory=Counter)  # channel, context, code: all seen
    closed: dict[int, tuple[int, UUID]] = field(default_factory=dict)  # claim id -> slice id, campaign
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    intake: Intake = field(default_factory=Intake)
    moved: dict[UUID, Moved] = field(default_factory=dict)  # by on-time outcomes, out of their open claims
    holds: list[Hold] = field(default_factory=list)  # of on-time doubts
    on_time: list[Callable[[], Iterable[Ending]]] = field(default_factory=list)  # what `moved` sums up
    endings: list[Ending] = field(default_factory=list)  # late outcomes: paid from what is held

    def __bool__(self) -> bool:
        return bool(self.rows or self.closed or self.after_commit or self.deltas or self.intake)

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
        bind: BindKey,
        worker_id: int,
        deferrals: Iterable[Deferral] = (),
    ) -> None:
        """Outcomes of one bind; `claims` has every handle that stands in them. `deferrals`: what its DEFERRED
        parts become."""
        by = _By(bind, worker_id)
        if 1 in batch.late.tobytes():
            late = batch.late.tobytes()
            codes = array("b", masks.pick(outcome, late).tobytes().translate(_LATE_OUTCOME))
            self._add_late(pick_results(batch, late), codes, claims, by)
            on_time = invert(late)
            batch, outcome = pick_results(batch, on_time), masks.pick(outcome, on_time)
        if batch.count:
            self._add_on_time(batch, outcome, claims, by)
        self.deferrals += deferrals
        for update in updates:
            claim = claims[update.claim]
            if not claim.origin_slice_id:
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
        self, batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo], by: "_By"
    ) -> None:
        self.rows += batch.count
        self.outcomes += batch.count
        self._count_outcomes(batch, outcome, claims)
        self._pay(batch, outcome, claims)
        untallied = _untallied(batch, claims)
        if untallied is not None:
            part, codes = pick_results(batch, untallied), masks.pick(outcome, untallied)
            self._add_untallied(part, codes, claims, by)
            tallied = invert(untallied)
            batch, outcome = pick_results(batch, tallied), masks.pick(outcome, tallied)
        if not batch.count:
            return
        if 0 in masks.equal(batch.parts, 1):
            self.multi_part.append((batch.slice_id, batch.row))
        self._encode_results(batch, outcome, claims, by, self.submissions, self.doubts)
        if DEFERRED in outcome.tobytes():
            for i, code in enumerate(outcome):
                if code == DEFERRED and batch.parts[i] > 1:
                    claims[batch.claim[i]].split.add(batch.row[i])

    def _add_untallied(
        self, batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo], by: "_By"
    ) -> None:
        """Outcomes of retry slices, and of other parts of a message that has one there."""
        keys = set(zip(batch.slice_id, batch.row, strict=True))
        self.slow |= keys
        self.untallied |= keys
        self.slow_campaigns.update(claims[claim].campaign_id for claim in masks.distinct(batch.claim))
        self._encode_results(batch, outcome, claims, by, self.late, self.late_doubts)

    @staticmethod
    def _encode_results(
        batch: ResultBatch,
        outcome: "array[int]",
        claims: Mapping[int, ClaimInfo],
        by: "_By",
        submissions: CopyStream,
        doubts: CopyStream,
    ) -> None:
        codes = outcome.tobytes()
        doubtful = codes.translate(_IS_DOUBT)
        if 1 in doubtful:
            doubted = pick_results(batch, doubtful)
            channels = _channels(doubted, claims)
            doubts.add(encode_doubts(doubted, by.bind, channels, by.worker_id), doubted.count)
        stored = codes.translate(_STORED)
        if 0 in stored:
            batch, outcome = pick_results(batch, stored), masks.pick(outcome, stored)
        if batch.count:
            channels = _channels(batch, claims)
            encoded = encode_submissions(
                batch, outcome, by.bind.account_id, channels, by.worker_id, _cost_column(batch, claims)
            )
            submissions.add(encoded, batch.count)

    def _add_late(
        self, batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo], by: "_By"
    ) -> None:
        """Answers that came after the part was given up: rows, and states reckoned in SQL."""
        self.rows += batch.count
        self.outcomes += batch.count
        self._count_outcomes(batch, outcome, claims)
        channels = _channels(batch, claims)
        costs = costs_of(batch, claims)
        if costs is not None:
            owners = {handle: claims[handle].workspace_id for handle in masks.distinct(batch.claim)}
            late = list(_endings(batch, outcome, costs, owners))
            self.endings += late
            for handle, code, cost in zip(batch.claim, outcome, costs, strict=True):
                if code == ACCEPTED:
                    self.count(claims[handle].campaign, charged=cost)
        encoded = encode_submissions(
            batch, outcome, by.bind.account_id, channels, by.worker_id, _cost_column(batch, claims)
        )
        self.late.add(encoded, batch.count)
        self.slow.update(zip(batch.slice_id, batch.row, strict=True))
        self.slow_campaigns.update(claims[claim].campaign_id for claim in masks.distinct(batch.claim))

    def _pay(self, batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo]) -> None:
        """What on-time outcomes do to the money their claims reserved. RETRY and THROTTLED do nothing."""
        whole = costs_of(batch, claims)
        if whole is None:
            return
        handles = masks.distinct(batch.claim)
        owners = {handle: claims[handle].workspace_id for handle in handles}
        self.on_time.append(lambda: _endings(batch, outcome, whole, owners))
        for handle in handles:
            claim = claims[handle]
            if claim.costs is None:
                continue
            mine, costs, codes = batch, whole, outcome
            if len(handles) > 1:
                mask = masks.equal(batch.claim, handle)
                mine, costs = pick_results(batch, mask), masks.pick(whole, mask)
                codes = masks.pick(outcome, mask)
            sums = prefixes.sums(costs, codes, _OUTCOMES)
            moved = self.moved.get(claim.workspace_id)
            if moved is None:
                moved = self.moved[claim.workspace_id] = Moved()
            moved.charge(sums[ACCEPTED])
            moved.refund(sums[FAILED] + sums[DEFERRED])
            self.count(claim.campaign, charged=sums[ACCEPTED])
            if sums[DOUBT]:
                self.holds += [
                    Hold(each.slice_id, each.row, each.part, each.attempt, each.workspace_id, each.cost)
                    for each in _endings(mine, codes, costs, owners)
                    if each.outcome == DOUBT
                ]

    def _count_outcomes(
        self, batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo]
    ) -> None:
        """Parts, rows, throttles and error codes by campaign; messages are the tally's to count."""
        by_claim = [
            (handle, code, number)
            for code in sorted(set(outcome.tobytes()))
            for handle, number in masks.counts(batch.claim, masks.equal(outcome, code)).items()
        ]
        for handle, code, number in by_claim:
            name = "throttled" if code == THROTTLED else "submissions"
            added = {} if code == DOUBT else {name: number}
            if code == ACCEPTED:
                added["parts"] = number
            elif code in (RETRY, DEFERRED):
                added["retried"] = number
            self.count(claims[handle].campaign, **added)
        if masks.any_set(batch.status):
            self._count_codes(batch, claims)
        failed = outcome.tobytes().translate(_IS_FAILED)
        if 1 in failed:
            pairs = Counter(zip(compress(batch.claim, failed), compress(batch.status, failed), strict=True))
            for (handle, status), number in pairs.items():
                kept = error_codes.response_code(status)
                self.errors[claims[handle].campaign_id, "response", kept] += number

    def _count_codes(self, batch: ResultBatch, claims: Mapping[int, ClaimInfo]) -> None:
        """Every status that an SMSC gave, by channel; also those that only held a part up."""
        for (handle, status), number in Counter(zip(batch.claim, batch.status, strict=True)).items():
            if status > 0:
                kept = error_codes.response_code(status)
                self.codes[claims[handle].channel_id, "response", kept] += number

    def count_without_id(
        self, batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo]
    ) -> None:
        """Parts that the SMSC accepted without an id, by channel: no receipt will find them."""
        accepted = outcome.tobytes().translate(_IS_ACCEPTED)
        empty = map(eq, batch.id_end, chain((0,), batch.id_end))
        handles = compress(batch.claim, map(and_, accepted, empty))
        for handle, number in Counter(handles).items():
            self.codes[claims[handle].channel_id, "response", error_codes.WITHOUT_ID] += number

    def add_rejected(
        self,
        claim: ClaimInfo,
        rows: "array[int]",
        codes: "array[int]",
        msisdn: "array[int]",
        now_us: int,
        parts: "array[int] | None" = None,
    ) -> None:
        """Rows that gave no PDU: FAILED, with a status of our own, as one part (of a retry: as that part)."""
        count = len(rows)
        if not count:
            return
        batch = ResultBatch(
            count=count,
            slice_id=array("q", [claim.message_slice]) * count,
            row=rows,
            part=parts or array("h", [1]) * count,
            parts=array("h", [1]) * count,
            attempt=array("h", [claim.attempt]) * count,
            msisdn=msisdn,
            status=array("q", [ENCODE_STATUS[code] for code in codes]),
            sent_us=array("q", [now_us]) * count,
            done_us=array("q", [now_us]) * count,
            id_end=array("i", [0]) * count,
        )
        outcome = array("b", [FAILED]) * count
        self.rows += count
        self.outcomes += count
        encoded = encode_submissions(batch, outcome, claim.account_id, claim.channel_id)
        if claim.origin_slice_id:
            self.late.add(encoded, count)
            keys = set(zip(batch.slice_id, batch.row, strict=True))
            self.slow |= keys
            self.untallied |= keys
            self.slow_campaigns.add(claim.campaign_id)
            self.count(claim.campaign, submissions=count)
        else:
            self.submissions.add(encoded, count)
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
        by_number: int = 0,
    ) -> None:
        """The receipts whose message was found (`matched.found`); the others are not looked at. `by_number`:
        see `tables.encode_receipts`."""
        stamp = _Stamp(account_id, now_us, by_number)
        found = matched.found.tobytes()
        first = both(both(found, matched.first.tobytes()), masks.equal(matched.parts, 1))
        quiet = both(found, masks.same(matched.before, matched.after))
        slow = both(found, invert(either(first, quiet)))
        self.rows += found.count(1)
        for handle, number in masks.counts(matched.campaign, found).items():
            self.count(campaigns[handle], receipts=number)
            if 1 in first:
                mine = first
                if number != len(found):
                    mine = both(first, masks.equal(matched.campaign, handle))
                self._add_first(receipts, matched, campaigns[handle], stamp, mine)
            if 1 in slow and handle in masks.counts(matched.campaign, slow):
                self.slow_campaigns.add(campaigns[handle].campaign_id)
        if 1 in quiet:
            self._encode(self.quiet_receipts, receipts, matched, stamp, quiet)
        if 1 in slow:
            self._encode(self.slow_receipts, receipts, matched, stamp, slow)
            self.slow.update(zip(compress(matched.slice_id, slow), compress(matched.row, slow), strict=True))
        self._count_errors(receipts, matched, campaigns)

    def _add_first(
        self,
        receipts: ReceiptBatch,
        matched: MatchBatch,
        campaign: CampaignKey,
        stamp: "_Stamp",
        mask: bytes,
    ) -> None:
        if 1 not in mask:
            return
        group = self.first_verdicts.get(campaign)
        if group is None:
            group = self.first_verdicts[campaign] = FirstVerdicts()
        self._encode(group.stream, receipts, matched, stamp, mask)
        group.slices.append(masks.pick(matched.slice_id, mask))
        group.rows.append(masks.pick(matched.row, mask))
        verdicts = masks.pick(matched.after, mask).tobytes()
        group.delivered += verdicts.count(2)
        group.undelivered += verdicts.count(1)

    @staticmethod
    def _encode(
        stream: CopyStream, receipts: ReceiptBatch, matched: MatchBatch, stamp: "_Stamp", mask: bytes
    ) -> None:
        if 0 in mask:
            picked = pick_receipts(receipts, mask)
            encoded = encode_receipts(picked, matched, *stamp, lambda column: masks.pick(column, mask))
            stream.add(encoded, picked.count)
        else:
            encoded = encode_receipts(receipts, matched, *stamp, lambda column: column)
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
            campaign = campaigns[matched.campaign[i]]
            code = error_codes.receipt_code(receipts.stat[i], error)
            self.errors[campaign.campaign_id, "receipt", code] += 1
            self.codes[campaign.channel_id, "receipt", code] += 1


class _Stamp(NamedTuple):
    """What all receipts of a batch have in common: see `tables.encode_receipts`."""

    account_id: int
    received_us: int
    by_number: int


@dataclass(frozen=True, slots=True)
class _By:
    """Which bind of which worker reports."""

    bind: BindKey
    worker_id: int


def matchable(batch: ResultBatch, outcome: "array[int]", claims: Mapping[int, ClaimInfo]) -> "array[int]":
    """The outcomes as the recent ids may know them: not of resent parts. Such a part may have two ids that
    the operator accepted, and its receipts are counted by SQL."""
    resent = {claim for claim in masks.distinct(batch.claim) if claims[claim].resend}
    if not resent:
        return outcome
    return array(
        "b", [DEFERRED if claim in resent else code for claim, code in zip(batch.claim, outcome, strict=True)]
    )


def _untallied(batch: ResultBatch, claims: Mapping[int, ClaimInfo]) -> bytes | None:
    """The mask of results whose messages no tally counts; None where there are none."""
    handles = set(masks.distinct(batch.claim))
    again = {handle for handle in handles if claims[handle].origin_slice_id}
    split = {handle for handle in handles - again if claims[handle].split}
    if not again and not split:
        return None
    if again == handles:
        return b"\1" * batch.count
    mask = bytes(
        claim in again or (claim in split and row in claims[claim].split)
        for claim, row in zip(batch.claim, batch.row, strict=True)
    )
    return mask if 1 in mask else None


def _channels(batch: ResultBatch, claims: Mapping[int, ClaimInfo]) -> "array[int] | int":
    """The channel of each row; one number where all are of one."""
    channels = {claim: claims[claim].channel_id for claim in masks.distinct(batch.claim)}
    if len(set(channels.values())) == 1:
        return next(iter(channels.values()))
    return array("i", [channels[claim] for claim in batch.claim])


def costs_of(batch: ResultBatch, claims: Mapping[int, ClaimInfo]) -> "array[int] | None":
    """What each part costs ('q'); None where no claim costs anything."""
    handles = masks.distinct(batch.claim)
    if all(claims[handle].costs is None for handle in handles):
        return None
    if len(handles) == 1:
        costs = claims[batch.claim[0]].costs
        assert costs is not None
        return prefixes.gather(costs, batch.index)
    by_handle = {handle: claims[handle].costs for handle in handles}
    found = array("q")
    for handle, index in zip(batch.claim, batch.index, strict=True):
        costs = by_handle[handle]
        found.append(costs[index] if costs is not None else 0)
    return found


def _cost_column(batch: ResultBatch, claims: Mapping[int, ClaimInfo]) -> "array[int] | int":
    costs = costs_of(batch, claims)
    return 0 if costs is None else array("i", costs)


def _endings(
    batch: ResultBatch, outcome: "array[int]", costs: "array[int]", owners: Mapping[int, UUID]
) -> Iterable[Ending]:
    """Of what costs anything. `owners`: workspaces by claim handle."""
    for i, code in enumerate(outcome):
        if costs[i]:
            owner = owners[batch.claim[i]]
            yield Ending(
                batch.slice_id[i], batch.row[i], batch.part[i], batch.attempt[i], code, owner, costs[i]
            )
