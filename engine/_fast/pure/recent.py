"""Plain-Python twin of `engine._fast.recent`: what the C map means."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from engine._fast.columns import (
    ACCEPTED,
    KIND_OTHER_ACK,
    MatchBatch,
    ReceiptBatch,
    ResultBatch,
)


@dataclass(slots=True)
class _Entry:
    slice_id: int
    row: int
    part: int
    parts: int
    campaign: int
    sent_s: int = 0
    tail: int = 0
    verdict: int = 0


TAIL_DIGITS, LEAST_DIGITS = 9, 8
_BASES = {0: "", 10: "0123456789", 16: "0123456789abcdefABCDEF"}


def number_of(id_: bytes, base: int) -> int | None:
    """The id as a number of base 10 or 16, if it is one and fits 64 bits (a UUID does not)."""
    digits = id_.decode("latin-1").lstrip("0") or "0"[: len(id_)]
    if base == 0 or not digits or len(digits) > 20 or not set(digits) <= set(_BASES[base]):
        return None
    value = int(digits, base)
    return value if value < 1 << 64 else None


def same_destination(msisdn: int, tail: int) -> bool:
    """Do a receipt's number and the kept last nine digits agree in at least eight?"""
    if msisdn < 10 ** (LEAST_DIGITS - 1) or tail < 0:
        return False
    digits = TAIL_DIGITS if msisdn >= 10**LEAST_DIGITS else LEAST_DIGITS
    last = int(10**digits)
    return msisdn % last == tail % last


class RecentIds:
    """The last `capacity` SMSC message ids accepted, by (account, raw id): whose receipt is this?

    An id given again replaces the older one. Where an account's bases are known and differ (10, 16; 0: text),
    ids are kept as numbers, and a receipt finds one by the number its id has in its own base, if the
    destinations agree; else by the raw id. Raises ValueError for a capacity under 1 or above 2^28, or another
    base.
    """

    def __init__(self, capacity: int) -> None:
        if not 1 <= capacity <= 2**28:
            raise ValueError("a capacity is from 1 to 2^28")
        self.capacity = capacity
        self._entries: dict[tuple[int, bytes | int], _Entry] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._entries)

    def put(
        self,
        results: ResultBatch,
        outcome: array[int],
        account_id: int,
        campaign: int | Mapping[int, int],
        base: int = 0,
    ) -> int:
        """Keeps the accepted results that have an id, and returns how many; the oldest go when it is full.

        `campaign` is a small handle (int32) given back by `match`: one for the batch, or one by claim handle
        (KeyError if a claim is missing). Late results are left out: they are counted by another path.
        `base` is that of ids in responses. Raises ValueError if the outcomes are not one a result.
        """
        _check(base)
        if len(outcome) != results.count:
            raise ValueError("one outcome for each result")
        start = kept = 0
        for i in range(results.count):
            stop = results.id_end[i]
            id_ = bytes(results.ids[start:stop])
            start = stop
            if outcome[i] != ACCEPTED or results.late[i] or not id_:
                continue
            number = number_of(id_, base)
            key = (account_id, id_ if number is None else number)
            handle = campaign if isinstance(campaign, int) else campaign[results.claim[i]]
            self._entries.pop(key, None)
            if len(self._entries) == self.capacity:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = _Entry(
                results.slice_id[i],
                results.row[i],
                results.part[i],
                results.parts[i],
                handle,
                max(0, results.sent_us[i] // 1_000_000),
                _tail(results.msisdn[i]),
            )
            kept += 1
        return kept

    def match(self, receipts: ReceiptBatch, account_id: int, base: int = 0) -> MatchBatch:
        """Whose receipts these are, by exact id; SME acknowledgements are not looked up. `base` is that of
        ids in receipts: not 0 where ids were put with another.

        An MO with an id reads like a receipt, and is one exactly if it is found. The entry keeps the higher
        verdict: a later delivered corrects undelivered, never the reverse.
        """
        _check(base)
        matched = MatchBatch()
        start = 0
        for i in range(receipts.count):
            stop = receipts.id_end[i]
            id_ = bytes(receipts.ids[start:stop])
            start = stop
            entry, by_number = None, False
            if receipts.kind[i] != KIND_OTHER_ACK:
                number = number_of(id_, base)
                if number is not None:
                    entry = self._entries.get((account_id, number))
                    if entry is not None and not same_destination(receipts.msisdn[i], entry.tail):
                        entry = None
                    by_number = entry is not None
                entry = entry or self._entries.get((account_id, id_))
            _append(matched, entry, receipts.verdict[i], by_number)
        return matched


def _check(base: int) -> None:
    if base not in _BASES:
        raise ValueError("a base is 0, 10 or 16")


def _tail(msisdn: int) -> int:
    """The last nine digits of a number of at least eight, else -1."""
    return int(msisdn % 10**TAIL_DIGITS) if msisdn >= 10 ** (LEAST_DIGITS - 1) else -1


def _append(matched: MatchBatch, entry: _Entry | None, verdict: int, by_number: bool) -> None:
    known = entry or _Entry(0, 0, 0, 0, 0)
    before = known.verdict
    after = max(before, verdict) if entry else 0
    known.verdict = after
    matched.found.append(1 if entry else 0)
    matched.slice_id.append(known.slice_id)
    matched.row.append(known.row)
    matched.part.append(known.part)
    matched.parts.append(known.parts)
    matched.campaign.append(known.campaign)
    matched.before.append(before)
    matched.after.append(after)
    matched.first.append(1 if before == 0 and after > 0 else 0)
    matched.sent_s.append(known.sent_s)
    matched.by_number.append(1 if by_number else 0)
