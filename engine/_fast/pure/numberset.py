"""Exact set of 64-bit numbers, asked and filled a batch at a time: the reference."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class NumberSet:
    """The numbers seen so far. Not for two threads at once."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def nbytes(self) -> int:
        """Octets held, besides what Python takes for each number."""
        return self._numbers.__sizeof__()

    def new(self, numbers: Buffer, reason: Buffer) -> array[int]:
        """Adds the numbers of the rows with reason 0. numbers: int64; reason: int8. Returns int8: 1 where the
        number was not in the set and not in an earlier row. Raises ValueError where the two differ in length.
        """
        values = memoryview(numbers).cast("B").cast("q")
        reasons = memoryview(reason).cast("B").cast("b")
        if len(values) != len(reasons):
            raise ValueError("numbers and reason must have the same length")
        keep = array("b", bytes(len(values)))
        for row, number in enumerate(values):
            if reasons[row] == 0 and number not in self._numbers:
                self._numbers.add(number)
                keep[row] = 1
        return keep

    def add(self, numbers: Buffer) -> None:
        """Adds all the numbers (int64)."""
        self._numbers.update(memoryview(numbers).cast("B").cast("q"))


def kept(numbers: Buffer, keep: Buffer) -> array[int]:
    """The numbers (int64) of the rows whose `keep` (int8) is not 0. Raises ValueError where the two differ in
    length."""
    values = memoryview(numbers).cast("B").cast("q")
    keeps = memoryview(keep).cast("B")
    if len(values) != len(keeps):
        raise ValueError("numbers and keep must have the same length")
    return array("q", (number for number, one in zip(values, keeps, strict=True) if one))
