"""Operators' error codes by channel: the map over the built-in table, what was seen, what nobody mapped."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import msgspec

from engine.core_api import schema
from engine.ledger import decisions, error_codes
from engine.ledger.errors import BadErrorCode, NotFound
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.smpp.status import Class, classify
from engine.smpp.tables import STATUSES

MOST_LINES = 5_000  # of an imported table

EFFECTS: dict[str, str] = {
    "session": "The part goes again and the try is not counted; this bind is closed and bound anew",
    "throttle": "The bind pauses for a second and the account slows down; the try is not counted",
    "queue_full": "That message goes again in 5 to 15 minutes; over a fifth of all responses: a throttle",
    "temporary": "The part is tried up to three times, then it is failed",
    "channel": "The message goes over the next channel of its route; where there is none, it is failed",
    "permanent": "The part is failed and not sent again",
}
_RECEIPT_EFFECT = "Shown and counted under this class; nothing is sent again after a receipt"
_FIELDS = ("code", "class", "meaning", "note")


async def classes(pool: Pool) -> Mapping[int, Mapping[int, Class]]:
    """Classes of mapped response codes, by channel and command_status."""
    found: dict[int, dict[int, Class]] = {}
    for row in await pool.fetch(load("error_map")["classes"]):
        found.setdefault(row["channel_id"], {})[int(row["code"], 16)] = Class(row["class"])
    return found


async def of_channel(pool: Pool, name: str) -> schema.ChannelErrors:
    """Every code of the built-in table, of the map, and seen in the last 7 days. Raises NotFound."""
    queries = load("error_map")
    async with pool.acquire() as connection:
        channel = await _channel(connection, name)
        seen = await connection.fetch(queries["seen"], channel["channel_id"], datetime.now(UTC).date())
        mapped = await connection.fetch(queries["mapped"], channel["channel_id"])
    counts = _summed(seen)
    without_id = counts.pop(("response", error_codes.WITHOUT_ID), None)
    entries = {(row["context"], row["code"]): row for row in mapped}
    known = [("response", error_codes.response_code(code)) for code in STATUSES if code]
    codes = [
        _code(context, code, entries.get((context, code)), counts.get((context, code)))
        for context, code in sorted({*known, *entries, *counts})
    ]
    return schema.ChannelErrors(
        channel=name,
        tripped=channel["tripped_reason"],
        tripped_at=channel["tripped_at"],
        accepted_without_id=without_id.count if without_id else 0,
        codes=codes,
        unmapped=[each for each in codes if each.count and not each.mapped and not each.built_in],
    )


async def put(pool: Pool, name: str, spec: schema.ErrorCodeSpec) -> schema.ErrorCode:
    """Classify a code, once a decision id. Raises NotFound, BadErrorCode, DecisionReused."""
    code = normal_code(spec.context, spec.code)
    if spec.context == "receipt" and spec.error_class not in ("temporary", "permanent"):
        raise BadErrorCode(f"a receipt's code is temporary or permanent, not {spec.error_class}")

    async def store() -> schema.ErrorCode:
        channel = await _channel(connection, name)
        queries, channel_id = load("error_map"), channel["channel_id"]
        await connection.fetchval(
            queries["put"], channel_id, spec.context, code, spec.error_class, spec.meaning, spec.note
        )
        row = await connection.fetchrow(queries["one"], channel_id, spec.context, code)
        return _code(spec.context, code, row, None)

    async with pool.acquire() as connection, connection.transaction():
        body = msgspec.json.encode([name, spec], order="deterministic")
        return await decisions.once(connection, spec.decision_id, "map-error", body, schema.ErrorCode, store)


async def delete(pool: Pool, name: str, context: schema.MappedContext, code: str) -> None:
    """Back to the built-in class. Raises NotFound where there is no entry."""
    normal = normal_code(context, code)
    async with pool.acquire() as connection:
        channel = await _channel(connection, name)
        queries = load("error_map")
        if await connection.fetchval(queries["delete"], channel["channel_id"], context, normal) is None:
            raise NotFound(f"{code!r} is not mapped on {name!r}")


async def import_table(pool: Pool, name: str, spec: schema.ErrorCodeImport) -> schema.ErrorCodeImported:
    """Classify many codes at once: all lines or none. Raises NotFound, BadErrorCode, DecisionReused."""
    table = read_table(spec.context, spec.csv)

    async def store() -> schema.ErrorCodeImported:
        channel = await _channel(connection, name)
        queries, added, changed = load("error_map"), 0, 0
        for code, error_class, meaning, note in table:
            version = await connection.fetchval(
                queries["put"], channel["channel_id"], spec.context, code, error_class, meaning, note
            )
            added += version == 1
            changed += (version or 0) > 1
        return schema.ErrorCodeImported(added=added, changed=changed, unchanged=len(table) - added - changed)

    async with pool.acquire() as connection, connection.transaction():
        body = msgspec.json.encode([name, spec], order="deterministic")
        return await decisions.once(
            connection, spec.decision_id, "import-errors", body, schema.ErrorCodeImported, store
        )


def read_table(context: schema.MappedContext, text: str) -> list[tuple[str, str, str, str]]:
    """(code, class, meaning, note) of each line; separators are comma, semicolon or tab. Raises BadErrorCode
    with the line."""
    sample = text[:4096]
    separator = max(",;\t", key=sample.count)
    table: dict[str, tuple[str, str, str, str]] = {}
    for number, line in enumerate(csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=separator), 1):
        fields = [field.strip() for field in line] + [""] * (len(_FIELDS) - len(line))
        if not any(fields) or (number == 1 and fields[0].lower() in ("code", "err", "error", "error_code")):
            continue
        if len(table) == MOST_LINES:
            raise BadErrorCode(f"more than {MOST_LINES} lines")
        error_class = fields[1].lower().replace(" ", "_") or "permanent"
        allowed = EFFECTS if context == "response" else ("temporary", "permanent")
        if error_class not in allowed:
            raise BadErrorCode(f"line {number}: {fields[1]!r} is none of {', '.join(allowed)}")
        try:
            code = normal_code(context, fields[0])
        except BadErrorCode as error:
            raise BadErrorCode(f"line {number}: {error}") from None
        if code in table:
            raise BadErrorCode(f"line {number}: {fields[0]} stands twice")
        table[code] = (code, error_class, fields[2], fields[3])
    if not table:
        raise BadErrorCode("no line with a code")
    return list(table.values())


def normal_code(context: schema.MappedContext, code: str) -> str:
    """A code as it is stored: 0x00000400, or the receipt's err in capitals. Raises BadErrorCode."""
    code = code.strip()
    if context == "receipt":
        if not (code.isascii() and code.isalnum() and len(code) <= 6):
            raise BadErrorCode(f"{code!r} is no err of a receipt: up to six letters and digits")
        return code.upper()
    try:
        status = int(code, 0) if code[:2].lower() == "0x" else int(code, 10)
    except ValueError:
        raise BadErrorCode(f"{code!r} is no command_status: 1024 or 0x400") from None
    if not 0 < status <= 0xFFFFFFFF:
        raise BadErrorCode(f"{code!r} is no error of 32 bits")
    return error_codes.response_code(status)


