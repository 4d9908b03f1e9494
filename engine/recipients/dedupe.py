"""Exact deduplication of numbers, block by block."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from engine._fast import numberset

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SeenNumbers:
    """The numbers a file has brought so far, exactly: 2-5 octets a number of one country's file.

    readers: how many have had it, one after the other; only the last of them may add to it.
    """

    def __init__(self) -> None:
        self.readers = 0
        self._seen = numberset.NumberSet()

    def __len__(self) -> int:
        return len(self._seen)

    def new(self, numbers: Buffer, reasons: array[int]) -> array[int]:
        """Which rows bring a new number, int8: the first row of each. numbers: int64; rows whose reason
        (int8) is not 0 bring none."""
        return self._seen.new(numbers, reasons)

    def add(self, numbers: memoryview) -> None:
        """Numbers (int64) of a chunk that is stored already."""
        self._seen.add(numbers)
