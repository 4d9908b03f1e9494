"""Binary COPY: PostgreSQL itself reads what is written; the C code equal to its twin."""

import importlib
from array import array
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.pure import copyformat as pure

fast = importlib.import_module("engine._fast.copyformat")
both = pytest.mark.parametrize("copyformat", [fast, pure], ids=["c", "twin"])

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def joined(values: list[bytes]) -> tuple[bytearray, array]:
    data, end = bytearray(), array("i")
    for value in values:
        data += value
        end.append(len(data))
    return data, end


def result(copyformat: Any, columns: list[tuple[Any, ...]], count: int) -> Any:
    try:
        return copyformat.encode(columns, count)
    except (ValueError, OverflowError) as error:
        return type(error)


@pytest.mark.system
@both
async def test_postgresql_reads_every_type_back(copyformat: Any, ledger_dsn: str) -> None:
    times = [1_700_000_000_123_456, 0, -1, 946_684_800_000_000]
    stream = copyformat.encode(
        [
            ("int2", array("h", [-32768, 32767, 0, 5])),
            ("int2", array("b", [-128, 127, 0, 1]), array("b", [0, 0, 1, 0])),
            ("int4", array("i", [-(2**31), 2**31 - 1, 0, 7])),
            ("int8", array("q", [-(2**63), 2**63 - 1, 0, 7])),
            ("int8", array("I", [0, 2**32 - 1, 1, 2])),
            ("timestamptz", array("q", times)),
            ("text", *joined([b"id-1", b"", "日😀".encode(), b"x"]), array("b", [0, 0, 0, 1])),
            ("text_or_null", *joined([b"a", b"", b"\xff\0b", b"\xe2\x82"])),
            ("int4", 42),
            ("text", "né".encode()),
            ("timestamptz", None),
        ],
        4,
    )
    connection = await asyncpg.connect(ledger_dsn)
    try:
        await connection.execute(
            "CREATE TABLE t (a int2, b int2, c int4, d int8, e int8, f timestamptz, g text, h text,"
            " i int4, j text, k timestamptz)"
        )
        status = await connection.copy_to_table("t", source=stream, format="binary")
        rows = [tuple(row) for row in await connection.fetch("SELECT * FROM t")]
    finally:
        await connection.close()
    assert status == "COPY 4"
    at = [EPOCH + timedelta(microseconds=time) for time in times]
    assert rows == [
        (-32768, -128, -(2**31), -(2**63), 0, at[0], "id-1", "a", 42, "né", None),
        (32767, 127, 2**31 - 1, 2**63 - 1, 2**32 - 1, at[1], "", None, 42, "né", None),
        (0, None, 0, 0, 1, at[2], "日😀", "\ufffd\ufffdb", 42, "né", None),
        (5, 1, 7, 7, 2, at[3], None, "\ufffd", 42, "né", None),
    ]


@both
@pytest.mark.parametrize("octets", [b"\0", b"a\0b", b"\x7f", b"\x80", b"\xed\xa0\x80", b"\xc3\xa9"])
def test_octets_postgresql_would_refuse_become_replacement_characters(copyformat: Any, octets: bytes) -> None:
    clean = octets.decode("utf-8", "replace").replace("\0", "\ufffd").encode()
    expected = b"\0\1" + len(clean).to_bytes(4, "big") + clean
    for column in (("text", octets, array("i", [len(octets)])), ("text", octets)):
        assert copyformat.encode([column], 1)[19:-2] == expected


@both
def test_a_stream_of_no_rows_is_a_header_and_a_trailer(copyformat: Any) -> None:
    assert copyformat.encode([("int4", array("i"))], 0) == b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff"


@both
@pytest.mark.parametrize(
    ("column", "error"),
    [
        (("int3", 1), ValueError),
        (("int2", array("i", [1])), ValueError),
        (("int4", array("I", [1])), ValueError),
        (("int4", array("f", [1])), ValueError),
        (("int4", "1"), ValueError),
        (("int4", array("i")), ValueError),
        (("int4", array("i", [1]), array("b")), ValueError),
        (("int4", array("i", [1]), b"\0"), ValueError),
        (("int4", array("i", [1]), array("b", [0]), 1), ValueError),
        (("text", b"ab", array("i", [3])), ValueError),
        (("text", b"ab", array("i")), ValueError),
        (("text", "ab"), ValueError),
        (("int2", 40_000), OverflowError),
        (("timestamptz", array("q", [-(2**63)])), OverflowError),
    ],
)
def test_a_column_that_cannot_be_written_is_refused(
    copyformat: Any, column: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        copyformat.encode([column], 1)


@both
def test_counts_and_columns_have_bounds(copyformat: Any) -> None:
    with pytest.raises(ValueError, match="negative"):
        copyformat.encode([], -1)
    with pytest.raises(ValueError, match="1600"):
        copyformat.encode([("int2", 1)] * 1601, 1)


WIDE = {"b": 7, "h": 15, "i": 31, "q": 63}


@st.composite
def columns_of(draw: st.DrawFn, rows: int) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(["int2", "int4", "int8", "timestamptz", "text", "text_or_null"]))
    items = rows + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
    if kind.startswith("text"):
        values = draw(
            st.lists(
                st.one_of(st.binary(max_size=6), st.text(max_size=6).map(str.encode)),
                min_size=max(items, 0),
                max_size=max(items, 0),
            )
        )
        column: tuple[Any, ...] = draw(
            st.sampled_from([joined(values), (b"abc",), (b"",), (b"\xf0\0",), (None,)])
        )
    else:
        code = draw(st.sampled_from("bhiqI"))
        low, high = (0, 2**32 - 1) if code == "I" else (-(2 ** WIDE[code]), 2 ** WIDE[code] - 1)
        numbers = draw(st.lists(st.integers(low, high), min_size=max(items, 0), max_size=max(items, 0)))
        column = (draw(st.sampled_from([array(code, numbers), draw(st.integers(-(2**64), 2**64)), 5, None])),)
    if draw(st.booleans()):
        column = (*column, array("b", draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows + 1))))
    return (kind, *column)


@given(st.data(), st.integers(0, 5))
def test_streams_are_written_alike(data: st.DataObject, rows: int) -> None:
    columns = data.draw(st.lists(columns_of(rows), max_size=4))
    assert result(fast, columns, rows) == result(pure, columns, rows)


@given(st.binary(max_size=10), st.lists(st.integers(-2, 12), max_size=4))
def test_ends_outside_the_data_are_refused_alike(octets: bytes, ends: list[int]) -> None:
    columns = [("text", octets, array("i", ends))]
    assert result(fast, columns, len(ends)) == result(pure, columns, len(ends))
