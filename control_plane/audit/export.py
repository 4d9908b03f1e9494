"""Audit events as lines of a file. A cell that a spreadsheet would take for a formula is made plain text."""

import csv
import io
from collections.abc import Iterable
from typing import Literal

import orjson

from control_plane.audit.outbox import Event
from control_plane.documents.records import time_text, to_json

Format = Literal["csv", "jsonl"]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff0b", "\uff0d", "\uff1d", "\uff20")
COLUMNS = (
    "seq",
    "at",
    "action",
    "actor",
    "role",
    "address",
    "user_agent",
    "request_id",
    "target_kind",
    "target_id",
    "target_name",
    "details",
    "changes",
    "hash",
)


def head(form: Format) -> bytes:
    return _csv([COLUMNS]) if form == "csv" else b""


def lines(events: Iterable[Event], form: Format) -> bytes:
    if form == "jsonl":
        return b"".join(orjson.dumps(_without_version(event)) + b"\n" for event in events)
    return _csv(_cells(event) for event in events)


def harmless(cell: str) -> str:
    """With an apostrophe before what would begin a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _without_version(event: Event) -> dict[str, object]:
    fields: dict[str, object] = to_json(event)
    del fields["version"]
    return fields


def _cells(event: Event) -> list[str]:
    return [
        str(event.seq or ""),
        time_text(event.at),
        event.action,
        event.actor,
        event.role,
        event.address,
        event.user_agent,
        event.request_id,
        event.target_kind,
        str(event.target_id or ""),
        event.target_name,
        "; ".join(f"{name}: {value}" for name, value in event.details.items()),
        "; ".join(f"{name}: {before} -> {after}" for name, (before, after) in event.changes.items()),
        event.hash or "",
    ]


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([harmless(cell) for cell in row] for row in rows)
    return out.getvalue().encode()
