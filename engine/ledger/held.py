"""Receipts whose message is not known yet: many come before the response that gives their id."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import time_ns

from engine._fast import recent as fast_recent
from engine._fast.columns import KIND_INTERMEDIATE, KIND_RECEIPT, MatchBatch, ReceiptBatch
from engine.ledger.batch import Batch
from engine.ledger.claims import CampaignKey
from engine.ledger.rows import both, invert, pick_receipts
from engine.ledger.tables import encode_orphans

MOST = 50_000  # above, the oldest become orphans at once

_IS_RECEIPT = bytes(kind in (KIND_RECEIPT, KIND_INTERMEDIATE) for kind in range(256))


@dataclass(slots=True)
class _Held:
    receipts: ReceiptBatch
    account_id: int
    received_us: int
    deadline: float
    acknowledge: Callable[[], None]


class HeldReceipts:
    """`hold_s`: how long a receipt waits for its response before it is written as an orphan."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._held: list[_Held] = []
        self.count = 0

    def deadlines(self) -> Iterator[float]:
        if self._held:
            yield self._held[0].deadline

    def add(
        self,
        receipts: ReceiptBatch,
        matched: MatchBatch,
        account_id: int,
        acknowledge: Callable[[], None],
        batch: Batch,
        now: float,
    ) -> int:
        """Keep those of a batch that matched nothing; without any it is acknowledged with `batch`.

        Returns how many are no receipts at all.
        """
        are = receipts.kind.tobytes().translate(_IS_RECEIPT)
        missing = both(are, invert(matched.found.tobytes()))
        if 1 in missing:
            kept = pick_receipts(receipts, missing)
            self._held.append(_Held(kept, account_id, time_ns() // 1000, now + self._hold_s, acknowledge))
            self.count += kept.count
        else:
            batch.after_commit.append(acknowledge)
        return both(invert(are), invert(matched.found.tobytes())).count(1)

    def place(
        self,
        recent: fast_recent.RecentIds,
        batch: Batch,
        campaigns: Mapping[int, CampaignKey],
        now: float,
        *,
        last: bool,
    ) -> None:
        """Put what matches by now, and what waited long enough (`last`: all), into `batch`."""
        waiting: list[_Held] = []
        for held in self._held:
            matched = recent.match(held.receipts, held.account_id)
            found = matched.found.tobytes()
            if 1 in found:
                batch.add_receipts(held.receipts, matched, campaigns, held.account_id, held.received_us)
                self.count -= found.count(1)
                held.receipts = pick_receipts(held.receipts, invert(found))
            if held.receipts.count and not last and held.deadline > now and self.count <= MOST:
                waiting.append(held)
                continue
            if held.receipts.count:
                encoded = encode_orphans(held.receipts, held.account_id, held.received_us)
                batch.orphans.add(encoded, held.receipts.count)
                batch.rows += held.receipts.count
                self.count -= held.receipts.count
            batch.after_commit.append(held.acknowledge)
        self._held = waiting
