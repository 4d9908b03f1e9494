"""India DLT: who sends which approved template, and through whom, as TLVs of every submit_sm.

The ids come from the registry of the operators (TRAI TCCCPR 2018): decimal digits, today 19 of them.
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Literal

Chain = Literal["none", "list", "sha256"]

PE_ID = 0x1400
TEMPLATE_ID = 0x1401
CHAIN = 0x1402
USUAL_DIGITS = 19
_MOST_DIGITS = 30


class BadDlt(ValueError):
    """Ids that no operator would take; the message is for a person."""


def tlvs(
    pe_id: str,
    template_id: str,
    *,
    telemarketers: Sequence[str] = (),
    chain: Chain = "none",
    required: bool = False,
    tags: tuple[int, int, int] = (PE_ID, TEMPLATE_ID, CHAIN),
    final_nul: bool = False,
) -> bytes:
    """The TLVs of principal entity, template and chain, in that order; empty without ids.

    Raises BadDlt for ids that are not digits, a template or a chain without a principal entity, and missing
    ids where they are required.
    """
    for what, value in (("principal entity", pe_id), ("template", template_id)):
        if value and not is_id(value):
            raise BadDlt(f"the DLT id of the {what} is 1 to {_MOST_DIGITS} digits, not {value!r}")
        if required and not value:
            raise BadDlt(f"the channel requires the DLT id of the {what}")
    if not pe_id:
        if template_id:
            raise BadDlt("a DLT template needs the id of its principal entity")
        return b""
    values = [(tags[0], pe_id), (tags[1], template_id), (tags[2], chain_value(pe_id, telemarketers, chain))]
    end = "\0" if final_nul else ""
    return b"".join(_tlv(tag, (value + end).encode("ascii")) for tag, value in values if value)


def is_id(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS


def chain_value(pe_id: str, telemarketers: Sequence[str], chain: Chain) -> str:
    """`PEID,TMID1,...` without spaces, or its SHA-256 in lowercase hex; "" for none. Raises BadDlt."""
    if chain == "none":
        return ""
    for telemarketer in telemarketers:
        if not is_id(telemarketer):
            raise BadDlt(f"the DLT id of a telemarketer is 1 to {_MOST_DIGITS} digits, not {telemarketer!r}")
    if not telemarketers:
        raise BadDlt("the DLT chain needs the id of a telemarketer")
    listed = ",".join((pe_id, *telemarketers))
    return listed if chain == "list" else hashlib.sha256(listed.encode("ascii")).hexdigest()


def _tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value
