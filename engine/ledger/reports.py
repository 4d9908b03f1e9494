"""What pages ask of the ledger: throughput series, message errors, job errors, recipients page by page."""

import base64
import binascii
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pyarrow as pa

from engine.core_api import schema
from engine.ledger import error_codes
from engine.ledger.errors import BadCursor, NotFound
from engine.ledger.message_id import message_id
from engine.ledger.numbers import permutation
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.ledger.states import CANCELLED, ENCODE_STATUS, SHOWN, CampaignState, MessageState

LIMIT = 500  # most items of a page
SCAN = 20_000  # most rows looked at for one filtered page
_WINDOW = 2_000
_NO_PDU = frozenset(ENCODE_STATUS.values())  # statuses of rows that gave none


async def series(pool: Pool, campaign_id: UUID) -> schema.Series:
    """10 s buckets with something in them, oldest first."""
    rows = await pool.fetch(load("reports")["series"], campaign_id)
    return schema.Series(points=[schema.SeriesPoint(**dict(row)) for row in rows])


async def message_errors(pool: Pool, campaign_id: UUID) -> schema.MessageErrors:
    """Codes by context, most frequent first."""
    errors = []
    for row in await pool.fetch(load("reports")["message_errors"], campaign_id):
        name, meaning = error_codes.named(row["context"], row["code"])
        errors.append(schema.MessageError(**dict(row), name=name, meaning=meaning))
    return schema.MessageErrors(errors=errors)


async def job_errors(
    pool: Pool,
    campaign_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = 100,
    *,
    upload_id: UUID | None = None,
) -> schema.JobErrors:
    """Errors of a recipient file, or of a campaign and its file, in order; counts are exact where details are
    capped. Raises NotFound, BadCursor.
    """
    assert (campaign_id is None) != (upload_id is None)
    queries, limit = load("reports"), min(max(limit, 1), LIMIT)
    async with pool.acquire() as connection:
        if campaign_id is not None:
            upload_id = await connection.fetchval(queries["upload_of"], campaign_id)
            if upload_id is None:
                raise NotFound(f"no campaign {campaign_id}")
        elif not await connection.fetchval(queries["has_upload"], upload_id):
            raise NotFound(f"no upload {upload_id}")
        counts = {row["code"]: row["count"] for row in await connection.fetch(
            queries["job_error_counts"], upload_id, campaign_id
        )}  # fmt: skip
        (after,) = decode(cursor, 1)
        rows = await connection.fetch(queries["job_errors"], upload_id, campaign_id, after, limit + 1)
    more = len(rows) > limit
    return schema.JobErrors(
        total=sum(counts.values()),
        counts=counts,
        errors=[
            schema.JobError(
                line_no=row["line_no"],
                code=row["code"],
                detail=row["detail"],
                happened_at=row["happened_at"],
            )
            for row in rows[:limit]
        ],
        next=encode(rows[limit - 1]["job_error_id"]) if more else None,
    )


async def recipients(
    pool: Pool,
    campaign_id: UUID,
    cursor: str | None = None,
    limit: int = 100,
    state: str | None = None,
) -> schema.Recipients:
    """Messages of planned rows, in the order they were planned, with their state now.

    A filtered page looks at SCAN rows at most: it may be short or empty and still have a `next`.
    Raises NotFound, BadCursor.
    """
    queries, limit = load("reports"), min(max(limit, 1), LIMIT)
    slice_id, row = decode(cursor, 2)
    found: list[schema.Recipient] = []
    window = limit if state is None else _WINDOW
    async with pool.acquire() as connection:
        campaign = await connection.fetchrow(queries["campaign"], campaign_id)
        if campaign is None:
            raise NotFound(f"no campaign {campaign_id}")
        looked = 0
        while looked < SCAN:
            part = await connection.fetchrow(queries["slice_at"], campaign_id, slice_id, row)
            if part is None:
                return schema.Recipients(recipients=found, next=None)
            if part["slice_id"] != slice_id:
                slice_id, row = part["slice_id"], 0
            end = min(part["row_count"], row + window)
            for recipient in await _window(connection, campaign, part, row, end):
                row += 1
                looked += 1
                if state is None or recipient.state == state:
                    found.append(recipient)
                if len(found) == limit:
                    return schema.Recipients(recipients=found, next=encode(slice_id, row))
    return schema.Recipients(recipients=found, next=encode(slice_id, row))


