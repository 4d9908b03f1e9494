"""What stands in a file: no formula, whole quoting, numbers masked unless they were asked for."""

import csv
import io
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.exports.model import Source
from control_plane.exports.sheet import BOM, COLUMNS, ERASED, FORMULA, Sheet, neutral
from control_plane.workspaces.numbers import ctn_hash
from engine.core_api import schema

KEY = b"k" * 32
NUMBER = "4915112345678"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def record(**changed: object) -> schema.DeliveryRecord:
    fields: dict[str, object] = {
        "message_id": UUID(int=1), "msisdn": NUMBER, "channel": "bulk", "state": "DELIVERED", "parts": 2,
        "attempts": 1, "cost": 10_005, "created_at": AT, "sent_at": AT, "done_at": AT, "error": "",
    }  # fmt: skip
    return schema.DeliveryRecord(**{**fields, **changed})  # type: ignore[arg-type]


def source(name: str = "Spring", sender: str = "ACME") -> Source:
    return Source(campaign_id=uuid4(), engine_id=uuid4(), name=name, sender=sender, recipients=1)


def read(sheet: Sheet, of: Source, text: str = "", **changed: object) -> dict[str, str]:
    content = (sheet.head() + sheet.rows(of, text, [record(**changed)])).decode()
    header, row = csv.reader(io.StringIO(content.removeprefix(BOM), newline=""), strict=True)
    return dict(zip(header, row, strict=True))


def sheet(**changed: object) -> Sheet:
    given: dict[str, object] = {"numbers": False, "texts": False, "bom": False, **changed}
    return Sheet("csv", KEY, **given)  # type: ignore[arg-type]


def test_a_row_says_who_what_when_and_what_it_cost() -> None:
    row = read(sheet(), source())
    assert tuple(row) == COLUMNS
    assert row["recipient"] == "…678"
    assert row["ctn_hash"] == ctn_hash(KEY, NUMBER)
    assert (row["cost"], row["parts"]) == ("1.0005", "2")
    assert row["delivered_at"] == row["sent_at"] == "2026-03-01T12:00:00.000Z"
    assert NUMBER not in repr(row)


def test_whole_numbers_stand_only_where_they_were_asked_for_and_without_a_plus() -> None:
    assert read(sheet(numbers=True), source())["recipient"] == NUMBER


def test_who_was_erased_has_neither_number_nor_hash() -> None:
    row = read(sheet(numbers=True), source(), msisdn="")
    assert (row["recipient"], row["ctn_hash"]) == (ERASED, "")


def test_what_was_not_delivered_has_no_delivery() -> None:
    row = read(sheet(), source(), state="UNDELIVERED")
    assert (row["delivered_at"], row["ended_at"] != "") == ("", True)


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u00a0=1",
        "\uff1d1",
        '=HYPERLINK("x")',
        "=1;cmd",
    ],
)
def test_no_cell_is_a_formula(cell: str) -> None:
    row = read(sheet(texts=True), source(cell, cell), cell, error=cell, channel=cell, state=cell)
    for column in ("campaign", "sender", "text", "error", "channel", "state"):
        assert row[column] == "'" + cell, column


@given(st.text(), st.text(), st.text())
def test_any_text_comes_back_as_it_was_and_is_no_formula(name: str, sender: str, text: str) -> None:
    row = read(sheet(texts=True), source(name, sender), text)
    for column, was in (("campaign", name), ("sender", sender), ("text", text)):
        assert row[column] == neutral(was)
        assert row[column].removeprefix("'") == was.removeprefix("'") or row[column] == was
        assert not row[column].lstrip().startswith(FORMULA)


@given(st.text())
def test_text_with_tabs_has_a_line_a_row_and_as_many_cells(text: str) -> None:
    made = Sheet("txt", KEY, numbers=False, texts=True, bom=False)
    lines = (made.head() + made.rows(source(text, text), text, [record(), record()])).decode().split("\n")
    assert len(lines) == 4
    assert lines[-1] == ""
    assert {line.count("\t") for line in lines[:3]} == {len(COLUMNS)}


def test_excel_is_told_that_it_is_utf_8() -> None:
    assert sheet(bom=True).head().startswith(b"\xef\xbb\xbfrecipient,")
    assert sheet().head().startswith(b"recipient,")
