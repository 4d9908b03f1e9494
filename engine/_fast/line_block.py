"""What `lines.scan` returns: the good rows of a block as Arrow columns, and its bad lines."""

from __future__ import annotations

from array import array

OVER_LONG, BAD_UTF8, OPEN_QUOTE, NUL, COLUMNS = 1, 2, 3, 4, 5
LINE_REASONS = ("ok", "line_too_long", "not_utf8", "open_quote", "nul_byte", "column_count")
MAX_LINE_BYTES = 65536


class LineBlock:
    """The complete lines of one block of a file.

    rows: good lines; `columns[c]` is (offsets int32 of rows + 1, data): the buffers of an Arrow string
    column. line: array('i') of rows, the line's place in the block, from 0. lines: complete lines, blank ones
    included. bad_line, bad_reason, bad_info: bad lines in order; info is the first bad byte from 1 (BAD_UTF8,
    NUL), the column from 1 (OPEN_QUOTE), the columns found (COLUMNS) or 0. consumed: bytes used; what follows
    is the start of an incomplete line. in_long: the block ends inside an over-long line; say so to the next
    scan.
    """

    __slots__ = (
        "bad_info",
        "bad_line",
        "bad_reason",
        "columns",
        "consumed",
        "in_long",
        "line",
        "lines",
        "rows",
    )

    def __init__(
        self,
        *,
        rows: int,
        columns: list[tuple[array[int], bytearray]],
        line: array[int],
        bad_line: array[int],
        bad_reason: array[int],
        bad_info: array[int],
        lines: int,
        consumed: int,
        in_long: bool,
    ) -> None:
        self.rows = rows
        self.columns = columns
        self.line = line
        self.bad_line = bad_line
        self.bad_reason = bad_reason
        self.bad_info = bad_info
        self.lines = lines
        self.consumed = consumed
        self.in_long = in_long
