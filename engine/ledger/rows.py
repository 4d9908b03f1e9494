"""Rows of columnar batches picked at C speed: by a mask of 0 and 1 bytes, into arrays of the same type."""

from array import array
from typing import Any

from engine._fast import masks
from engine._fast.columns import ReceiptBatch, ResultBatch

COPY_HEADER = 19  # signature, flags, extension length (PostgreSQL, "COPY", binary format)
COPY_TRAILER = 2


class CopyStream:
    """Encoded rows of one table, gathered from many `copyformat.encode` streams into one.

    `columns` are the names of the table's columns, in the order of the encoded ones.
    """

    __slots__ = ("_data", "count")

    def __init__(self) -> None:
        self._data = bytearray()
        self.count = 0

    def add(self, encoded: bytearray, count: int) -> None:
        start = 0 if not self._data else COPY_HEADER
        self._data += memoryview(encoded)[start:-COPY_TRAILER]
        self.count += count

    def extend(self, other: "CopyStream") -> None:
        if other.count:
            start = 0 if not self._data else COPY_HEADER
            self._data += memoryview(other._data)[start:]
            self.count += other.count

    def source(self) -> bytearray:
        """The whole stream, for `copy_to_table(source=...)`; may be taken again."""
        return self._data + b"\xff\xff"


_RECEIPT_NUMBERS = ("sequence", "command", "kind", "msisdn", "verdict", "stat", "done_s", "submit_s")
_RECEIPT_TEXTS = (
    ("ids", "id_end"), ("errors", "error_end"), ("done_raw", "done_raw_end"), ("network", "network_end"),
    ("sender", "sender_end"), ("pdu", "pdu_end"),
)  # fmt: skip
_MISSING = {"msisdn": -1, "stat": 255, "done_s": -1, "submit_s": -1}


def completed(batch: ReceiptBatch) -> ReceiptBatch:
    """The batch with every column: one that an older journal or a caller left out says nothing."""
    for name in _RECEIPT_NUMBERS:
        column = getattr(batch, name)
        if len(column) != batch.count:
            assert not column, "a column is whole or empty"
            column.extend([_MISSING.get(name, 0)] * batch.count)
    for _, end in _RECEIPT_TEXTS:
        column = getattr(batch, end)
        if len(column) != batch.count:
            assert not column, "a column is whole or empty"
            column.extend([0] * batch.count)
    return batch


def pick_receipts(batch: ReceiptBatch, mask: bytes) -> ReceiptBatch:
    picked: dict[str, Any] = {name: masks.pick(getattr(batch, name), mask) for name in _RECEIPT_NUMBERS}
    for data, end in _RECEIPT_TEXTS:
        if getattr(batch, data):
            picked[data], picked[end] = masks.pick_text(getattr(batch, data), getattr(batch, end), mask)
        else:
            picked[end] = array("i", bytes(4 * len(picked["kind"])))
    return ReceiptBatch(count=len(picked["kind"]), **picked)


def pick_results(batch: ResultBatch, mask: bytes) -> ResultBatch:
    ids, id_end = masks.pick_text(batch.ids, batch.id_end, mask)
    return ResultBatch(
        count=len(id_end),
        claim=masks.pick(batch.claim, mask),
        index=masks.pick(batch.index, mask),
        slice_id=masks.pick(batch.slice_id, mask),
        row=masks.pick(batch.row, mask),
        part=masks.pick(batch.part, mask),
        parts=masks.pick(batch.parts, mask),
        attempt=masks.pick(batch.attempt, mask),
        msisdn=masks.pick(batch.msisdn, mask),
        status=masks.pick(batch.status, mask),
        sent_us=masks.pick(batch.sent_us, mask),
        done_us=masks.pick(batch.done_us, mask),
        late=masks.pick(batch.late, mask),
        ids=ids,
        id_end=id_end,
    )


def invert(mask: bytes) -> bytes:
    return mask.translate(_INVERT)


def both(left: bytes, right: bytes) -> bytes:
    """1 where both masks (of 0 and 1) are; masks are as long as each other."""
    return (int.from_bytes(left, "little") & int.from_bytes(right, "little")).to_bytes(len(left), "little")


def either(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "little") | int.from_bytes(right, "little")).to_bytes(len(left), "little")


_INVERT = bytes([1]) + bytes(255)
