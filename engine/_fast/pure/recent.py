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
    verdict: int = 0


class RecentIds:
    """The last `capacity` SMSC message ids accepted, by (account, raw id): whose receipt is this?

    An id given again replaces the older one. Raises ValueError for a capacity under 1 or above 2^28.
    """

    def __init__(self, capacity: int) -> None:
        if not 1 <= capacity <= 2**28:
            raise ValueError("a capacity is from 1 to 2^28")
        self.capacity = capacity
        self._entries: dict[tuple[int, bytes], _Entry] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._entries)

    def put(
        self,
        results: ResultBatch,
        outcome: array[int],
        account_id: int,
        campaign: int | Mapping[int, int],
    ) -> int:
        """Keeps the accepted results that have an id, and returns how many; the oldest go when it is full.

        `campaign` is a small handle (int32) given back by `match`: one for the batch, or one by claim handle
        (KeyError if a claim is missing). Late results are left out: they are counted by another path.
        Raises ValueError if the outcomes are not one a result.
        """
        if len(outcome) != results.count:
            raise ValueError("one outcome for each result")
        start = kept = 0
        for i in range(results.count):
            stop = results.id_end[i]
            key = (account_id, bytes(results.ids[start:stop]))
            start = stop
            if outcome[i] != ACCEPTED or results.late[i] or not key[1]:
                continue
            handle = campaign if isinstance(campaign, int) else campaign[results.claim[i]]
            self._entries.pop(key, None)
            if len(self._entries) == self.capacity:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = _Entry(
                results.slice_id[i], results.row[i], results.part[i], results.parts[i], handle
            )
            kept += 1
        return kept

    def match(self, receipts: ReceiptBatch, account_id: int) -> MatchBatch:
        """Whose receipts these are, by exact id; SME acknowledgements are not looked up.

        An MO with an id reads like a receipt, and is one exactly if it is found. The entry keeps the higher
        verdict: a later delivered corrects undelivered, never the reverse.
        """
        matched = MatchBatch()
        start = 0
        for i in range(receipts.count):
            stop = receipts.id_end[i]
            id_ = bytes(receipts.ids[start:stop])
            start = stop
            entry = None
            if receipts.kind[i] != KIND_OTHER_ACK:
                entry = self._entries.get((account_id, id_))
            _append(matched, entry, receipts.verdict[i])
        return matched


def _append(matched: MatchBatch, entry: _Entry | None, verdict: int) -> None:
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
