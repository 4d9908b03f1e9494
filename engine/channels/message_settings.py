"""What a channel does to every message: alphabets, splitting, addresses, flags, validity and DLT TLVs.

The console draws its form from these fields: each has its type, default, limits and description here.
Sources: SMPP 3.4 §5.2 (fields), 3GPP TS 23.038 (alphabets), TS 23.040 (parts).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

DefaultAlphabet = Literal["gsm_unpacked", "gsm_packed", "ia5", "latin1"]
Splitting = Literal["udh8", "udh16", "sar", "payload"]
Language = Literal[
    "turkish",
    "spanish",
    "portuguese",
    "bengali",
    "gujarati",
    "hindi",
    "kannada",
    "malayalam",
    "oriya",
    "punjabi",
    "tamil",
    "telugu",
    "urdu",
]
LockingLanguage = Literal[
    "turkish",
    "portuguese",
    "bengali",
    "gujarati",
    "hindi",
    "kannada",
    "malayalam",
    "oriya",
    "punjabi",
    "tamil",
    "telugu",
    "urdu",
]


def _m(group: str, description: str, unit: str = "", **limits: Any) -> Meta:
    return Meta(description=description, extra={"group": group, "unit": unit}, **limits)


def _ton(kind: str) -> Meta:
    return _m("Addresses", f"TON of {kind} (SMPP 3.4 §5.2.5)", ge=0, le=255)


def _npi(kind: str) -> Meta:
    return _m("Addresses", f"NPI of {kind} (SMPP 3.4 §5.2.6)", ge=0, le=255)


class MessageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Defaults of a channel's messages (`channels.settings`)."""

    default_alphabet: Annotated[
        DefaultAlphabet,
        _m(
            "Alphabets",
            "What the SMSC takes data_coding 0 for: GSM 7-bit one septet an octet (gsm_unpacked), GSM 7-bit "
            "packed with fill bits (gsm_packed), IA5 (ia5) or Latin-1 (latin1)",
        ),
    ] = "gsm_unpacked"
    gsm_data_coding: Annotated[
        Literal[0, 0xF1],
        _m(
            "Alphabets",
            "data_coding of messages in the default alphabet: 0, or 241 (0xF1) where GSM must be flagged",
        ),
    ] = 0
    latin1_characters: Annotated[
        Literal[0, 140, 160],
        _m(
            "Alphabets",
            "Characters of one Latin-1 message (data_coding 3): 140, or 160 where the SMSC turns them into "
            "GSM; 0 does not use Latin-1",
        ),
    ] = 0
    national_single_shift: Annotated[
        tuple[Language, ...],
        _m(
            "Alphabets",
            "Languages whose single shift table may be used (TS 23.038 A.2); handsets must know them",
        ),
    ] = ()
    national_locking_shift: Annotated[
        tuple[LockingLanguage, ...],
        _m(
            "Alphabets",
            "Languages whose locking shift table may be used (TS 23.038 A.3); handsets must know them",
        ),
    ] = ()
    splitting: Annotated[
        Splitting,
        _m(
            "Parts",
            "How a message of several parts goes out: user data header with an 8-bit (udh8) or 16-bit "
            "(udh16) reference, SAR TLVs (sar), or whole in message_payload for the SMSC to split (payload)",
        ),
    ] = "udh8"
    max_parts: Annotated[int, _m("Parts", "A message of more parts is not sent", ge=1, le=255)] = 10

    service_type: Annotated[
        str,
        _m(
            "Flags",
            "service_type; the specification allows 5 characters",
            max_length=32,
            pattern="^[!-~]*$",
        ),
    ] = ""
    alphanumeric_ton: Annotated[int, _ton("an alphanumeric sender")] = 5
    alphanumeric_npi: Annotated[int, _npi("an alphanumeric sender; some want 1")] = 0
    international_ton: Annotated[int, _ton("a sender that is an international number")] = 1
    international_npi: Annotated[int, _npi("a sender that is an international number")] = 1
    short_code_ton: Annotated[int, _ton("a short code as sender; some want 0")] = 3
    short_code_npi: Annotated[int, _npi("a short code as sender")] = 0
    short_code_digits: Annotated[
        int, _m("Addresses", "A sender of at most this many digits, without +, is a short code", ge=0, le=15)
    ] = 6
    dest_ton: Annotated[int, _ton("the recipient, an international number without +")] = 1
    dest_npi: Annotated[int, _npi("the recipient")] = 1
    protocol_id: Annotated[int, _m("Flags", "protocol_id (TS 23.040 §9.2.3.9)", ge=0, le=255)] = 0
    priority: Annotated[int, _m("Flags", "priority_flag (SMPP 3.4 §5.2.14)", ge=0, le=255)] = 0
    registered_delivery: Annotated[
        int,
        _m(
            "Flags",
            "Receipts asked for: bits 0-1: 0 none, 1 always, 2 on failure, 3 on success (SMPP 5.0); bits "
            "2-3: acknowledgement by the handset; 16: intermediate notifications",
            ge=0,
            le=31,
        ),
    ] = 1

    validity_mode: Annotated[
        Literal["relative", "absolute", "none"],
        _m("Validity", "How validity_period is written; none leaves it to the SMSC"),
    ] = "relative"
    validity_s: Annotated[
        int,
        _m(
            "Validity",
            "How long the SMSC tries, unless the campaign says; 0 leaves it to the SMSC",
            "s",
            ge=0,
            le=63 * 7 * 86_400,
        ),
    ] = 0
    validity_period: Annotated[
        str,
        _m(
            "Validity",
            "validity_period word for word, in place of the two above: YYMMDDhhmmss000R or YYMMDDhhmmsstnnp",
            pattern="^([0-9]{15}R|[0-9]{15}[+-])?$",
        ),
    ] = ""

    dlt_pe_tag: Annotated[int, _m("India DLT", "TLV tag of the principal entity's id", ge=1, le=0xFFFF)] = (
        0x1400
    )
    dlt_template_tag: Annotated[int, _m("India DLT", "TLV tag of the template's id", ge=1, le=0xFFFF)] = (
        0x1401
    )
    dlt_chain_tag: Annotated[int, _m("India DLT", "TLV tag of the chain", ge=1, le=0xFFFF)] = 0x1402
    dlt_type: Annotated[
        Literal["octet_string", "c_octet_string"],
        _m("India DLT", "Type of the DLT TLVs: without (octet_string) or with a final NUL (c_octet_string)"),
    ] = "octet_string"
    dlt_chain: Annotated[
        Literal["none", "list", "sha256"],
        _m(
            "India DLT",
            "The chain TLV: none, the ids joined by commas (list), or that list's SHA-256 in hex (sha256)",
        ),
    ] = "none"
    dlt_telemarketers: Annotated[
        tuple[Annotated[str, Meta(pattern="^[0-9]{1,30}$")], ...],
        _m(
            "India DLT",
            "Ids of the telemarketers between the principal entity and the operator, in their order",
        ),
    ] = ()
    dlt_required: Annotated[
        bool, _m("India DLT", "Campaigns without the ids of principal entity and template are not sent")
    ] = False
