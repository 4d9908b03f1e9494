"""Exact deduplication of numbers, block by block."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from pyroaring import BitMap64

from engine._fast import msisdn

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SeenNumbers:
    """The numbers a file has brought so far: a Roaring bitmap, 2-3 octets a number of one country's file."""

    def __init__(self) -> None:
        self._seen = BitMap64()

    def __len__(self) -> int:
        return len(self._seen)

    def new(self, numbers: Buffer, reasons: array[int]) -> array[int]:
        """Which rows bring a new number, int8: the first row of each. numbers: int64; rows whose reason
        (int8) is
        not 0 bring none."""
        block = BitMap64(msisdn.ascending(numbers, reasons))
        known = (block & self._seen).to_array()
        self._seen |= block
        return msisdn.first_seen(numbers, reasons, known)

    def add(self, numbers: memoryview) -> None:
        """Numbers (int64) of a chunk that is stored already."""
        self._seen |= BitMap64(msisdn.ascending(numbers, array("b", bytes(len(numbers)))))
