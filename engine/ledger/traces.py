"""PDU traces: asked for by an operator, filled by every worker with such a bind, gone after a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.core_api import schema
from engine.ledger.errors import NotFound, WrongState
from engine.ledger.message_id import slice_and_row
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.smpp.trace import Shown, masked

KEPT = 5_000  # PDUs of a trace


@dataclass(frozen=True, slots=True)
class ActiveTrace:
    trace_id: int
    scope: str
    account_id: int | None  # None: all
    number: int | None  # of the bind, None: all of the account
    msisdn: int | None
    smsc_ids: tuple[str, ...]

    def covers(self, account_id: int, number: int) -> bool:
        return self.account_id in (None, account_id) and self.number in (None, number)


async def create(connection: Connection, spec: schema.TraceSpec) -> int:
    """In the caller's transaction. Raises NotFound for an unknown account or message, WrongState for a
    message of which nothing has been sent yet."""
    queries = load("traces")
    await connection.execute(queries["forget"])
    account_id = None
    if spec.account:
        account_id = await connection.fetchval(queries["account_id"], spec.account)
        if account_id is None:
            raise NotFound(f"no account {spec.account!r}")
    msisdn = int(spec.msisdn.lstrip("+")) if spec.msisdn else None
    smsc_ids: list[str] = []
    if spec.message_id is not None:
        try:
            slice_id, row_no = slice_and_row(spec.message_id)
        except ValueError as error:
            raise NotFound(str(error)) from None
        row = await connection.fetchrow(queries["message"], slice_id, row_no)
        if row is None or row["msisdn"] is None:
            raise WrongState("nothing of that message has been sent yet: trace its number")
        msisdn, smsc_ids = row["msisdn"], list(row["smsc_ids"] or ())
    return int(
        await connection.fetchval(
            queries["create"],
            spec.scope,
            account_id,
            spec.number if spec.scope == "bind" else None,
            msisdn,
            spec.message_id,
            smsc_ids,
            float(spec.seconds),
        )
    )


async def active(connection: Connection) -> list[ActiveTrace]:
    """Those that are to be filled now."""
    return [
        ActiveTrace(
            row["trace_id"],
            row["scope"],
            row["account_id"],
            row["number"],
            row["msisdn"],
            tuple(row["smsc_ids"]),
        )
        for row in await connection.fetch(load("traces")["active"])
    ]


async def add(
    pool: Pool,
    trace_id: int,
    account_id: int,
    number: int,
    seen: Sequence[tuple[int, bool, Shown]],
    skipped: int,
) -> None:
    """PDUs of one bind as (unix microseconds, whether it went out, masked PDU); how many were not kept."""
    queries = load("traces")
    bodies = [
        msgspec.json.encode({"direction": "out" if out else "in", **msgspec.to_builtins(pdu)}).decode()
        for _, out, pdu in seen
    ]
    async with pool.acquire() as connection, connection.transaction():
        if bodies:
            await connection.execute(
                queries["add"],
                trace_id,
                [datetime.fromtimestamp(at_us / 1e6, UTC) for at_us, _, _ in seen],
                [account_id] * len(bodies),
                [number] * len(bodies),
                [body.replace("\\u0000", "") for body in bodies],
            )
            await connection.execute(queries["trim"], trace_id, KEPT)
        if skipped:
            await connection.execute(queries["skip"], trace_id, skipped)


async def end(connection: Connection, trace_id: int) -> None:
    """Raises NotFound. Ending one that has ended changes nothing."""
    await one(connection, trace_id)
    await connection.execute(load("traces")["end"], trace_id)


async def listed(connection: Connection) -> list[schema.Trace]:
    """The newest 50."""
    return [_published(row) for row in await connection.fetch(load("traces")["listed"], None)]


async def one(connection: Connection, trace_id: int) -> schema.Trace:
    """Raises NotFound."""
    rows = await connection.fetch(load("traces")["listed"], trace_id)
    if not rows:
        raise NotFound(f"no trace {trace_id}")
    return _published(rows[0])


async def pdus(connection: Connection, trace_id: int, after: int, limit: int) -> schema.TracePdus:
    """Those after the given one, oldest first. Raises NotFound."""
    trace = await one(connection, trace_id)
    rows = await connection.fetch(load("traces")["pdus"], trace_id, after, limit)
    found = [
        schema.TracedPdu(
            at=row["at"], account=row["account"], bind=row["number"], **msgspec.json.decode(row["body"])
        )
        for row in rows
    ]
    return schema.TracePdus(trace=trace, pdus=found, next=rows[-1]["pdu_id"] if rows else after)


def _published(row: Any) -> schema.Trace:
    match row["scope"]:
        case "bind":
            target = row["account"] + (f"/{row['number']}" if row["number"] else "")
        case "number":
            target = masked(str(row["msisdn"]))
        case _:
            target = str(row["message_id"])
    return schema.Trace(
        trace_id=row["trace_id"],
        scope=row["scope"],
        target=target,
        started_at=row["started_at"],
        ends_at=min(row["ends_at"], row["ended_at"] or row["ends_at"]),
        ended=row["ended"],
        pdus=row["pdus"],
        skipped=row["skipped"],
    )
