"""Receipts whose message is not known yet: many come before the response that gives their id."""

from collections.abc import Iterator
from dataclasses import dataclass

from engine._fast.columns import KIND_INTERMEDIATE, KIND_MO, KIND_RECEIPT, MatchBatch, ReceiptBatch
from engine.ledger.intake import Answer
from engine.ledger.rows import both, invert

MOST = 50_000  # above, the oldest become orphans at once

_IS_RECEIPT = bytes(kind in (KIND_RECEIPT, KIND_INTERMEDIATE) for kind in range(256))
_IS_MESSAGE = bytes(kind == KIND_MO for kind in range(256))


@dataclass(slots=True)
class Held:
    """Unmatched receipts of one batch; `answer` None: they came out of the journal."""

    receipts: ReceiptBatch
    account_id: int
    received_us: int
    since: float  # monotonic
    deadline: float
    answer: Answer | None


class HeldReceipts:
    """`hold_s`: how long a receipt waits for its response before it is written as an orphan."""

    def __init__(self, hold_s: float) -> None:
        self.hold_s = hold_s
        self._held: list[Held] = []
        self.count = 0

    def deadlines(self) -> Iterator[float]:
        if self._held:
            yield self._held[0].deadline

    @property
    def since(self) -> float:
        """When the oldest came, monotonic; infinite without any."""
        return self._held[0].since if self._held else float("inf")

    def add(self, held: Held) -> None:
        self._held.append(held)
        self.count += held.receipts.count

    def take(self) -> list[Held]:
        """All of them, no longer held. Those that must go on waiting are given back by `add`."""
        taken, self._held, self.count = self._held, [], 0
        return taken


def may_be_receipt(receipts: ReceiptBatch, matched: MatchBatch) -> bytes:
    """Mask: receipts that matched nothing, and messages that read like one (they have an id)."""
    kinds = receipts.kind.tobytes()
    receipt = kinds.translate(_IS_RECEIPT)
    if KIND_MO in kinds:
        has_id = bytes(map(int.__ne__, receipts.id_end, [0, *receipts.id_end]))
        receipt = bytes(
            a | b & c for a, b, c in zip(receipt, kinds.translate(_IS_MESSAGE), has_id, strict=True)
        )
    return both(receipt, invert(matched.found.tobytes()))


def is_receipt(receipts: ReceiptBatch) -> bytes:
    """Mask: receipts and intermediate notifications, by their flag."""
    return receipts.kind.tobytes().translate(_IS_RECEIPT)
