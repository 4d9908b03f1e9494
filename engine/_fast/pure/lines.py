"""Line scanner: the reference.

A line ends at LF, CR LF or CR. Bad lines are taken out with a reason and never stop the file. A line of
nothing but separators, spaces and tabs is blank: counted as a line, not as a row. Fields are quoted as in RFC
4180, but a quoted field may not contain a line end: a quote still open at the end of its line makes that line
bad.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

from engine._fast.line_block import BAD_UTF8, COLUMNS, MAX_LINE_BYTES, NUL, OPEN_QUOTE, OVER_LONG, LineBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

QUOTE = b'"'


def scan(
    data: Buffer,
    columns: int,
    separator: int,
    *,
    final: bool = False,
    in_long: bool = False,
    max_line: int = MAX_LINE_BYTES,
) -> LineBlock:
    """Split the complete lines of `data` (UTF-8 bytes) into `columns` fields at the byte `separator`.

    separator: 0 for none (one column). final: the file ends here, so its last line needs no line end.
    in_long: `data` goes on inside an over-long line (the previous block's `in_long`).
    A line of more than max_line bytes is OVER_LONG, whatever else is wrong with it. Raises ValueError for
    columns or max_line below 1.
    """
    if columns < 1 or max_line < 1:
        raise ValueError("columns and max_line are at least 1")
    text = bytes(data)
    blank = b" \t" + (bytes((separator,)) if separator else b"")
    fields: list[tuple[array[int], bytearray]] = [(array("i", [0]), bytearray()) for _ in range(columns)]
    line, bad_line, bad_reason, bad_info = array("i"), array("i"), array("b"), array("i")
    lines = start = 0

    def bad(reason: int, info: int) -> None:
        bad_line.append(lines)
        bad_reason.append(reason)
        bad_info.append(info)

    while True:
        end, following = _line_end(text, start, final)
        if following < 0 and not (final and (in_long or start < len(text))):
            break
        content = text[start:end]
        if in_long or len(content) > max_line:
            bad(OVER_LONG, 0)
        elif content.strip(blank):
            reason, info, found = _fields(content, columns, separator)
            if reason:
                bad(reason, info)
            else:
                line.append(lines)
                for (offsets, values), value in zip(fields, found, strict=True):
                    values += value
                    offsets.append(len(values))
        in_long = False
        lines += 1
        if following < 0:
            start = len(text)
            break
        start = following

    rest = len(text) - start
    held = 1 if rest and text[-1:] == b"\r" else 0
    if not final and (in_long or rest - held > max_line):
        in_long, start = True, len(text) - held
    return LineBlock(
        rows=len(line),
        columns=fields,
        line=line,
        bad_line=bad_line,
        bad_reason=bad_reason,
        bad_info=bad_info,
        lines=lines,
        consumed=start,
        in_long=in_long,
    )


def gather(pieces: Sequence[tuple[Buffer, Buffer]], keep: Buffer) -> tuple[array[int], bytearray]:
    """One column of several blocks, with the rows to keep only. pieces: (offsets int32, data) of each block;
    keep: int8, of all their rows. Returns (offsets int32, data). Raises ValueError where keep is not as long
    as the pieces have rows, and for offsets that do not fit the data.
    """
    kept = memoryview(keep).cast("B")
    offsets, values, first = array("i", [0]), bytearray(), 0
    for column_offsets, column_data in pieces:
        ends, text = memoryview(column_offsets).cast("B").cast("i"), memoryview(column_data).cast("B")
        if not len(ends) or first + len(ends) - 1 > len(kept):
            raise ValueError("keep is as long as the pieces have rows")
        if ends[0] != 0:
            raise ValueError("offsets begin with 0")
        for row, (start, stop) in enumerate(pairwise(ends)):
            if not start <= stop <= len(text):
                raise ValueError("end does not fit the data")
            if kept[first + row]:
                values += text[start:stop]
                offsets.append(len(values))
        first += len(ends) - 1
    if first != len(kept):
        raise ValueError("keep is as long as the pieces have rows")
    return offsets, values


def _line_end(text: bytes, start: int, final: bool) -> tuple[int, int]:
    """(end of the line's content, start of the next line or -1 where no line end was found)."""
    lf, cr = text.find(b"\n", start), text.find(b"\r", start)
    if cr < 0 or 0 <= lf < cr:
        return (lf, lf + 1) if lf >= 0 else (len(text), -1)
    if cr + 1 == len(text):  # perhaps the half of a CR LF
        return (cr, cr + 1) if final else (cr, -1)
    return cr, cr + (2 if text[cr + 1] == 0x0A else 1)


def _fields(content: bytes, columns: int, separator: int) -> tuple[int, int, list[bytes]]:
    """(reason, info, fields) of one line."""
    if b"\0" in content:
        return NUL, content.index(b"\0") + 1, []
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return BAD_UTF8, error.start + 1, []
    found: list[bytes] = []
    at = 0
    while True:
        value = b""
        if content[at : at + 1] == QUOTE:
            at += 1
            while True:
                close = content.find(QUOTE, at)
                if close < 0:
                    return OPEN_QUOTE, len(found) + 1, []
                value += content[at:close]
                at = close + 1
                if content[at : at + 1] != QUOTE:
                    break
                value += QUOTE
                at += 1
        end = content.find(bytes((separator,)), at) if separator else -1
        if end < 0:
            found.append(value + content[at:])
            break
        found.append(value + content[at:end])
        at = end + 1
    if len(found) != columns:
        return COLUMNS, len(found), []
    return 0, 0, found
