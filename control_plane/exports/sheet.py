"""Rows of delivery records as CSV (RFC 4180) or as text with tabs.

A cell that a spreadsheet would take for a formula begins with an apostrophe: where its first character,
blanks aside, is = + - @ (or their full-width forms), or where it begins with a tab, CR or LF. That is of
every cell of text, whoever wrote it. Numbers of people are digits without a plus, so none is changed by it.
"""

import csv
import io
from collections.abc import Iterable
from datetime import datetime

from control_plane.documents.records import time_text
from control_plane.exports.model import Format, Source
from control_plane.workspaces.numbers import ctn_hash, masked
from engine.core_api import schema

COLUMNS = (
    "recipient", "ctn_hash", "campaign", "campaign_id", "channel", "sender", "state", "parts", "attempts",
    "cost", "created_at", "sent_at", "delivered_at", "ended_at", "error", "message_id",
)  # fmt: skip
TEXT_COLUMN = "text"
BOM = "\ufeff"
FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
CONTROL = ("\t", "\r", "\n")
ERASED = "erased"
UNIT = 10_000


def neutral(cell: str) -> str:
    """The cell as no spreadsheet takes it for a formula."""
    if cell.startswith(CONTROL) or cell.lstrip().startswith(FORMULA):
        return "'" + cell
    return cell


class Sheet:
    """One file's rows. `key`: the workspace's, of ctn_hash. `numbers`: whole ones."""

    def __init__(self, kind: Format, key: bytes, *, numbers: bool, texts: bool, bom: bool) -> None:
        self._kind = kind
        self._key = key
        self._numbers = numbers
        self._texts = texts
        self._bom = bom

    def head(self) -> bytes:
        columns = (*COLUMNS, TEXT_COLUMN) if self._texts else COLUMNS
        return (BOM if self._bom else "").encode() + self._lines([columns])

    def rows(self, source: Source, text: str, records: Iterable[schema.DeliveryRecord]) -> bytes:
        campaign, sender = neutral(source.name), neutral(source.sender)
        campaign_id, extra = str(source.campaign_id), (neutral(text),) if self._texts else ()
        return self._lines(
            (
                self._recipient(one.msisdn),
                ctn_hash(self._key, one.msisdn) if one.msisdn else "",
                campaign,
                campaign_id,
                neutral(one.channel),
                sender,
                neutral(one.state),
                str(one.parts),
                str(one.attempts),
                _units(one.cost),
                _time(one.created_at),
                _time(one.sent_at),
                _time(one.done_at) if one.state == "DELIVERED" else "",
                _time(one.done_at),
                neutral(one.error),
                str(one.message_id),
                *extra,
            )
            for one in records
        )

    def _recipient(self, msisdn: str) -> str:
        if not msisdn:
            return ERASED
        return msisdn if self._numbers else masked(msisdn)

    def _lines(self, rows: Iterable[Iterable[str]]) -> bytes:
        made = io.StringIO(newline="")
        if self._kind == "csv":
            csv.writer(made, lineterminator="\r\n").writerows(rows)
        else:
            for row in rows:
                made.write("\t".join(_one_line(cell) for cell in row) + "\n")
        return made.getvalue().encode("utf-8", "replace")


def _one_line(cell: str) -> str:
    """Text with tabs knows no quotes: what would end a cell or a line becomes a blank."""
    return " ".join(cell.splitlines()).replace("\t", " ")


def _units(cost: int) -> str:
    return f"{cost // UNIT}.{cost % UNIT:04d}"


def _time(at: datetime | None) -> str:
    return time_text(at) if at is not None else ""
