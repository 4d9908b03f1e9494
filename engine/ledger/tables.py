"""The append-only tables as COPY sees them: column names, and batches encoded in that order."""

from array import array
from collections.abc import Callable
from typing import TypeAlias

from engine._fast import copyformat
from engine._fast.columns import STATUS_LOST, MatchBatch, ReceiptBatch, ResultBatch

Ints: TypeAlias = "array[int] | int"

SUBMISSIONS = (
    "slice_id", "row_no", "part", "attempt", "parts", "outcome", "status", "msisdn",
    "account_id", "channel_id", "smsc_id", "sent_at", "responded_at",
)  # fmt: skip
DOUBTS = ("slice_id", "row_no", "part", "attempt", "parts", "reason", "doubted_at")
RECEIPTS = (
    "slice_id", "row_no", "part", "verdict", "stat", "error", "done_at", "received_at", "account_id",
)  # fmt: skip
ORPHANS = ("account_id", "smsc_id", "msisdn", "verdict", "stat", "error", "done_at", "received_at")


def encode_submissions(
    batch: ResultBatch, outcome: "array[int]", account_id: int, channel: Ints
) -> bytearray:
    return copyformat.encode(
        [
            ("int8", batch.slice_id),
            ("int4", batch.row),
            ("int2", batch.part),
            ("int2", batch.attempt),
            ("int2", batch.parts),
            ("int2", outcome),
            ("int8", batch.status),
            ("int8", batch.msisdn),
            ("int4", account_id),
            ("int4", channel),
            ("text_or_null", batch.ids, batch.id_end),
            ("timestamptz", batch.sent_us),
            ("timestamptz", batch.done_us),
        ],
        batch.count,
    )


def encode_doubts(batch: ResultBatch) -> bytearray:
    reasons, ends = bytearray(), array("i")
    for status in batch.status:
        reasons += b"connection_lost" if status == STATUS_LOST else b"no_response"
        ends.append(len(reasons))
    return copyformat.encode(
        [
            ("int8", batch.slice_id),
            ("int4", batch.row),
            ("int2", batch.part),
            ("int2", batch.attempt),
            ("int2", batch.parts),
            ("text", reasons, ends),
            ("timestamptz", batch.done_us),
        ],
        batch.count,
    )


def encode_receipts(
    batch: ReceiptBatch,
    matched: MatchBatch,
    account_id: int,
    now_us: int,
    pick: Callable[["array[int]"], "array[int]"],
) -> bytearray:
    """`pick` takes the columns of `matched` to the rows of `batch`."""
    done_us, unknown = _done(batch.done_s)
    return copyformat.encode(
        [
            ("int8", pick(matched.slice_id)),
            ("int4", pick(matched.row)),
            ("int2", pick(matched.part)),
            ("int2", batch.verdict),
            ("int2", batch.stat),
            ("text", batch.errors, batch.error_end),
            ("timestamptz", done_us, unknown),
            ("timestamptz", now_us),
            ("int4", account_id),
        ],
        batch.count,
    )


def encode_orphans(batch: ReceiptBatch, account_id: int, received_us: int) -> bytearray:
    done_us, unknown = _done(batch.done_s)
    return copyformat.encode(
        [
            ("int4", account_id),
            ("text", batch.ids, batch.id_end),
            ("int8", batch.msisdn),
            ("int2", batch.verdict),
            ("int2", batch.stat),
            ("text", batch.errors, batch.error_end),
            ("timestamptz", done_us, unknown),
            ("timestamptz", received_us),
        ],
        batch.count,
    )


def _done(done_s: "array[int]") -> "tuple[array[int], array[int]]":
    """Microseconds, and the null mask: -1 is no date."""
    unknown = array("b", bytes(map((-1).__eq__, done_s)))
    return array("q", [second * 1_000_000 for second in done_s]), unknown
