"""Which submission a receipt's id means: every spelling SMSCs use for one id, in one order. Pure.

Exact first; then case-folded without leading zeros; then hex read as decimal; then decimal as hex. Only what
fits 64 bits is converted, a UUID never; anything but the exact id counts only with the same destination.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import msgspec

Base = Literal["text", "hex", "dec"]
SetBase = Literal["auto", "text", "hex", "dec"]

LOCK_AFTER = 100  # unambiguous matches
CONTRADICTIONS = 0.02  # share of other evidence above which nothing is locked
LEAST_DIGITS, MOST_DIGITS = 8, 10
HEX_DIGITS, DEC_DIGITS = 16, 20  # of 64 bits

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F]+")
_DEC = re.compile(r"[0-9]+")


class MatchedBy(IntEnum):
    """How a receipt found its message (`receipts.matched_by`), in the order of look-ups."""

    EXACT = 0
    FOLDED = 1
    HEX_TO_DEC = 2  # the receipt's id is hex, the response's decimal
    DEC_TO_HEX = 3
    DOUBT = 4  # by destination, sender and time: it resolved a message in doubt


BASES: dict[MatchedBy, tuple[Base, Base]] = {  # (response, receipt)
    MatchedBy.EXACT: ("text", "text"),
    MatchedBy.FOLDED: ("text", "text"),
    MatchedBy.HEX_TO_DEC: ("dec", "hex"),
    MatchedBy.DEC_TO_HEX: ("hex", "dec"),
}
RADIX: dict[Base, int] = {"text": 0, "dec": 10, "hex": 16}


class Bases(NamedTuple):
    """Of ids in responses and in receipts; None: not known, everything is tried."""

    response: Base | None = None
    receipt: Base | None = None

    @property
    def convert(self) -> bool:
        """Both are known, are numbers, and differ: the recent ids are kept as numbers."""
        return {self.response, self.receipt} == {"hex", "dec"}

    @property
    def radixes(self) -> tuple[int, int]:
        """For the recent ids: (of `put`, of `match`)."""
        if not self.convert:
            return 0, 0
        assert self.response is not None
        assert self.receipt is not None
        return RADIX[self.response], RADIX[self.receipt]

    @property
    def order(self) -> tuple[MatchedBy, ...]:
        """Look-ups in their order. What two known bases say goes before the exact id, which may be another
        message's."""
        conversions = [
            by
            for by in (MatchedBy.HEX_TO_DEC, MatchedBy.DEC_TO_HEX)
            if self.response in (None, BASES[by][0]) and self.receipt in (None, BASES[by][1])
        ]
        if self.convert:
            return (*conversions, MatchedBy.EXACT)
        return (MatchedBy.EXACT, MatchedBy.FOLDED, *conversions)


class Candidate(NamedTuple):
    """A submission that may be the one."""

    smsc_id: str
    msisdn: int
    sent_at: datetime
    slice_id: int
    row_no: int
    part: int


@dataclass(frozen=True, slots=True)
class Found:
    candidate: Candidate
    by: MatchedBy
    unambiguous: bool  # no other message would do in any look-up


def folded(smsc_id: str) -> str:
    """Without case and leading zeros; a UUID keeps its zeros."""
    lower = smsc_id.casefold()
    return lower if _UUID.fullmatch(lower) else lower.lstrip("0") or "0"


def converted(smsc_id: str, by: MatchedBy) -> str | None:
    """The receipt's id, as `folded` gives the response's under this look-up; None where it is no such
    number."""
    if by in (MatchedBy.EXACT, MatchedBy.FOLDED):
        return folded(smsc_id)
    if _UUID.fullmatch(smsc_id):
        return None
    digits, radix = (_HEX, 16) if by is MatchedBy.HEX_TO_DEC else (_DEC, 10)
    significant = smsc_id.lstrip("0")
    if not digits.fullmatch(smsc_id) or len(significant) > DEC_DIGITS:
        return None
    value = int(significant or "0", radix)
    if value >= 1 << 64:
        return None
    return str(value) if by is MatchedBy.HEX_TO_DEC else f"{value:x}"


def spellings(smsc_id: str, bases: Bases) -> set[str]:
    """Ids a response may have had, for an index of raw ids: in both cases, with leading zeros to 64 bits.

    Mixed case cannot be listed: such ids are found by their destination.
    """
    found: set[str] = {smsc_id}
    for by in bases.order:
        key = converted(smsc_id, by)
        if key is None or by is MatchedBy.EXACT:
            continue
        widest = HEX_DIGITS if by is MatchedBy.DEC_TO_HEX else DEC_DIGITS
        padded = range(len(key), widest + 1) if _HEX.fullmatch(key) else range(len(key), len(key) + 1)
        for width in (*padded, len(smsc_id)):
            found |= {key.rjust(width, "0"), key.upper().rjust(width, "0")}
    return found


def same_destination(one: int, other: int) -> bool:
    """Do two numbers agree in their last 8 to 10 digits, as far as both have them?"""
    shorter = min(len(str(one)), len(str(other)), MOST_DIGITS)
    if min(one, other) <= 0 or shorter < LEAST_DIGITS:
        return False
    last = int(10**shorter)
    return one % last == other % last


