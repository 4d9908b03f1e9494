"""Country numbering plans for `msisdn`, compiled from the metadata of `phonenumbers` when first asked for.

Lengths are bit masks (bit n: numbers of n digits exist), leads are tables over the first three digits.
"""

from __future__ import annotations

import re
from array import array
from functools import lru_cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc

MAX_DIGITS = 15  # E.164 §6.2.1
LEAD = 3
_PIECE = re.compile(r"\\d|\[[^\]]*\]|\(\?:|[()|?]|\{\d+(?:,\d*)?\}|\d")


class International:
    """What follows a country code. lengths: of the national number. prefix: the trunk prefix
    people leave in.
    """

    __slots__ = ("code_digits", "lengths", "prefix")

    def __init__(self, code_digits: int, lengths: int, prefix: bytes) -> None:
        self.code_digits = code_digits
        self.lengths = lengths
        self.prefix = prefix


class National:
    """How numbers are written inside a country. Leads: the lengths of numbers that begin so."""

    __slots__ = ("code", "lengths", "mobile_leads", "number_leads", "prefix")

    def __init__(
        self,
        *,
        code: bytes,
        prefix: bytes,
        mobile_leads: array[int],
        lengths: int,
        number_leads: array[int],
    ) -> None:
        self.code = code
        self.prefix = prefix
        self.mobile_leads = mobile_leads
        self.lengths = lengths
        self.number_leads = number_leads


@lru_cache(maxsize=1)
def code_lengths() -> bytes:
    """Digits of the country code that a number with these first three digits has; 0: no such code."""
    table = bytearray(1000)
    for code in COUNTRY_CODE_TO_REGION_CODE:
        digits = str(code)
        span = 10 ** (3 - len(digits))
        first = code * span
        table[first : first + span] = bytes((len(digits),)) * span
    return bytes(table)


@lru_cache(maxsize=1000)
def international(code: int) -> International:
    """The plan of a country code, over all the regions that share it. Raises KeyError for an unknown one."""
    lengths, prefix = 0, b""
    for region in COUNTRY_CODE_TO_REGION_CODE[code]:
        metadata = _metadata(region, code)
        lengths |= _mask(_number(metadata).possible_length)
        if metadata.main_country_for_code or len(COUNTRY_CODE_TO_REGION_CODE[code]) == 1:
            prefix = (metadata.national_prefix or "").encode()
    return International(len(str(code)), lengths, prefix)


@lru_cache(maxsize=300)
def national(country: str) -> National:
    """The plan of a country (ISO 3166 alpha-2). Raises ValueError for an unknown one."""
    metadata = PhoneMetadata.metadata_for_region(country)
    if metadata is None or len(country) != 2:
        raise ValueError(f"unknown country {country!r}: expected an ISO 3166 code of two letters")
    general = _number(metadata)
    mobile = metadata.mobile or general
    if not mobile.national_number_pattern:
        mobile = general
    return National(
        code=str(metadata.country_code).encode(),
        prefix=(metadata.national_prefix or "").encode(),
        mobile_leads=leads(mobile.national_number_pattern or ""),
        lengths=_mask(general.possible_length),
        number_leads=leads(general.national_number_pattern or ""),
    )


def leads(pattern: str) -> array[int]:
    """The first three digits of what a national number pattern matches: 1,000 masks of the
    lengths (uint16).
    """
    pieces = _PIECE.findall(pattern)
    if "".join(pieces) != pattern:
        raise ValueError("the numbering metadata uses a pattern this reader does not know")
    tree, rest = _branches(pieces, 0)
    assert rest == len(pieces)
    table = array("H", bytes(2 * 10**LEAD))
    for branch in tree:
        lengths = _lengths([branch]) & (2 << MAX_DIGITS) - 1
        for start in _starts(frozenset(("",)), [branch]):
            span = 10 ** (LEAD - len(start))
            first = int(start or "0") * span
            for lead in range(first, first + span):
                table[lead] |= lengths
    return table


Tree = list[list["tuple[str | Tree, int, int]"]]  # alternatives of (digits or a group, at least, at most)


def _branches(pieces: list[str], at: int) -> tuple[Tree, int]:
    """An alternation, and where it ends: at its closing parenthesis or the end of the pattern."""
    tree: Tree = [[]]
    while at < len(pieces) and pieces[at] != ")":
        if pieces[at] == "|":
            tree.append([])
            at += 1
            continue
        atom: str | Tree
        if pieces[at][0] == "(":
            atom, at = _branches(pieces, at + 1)
        else:
            atom = _digits(pieces[at])
        low, high, at = _repeat(pieces, at + 1)
        tree[-1].append((atom, low, high))
    return tree, at


def _digits(piece: str) -> str:
    """The digits that a class or a single digit stands for."""
    return "".join(digit for digit in "0123456789" if re.fullmatch(piece, digit))


def _repeat(pieces: list[str], at: int) -> tuple[int, int, int]:
    """(at least, at most, next piece) of the quantifier that may stand here."""
    piece = pieces[at] if at < len(pieces) else ""
    if piece == "?":
        return 0, 1, at + 1
    if piece[:1] == "{":
        low, comma, high = piece[1:-1].partition(",")
        return int(low), int(high or MAX_DIGITS) if comma else int(low), at + 1
    return 1, 1, at


def _starts(before: frozenset[str], atom: str | Tree) -> frozenset[str]:
    """The first LEAD digits of `before` followed by the atom."""
    whole = frozenset(start for start in before if len(start) == LEAD)
    reaching = before - whole
    if not reaching:
        return whole
    if isinstance(atom, str):
        return whole | {start + digit for start in reaching for digit in atom}
    for branch in atom:
        current = reaching
        for inner, low, high in branch:
            reached = current if low == 0 else frozenset()
            for count in range(1, high + 1):
                current = _starts(current, inner)
                if count >= min(low, LEAD):  # after LEAD digits all is whole
                    reached |= current
                if count == LEAD:
                    break
            current = reached
        whole |= current
    return whole


def _mask(lengths: tuple[int, ...]) -> int:
    return sum(1 << length for length in lengths if 0 < length <= MAX_DIGITS)


def _lengths(atom: str | Tree) -> int:
    """Mask of the lengths that an atom can have."""
    if isinstance(atom, str):
        return 2
    found = 0
    for branch in atom:
        total = 1
        for inner, low, high in branch:
            one, reached = _lengths(inner), 0
            for count in range(high + 1):
                if count >= low:
                    reached |= total
                total = _longer(total, one)
            total = reached
        found |= total
    return found


def _longer(lengths: int, more: int) -> int:
    """Mask of all sums of one length of each mask."""
    found = 0
    for length in range(more.bit_length()):
        if more >> length & 1:
            found |= lengths << length
    return found


def _number(metadata: PhoneMetadata) -> PhoneNumberDesc:
    """What all the numbers of a region look like."""
    assert metadata.general_desc is not None, metadata.id
    return metadata.general_desc


def _metadata(region: str, code: int) -> PhoneMetadata:
    if region == "001":
        metadata = PhoneMetadata.metadata_for_nongeo_region(code)
    else:
        metadata = PhoneMetadata.metadata_for_region(region)
    assert metadata is not None, region
    return metadata