async def _window(
    connection: Connection, campaign: asyncpg.Record, part: asyncpg.Record, start: int, end: int
) -> list[schema.Recipient]:
    """Rows [start, end) of a slice, as they were folded, or as they are."""
    queries, rows = load("reports"), (part["slice_id"], start, end)
    if campaign["settled"] and part["folded"]:
        found = await connection.fetch(queries["messages_done"], *rows)
    else:
        found = await connection.fetch(queries["messages"], *rows, campaign["settled"])
    known = {row["row_no"]: row for row in found}
    numbers = await numbers_of(connection, campaign, part, start, end, known)
    return [
        recipient_of(part["slice_id"], row, known.get(row), number, campaign, row >= part["claimed_to"])
        for row, number in zip(range(start, end), numbers, strict=True)
    ]


async def numbers_of(
    connection: Connection,
    campaign: asyncpg.Record,
    part: asyncpg.Record,
    start: int,
    end: int,
    known: dict[int, Any],
) -> Iterator[int | None]:
    """The recipients' numbers; from the chunk only where a row has no submission. None: erased, or gone."""
    if all(row in known and known[row]["msisdn"] is not None for row in range(start, end)):
        return iter([known[row]["msisdn"] for row in range(start, end)])
    chunk = await connection.fetchrow(load("reports")["chunk"], campaign["campaign_id"], part["chunk_no"])
    if chunk is None or chunk["data"] is None:
        return iter([known[row]["msisdn"] if row in known else None for row in range(start, end)])
    with pa.ipc.open_stream(pa.py_buffer(chunk["data"])) as stream:
        column = stream.read_all().column("msisdn")
    first, order = part["row_start"] + start, permutation(chunk["permutation"])
    if order:
        return iter(column.take(pa.array(order[first : first + end - start])).to_pylist())
    return iter(column.slice(first, end - start).to_pylist())


def recipient_of(
    slice_id: int,
    row: int,
    message: asyncpg.Record | None,
    number: int | None,
    campaign: asyncpg.Record,
    unclaimed: bool,
) -> schema.Recipient:
    """A message as it is shown, from its row of the ledger, if it has one."""
    state = MessageState(message["state"]) if message else MessageState.OPEN
    shown = SHOWN[state]
    if state is MessageState.OPEN and unclaimed and campaign["state"] == CampaignState.CANCELLED:
        shown = CANCELLED
    # what gave no PDU was not tried, whatever row of the ledger says why
    unsent = message is not None and state is MessageState.FAILED and message["failed_status"] in _NO_PDU
    attempts = message["attempts"] - unsent if message else 0
    return schema.Recipient(
        message_id=message_id(slice_id, row),
        msisdn=str(number or ""),
        state=shown,
        parts=message["parts"] if message else 0,
        attempts=attempts,
        error=_error(state, message) if message else "",
        sent_at=message["sent_at"] if message and attempts else None,
        done_at=message["done_at"] if message else None,
        corrected=message["corrected"] if message else False,
    )


def _error(state: MessageState, message: asyncpg.Record) -> str:
    if state is MessageState.IN_DOUBT:
        return message["doubt"] or ""
    if state is MessageState.UNDELIVERED and message["stat"] is not None:
        return error_codes.receipt_code(message["stat"], message["receipt_error"] or "")
    if state in (MessageState.FAILED, MessageState.UNDELIVERED) and message["failed_status"] is not None:
        return error_codes.status_name(message["failed_status"])
    return ""


def encode(*numbers: int) -> str:
    """A cursor of these numbers."""
    return base64.urlsafe_b64encode(".".join(map(str, numbers)).encode()).decode().rstrip("=")


def decode(cursor: str | None, count: int) -> list[int]:
    """The numbers of a cursor, zeros without one. Raises BadCursor."""
    if not cursor:
        return [0] * count
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        numbers = [int(number) for number in text.split(".")]
    except (binascii.Error, UnicodeError, ValueError):
        raise BadCursor("not a cursor of this list") from None
    if len(numbers) != count or not all(0 <= number < 1 << 62 for number in numbers):
        raise BadCursor("not a cursor of this list")
    return numbers