def choose(
    smsc_id: str,
    destinations: Iterable[int],
    received_at: datetime,
    candidates: Iterable[Candidate],
    bases: Bases,
) -> Found | None:
    """The submission a receipt means. `destinations`: the numbers it names (some SMSCs leave the addresses
    as they were in the submit_sm). Of a reused id the newest that was sent before the receipt came."""
    numbers = [number for number in destinations if number > 0]
    best: dict[MatchedBy, Candidate] = {}
    fitting: set[tuple[int, int, int]] = set()
    for candidate in candidates:
        if candidate.sent_at > received_at:
            continue
        for by in bases.order:
            if not _fits(smsc_id, numbers, candidate, by):
                continue
            if by not in best or candidate.sent_at > best[by].sent_at:
                best[by] = candidate
            fitting.add((candidate.slice_id, candidate.row_no, candidate.part))
            break
    for by in bases.order:
        if by in best:
            return Found(best[by], by, unambiguous=len(fitting) == 1)
    return None


def _fits(smsc_id: str, numbers: list[int], candidate: Candidate, by: MatchedBy) -> bool:
    if by is MatchedBy.EXACT:
        return candidate.smsc_id == smsc_id
    key = converted(smsc_id, by)
    return (
        key is not None
        and folded(candidate.smsc_id) == key
        and any(same_destination(number, candidate.msisdn) for number in numbers)
    )


@dataclass(slots=True)
class Learning:
    """Evidence of unambiguous matches for pairs of bases, since it was last stored."""

    evidence: Counter[tuple[Base, Base]] = field(default_factory=Counter)

    def note(self, by: MatchedBy, count: int = 1) -> None:
        if by in BASES:
            self.evidence[BASES[by]] += count


class LearnedIds(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`accounts.learned.ids`."""

    evidence: dict[str, int] = {}  # "hex>dec": response, receipt
    response: Base | None = None
    receipt: Base | None = None
    locked_at: datetime | None = None

    @property
    def locked(self) -> bool:
        return self.locked_at is not None


def learn(known: LearnedIds, evidence: Mapping[tuple[Base, Base], int], now: datetime) -> LearnedIds:
    """Add evidence; lock the bases after LOCK_AFTER matches that hardly anything contradicts. What is locked
    does not change."""
    if known.locked:
        return known
    counted: Counter[str] = Counter(known.evidence)
    counted.update({f"{response}>{receipt}": count for (response, receipt), count in evidence.items()})
    if not counted:
        return known
    pair, most = counted.most_common(1)[0]
    if most < LOCK_AFTER or counted.total() - most > CONTRADICTIONS * most:
        return LearnedIds(evidence=dict(counted))
    response, receipt = msgspec.convert(pair.split(">"), tuple[Base, Base])
    return LearnedIds(evidence=dict(counted), response=response, receipt=receipt, locked_at=now)


class LearnedZone(msgspec.Struct, frozen=True, kw_only=True):
    """`accounts.learned.receipt_tz`: a proposal, never applied by itself."""

    offset_s: int
    median_s: int
    samples: int
    at: datetime


class Learned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`accounts.learned`, written here alone."""

    ids: LearnedIds = LearnedIds()
    receipt_tz: LearnedZone | None = None


class ReceiptRules(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt settings of an account, and what was learned (`engine.channels.account_settings` describes
    them)."""

    id_base_response: SetBase = "auto"
    id_base_receipt: SetBase = "auto"
    accepted_is_final: bool = False
    receipt_tz: str = "UTC"
    receipt_horizon_s: int = 0
    learned: Learned = Learned()

    @property
    def bases(self) -> Bases:
        """What counts: what is set, else what was learned where it does not contradict what is set."""
        learned = self.learned.ids
        response = None if self.id_base_response == "auto" else self.id_base_response
        receipt = None if self.id_base_receipt == "auto" else self.id_base_receipt
        if learned.locked and response in (None, learned.response) and receipt in (None, learned.receipt):
            return Bases(learned.response, learned.receipt)
        return Bases(response, receipt)

    @property
    def learning(self) -> bool:
        """Is there still a base to learn?"""
        return "auto" in (self.id_base_response, self.id_base_receipt) and not self.learned.ids.locked


def rules_of(settings: dict[str, Any] | str | bytes, learned: str | bytes) -> ReceiptRules:
    """From `accounts.settings` and `accounts.learned`; other settings are not looked at."""
    given = settings if isinstance(settings, dict) else msgspec.json.decode(settings)
    rules = msgspec.convert(given, ReceiptRules, strict=False)
    return msgspec.structs.replace(rules, learned=msgspec.json.decode(learned, type=Learned))


def each(evidence: Mapping[str, int]) -> Iterator[tuple[Base, Base, int]]:
    """(response, receipt, matches) of `LearnedIds.evidence`, most first."""
    for pair, count in sorted(evidence.items(), key=lambda item: -item[1]):
        response, receipt = msgspec.convert(pair.split(">"), tuple[Base, Base])
        yield response, receipt, count
