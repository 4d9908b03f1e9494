"""Plain-Python twin of `engine._fast.prefixes`: what the C table means."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise


class PrefixTable:
    """Values by longest matching prefix of an E.164 number; rates and routes are such tables.

    `prefixes` are digits, at most 15, no two the same; "" matches every number. Raises ValueError.
    """

    def __init__(self, prefixes: Sequence[str], values: Sequence[int], default: int = -1) -> None:
        if len(prefixes) != len(values):
            raise ValueError("one value for each prefix")
        self._default = default
        self._values: dict[str, int] = {}
        for prefix, value in zip(prefixes, values, strict=True):
            if len(prefix) > 15 or not (prefix == "" or (prefix.isascii() and prefix.isdigit())):
                raise ValueError(f"prefix {prefix!r} is not up to 15 digits")
            if prefix in self._values:
                raise ValueError(f"prefix {prefix!r} stands twice")
            self._values[prefix] = value

    def __len__(self) -> int:
        return len(self._values)

    def look_up(self, msisdn: array[int]) -> array[int]:
        """The value ('q') of each number ('q'); `default` where nothing matches or the number is not
        positive."""
        return array("q", map(self._one, msisdn))

    def _one(self, number: int) -> int:
        if number <= 0:
            return self._default
        digits = str(number)
        for length in range(min(len(digits), 15), -1, -1):
            value = self._values.get(digits[:length])
            if value is not None:
                return value
        return self._default


def gather(values: array[int], index: array[int]) -> array[int]:
    """`values[index[i]]` ('q') for each i ('i'). Raises IndexError."""
    if any(not 0 <= i < len(values) for i in index):
        raise IndexError("index outside the values")
    return array("q", [values[i] for i in index])


def sums(values: array[int], codes: array[int], kinds: int) -> array[int]:
    """The sum ('q') of the values ('q') of each code 0..kinds-1 ('b'). Raises ValueError for a code outside,
    or another length."""
    if len(values) != len(codes):
        raise ValueError("one code for each value")
    total = array("q", bytes(8 * kinds))
    for value, code in zip(values, codes, strict=True):
        if not 0 <= code < kinds:
            raise ValueError(f"code {code} is none of {kinds}")
        total[code] += value
    return total


def row_sums(rows: array[int], values: array[int], first: int, count: int) -> array[int]:
    """The sum ('i') of the values ('q') of each row ('i') from `first` on, `count` of them; rows outside are
    left out. Raises ValueError for another length, OverflowError where a sum does not fit 31 bits."""
    if len(rows) != len(values):
        raise ValueError("one row for each value")
    totals = [0] * count
    for row, value in zip(rows, values, strict=True):
        if 0 <= row - first < count:
            totals[row - first] += value
            if not 0 <= totals[row - first] < 2**31:
                raise OverflowError("the sum of a row does not fit 31 bits")
    return array("i", totals)


def spread(
    keys: array[int], choice: array[int], start: array[int], ends: array[int], values: array[int]
) -> array[int]:
    """One of the values ('i') of each key's choice, by weight: the same key always gets the same one.

    `choice` ('q', one a key ('q')) is an index, or negative: none. Its values ('i') are
    `values[start[c]:start[c + 1]]`, their weights the steps of `ends` ('i'), which begins anew with each
    choice. -1 where there is no choice or no weight. Raises ValueError where they do not fit together.
    """
    known = len(start) - 1
    if len(choice) != len(keys) or known < 0 or len(ends) != len(values) or start[0] != 0:
        raise ValueError("the columns do not fit together")
    if any(start[c + 1] < start[c] for c in range(known)) or start[known] != len(values):
        raise ValueError("the choices do not cover the values")
    for c in range(known):
        steps = [0, *ends[start[c] : start[c + 1]]]
        if any(later < earlier for earlier, later in pairwise(steps)):
            raise ValueError("the weights of a choice do not ascend")
    found = array("i", bytes(4 * len(keys)))
    for i, (key, chosen) in enumerate(zip(keys, choice, strict=True)):
        if chosen >= known:
            raise ValueError(f"choice {chosen} is none of {known}")
        found[i] = -1
        if chosen < 0 or start[chosen + 1] == start[chosen] or ends[start[chosen + 1] - 1] == 0:
            continue
        point = _mixed(key) % ends[start[chosen + 1] - 1]
        at = next(j for j in range(start[chosen], start[chosen + 1]) if point < ends[j])
        found[i] = values[at]
    return found


def _mixed(key: int) -> int:
    """The finaliser of splitmix64: neighbouring numbers fall apart."""
    mask = 2**64 - 1
    mixed = (key + 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & mask
    return mixed ^ mixed >> 31
