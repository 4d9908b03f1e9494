"""Plain-Python twin of `engine._fast.text`: what the C functions mean."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine._fast.alphabet import ESCAPE, GSM
from engine._fast.columns import TextTotals
from engine._fast.forms import UTF16
from engine._fast.pure.repertoire import Repertoire

if TYPE_CHECKING:
    from typing_extensions import Buffer

    Column = tuple[Buffer, Buffer | None]

ENCODING_GSM = 0
ENCODING_UCS2 = 1

GSM_SINGLE, GSM_PART = 160, 153  # septets; a part of several carries a 6-octet user data header
UCS2_SINGLE, UCS2_PART = 140, 134  # octets


def encode_gsm(text: str) -> bytes | None:
    """The text in the GSM alphabet, an octet a septet; None if a character is outside it."""
    try:
        return b"".join([GSM[character] for character in text])
    except KeyError:
        return None


def encode_ucs2(text: str) -> bytes:
    """The text as UTF-16 big-endian without BOM. Raises UnicodeEncodeError on a lone surrogate."""
    return text.encode("utf-16-be")


def encode(text: str) -> tuple[int, bytes]:
    """(encoding, octets) of a message: GSM if every character is in the alphabet, else UCS-2."""
    gsm = encode_gsm(text)
    return (ENCODING_UCS2, encode_ucs2(text)) if gsm is None else (ENCODING_GSM, gsm)


def split(encoding: int, octets: bytes) -> list[bytes]:
    """The octets of each part; no part ends between an escape and its septet or inside a surrogate pair."""
    gsm = encoding == ENCODING_GSM
    if not octets:
        return []
    if len(octets) <= (GSM_SINGLE if gsm else UCS2_SINGLE):
        return [octets]
    found, start = [], 0
    while start < len(octets):
        stop = min(start + (GSM_PART if gsm else UCS2_PART), len(octets))
        if stop < len(octets):
            if gsm:
                stop -= octets[stop - 1] == ESCAPE
            elif 0xD8 <= octets[stop - 2] <= 0xDB:
                stop -= 2
        found.append(octets[start:stop])
        start = stop
    return found


def parts(text: str) -> int:
    """The number of submit_sm a text takes; 0 for an empty one."""
    return len(split(*encode(text)))


def classify(data: Buffer, end: array[int]) -> tuple[array[int], array[int], array[int]]:
    """Encoding (int8), septets or UTF-16 units (int32) and parts (int16) of UTF-8 texts.

    Octets that are not UTF-8 count as U+FFFD. Raises ValueError if `end` does not fit the data, and
    OverflowError if a text takes more than 32,767 parts.
    """
    encodings, units, counts = array("b"), array("i"), array("h")
    for item in _items(data, end):
        encoding, octets = encode(item.decode("utf-8", "replace"))
        encodings.append(encoding)
        units.append(len(octets) if encoding == ENCODING_GSM else len(octets) // 2)
        counts.append(len(split(encoding, octets)))
    return encodings, units, counts


def _items(data: Buffer, end: array[int]) -> list[bytes]:
    octets, found, start = bytes(data), [], 0
    for stop in end:
        if not start <= stop <= len(octets):
            raise ValueError("end does not fit the data")
        found.append(octets[start:stop])
        start = stop
    return found


class Template:
    """A text cut into fixed UTF-8 bytes and column references (ints), compiled once for a campaign.

    Raises ValueError if a fixed segment is not UTF-8 or a column reference is negative.
    """

    def __init__(self, segments: Sequence[bytes | int]) -> None:
        self.segments = tuple(segments)
        for segment in self.segments:
            if isinstance(segment, int):
                if segment < 0:
                    raise ValueError("a column reference is not negative")
            else:
                segment.decode("utf-8")
        self.columns = 1 + max((s for s in self.segments if isinstance(s, int)), default=-1)


def texts(template: Template, columns: Sequence[Column], rows: array[int]) -> list[str]:
    """The text of each row; see `render` for the columns and the errors."""
    if len(columns) < template.columns:
        raise ValueError(f"the template refers to column {template.columns - 1} of {len(columns)}")
    views = [_column(*column) for column in columns[: template.columns]]
    found = []
    for row in rows:
        pieces = []
        for segment in template.segments:
            value = _value(*views[segment], row) if isinstance(segment, int) else segment
            pieces.append(value.decode("utf-8", "replace"))
        found.append("".join(pieces))
    return found


def _column(offsets: Buffer, data: Buffer | None) -> tuple[memoryview, memoryview]:
    return memoryview(offsets).cast("B").cast("i"), memoryview(b"" if data is None else data).cast("B")


def _value(offsets: memoryview, data: memoryview, row: int) -> bytes:
    if not 0 <= row < len(offsets) - 1:
        raise IndexError(f"row {row} is outside the chunk")
    start, stop = offsets[row], offsets[row + 1]
    if not 0 <= start <= stop <= len(data):
        raise ValueError("a column's offsets do not fit its data")
    return bytes(data[start:stop])


def render(template: Template, columns: Sequence[Column], rows: array[int]) -> tuple[bytearray, array[int]]:
    """The UTF-8 text of each row, as (data, end).

    `columns` are Arrow string columns: (offsets: int32 little-endian, n + 1; data), array offset zero, no
    nulls. Octets that are not UTF-8 become U+FFFD. Raises IndexError for a row outside the chunk, ValueError
    for a missing column or offsets outside the data.
    """
    data, end = bytearray(), array("i")
    for text in texts(template, columns, rows):
        data += text.encode()
        end.append(len(data))
    return data, end


def count(
    template: Template,
    columns: Sequence[Column],
    rows: array[int],
    repertoire: Repertoire | None = None,
) -> TextTotals:
    """Messages, parts and encodings of the rows' texts, in the cheapest of the repertoire's forms if there is
    one. Same columns and errors as `render`."""
    totals = TextTotals()
    if repertoire is not None:
        totals.forms.extend([0] * len(repertoire.forms))
    longest = (-1, -1)
    for position, text in enumerate(texts(template, columns, rows)):
        if repertoire is None:
            encoding, octets = encode(text)
            n, length = len(split(encoding, octets)), len(octets)
        else:
            n, length, encoding = _count_in(repertoire, text, totals)
        totals.messages += 1
        totals.parts += max(n, 0)
        if n == 0:
            totals.empty += 1
        elif n > 0:
            totals.histogram[min(n, 256) - 1] += 1
            if encoding == ENCODING_GSM:
                totals.gsm += 1
            else:
                totals.ucs2 += 1
        if (max(n, 0), length) > longest:
            longest = (max(n, 0), length)
            totals.longest_row = position
    return totals


def _count_in(repertoire: Repertoire, text: str, totals: TextTotals) -> tuple[int, int, int]:
    """Parts (-1: rejected), octets and encoding of one message."""
    written = repertoire.write(text)
    if written is None:
        totals.rejected += 1
        return -1, 0, ENCODING_GSM
    if written.pieces:
        totals.forms[repertoire.forms.index(written.form)] += 1
        totals.transliterated += written.transliterated
    encoding = ENCODING_UCS2 if written.form.family == UTF16 else ENCODING_GSM
    return len(written.pieces), sum(map(len, written.pieces)), encoding
