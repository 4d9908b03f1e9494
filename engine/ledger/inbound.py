"""What people send: every deliver_sm and data_sm that is no receipt, kept whole before it is acknowledged."""

import os
from array import array
from datetime import UTC, datetime
from enum import IntEnum
from itertools import count
from typing import Any
from uuid import UUID

from engine._fast.columns import KIND_MO, ReceiptBatch
from engine.smpp import codec, text

COLUMNS = (
    "inbound_id", "account_id", "kind", "source", "destination", "body", "esm_class", "data_coding", "part",
    "parts", "reference", "pdu", "received_at",
)  # fmt: skip
_MESSAGE_TYPE = 0x3C  # of esm_class


class Kind(IntEnum):
    """`inbound.kind`."""

    MESSAGE = 0
    ACKNOWLEDGEMENT = 1  # of an SME (esm_class 08, 10, 18) or of a type nobody defined
    MALFORMED = 2


_sequence = count()


def new_id(received_us: int) -> UUID:
    """Ascending in time (to the microsecond) and within a batch, unlike any other: UUID version 8, RFC 9562
    §5.8."""
    high = received_us >> 12 << 16 | 0x8000 | received_us & 0xFFF
    low = (next(_sequence) & 0xFFFF) << 46 | int.from_bytes(os.urandom(6), "big") >> 2
    return UUID(int=high << 64 | 0b10 << 62 | low)


def rows(batch: ReceiptBatch, wanted: bytes, account_id: int, received_us: int) -> list[tuple[Any, ...]]:
    """Rows of COLUMNS for the PDUs where `wanted` is 1."""
    found, start = [], 0
    for i, stop in enumerate(batch.pdu_end):
        if wanted[i]:
            found.append(row(bytes(batch.pdu[start:stop]), batch.kind[i], account_id, received_us))
        start = stop
    return found


def row(octets: bytes, kind: int, account_id: int, received_us: int) -> tuple[Any, ...]:
    try:
        pdu = codec.decode(octets)
    except codec.BadLength:
        pdu = codec.Pdu(0, 0, fault=codec.Fault(0, "a length that does not fit"))
    esm_class, data_coding = pdu.integer("esm_class"), pdu.integer("data_coding")
    message = pdu.octets("short_message") if "short_message" in pdu.fields else b""
    if not message:
        payload = pdu.tlv("message_payload")
        message = payload if isinstance(payload, bytes) else b""
    elements, body = text.user_data(message, esm_class)
    place = text.concatenation(elements)
    reference, parts, part = (place.reference, place.parts, place.part) if place else _sar(pdu)
    return (
        new_id(received_us), account_id, _kind(kind, esm_class, pdu), _address(pdu, "source_addr"),
        _address(pdu, "destination_addr"), text.decode(body, data_coding).replace("\0", "\ufffd"), esm_class,
        data_coding, part, parts, reference, octets, datetime.fromtimestamp(received_us / 1e6, UTC),
    )  # fmt: skip


def _kind(kind: int, esm_class: int, pdu: codec.Pdu) -> Kind:
    if kind == KIND_MO:
        return Kind.MESSAGE
    whole = pdu.fault is None or pdu.tlvs
    return Kind.ACKNOWLEDGEMENT if whole and esm_class & _MESSAGE_TYPE else Kind.MALFORMED


def _sar(pdu: codec.Pdu) -> tuple[int | None, int, int]:
    """(reference, parts, part) of the SAR TLVs, SMPP 3.4 §5.3.2.22."""
    reference, parts, part = (
        pdu.tlv(name) for name in ("sar_msg_ref_num", "sar_total_segments", "sar_segment_seqnum")
    )
    if isinstance(reference, int) and isinstance(parts, int) and isinstance(part, int) and 1 <= part <= parts:
        return reference, parts, part
    return None, 1, 1


def _address(pdu: codec.Pdu, name: str) -> str:
    return pdu.octets(name).decode("latin-1").replace("\0", "") if name in pdu.fields else ""


def no_receipt(kinds: "array[int]") -> bytes:
    """Mask: 1 for all but receipts and intermediate notifications."""
    return kinds.tobytes().translate(_NO_RECEIPT)


_NO_RECEIPT = b"\0\1\0\1" + bytes(252)
