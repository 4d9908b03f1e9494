"""How a recipient file is written: encoding, separator, header, and which column holds the number.

Detected once, from the first block of the file, and kept with the upload, so that a resumed upload reads on
the same way.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from engine._fast import lines, msisdn

MAX_COLUMNS = 64
NAME_LENGTH = 64
SAMPLE_LINES = 200
NUMBER_COLUMN = "msisdn"  # of the chunks: no other column may be called so
SEPARATORS = ("\t", ";", ",", "|")
UTF8_BOM = b"\xef\xbb\xbf"
FOREIGN_BOMS = (b"\xff\xfe", b"\xfe\xff")
ARCHIVES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"%PDF")

# Read as a header, these say that the column holds the number, whatever another one looks like.
_NUMBER_WORDS = """
    msisdn phone phone_number phonenumber phone_no mobile mobile_number mobile_phone mobile_no cell
    cell_phone cellphone number no tel telephone telephone_number to recipient destination dest gsm
    handy handynummer telefon telefonnummer rufnummer mobil mobilnummer mobiltelefon telefono teléfono
    móvil movil celular numero número téléphone portable numéro numéro_de_téléphone telefone telemóvel
    telemovel cellulare telefoon telefoonnummer mobiel numer numer_telefonu telefon_komórkowy телефон
    номер номер_телефона мобильный мобильный_телефон
