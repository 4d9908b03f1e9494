"""What is wrong with a line of a file, as its owner reads it. No digit of a number gets in here."""

from __future__ import annotations

import re
from array import array
from collections import Counter

from engine._fast.line_block import LINE_REASONS, LineBlock

MAX_DETAILS = 10_000  # kept of one upload; the counts go on
SHAPE_LENGTH = 24
NUMBER_REASONS = (
    "ok",
    "number_empty",
    "not_a_number",
    "number_too_short",
    "number_too_long",
    "unknown_country_code",
)
_BAD = re.compile(rb"[^\0]")
_ASCII = bytes(
    0x23 if chr(octet).isdigit() else 0x78 if chr(octet).isalpha() else octet for octet in range(128)
) + bytes(range(128, 256))

_LINE_DETAILS = (
    "",
    "The line is longer than 64 KiB.",
    "Byte {info} of the line is not UTF-8. Save the file as UTF-8.",
    "The quote opened in column {info} is not closed on this line.",
    "Byte {info} of the line is NUL.",
    "The line has {info} columns instead of {columns}.",
)
_NUMBER_DETAILS = (
    "",
    "The number is empty.",
    "\u201c{shape}\u201d is not a phone number.",
    "\u201c{shape}\u201d has too few digits.",
    "\u201c{shape}\u201d has too many digits.",
    "\u201c{shape}\u201d does not begin with a country code, and the upload has no default country.",
)


class JobErrors:
    """Bad lines that are not yet committed: counts by code, and the first details in file order.

    room: details that may still be kept.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.counts: Counter[str] = Counter()
        self.details: list[tuple[int, str, str]] = []

    def add(self, block: LineBlock, first_line: int, column: int, reasons: array[int]) -> int:
        """Takes the bad lines of a block and the bad numbers of its rows; returns how many.

        first_line: number of the block's first line. column: the number's. reasons: of the rows, int8.
        """
        bad_lines, bad_numbers = block.bad_reason.tobytes(), reasons.tobytes()
        total = len(bad_lines)
        for code in range(1, len(LINE_REASONS)):
            self._count(LINE_REASONS[code], bad_lines.count(code))
        for code in range(1, len(NUMBER_REASONS)):
            found = bad_numbers.count(code)
            total += found
            self._count(NUMBER_REASONS[code], found)
        if total and self.room:
            self._describe(block, first_line, column, bad_numbers)
        return total

    def _count(self, code: str, count: int) -> None:
        if count:
            self.counts[code] += count

    def _describe(self, block: LineBlock, first_line: int, column: int, bad_numbers: bytes) -> None:
        found: list[tuple[int, str, str]] = []
        for place in range(min(len(block.bad_line), self.room)):
            code, info = block.bad_reason[place], block.bad_info[place]
            detail = _LINE_DETAILS[code].format(info=info, columns=len(block.columns))
            found.append((first_line + block.bad_line[place], LINE_REASONS[code], detail))
        offsets, data = block.columns[column]
        for count, match in enumerate(_BAD.finditer(bad_numbers)):
            if count == self.room:
                break
            row = match.start()
            code = bad_numbers[row]
            detail = _NUMBER_DETAILS[code].format(shape=shape(bytes(data[offsets[row] : offsets[row + 1]])))
            found.append((first_line + block.line[row], NUMBER_REASONS[code], detail))
        found.sort(key=lambda error: error[0])
        kept = found[: self.room]
        self.details += kept
        self.room -= len(kept)


def shape(value: bytes) -> str:
    """How a value is written, without what it says: digits as #, letters as x, at most 24 characters."""
    if value.isascii():
        value = value[: 4 * SHAPE_LENGTH].translate(_ASCII)
    text = value[: 4 * SHAPE_LENGTH].decode("utf-8", "replace")
    drawn = "".join(map(_drawn, text.strip()[: SHAPE_LENGTH + 1]))
    return drawn if len(drawn) <= SHAPE_LENGTH else drawn[: SHAPE_LENGTH - 1] + "\u2026"


def _drawn(character: str) -> str:
    if character.isdigit():
        return "#"
    if character.isalpha():
        return "x"
    return character if character.isprintable() else "\ufffd"
