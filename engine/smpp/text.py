"""Message text as a person means it: alphabets, user data headers, parts, and templates with columns.

The alphabet's tables and the splitting rule are those of `_fast`, which encodes campaigns. Here stands the
way back (`decode`, `reassemble`), one message at a time, and the compiler of `{{column}}` templates.
Source: 3GPP TS 23.038 (alphabets), TS 23.040 §9.2.3.24 (user data header), SMPP 3.4 §5.2.19 (data_coding).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine._fast.alphabet import BASIC, ESCAPE, EXTENSION
from engine._fast.pure import text as reference

DATA_CODING_DEFAULT = 0x00
DATA_CODING_IA5 = 0x01
DATA_CODING_LATIN_1 = 0x03
DATA_CODING_UCS2 = 0x08
_UCS2_CLASSES = range(0x18, 0x1C)  # with a message class, 0x18 is flash (TS 23.038 §4)
ESM_CLASS_UDHI = 0x40
CONCATENATED_8 = 0x00  # information element: reference, parts, part
CONCATENATED_16 = 0x08
MAX_PARTS = 255
DEFAULT_MAX_PARTS = 10

_EXTENDED = {septet: character for character, septet in EXTENSION.items()}
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


class TooLong(ValueError):
    """The message needs more parts than allowed."""

    def __init__(self, parts: int, limit: int) -> None:
        super().__init__(f"the message needs {parts} parts, {limit} are allowed")
        self.parts = parts
        self.limit = limit


class UnknownColumn(ValueError):
    """The template names columns that the recipients do not have; `names` in the order of the text."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"no such column: {', '.join(names)}")
        self.names = tuple(names)


class MalformedTemplate(ValueError):
    """A `{{` without its `}}`, a `}}` without its `{{`, or nothing between them."""


class Part(NamedTuple):
    """One submit_sm of a message: what goes into short_message, data_coding and esm_class."""

    short_message: bytes
    data_coding: int
    esm_class: int


