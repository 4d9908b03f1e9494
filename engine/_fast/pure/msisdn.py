"""Phone numbers as people write them -> E.164 integers: the reference.

Accepted: digits with spaces (also no-break), dots, dashes, slashes and parentheses between; a leading `+` or
`00`; `(0)` after a country code, which is dropped; a single trailing `.0`, which spreadsheets add, likewise.
Without `+` or `00` a number is read in the default country: with trunk prefix, without, or with the country
code; mobile numbers before others. Without a default country it must begin with a country code.

Lengths are those of `phonenumbers` metadata; ranges within them are not judged, because operators open new
ones. Not handled: carrier selection codes, and the digits Argentina inserts between area code and number.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from engine._fast.numbering import LEAD, MAX_DIGITS, National, code_lengths, international, national

if TYPE_CHECKING:
    from typing_extensions import Buffer

OK, EMPTY, NOT_A_NUMBER, TOO_SHORT, TOO_LONG, UNKNOWN_COUNTRY_CODE = range(6)

BLANK = b" \t"
PUNCTUATION = b".-/()"
NO_BREAK_SPACE = b"\xc2\xa0"


def normalise(data: Buffer, end: Buffer, default_country: str) -> tuple[array[int], array[int]]:
    """Read N numbers. data: their text, UTF-8; end: int32, item i is data[end[i - 1]:end[i]].

    default_country: ISO 3166 alpha-2, or empty for none. Returns (numbers int64, -1 where there is none;
    reason int8: 0 ok, 1 empty, 2 not a number, 3 too short, 4 too long, 5 unknown country code).
    Raises ValueError for an unknown country, and for ends that decrease or pass the data.
    """
    plan = national(default_country) if default_country else None
    text = bytes(data)
    ends = memoryview(end).cast("B").cast("i")
    numbers, reasons = array("q"), array("b")
    start = 0
    for stop in ends:
        if not start <= stop <= len(text):
            raise ValueError("end must not decrease nor pass the data")
        number, reason = _one(text[start:stop], plan)
        numbers.append(number)
        reasons.append(reason)
        start = stop
    return numbers, reasons


def _one(text: bytes, plan: National | None) -> tuple[int, int]:
    plus, digits, reason = _digits(text)
    if reason:
        return -1, reason
    if plus or digits.startswith(b"00"):
        return _international(digits if plus else digits[2:])
    if plan is None:
        return _international(digits)
    return _national(digits, plan)


def _digits(text: bytes) -> tuple[bool, bytes, int]:
    """(has a plus, digits, reason) of a number as written."""
    text = text.replace(NO_BREAK_SPACE, b" ").strip(BLANK)
    if not text:
        return False, b"", EMPTY
    if text.endswith(b".0") and text.count(b".") == 1:
        text = text[:-2]
    plus = False
    digits = bytearray()
    at = 0
    while at < len(text):
        byte = text[at]
        if 0x30 <= byte <= 0x39:
            digits.append(byte)
        elif byte == 0x2B and not plus and not digits:
            plus = True
        elif digits and text[at : at + 3] == b"(0)":
            at += 2
        elif byte not in BLANK + PUNCTUATION:
            return False, b"", NOT_A_NUMBER
        at += 1
    return plus, bytes(digits), OK if digits else NOT_A_NUMBER


def _international(digits: bytes) -> tuple[int, int]:
    if len(digits) < 3:
        return -1, TOO_SHORT
    size = code_lengths()[int(digits[:3])]
    if size == 0:
        return -1, UNKNOWN_COUNTRY_CODE
    code, rest = digits[:size], digits[size:]
    plan = international(int(code))
    if not _fits(rest, plan.lengths) and plan.prefix and rest.startswith(plan.prefix):
        shorter = rest[len(plan.prefix) :]
        if _fits(shorter, plan.lengths):
            rest = shorter
    if len(rest) < _shortest(plan.lengths):
        return -1, TOO_SHORT
    if len(rest) > plan.lengths.bit_length() - 1 or size + len(rest) > MAX_DIGITS:
        return -1, TOO_LONG
    return int(code + rest), OK


def _national(digits: bytes, plan: National) -> tuple[int, int]:
    """Of the ways to read it, the first that gives a mobile number, then any number, then a
    possible length.
    """
    trunk = digits[len(plan.prefix) :] if plan.prefix and digits.startswith(plan.prefix) else b""
    coded = digits[len(plan.code) :] if digits.startswith(plan.code) else b""
    for leads in (plan.mobile_leads, plan.number_leads, None):
        for rest in (trunk, digits, coded):
            lengths = leads[int(rest[:LEAD].ljust(LEAD, b"0"))] if leads else plan.lengths
            if _fits(rest, lengths) and len(plan.code) + len(rest) <= MAX_DIGITS:
                return int(plan.code + rest), OK
    rest = trunk or digits
    return -1, TOO_LONG if len(rest) > plan.lengths.bit_length() - 1 else TOO_SHORT


def _fits(digits: bytes, lengths: int) -> bool:
    return len(digits) <= MAX_DIGITS and bool(lengths >> len(digits) & 1)


def _shortest(lengths: int) -> int:
    return (lengths & -lengths).bit_length() - 1
