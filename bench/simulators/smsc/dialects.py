"""How SMSCs write receipts and message ids: the texts of appendix B as met in the field."""

import re
from typing import Literal, NamedTuple

IdFormat = Literal["hex", "hex-upper", "hex-padded", "decimal", "decimal-padded", "long"]
Dialect = Literal["standard", "spelt", "short", "epoch", "numeric"]
Form = Literal["both", "text", "tlv", "payload", "ucs2", "data_sm", "mixed"]


class IdForm(NamedTuple):
    """A number as text: its base, whether in capitals, and zeros in front up to `width`."""

    base: int
    upper: bool
    width: int

    def text(self, number: int) -> bytes:
        digits = b"%x" % number if self.base == 16 else b"%d" % number
        return (digits.upper() if self.upper else digits).rjust(self.width, b"0")


ID_FORMATS: dict[IdFormat, IdForm] = {
    "hex": IdForm(16, False, 0),
    "hex-upper": IdForm(16, True, 0),
    "hex-padded": IdForm(16, False, 16),
    "decimal": IdForm(10, False, 0),
    "decimal-padded": IdForm(10, False, 20),
    "long": IdForm(16, False, 72),  # over the 65 octets of SMPP 3.4 §5.2.23
}

FORMS: tuple[Form, ...] = ("both", "text", "tlv", "payload", "ucs2", "data_sm")  # their index is their code

FIELDS = (
    "",
    "id",
    "dlvrd",
    "stat",
    "err",
    "text",
    "submit10",  # YYMMDDhhmm
    "submit12",  # YYMMDDhhmmss
    "submit14",  # YYYYMMDDhhmmss
    "submit_epoch",
    "done10",
    "done12",
    "done14",
    "done_epoch",
)

ABBREVIATED = {2: b"DELIVRD", 3: b"EXPIRED", 5: b"UNDELIV", 6: b"ACCEPTD", 8: b"REJECTD"}
SPELT = {2: b"DELIVERED", 3: b"EXPIRED", 5: b"UNDELIVERABLE", 6: b"ACCEPTED", 8: b"REJECTED"}
NUMERIC = {2: b"2", 3: b"3", 5: b"5", 6: b"6", 8: b"8"}

DIALECTS: dict[Dialect, tuple[str, dict[int, bytes]]] = {
    "standard": (
        "id:{id} sub:001 dlvrd:{dlvrd} submit date:{submit10} done date:{done10} stat:{stat} err:{err} "
        "text:{text}",
        ABBREVIATED,
    ),
    "spelt": (
        "ID:{id} STAT:{stat} SUBMIT_DATE:{submit14} DONE_DATE:{done14} ERR:{err} TEXT:{text}",
        SPELT,
    ),
    "short": ("id:{id} submitdate:{submit12} donedate:{done12} stat:{stat} err:{err}", ABBREVIATED),
    "epoch": (
        "id:{id} submit date:{submit_epoch} done date:{done_epoch} stat:{stat} err:{err} Text:{text}",
        ABBREVIATED,
    ),
    "numeric": (
        "id:{id} sub:001 dlvrd:{dlvrd} submit date:{submit12} done date:{done12} stat:{stat} err:{err} "
        "text:{text}",
        NUMERIC,
    ),
}


def compiled(template: str) -> list[tuple[bytes, int]]:
    """Pieces of a template: fixed octets, and the code of the field that follows them (0: none)."""
    pieces = re.split(r"\{(\w+)\}", template)
    names = [*pieces[1::2], ""]
    return [(fixed.encode(), FIELDS.index(name)) for fixed, name in zip(pieces[::2], names, strict=True)]
