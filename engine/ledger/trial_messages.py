"""Test messages: recorded, claimed in a commit of its own before the first octet, then their results.

`queued` -> `claimed` -> `answered`, or `in_doubt` where the worker or the response was lost. A message leaves
`claimed` backwards only when its worker knows that nothing of it was written.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from engine.core_api import schema
from engine.ledger.error_codes import STATS
from engine.ledger.errors import NotFound
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.smpp import status


@dataclass(frozen=True, slots=True)
class Claimed:
    """A test message this worker alone may send, once."""

    test_id: UUID
    account_id: int
    msisdn: int
    sender: str
    text: str
    settings: dict[str, Any]  # of its channel


@dataclass(frozen=True, slots=True)
class PartResult:
    test_id: UUID
    part: int
    status: int  # -1 no response in time, -2 connection lost
    smsc_id: str
    sent_us: int
    done_us: int


async def record(connection: Connection, channel: str, order: schema.TestMessageSpec, text: str) -> None:
    """In the caller's transaction. Raises NotFound for an unknown channel."""
    done = await connection.execute(
        load("trials")["record"],
        order.decision_id,
        channel,
        int(order.msisdn.lstrip("+")),
        order.sender,
        text,
    )
    if done == "INSERT 0 0":
        raise NotFound(f"no channel {channel!r}")


async def claim(connection: Connection, worker_id: int, account_id: int, bind_number: int) -> Claimed | None:
    """The oldest queued one of the account, if nothing stands against it; to be committed by the caller."""
    row = await connection.fetchrow(load("trials")["claim"], worker_id, account_id, bind_number)
    if row is None:
        return None
    return Claimed(
        test_id=row["test_id"],
        account_id=row["account_id"],
        msisdn=row["msisdn"],
        sender=row["sender"],
        text=row["body"],
        settings=msgspec.json.decode(row["settings"]),
    )


async def write_results(pool: Pool, results: list[PartResult]) -> None:
    """May be repeated."""
    queries = load("trials")
    async with pool.acquire() as connection, connection.transaction():
        for each in results:
            await connection.execute(
                queries["result"],
                each.test_id,
                each.part,
                each.status,
                each.smsc_id.replace("\0", ""),
                _time(each.sent_us),
                _time(each.done_us),
            )
        for test_id in {each.test_id for each in results}:
            await connection.execute(queries["conclude"], test_id)


async def one(connection: Connection, test_id: UUID) -> schema.TestMessage:
    """Raises NotFound."""
    rows = await connection.fetch(load("trials")["one"], test_id)
    if not rows:
        raise NotFound(f"no test message {test_id}")
    return (await _published(connection, rows))[0]


async def of_channel(connection: Connection, channel: str) -> list[schema.TestMessage]:
    """The newest 50."""
    return await _published(connection, await connection.fetch(load("trials")["of_channel"], channel))


async def _published(connection: Connection, rows: list[Any]) -> list[schema.TestMessage]:
    parts: dict[UUID, list[schema.TestPart]] = {row["test_id"]: [] for row in rows}
    for row in await connection.fetch(load("trials")["parts_of"], list(parts)):
        parts[row["test_id"]].append(
            schema.TestPart(
                part=row["part"],
                status=row["status"],
                status_name=_status_name(row["status"]),
                smsc_id=row["smsc_id"] or "",
                stat="" if row["stat"] is None else STATS.get(row["stat"], STATS[7])[0],
                error=row["error"],
                sent_at=row["sent_at"],
                responded_at=row["responded_at"],
                receipt_at=row["receipt_at"],
            )
        )
    return [
        schema.TestMessage(
            test_id=row["test_id"],
            channel=row["channel"],
            msisdn=str(row["msisdn"]),
            sender=row["sender"],
            text=row["body"],
            state=row["state"],
            detail=row["detail"],
            requested_at=row["requested_at"],
            parts=parts[row["test_id"]],
        )
        for row in rows
    ]


def _status_name(code: int | None) -> str:
    if code is None:
        return ""
    return {-1: "no response", -2: "connection lost"}.get(code) or status.name(code)


def _time(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)
