"""What a sender may look like, and how SMPP carries it. Pure functions.

Sources: 3GPP TS 23.040 §9.1.2.5 (an alphanumeric address holds eleven septets), ITU-T E.164 (at most fifteen
digits), SMPP 3.4 §5.2.5 and §5.2.6 (TON, NPI). The borders between the kinds are those of the engine.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

SenderKind = Literal["alphanumeric", "numeric", "short_code"]

ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9._&+-]{1,11}")
NUMERIC = re.compile(r"[0-9]{7,15}")
SHORT_CODE = re.compile(r"[0-9]{3,6}")
PE_ID = re.compile(r"[0-9]{19}")  # of the Indian registry (TRAI TCCCPR 2018)
PURPOSE_LIMIT = 200
CHANNELS_LIMIT = 100
CHANNEL_NAME_LIMIT = 100

WORDS: dict[SenderKind, tuple[re.Pattern[str], str]] = {
    "alphanumeric": (ALPHANUMERIC, "Up to 11 letters, digits and . _ & + - (one letter or more), no spaces."),
    "numeric": (NUMERIC, "7 to 15 digits with the country code."),
    "short_code": (SHORT_CODE, "3 to 6 digits."),
}


@dataclass(frozen=True)
class Numbering:
    """Type of number and numbering plan, unless a channel sets others."""

    ton: int
    npi: int


NUMBERING: dict[SenderKind, Numbering] = {
    "alphanumeric": Numbering(5, 0),
    "numeric": Numbering(1, 1),
    "short_code": Numbering(3, 0),
}


@dataclass(frozen=True)
class Content:
    """What a revision says: this is what somebody approves."""

    sender: str
    kind: SenderKind
    pe_id: str = ""
    channels: tuple[str, ...] = ()  # names; empty: all
    purpose: str = ""


def kind_of(address: str) -> SenderKind:
    """The kind that the engine takes an address for."""
    digits = address.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return "alphanumeric"
    return "short_code" if len(digits) <= 6 and digits == address else "numeric"


def read_content(
    address: str,
    *,
    kind: str = "",
    pe_id: str = "",
    channels: Iterable[str] = (),
    purpose: str = "",
) -> tuple[Content, dict[str, str]]:
    """What somebody wrote as content, and one sentence for each field that is wrong. Without a kind, the
    address tells it."""
    problems = {}
    address, pe_id, purpose = address.strip(), pe_id.strip(), purpose.strip()
    known: SenderKind = next((one for one in WORDS if one == kind), kind_of(address))
    if kind and kind not in WORDS:
        problems["kind"] = "Choose one of those offered."
    if known == "numeric":
        address = address.removeprefix("+")  # SMPP carries an international number without it
    pattern, words = WORDS[known]
    if not pattern.fullmatch(address):
        problems["sender"] = words
    if pe_id and not PE_ID.fullmatch(pe_id):
        problems["pe_id"] = "19 digits, as the registry gave it, or nothing."
    if len(purpose) > PURPOSE_LIMIT:
        problems["purpose"] = f"Use at most {PURPOSE_LIMIT} characters."
    if "\x00" in purpose:
        problems["purpose"] = "Remove the NUL character."
    named = tuple(sorted({name for name in channels if name}))
    if len(named) > CHANNELS_LIMIT or any(len(name) > CHANNEL_NAME_LIMIT or "\x00" in name for name in named):
        problems["channels"] = "Choose from the channels of this installation."
    return Content(address, known, pe_id, named, purpose), problems
