"""Plain-Python twin of `engine._fast.copyformat`: what the C function means."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Any

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # then flags and the length of the header's extension
TRAILER = b"\xff\xff"
NULL = struct.pack(">i", -1)

POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01, from which timestamptz counts

WIDTHS = {"int2": 2, "int4": 4, "int8": 8, "timestamptz": 8}
TEXTS = ("text", "text_or_null")
MOST_COLUMNS = 1600


def encode(columns: Sequence[tuple[Any, ...]], count: int) -> bytearray:
    """A whole binary COPY stream of `count` rows (PostgreSQL, COPY: Binary Format).

    A column is a tuple: ("int2" | "int4" | "int8" | "timestamptz", array) with a signed array no wider than
    the type ('I' fits int8), timestamps as unix microseconds; or ("text" | "text_or_null", data, end), where
    text_or_null writes an empty item as NULL. In place of the values a constant may stand: an int, bytes for
    text, or None for NULL in every row. A null mask array('b') (1: NULL) may come last. Octets of a text that
    are not UTF-8, and NUL, become U+FFFD: PostgreSQL would refuse the whole stream.
    Raises ValueError for an unknown type, an array that is too short or too wide, or ends outside the data;
    OverflowError for a constant or timestamp that does not fit the type.
    """
    if count < 0:
        raise ValueError("a count is not negative")
    if len(columns) > MOST_COLUMNS:
        raise ValueError("PostgreSQL has at most 1600 columns")
    fields = [_field(column, count) for column in columns]
    out = bytearray(SIGNATURE)
    head = struct.pack(">h", len(fields))
    for row in zip(*fields, strict=True) if fields else [()] * count:
        out += head + b"".join(row)
    return out + TRAILER


def _field(column: tuple[Any, ...], count: int) -> list[bytes]:
    kind, *rest = column
    values = rest.pop(0) if rest else None
    if kind in TEXTS:
        items = _texts(kind, values, rest, count)
    elif kind in WIDTHS:
        items = _numbers(kind, values, count)
    else:
        raise ValueError(f"unknown type {kind!r}")
    if len(rest) > 1:
        raise ValueError(f"too many items in a {kind} column")
    if rest:
        mask = rest[0]
        if not isinstance(mask, array) or mask.typecode != "b" or len(mask) < count:
            raise ValueError("a null mask is an array('b') with an item a row")
        items = [NULL if null else item for item, null in zip(items, mask, strict=False)]
    return items


def _numbers(kind: str, values: Any, count: int) -> list[bytes]:
    width, shift = WIDTHS[kind], POSTGRES_EPOCH_US if kind == "timestamptz" else 0
    if values is None:
        return [NULL] * count
    if isinstance(values, array):
        if (
            values.typecode not in "bhiqI"
            or values.itemsize > width
            or (values.typecode == "I" and width < 8)
        ):
            raise ValueError(f"array({values.typecode!r}) does not fit {kind}")
        if len(values) < count:
            raise ValueError(f"a {kind} column is shorter than the rows")
        numbers = list(values[:count])
    elif isinstance(values, int):
        numbers = [values] * count
        (values - shift).to_bytes(width, "big", signed=True)
    else:
        raise ValueError(f"a {kind} column has an array, an int or None")
    size = struct.pack(">i", width)
    return [size + (number - shift).to_bytes(width, "big", signed=True) for number in numbers]


def _texts(kind: str, data: Any, rest: list[Any], count: int) -> list[bytes]:
    if data is None:
        return [NULL] * count
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ValueError(f"a {kind} column has octets or None")
    octets = bytes(data)
    if rest and isinstance(rest[0], array) and rest[0].typecode == "i":
        end = rest.pop(0)
        if len(end) < count:
            raise ValueError(f"a {kind} column is shorter than the rows")
        items, start = [], 0
        for stop in end[:count]:
            if not start <= stop <= len(octets):
                raise ValueError("end does not fit the data")
            items.append(octets[start:stop])
            start = stop
    else:
        items = [octets] * count
    return [NULL if kind == "text_or_null" and not item else _text(item) for item in items]


def _text(item: bytes) -> bytes:
    clean = item.decode("utf-8", "replace").replace("\0", "\ufffd").encode()
    return struct.pack(">i", len(clean)) + clean