"""
NUMBER_NAMES = frozenset(_NUMBER_WORDS.split())


class UnusableFile(Exception):
    """Nothing can be read from the file as it is; trying again does not help.

    code: utf_16, not_text, too_many_columns, no_number_column or empty_file, unknown_country. detail: a
    sentence for its owner.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Dialect:
    """What `detect` found.

    columns: names of the columns besides the number's, as templates use them. msisdn_index: the number's
    place among all the file's columns. separator: empty for a file of one column. start: where the first line
    begins.
    """

    encoding: str
    separator: str
    has_header: bool
    columns: list[str] = field(default_factory=list)
    msisdn_column: str = ""
    msisdn_index: int = 0
    start: int = 0

    def to_json(self) -> dict[str, Any]:
        """The object kept in `uploads.dialect`."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Dialect:
        """The inverse of to_json."""
        return cls(**found)


def detect(sample: bytes, default_country: str = "") -> Dialect:
    """Read the dialect off the first bytes of a file: all of it, or a block that ends anywhere.

    A first line counts as a header where none of its fields looks like a number. Raises UnusableFile.
    """
    if sample.startswith(FOREIGN_BOMS):
        raise UnusableFile("utf_16", "The file is UTF-16. Save it as CSV in UTF-8 and upload it again.")
    if sample.startswith(ARCHIVES):
        raise UnusableFile(
            "not_text", "The file is not text. Save the sheet as CSV in UTF-8 and upload it again."
        )
    start = len(UTF8_BOM) if sample.startswith(UTF8_BOM) else 0
    text = sample[start:].decode("utf-8", "replace")
    rows = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if not rows:
        raise UnusableFile("empty_file", "The file has no lines.")
    if len(rows) > 1 and len(rows) <= SAMPLE_LINES and not text.endswith(("\r", "\n")):
        rows.pop()  # perhaps cut off
    rows = rows[:SAMPLE_LINES]
    separator = _separator(rows)
    table = [found for row in rows if (found := fields(row, separator)) is not None]
    first = fields(rows[0], separator) or []
    width = _width(table) if table else 1
    if max(width, len(first)) > MAX_COLUMNS:
        raise UnusableFile("too_many_columns", f"The file has more than {MAX_COLUMNS} columns.")
    has_header = not any(_looks(value, default_country) for value in first)
    if has_header and first:
        width = len(first)
    names = column_names(first) if has_header and first else [f"column_{i + 1}" for i in range(width)]
    body = [row for row in (table[1:] if has_header and first else table) if len(row) == width]
    index = _number_column(names if has_header else None, body, width, default_country)
    return Dialect(
        encoding="utf-8-sig" if start else "utf-8",
        separator=separator,
        has_header=has_header,
        columns=_besides(names, index),
        msisdn_column=names[index],
        msisdn_index=index,
        start=start,
    )


def fields(line: str, separator: str) -> list[str] | None:
    """The fields of one line, None where it is a bad one."""
    text = line.encode("utf-8", "replace")
    at = ord(separator) if separator else 0
    for columns in (1, line.count(separator) + 1 if separator else 1):
        block = lines.scan(text, columns, at, final=True)
        if block.bad_line and block.bad_info[0] > 0 and block.bad_reason[0] == 5:
            block = lines.scan(text, block.bad_info[0], at, final=True)
        if block.rows:
            return [bytes(data[offsets[0] : offsets[1]]).decode() for offsets, data in block.columns]
    return None


def column_names(titles: Sequence[str]) -> list[str]:
    """Names for templates: lower case, every run of other characters than letters and digits as `_`, at most
    64
    characters; a nameless column is `column_N`, a repeated name gets `_2`, `_3` and so on."""
    names: list[str] = []
    for place, title in enumerate(titles, start=1):
        plain = unicodedata.normalize("NFKC", title).casefold()
        name = re.sub(r"[\W_]+", "_", plain).strip("_")[:NAME_LENGTH].rstrip("_") or f"column_{place}"
        names.append(_unused(name, names))
    return names


def _unused(name: str, taken: Sequence[str]) -> str:
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    return unique


def _besides(names: list[str], index: int) -> list[str]:
    """The other columns' names; `msisdn` is the chunks' own."""
    taken = [NUMBER_COLUMN, names[index]]
    for place, name in enumerate(names):
        if place != index:
            taken.append(_unused(name, taken))
    return taken[2:]


def _separator(rows: Sequence[str]) -> str:
    """The character that splits most lines into the same number of fields; empty for one column."""
    best, best_score = "", 0.0
    for separator in SEPARATORS:
        widths = Counter(len(found) for row in rows if (found := fields(row, separator)) is not None)
        width, agreeing = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        score = agreeing / len(rows) if width > 1 else 0.0
        if score > max(best_score, 0.5):
            best, best_score = separator, score
    return best


def _width(table: Sequence[Sequence[str]]) -> int:
    return Counter(len(row) for row in table).most_common(1)[0][0]


def _looks(value: str, default_country: str) -> bool:
    """Whether the value is or nearly is a number: digits, perhaps too few or too many."""
    return _reasons([value], default_country)[0] not in (msisdn.EMPTY, msisdn.NOT_A_NUMBER)


def _reasons(values: Sequence[str], default_country: str) -> array[int]:
    octets = [value.encode() for value in values]
    end, total = array("i"), 0
    for value in octets:
        total += len(value)
        end.append(total)
    return msisdn.normalise(b"".join(octets), end, default_country)[1]


def _number_column(
    names: Sequence[str] | None, body: Sequence[Sequence[str]], width: int, default_country: str
) -> int:
    """The column called so, if it holds any number; else the one with most numbers. Raises UnusableFile."""
    if width == 1:
        return 0
    scores = []
    for place in range(width):
        reasons = _reasons([row[place] for row in body], default_country)
        good = sum(reason == msisdn.OK for reason in reasons)
        alike = sum(reason not in (msisdn.OK, msisdn.EMPTY, msisdn.NOT_A_NUMBER) for reason in reasons)
        scores.append((good + alike / 4) / (len(reasons) or 1))
    named = [place for place, name in enumerate(names or ()) if re.sub(r"_\d+$", "", name) in NUMBER_NAMES]
    telling = [place for place in named if scores[place] > 0.1 or not body]
    best = max(telling or range(width), key=lambda place: (scores[place], -place))
    if scores[best] < 0.1 and not telling:
        if named:
            return named[0]
        raise UnusableFile("no_number_column", "No column of the file holds phone numbers.")
    return best
