"""Plain-Python twin of `engine._fast.masks`: what the C code means.

A mask has one octet for each item of a column: what is not 0 is wanted. Columns are of type b, h, i, q or I;
TypeError for another. ValueError where lengths differ.
"""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import compress

_TYPES = "bhiqI"


def distinct(column: array[int]) -> list[int]:
    """The different values ('i') in the order of their first appearance; meant for few of them."""
    _of_type(column, "i")
    return list(dict.fromkeys(column))


def counts(column: array[int], mask: bytes) -> dict[int, int]:
    """How often each value ('i') stands where the mask is set."""
    _of_type(column, "i")
    _fits(mask, len(column))
    return dict(Counter(compress(column, mask)))


def equal(column: array[int], value: int) -> bytes:
    """The mask of the items that are `value`."""
    _of_type(column, _TYPES)
    return bytes(map(value.__eq__, column))


def same(left: array[int], right: array[int]) -> bytes:
    """The mask of the items that are the same in both ('b')."""
    if len(left) != len(right):
        raise ValueError("columns of one length")
    _of_type(left, "b")
    _of_type(right, "b")
    return bytes(a == b for a, b in zip(left, right, strict=True))


def any_set(column: array[int]) -> bool:
    """Whether any item is not 0."""
    _of_type(column, _TYPES)
    return any(column)


def pick(column: array[int], mask: bytes) -> array[int]:
    """The items where the mask is set."""
    _of_type(column, _TYPES)
    _fits(mask, len(column))
    return array(column.typecode, compress(column, mask))


def pick_text(data: bytearray, end: array[int], mask: bytes) -> tuple[bytearray, array[int]]:
    """The variable-length items where the mask is set. Raises ValueError where `end` does not fit."""
    _of_type(end, "i")
    _fits(mask, len(end))
    picked, ends, start = bytearray(), array("i"), 0
    for stop, wanted in zip(end, mask, strict=True):
        if not start <= stop <= len(data):
            raise ValueError("end does not fit the data")
        if wanted:
            picked += data[start:stop]
            ends.append(len(picked))
        start = stop
    return picked, ends


def _fits(mask: bytes, count: int) -> None:
    if len(mask) != count:
        raise ValueError("one octet of the mask for each item")


def _of_type(column: array[int], types: str) -> None:
    if column.typecode not in types:
        raise TypeError(f"a column of type {column.typecode!r} is none of {types}")
