"""The forms a message may take: alphabet, data_coding, user data header, and how much of it one SMS holds.

Plain data for both implementations of `repertoire`. Sources: 3GPP TS 23.038 (alphabets), TS 23.040 §9.2.3.24
(user data header), SMPP 3.4 §5.2.19 (data_coding).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine._fast.alphabet import ESCAPE, EXTENSION, GSM
from engine._fast.national import IDENTIFIERS, LOCKING, SHIFT

# Families: what an octet of the written text is.
SEPTETS = 0  # GSM 7-bit, one septet an octet, an escape before those of the second table
OCTETS = 1  # an 8-bit alphabet
UTF16 = 2  # UTF-16 big-endian

# How a message of several parts goes out.
UDH8 = 0
UDH16 = 1
SAR = 2
PAYLOAD = 3

# The rule for characters outside.
RULE_UCS2 = 0
RULE_TRANSLITERATE = 1
RULE_REJECT = 2

SMS_OCTETS = 140
SMS_SEPTETS = 160
SINGLE_SHIFT = 0x24  # information elements, each with one octet: the language
LOCKING_SHIFT = 0x25
_CONCATENATION = {UDH8: 5, UDH16: 6, SAR: 5, PAYLOAD: 5}  # with SAR and payload it is the SMSC that writes it

_IA5 = [*"\n\r", *map(chr, range(0x20, 0x7F))]
_LATIN_1 = _IA5 + [chr(code) for code in range(0xA0, 0x100)]


@dataclass(frozen=True, slots=True)
class Form:
    """`table` gives the octets of each character, None for UTF-16. `packed`: septets go out as 7 bits.

    `as_septets`: the SMSC turns the octets into GSM, so room is counted in its septets. `elements` are
    information elements that stand in the user data header of every part.
    """

    name: str
    family: int
    data_coding: int
    table: Mapping[str, bytes] | None = field(default=None, repr=False)
    packed: bool = False
    as_septets: bool = False
    elements: bytes = b""

    def room(self, header_octets: int) -> int:
        """Units (septets or octets) of an SMS beside a header of so many octets, with its length octet."""
        if self.family == SEPTETS or self.as_septets:
            return SMS_SEPTETS - -(-header_octets * 8 // 7)
        left = SMS_OCTETS - header_octets
        return left - left % 2 if self.family == UTF16 else left

    @property
    def single(self) -> int:
        """Units of a message of one part."""
        return self.room(1 + len(self.elements) if self.elements else 0)

    def several(self, splitting: int) -> int:
        """Units of each of several parts; 0 where this form has one part or none.

        Who leaves the splitting to the SMSC cannot add elements of his own to the parts' headers.
        """
        if self.elements and splitting in (SAR, PAYLOAD):
            return 0
        return self.room(1 + len(self.elements) + _CONCATENATION[splitting])


@dataclass(frozen=True, slots=True)
class Written:
    """A message in its form: `pieces` are the octets of each part, before packing and without header."""

    form: Form
    pieces: tuple[bytes, ...]
    transliterated: bool


def gsm(data_coding: int = 0, *, packed: bool = False) -> Form:
    """The GSM 7-bit default alphabet with its extension table."""
    return Form("gsm", SEPTETS, data_coding, GSM, packed=packed)


def ia5(data_coding: int = 0) -> Form:
    """IA5 (ASCII), which the SMSC turns into GSM."""
    table = {character: bytes([ord(character)]) for character in _IA5}
    return Form("ia5", OCTETS, data_coding, table, as_septets=True)


def latin1(data_coding: int = 3, *, as_septets: bool = False) -> Form:
    """ISO 8859-1: 140 characters, or 160 where the SMSC turns them into GSM."""
    table = {character: bytes([ord(character)]) for character in _LATIN_1}
    return Form("latin1", OCTETS, data_coding, table, as_septets=as_septets)


def ucs2(data_coding: int = 8) -> Form:
    """UTF-16 big-endian without BOM, which is UCS-2 with surrogate pairs."""
    return Form("ucs2", UTF16, data_coding)


def national(data_coding: int = 0, *, locking: str = "", shift: str = "", packed: bool = False) -> Form:
    """GSM 7-bit with the locking and single shift tables of these languages ("": the default one)."""
    basic = {character: octets for character, octets in GSM.items() if len(octets) == 1}
    extension = dict(EXTENSION)
    if locking:
        basic = {character: bytes([septet]) for septet, character in LOCKING[locking].items()}
    if shift:
        extension = {character: septet for septet, character in SHIFT[shift].items()}
    table = {character: bytes([ESCAPE, septet]) for character, septet in extension.items()} | basic
    elements = bytes([SINGLE_SHIFT, 1, IDENTIFIERS[shift]]) if shift else b""
    elements += bytes([LOCKING_SHIFT, 1, IDENTIFIERS[locking]]) if locking else b""
    kinds = [kind for kind, used in (("locking", locking), ("shift", shift)) if used]
    name = f"{locking or shift} {'+'.join(kinds)}"
    return Form(name, SEPTETS, data_coding, table, packed=packed, elements=elements)
