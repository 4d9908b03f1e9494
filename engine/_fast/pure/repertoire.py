"""Plain-Python twin of `engine._fast.repertoire`: what the C functions mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine._fast.alphabet import ESCAPE, GSM
from engine._fast.forms import (
    RULE_REJECT,
    RULE_TRANSLITERATE,
    RULE_UCS2,
    SEPTETS,
    UDH8,
    UDH16,
    UTF16,
    Form,
    Written,
)

_CR = 0x0D


class Repertoire:
    """The forms a channel's messages may take, the preferred ones first, and the rule for what fits none.

    Of the forms that carry a text the one with the fewest parts is taken, of several the first. RULE_UCS2:
    UTF-16 is a form like the others. RULE_TRANSLITERATE: UTF-16 only for a text that no other form carries,
    not even with the characters outside the first form replaced by `transliteration`. RULE_REJECT: UTF-16
    never. Raises ValueError for no forms, more than one UTF-16, none where the rule needs it, or an unknown
    rule.
    """

    def __init__(
        self,
        forms: Sequence[Form],
        *,
        rule: int = RULE_UCS2,
        splitting: int = UDH8,
        transliteration: Mapping[str, str] | None = None,
    ) -> None:
        utf16 = sum(form.family == UTF16 for form in forms)
        if rule not in (RULE_UCS2, RULE_TRANSLITERATE, RULE_REJECT):
            raise ValueError("an unknown rule for characters outside")
        if not forms or forms[0].family == UTF16 or utf16 != (rule != RULE_REJECT):
            raise ValueError("an alphabet comes first, then UTF-16 once, or not at all where it is rejected")
        self.forms = tuple(forms)
        self.rule = rule
        self.splitting = splitting
        self.transliteration = dict(transliteration or {})

    def write(self, text: str) -> Written | None:
        """The text in its form; None if its characters are rejected. Raises UnicodeEncodeError on a lone
        surrogate."""
        text.encode()
        alphabets = [form for form in self.forms if form.family != UTF16]
        if self.rule != RULE_TRANSLITERATE:
            return self._cheapest(self.forms, text)
        first = self.forms[0].table
        assert first is not None
        replaced = "".join(c if c in first else self.transliteration.get(c, c) for c in text)
        return (
            self._cheapest(alphabets, text)
            or self._cheapest(alphabets, replaced, transliterated=True)
            or self._cheapest(self.forms, text)
        )

    def _cheapest(self, forms: Sequence[Form], text: str, *, transliterated: bool = False) -> Written | None:
        """The text in the one of these forms that takes the fewest parts, the first of several."""
        best: Written | None = None
        for form in forms:
            found = pieces(form, text, self.splitting)
            if found is not None and (best is None or len(found) < len(best.pieces)):
                best = Written(form, tuple(found), transliterated)
        return best


def pieces(form: Form, text: str, splitting: int) -> list[bytes] | None:
    """The octets of each part of a text in one form; None if it cannot carry it."""
    octets = octets_in(form, text)
    if octets is None:
        return None
    if cost(form, octets) <= form.single:
        return [octets] if octets else []
    return split(form, octets, form.several(splitting), splitting)


def octets_in(form: Form, text: str) -> bytes | None:
    """The text in the form's alphabet, a septet an octet; None if a character is outside it."""
    if form.table is None:
        return text.encode("utf-16-be")
    try:
        return b"".join([form.table[character] for character in text])
    except KeyError:
        return None


def cost(form: Form, octets: bytes) -> int:
    """Units of the octets: what counts against `Form.room`."""
    return sum(septets_of(octet) for octet in octets) if form.as_septets else len(octets)


def septets_of(octet: int) -> int:
    """What a Latin-1 octet takes once the SMSC has turned it into GSM."""
    return len(GSM.get(chr(octet), b" "))


def split(form: Form, octets: bytes, room: int, splitting: int) -> list[bytes] | None:
    """The octets of each of several parts; None if the form cannot have several.

    No part ends between an escape and its septet or inside a surrogate pair. A packed part that is not the
    last never ends with seven spare bits, which would read as one more character.
    """
    if room == 0:
        return None
    found, start = [], 0
    while start < len(octets):
        stop = min(start + room, len(octets))
        if form.as_septets:
            stop = start
            while stop < len(octets) and cost(form, octets[start : stop + 1]) <= room:
                stop += 1
        elif form.family == UTF16 and stop < len(octets):
            stop -= 2 * (0xD8 <= octets[stop - 2] <= 0xDB)
        elif form.family == SEPTETS:
            while stop < len(octets) and (
                octets[stop - 1] == ESCAPE or (form.packed and spare_bits(form, stop - start, splitting) == 7)
            ):
                stop -= 1
        found.append(octets[start:stop])
        start = stop
    return found


def header_octets(form: Form, splitting: int, parts: int) -> int:
    """Length of the user data header that goes out with each part, its length octet included."""
    concatenation = {UDH8: 5, UDH16: 6}.get(splitting, 0) if parts > 1 else 0
    return 1 + len(form.elements) + concatenation if form.elements or concatenation else 0


def spare_bits(form: Form, septets: int, splitting: int) -> int:
    """Bits left in the last octet of one of several packed parts."""
    header = 8 * header_octets(form, splitting, 2)
    return -(header + -header % 7 + 7 * septets) % 8


def header(form: Form, splitting: int, reference: int, parts: int, part: int) -> bytes:
    """The user data header of a part (TS 23.040 §9.2.3.24), its length octet first; empty if there is none.

    `reference` has 16 bits; an 8-bit header takes the low ones.
    """
    elements = form.elements
    if parts > 1 and splitting == UDH8:
        elements = bytes((0, 3, reference & 0xFF, parts, part)) + elements
    elif parts > 1 and splitting == UDH16:
        elements = bytes((8, 4, reference >> 8, reference & 0xFF, parts, part)) + elements
    return bytes([len(elements)]) + elements if elements else b""


def user_data(form: Form, head: bytes, piece: bytes) -> bytes:
    """A part's short_message: header and text, packed where the form says so."""
    return head + (pack(piece, len(head)) if form.packed else piece)


def pack(septets: bytes, header_octets: int) -> bytes:
    """Septets as 7 bits each, after fill bits that align them with a header of so many octets (TS 23.038
    §6.1.2.1.1, TS 23.040 §9.2.3.24).

    Seven bits left over would read as one more character, so a carriage return fills them (§6.1.2.3.1).
    """
    fill = -8 * header_octets % 7
    if (fill + 7 * len(septets)) % 8 == 1:
        septets += bytes([_CR])
    bits = 0
    for number, septet in enumerate(septets):
        bits |= septet << (fill + 7 * number)
    return bits.to_bytes((fill + 7 * len(septets) + 7) // 8, "little")


def unpack(octets: bytes, header_octets: int) -> bytes:
    """The way back: septets after the fill bits; a carriage return that ends on an octet is the filler."""
    fill = -8 * header_octets % 7
    bits = int.from_bytes(octets, "little") >> fill
    count = (8 * len(octets) - fill) // 7
    septets = bytes(bits >> 7 * number & 0x7F for number in range(count))
    ends_on_octet = (fill + 7 * count) % 8 == 0
    return septets[:-1] if ends_on_octet and septets.endswith(b"\r") else septets
