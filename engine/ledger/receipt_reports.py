"""What pages ask of receipts: orphans, messages of people, what an account's ids and dates taught."""

from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import asyncpg
import msgspec

from engine.core_api import schema
from engine.ledger import decisions, error_codes
from engine.ledger.errors import BadCursor, NotFound
from engine.ledger.inbound import Kind
from engine.ledger.matching import LOCK_AFTER, MatchedBy, converted, each, rules_of
from engine.ledger.orphans import HORIZON_S
from engine.ledger.pool import Connection, Pool
from engine.ledger.reports import LIMIT
from engine.ledger.sql import load
from engine.smpp import dates

_NEWEST = (1 << 63) - 1
_VERDICTS = ("not_final", "undelivered", "delivered")
_KINDS = {Kind.MESSAGE: "message", Kind.ACKNOWLEDGEMENT: "acknowledgement", Kind.MALFORMED: "malformed"}


async def orphans(
    pool: Pool,
    *,
    account: str | None = None,
    smsc_id: str | None = None,
    age: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> schema.Orphans:
    """Receipts without a message, newest first; without `age` those still open. Raises BadCursor."""
    queries, limit = load("orphans"), min(max(limit, 1), LIMIT)
    below = _number(cursor)
    async with pool.acquire() as connection:
        rows = await connection.fetch(
            queries["page"], account, smsc_id, below, age, limit + 1, float(HORIZON_S)
        )
        counts = await connection.fetchrow(queries["counts"], account, float(HORIZON_S))
    assert counts is not None
    now = datetime.now(UTC)
    return schema.Orphans(
        orphans=[_orphan(row, now) for row in rows[:limit]],
        waiting=counts["waiting"],
        aged=counts["aged"],
        next=str(rows[limit - 1]["orphan_id"]) if len(rows) > limit else None,
    )


def _orphan(row: asyncpg.Record, now: datetime) -> schema.Orphan:
    return schema.Orphan(
        orphan_id=row["orphan_id"],
        account=row["account"],
        smsc_id=row["smsc_id"],
        msisdn=str(row["msisdn"]) if row["msisdn"] > 0 else "",
        sender=row["source"],
        status=error_codes.receipt_code(row["stat"], row["error"]),
        verdict=_VERDICTS[row["verdict"]],  # type: ignore[arg-type]
        done_raw=row["done_raw"],
        arrived_at=row["received_at"],
        age_s=max(0, round((now - row["received_at"]).total_seconds())),
        age=row["age"],
        why=_why(row),
    )


def _why(row: asyncpg.Record) -> str:
    """Why it is not matched, for a person."""
    if row["age"] == "matched":
        return "It was matched later."
    if not row["smsc_id"]:
        return "It names no message id, so nothing can be looked up."
    if row["retry_at"] is not None:
        return "It is about to be looked up again."
    rules = rules_of(row["settings"], row["learned"])
    readings = [
        name
        for by, name in ((MatchedBy.HEX_TO_DEC, "hex"), (MatchedBy.DEC_TO_HEX, "decimal"))
        if by in rules.bases.order and converted(row["smsc_id"], by) is not None
    ]
    tried = f", also read as {' and as '.join(readings)}" if readings else ""
    number = "" if row["msisdn"] > 0 else " It names no number, so only the exact id can count."
    again = "It is tried again until the horizon." if row["age"] == "waiting" else "It is over the horizon."
    return f"No message of this account has this id{tried}.{number} {again}"


async def retry_orphans(pool: Pool, order: schema.OrphanRetry) -> schema.OrphanRetried:
    """Open orphans are looked up at the next sweep, whatever their age. Raises NotFound, DecisionReused."""
    async with pool.acquire() as connection, connection.transaction():

        async def act() -> schema.OrphanRetried:
            account_id = None if order.account is None else await _account_id(connection, order.account)
            done = await connection.execute(load("orphans")["retry"], order.orphan_ids, account_id)
            return schema.OrphanRetried(orphans=int(done.rpartition(" ")[2]))

        body = msgspec.json.encode(order)
        return await decisions.once(
            connection, order.decision_id, "retry-orphans", body, schema.OrphanRetried, act
        )


async def inbound(
    pool: Pool, *, account: str | None = None, cursor: str | None = None, limit: int = 100
) -> schema.InboundPage:
    """What people sent, newest first. Raises BadCursor."""
    limit = min(max(limit, 1), LIMIT)
    try:
        below = UUID(cursor) if cursor else UUID(int=(1 << 128) - 1)
    except ValueError:
        raise BadCursor("not a cursor of this list") from None
    rows = await pool.fetch(load("inbound")["page"], account, below, limit + 1)
    return schema.InboundPage(
        messages=[
            schema.Inbound(
                inbound_id=row["inbound_id"],
                account=row["account"],
                kind=cast(schema.InboundKind, _KINDS[row["kind"]]),
                msisdn=row["source"],
                destination=row["destination"],
                text=row["body"],
                part=row["part"],
                parts=row["parts"],
                reference=row["reference"],
                received_at=row["received_at"],
                receipt_at=row["receipt_at"],
            )
            for row in rows[:limit]
        ],
        next=str(rows[limit - 1]["inbound_id"]) if len(rows) > limit else None,
    )


async def account_ids(pool: Pool, name: str) -> schema.AccountIds:
    """How an account's ids are matched, and what zone its dates seem to have. Raises NotFound."""
    async with pool.acquire() as connection:
        row = await connection.fetchrow(load("inbound")["account"], name)
        if row is None:
            raise NotFound(f"no account {name!r}")
        counts = await connection.fetchrow(load("orphans")["counts"], name, float(HORIZON_S))
    assert counts is not None
    rules = rules_of(row["settings"], row["learned"])
    learned, zone = rules.learned.ids, rules.learned.receipt_tz
    evidence = [
        schema.IdEvidence(response=response, receipt=receipt, matches=matches)
        for response, receipt, matches in each(learned.evidence)
    ]
    most = max((one.matches for one in evidence), default=0)
    return schema.AccountIds(
        account=name,
        set_response=rules.id_base_response,
        set_receipt=rules.id_base_receipt,
        response=rules.bases.response,
        receipt=rules.bases.receipt,
        locked_at=learned.locked_at,
        needed=max(0, LOCK_AFTER - most) if rules.learning else 0,
        evidence=evidence,
        receipt_tz=rules.receipt_tz,
        zone_proposal=schema.ZoneProposal(
            offset=dates.offset_name(zone.offset_s), samples=zone.samples, seconds=zone.median_s, at=zone.at
        )
        if zone
        else None,
        orphans_waiting=counts["waiting"],
        orphans_aged=counts["aged"],
    )


async def reset_ids(pool: Pool, name: str, order: schema.IdReset) -> schema.AccountIds:
    """Forget the bases learned of an account; they are learned anew. Raises NotFound, DecisionReused."""
    async with pool.acquire() as connection, connection.transaction():

        async def act() -> schema.OrphanRetried:
            account_id = await _account_id(connection, name)
            await connection.execute(load("inbound")["forget_ids"], account_id)
            return schema.OrphanRetried(orphans=0)

        body = msgspec.json.encode(order)
        command = f"reset-ids {name}"
        await decisions.once(connection, order.decision_id, command, body, schema.OrphanRetried, act)
    return await account_ids(pool, name)


async def _account_id(connection: Connection, name: str) -> int:
    row = await connection.fetchrow(load("inbound")["account"], name)
    if row is None:
        raise NotFound(f"no account {name!r}")
    return int(row["account_id"])


def _number(cursor: str | None) -> int:
    if not cursor:
        return _NEWEST
    if not (cursor.isascii() and cursor.isdigit() and int(cursor) < _NEWEST):
        raise BadCursor("not a cursor of this list")
    return int(cursor)