@dataclass(frozen=True, slots=True)
class Element:
    """One information element of a user data header."""

    identifier: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Which part of which message: reference 8 or 16 bits, parts and part from 1."""

    reference: int
    parts: int
    part: int


def split(text: str, reference_number: int, max_parts: int = DEFAULT_MAX_PARTS) -> list[Part]:
    """The parts of a message: GSM if every character is in the alphabet, else UCS-2; none for empty text.

    Several parts carry an 8-bit concatenation header with the low octet of `reference_number`. Raises
    TooLong, and UnicodeEncodeError for a lone surrogate.
    """
    encoding, octets = reference.encode(text)
    pieces = reference.split(encoding, octets)
    limit = min(max_parts, MAX_PARTS)
    if len(pieces) > limit:
        raise TooLong(len(pieces), limit)
    data_coding = DATA_CODING_DEFAULT if encoding == reference.ENCODING_GSM else DATA_CODING_UCS2
    if len(pieces) < 2:
        return [Part(piece, data_coding, 0) for piece in pieces]
    head = bytes((5, CONCATENATED_8, 3, reference_number & 0xFF, len(pieces)))
    return [
        Part(head + bytes((number,)) + piece, data_coding, ESM_CLASS_UDHI)
        for number, piece in enumerate(pieces, 1)
    ]


def decode_gsm(octets: bytes) -> str:
    """Unpacked GSM septets as text. An unknown extension shows its basic character, as a handset does; a lone
    escape is a space; octets above 0x7F are U+FFFD."""
    found: list[str] = []
    escaped = False
    for octet in octets:
        if octet > 0x7F:
            found.append("\ufffd")
        elif escaped and octet in _EXTENDED:
            found.append(_EXTENDED[octet])
        elif octet == ESCAPE:
            if escaped:
                found.append(" ")
            escaped = not escaped
            continue
        else:
            found.append(BASIC[octet])
        escaped = False
    if escaped:
        found.append(" ")
    return "".join(found)


def decode(octets: bytes, data_coding: int) -> str:
    """The text of a message without its header: UCS-2, IA5, Latin-1 or, for any other coding, GSM.

    Never raises: what is no text of its coding becomes U+FFFD.
    """
    if data_coding in (DATA_CODING_IA5, DATA_CODING_LATIN_1):
        return octets.decode("latin-1")
    if data_coding == DATA_CODING_UCS2 or data_coding in _UCS2_CLASSES:
        return octets.decode("utf-16-be", "replace")
    return decode_gsm(octets)


def user_data(short_message: bytes, esm_class: int) -> tuple[list[Element], bytes]:
    """The user data header's elements and the octets after it.

    Never raises and always ends: an empty message, a header longer than the message and an element that runs
    out of its header give what was whole before it.
    """
    if not esm_class & ESM_CLASS_UDHI or not short_message:
        return [], short_message
    stop = 1 + short_message[0]
    header, payload = short_message[1:stop], short_message[stop:]
    elements = []
    at = 0
    while at + 2 <= len(header):
        length = header[at + 1]
        if at + 2 + length > len(header):
            break
        elements.append(Element(header[at], header[at + 2 : at + 2 + length]))
        at += 2 + length
    return elements, payload


def concatenation(elements: Iterable[Element]) -> Concatenation | None:
    """The first concatenation element that makes sense (1 <= part <= parts)."""
    for element in elements:
        size = {CONCATENATED_8: 3, CONCATENATED_16: 4}.get(element.identifier)
        if size is None or len(element.data) != size:
            continue
        parts, part = element.data[-2:]
        if 1 <= part <= parts:
            return Concatenation(int.from_bytes(element.data[:-2], "big"), parts, part)
    return None


def reassemble(parts: Sequence[Part]) -> str | None:
    """The text of a message from its parts in any order, repeats allowed; None if one is missing or foreign.

    UCS-2 parts are joined before decoding, so that a surrogate pair across parts survives other splitters.
    """
    if len(parts) == 1 and not parts[0].esm_class & ESM_CLASS_UDHI:
        return decode(parts[0].short_message, parts[0].data_coding)
    found: dict[int, bytes] = {}
    messages: set[tuple[int, int, int]] = set()
    for part in parts:
        elements, payload = user_data(part.short_message, part.esm_class)
        place = concatenation(elements)
        if place is None:
            return decode(payload, part.data_coding) if len(parts) == 1 else None
        messages.add((place.reference, place.parts, part.data_coding))
        found[place.part] = payload
    if len(messages) != 1:
        return None
    ((_, count, data_coding),) = messages
    if len(found) != count:
        return None
    return decode(b"".join(found[number] for number in sorted(found)), data_coding)


def compile_template(text: str, column_names: Sequence[str]) -> list[bytes | int]:
    """`{{name}}` text as fixed UTF-8 segments and column indices, for `_fast.text.Template`.

    Names are trimmed and matched exactly, else without regard to case if that fits one column only. Raises
    UnknownColumn with every name that fits none, MalformedTemplate for braces that do not pair.
    """
    folded: dict[str, list[int]] = {}
    for index, name in enumerate(column_names):
        folded.setdefault(name.strip().casefold(), []).append(index)
    exact = {name.strip(): index for index, name in reversed(list(enumerate(column_names)))}

    segments: list[bytes | int] = []
    unknown: list[str] = []
    at = 0
    for match in _PLACEHOLDER.finditer(text):
        _fixed(text[at : match.start()], segments)
        at = match.end()
        name = match[1].strip()
        if not name or "{{" in name:
            raise MalformedTemplate(f"{match[0]!r} is not a column in double braces")
        alike = folded.get(name.casefold(), [])
        if name in exact:
            segments.append(exact[name])
        elif len(alike) == 1:
            segments.append(alike[0])
        elif name not in unknown:
            unknown.append(name)
    _fixed(text[at:], segments)
    if unknown:
        raise UnknownColumn(unknown)
    return segments


def _fixed(text: str, segments: list[bytes | int]) -> None:
    for braces in ("{{", "}}"):
        if braces in text:
            raise MalformedTemplate(f"{braces} without its other half")
    if text:
        segments.append(text.encode())