def _lookup(context: str, code: str) -> str:
    """The map's code of a kept one: `UNDELIV err:045` is 045."""
    if context == "receipt":
        return code.partition(" err:")[2].upper() or code
    return code


@dataclass(slots=True)
class _Seen:
    count: int
    last_at: datetime


def _summed(seen: list[asyncpg.Record]) -> dict[tuple[str, str], _Seen]:
    """By context and the map's code: an err comes with several states."""
    summed: dict[tuple[str, str], _Seen] = {}
    for row in seen:
        key = (row["context"], _lookup(row["context"], row["code"]))
        found = summed.setdefault(key, _Seen(0, row["last_at"]))
        found.count += row["count"]
        found.last_at = max(found.last_at, row["last_at"])
    return summed


async def _channel(connection: Connection, name: str) -> asyncpg.Record:
    row = await connection.fetchrow(load("error_map")["channel"], name)
    if row is None:
        raise NotFound(f"no channel {name!r}")
    return row


def _code(context: str, code: str, entry: asyncpg.Record | None, seen: _Seen | None) -> schema.ErrorCode:
    error_class = "permanent"
    if context == "response":
        status = int(code, 16)
        built_in = status in STATUSES
        error_class = classify(status).value
        name, meaning = error_codes.named("response", code)
    else:
        built_in = code in {text for text, _ in error_codes.STATS.values()}
        name, meaning = error_codes.named("receipt", code)
    if entry is not None:
        error_class, meaning = entry["class"], entry["meaning"] or meaning
    return msgspec.convert(
        {
            "context": context,
            "code": code,
            "name": name,
            "error_class": error_class,
            "effect": EFFECTS[error_class] if context == "response" else _RECEIPT_EFFECT,
            "meaning": meaning,
            "note": entry["note"] if entry else "",
            "mapped": entry is not None,
            "built_in": built_in,
            "count": seen.count if seen else 0,
            "last_at": seen.last_at if seen else None,
            "version": entry["version"] if entry else 0,
        },
        schema.ErrorCode,
    )
