"""The append-only tables as COPY sees them: column names, and batches encoded in that order."""

from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from engine._fast import copyformat
from engine._fast.columns import STATUS_LOST, MatchBatch, ReceiptBatch, ResultBatch
from engine.ledger.claims import BindKey

Ints: TypeAlias = "array[int] | int"

SUBMISSIONS = (
    "slice_id", "row_no", "part", "attempt", "parts", "outcome", "status", "msisdn",
    "account_id", "channel_id", "smsc_id", "sent_at", "responded_at", "worker_id", "cost",
)  # fmt: skip
DOUBTS = (
    "slice_id", "row_no", "part", "attempt", "parts", "reason", "doubted_at", "account_id", "bind_number",
    "worker_id", "event", "msisdn", "channel_id",
)  # fmt: skip
RECEIPTS = (
    "slice_id", "row_no", "part", "verdict", "stat", "error", "done_at", "received_at", "account_id",
    "done_raw", "network_error", "matched_by", "smsc_id",
)  # fmt: skip
ORPHANS = (
    "account_id", "smsc_id", "msisdn", "verdict", "stat", "error", "received_at", "source", "submitted_s",
    "done_s", "done_raw", "network_error",
)  # fmt: skip
UNFLAGGED = (*ORPHANS, "inbound_id")


def encode_submissions(
    batch: ResultBatch,
    outcome: "array[int]",
    account_id: int,
    channel: Ints,
    worker_id: int | None = None,
    cost: Ints = 0,
) -> bytearray:
    """`worker_id`: who sent them; None for what was never sent. `cost`: of each ('i')."""
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
            ("int4", worker_id),
            ("int4", cost),
        ],
        batch.count,
    )


def encode_doubts(batch: ResultBatch, bind: BindKey, channel: Ints, worker_id: int) -> bytearray:
    """`event`: doubts of one minute on one bind are one fault."""
    reasons, ends = bytearray(), array("i")
    events, event_ends = bytearray(), array("i")
    for status, done_us in zip(batch.status, batch.done_us, strict=True):
        reasons += b"connection_lost" if status == STATUS_LOST else b"no_response"
        ends.append(len(reasons))
        events += datetime.fromtimestamp(done_us // 60_000_000 * 60, UTC).strftime("%Y-%m-%dT%H:%MZ").encode()
        event_ends.append(len(events))
    return copyformat.encode(
        [
            ("int8", batch.slice_id),
            ("int4", batch.row),
            ("int2", batch.part),
            ("int2", batch.attempt),
            ("int2", batch.parts),
            ("text", reasons, ends),
            ("timestamptz", batch.done_us),
            ("int4", bind.account_id),
            ("int2", bind.number),
            ("int4", worker_id),
            ("text", events, event_ends),
            ("int8", batch.msisdn),
            ("int4", channel),
        ],
        batch.count,
    )


def encode_receipts(
    batch: ReceiptBatch,
    matched: MatchBatch,
    account_id: int,
    now_us: int,
    by_number: int,
    pick: Callable[["array[int]"], "array[int]"],
) -> bytearray:
    """`pick` takes the columns of `matched` to the rows of `batch`; `by_number` is the MatchedBy of those
    that were found by their id's number."""
    number = pick(matched.by_number)
    other = 1 in number.tobytes()
    return copyformat.encode(
        [
            ("int8", pick(matched.slice_id)),
            ("int4", pick(matched.row)),
            ("int2", pick(matched.part)),
            ("int2", batch.verdict),
            ("int2", batch.stat),
            ("text", batch.errors, batch.error_end),
            ("timestamptz", pick(matched.done_us)),
            ("timestamptz", now_us),
            ("int4", account_id),
            ("text_or_null", batch.done_raw, batch.done_raw_end),
            ("text_or_null", batch.network, batch.network_end),
            ("int2", array("h", [by_number * each for each in number]) if other else 0),
            ("text_or_null", *_where(batch, number)) if other else ("text", None),
        ],
        batch.count,
    )


def _where(batch: ReceiptBatch, mask: "array[int]") -> "tuple[bytearray, array[int]]":
    """The ids where the mask is 1, empty ones elsewhere."""
    ids, ends, start = bytearray(), array("i"), 0
    for stop, wanted in zip(batch.id_end, mask, strict=True):
        if wanted:
            ids += batch.ids[start:stop]
        ends.append(len(ids))
        start = stop
    return ids, ends


def encode_orphans(batch: ReceiptBatch, account_id: int, received_us: int) -> bytearray:
    return copyformat.encode(
        [
            ("int4", account_id),
            ("text", batch.ids, batch.id_end),
            ("int8", batch.msisdn),
            ("int2", batch.verdict),
            ("int2", batch.stat),
            ("text", batch.errors, batch.error_end),
            ("timestamptz", received_us),
            ("text", batch.sender, batch.sender_end),
            ("int8", batch.submit_s, _none(batch.submit_s)),
            ("int8", batch.done_s, _none(batch.done_s)),
            ("text_or_null", batch.done_raw, batch.done_raw_end),
            ("text_or_null", batch.network, batch.network_end),
        ],
        batch.count,
    )


def _none(seconds: "array[int]") -> "array[int]":
    """The null mask of dates: -1 is none."""
    return array("b", bytes(map((-1).__eq__, seconds)))
