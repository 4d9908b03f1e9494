"""deliver_sm and data_sm as delivery receipts: the reference.

SMPP 3.4 §4.6, §4.7 and appendix B, and what SMSCs send instead. A receipt is recognised by `esm_class &
0x3C`. With esm_class 0 the kind stays MO, but where the PDU reads as a receipt (an id and a state) the id,
verdict and state are filled in: it is a receipt only if that id is known. A malformed body gives
KIND_OTHER_ACK without an id. What is no receipt by its flag keeps its whole PDU, so that nothing a person
wrote is lost.
"""

from __future__ import annotations

from array import array
from calendar import timegm
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from engine._fast.columns import KIND_INTERMEDIATE, KIND_MO, KIND_OTHER_ACK, KIND_RECEIPT, ReceiptBatch

if TYPE_CHECKING:
    from typing_extensions import Buffer

DATA_SM = 0x103
TLV_RECEIPTED_MESSAGE_ID = 0x001E
TLV_NETWORK_ERROR_CODE = 0x0423
TLV_MESSAGE_PAYLOAD = 0x0424
TLV_MESSAGE_STATE = 0x0427

UNKNOWN_STATE = 255
NOT_FINAL, UNDELIVERED, DELIVERED = 0, 1, 2
FAILURES = (3, 4, 5, 8, 9)
ERROR_LENGTH = 6
NUMBER_LENGTH = 18
DATE_LENGTH = 20

STATES = {
    b"schedul": 0, b"scheduled": 0,
    b"enroute": 1, b"en_route": 1,
    b"delivrd": 2, b"delivered": 2, b"deliverd": 2, b"dlvrd": 2,
    b"expired": 3, b"expird": 3,
    b"deleted": 4, b"deletd": 4,
    b"undeliv": 5, b"undeliverable": 5, b"undelivered": 5, b"undelivrd": 5, b"failed": 5,
    b"acceptd": 6, b"accepted": 6,
    b"unknown": 7,
    b"rejectd": 8, b"rejected": 8,
    b"skipped": 9,
}  # fmt: skip

KEYS = (
    (b"id", "id"),
    (b"stat", "stat"),
    (b"err", "err"),
    (b"text", "text"),
    (b"donedate", "done"), (b"done date", "done"), (b"done_date", "done"),
    (b"submitdate", "submit"), (b"submit date", "submit"), (b"submit_date", "submit"),
    (b"sub", "sub"),
    (b"dlvrd", "dlvrd"),
)  # fmt: skip
BYTE_ORDER_MARKS = (b"\xfe\xff", b"\xff\xfe")
SPACE = b" \t\r\n\0"
ALPHANUMERIC = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class _Body(NamedTuple):
    source: bytes
    destination: bytes
    esm_class: int
    data_coding: int
    message: bytes
    tlvs: dict[int, bytes]


def parse(data: Buffer, start: array[int], end: array[int], prefer_text: bool = False) -> ReceiptBatch:
    """Read the PDUs data[start[i]:end[i]], each a whole deliver_sm or data_sm.

    TLVs 0x001E (receipted_message_id) and 0x0427 (message_state) win over the text, with `prefer_text` the
    text over them; the text is read up to its `text:` key. 0x0423 (network_error_code) is kept raw; it stands
    in for a missing `err:`, which has codes of another table. Raises ValueError for offsets outside the data
    or PDUs under 16 octets.
    """
    octets = bytes(data)
    batch = ReceiptBatch()
    if len(start) != len(end):
        raise ValueError("start and end must have the same length")
    for first, last in zip(start, end, strict=True):
        if first < 0 or last - first < 16 or last > len(octets):
            raise ValueError("a PDU lies outside the data or is shorter than its header")
        _append(batch, octets[first:last], prefer_text)
    return batch


def _append(batch: ReceiptBatch, pdu: bytes, prefer_text: bool) -> None:
    command = int.from_bytes(pdu[4:8], "big")
    kind, identity, state, error, done, submit = KIND_OTHER_ACK, b"", UNKNOWN_STATE, b"", -1, -1
    network = done_raw = b""
    body = _body(pdu, command)
    if body is not None:
        kind = _kind(body.esm_class)
        fields = _text_fields(_plain(body))
        told = (body.tlvs.get(TLV_RECEIPTED_MESSAGE_ID, b"").split(b"\0")[0], fields.get("id", b""))
        identity = told[prefer_text] or told[not prefer_text]
        state = _state(body.tlvs.get(TLV_MESSAGE_STATE, b""), fields.get("stat", b""), prefer_text)
        network = body.tlvs.get(TLV_NETWORK_ERROR_CODE, b"")
        error = _error(network, fields.get("err", b""))
        done_raw = fields.get("done", b"")[:DATE_LENGTH]
        done, submit = _date(fields.get("done", b"")), _date(fields.get("submit", b""))
        if kind == KIND_OTHER_ACK or (kind == KIND_MO and (not identity or state == UNKNOWN_STATE)):
            identity, state, error, done, submit = b"", UNKNOWN_STATE, b"", -1, -1
            network = done_raw = b""
    verdict = NOT_FINAL
    if kind != KIND_INTERMEDIATE:
        verdict = DELIVERED if state == 2 else UNDELIVERED if state in FAILURES else NOT_FINAL
    batch.count += 1
    batch.sequence.append(int.from_bytes(pdu[12:16], "big"))
    batch.command.append(command)
    batch.kind.append(kind)
    batch.ids += identity
    batch.id_end.append(len(batch.ids))
    batch.msisdn.append(_number(body.source) if body else -1)
    batch.verdict.append(verdict)
    batch.stat.append(state)
    batch.errors += error
    batch.error_end.append(len(batch.errors))
    batch.done_s.append(done)
    batch.submit_s.append(submit)
    batch.done_raw += done_raw
    batch.done_raw_end.append(len(batch.done_raw))
    batch.network += network.hex().encode()
    batch.network_end.append(len(batch.network))
    batch.sender += body.destination if body else b""
    batch.sender_end.append(len(batch.sender))
    batch.pdu += pdu if kind in (KIND_MO, KIND_OTHER_ACK) else b""
    batch.pdu_end.append(len(batch.pdu))


def delivered_at(
    done_s: array[int],
    done_raw: bytes | bytearray,
    done_raw_end: array[int],
    sent_s: array[int],
    received_us: int,
    offset_s: int,
) -> array[int]:
    """When each was done, unix microseconds: its done date, if it lies between submit and arrival, else the
    arrival. Dates are local, `offset_s` ahead of UTC; an epoch has no zone."""
    found, start = array("q"), 0
    for done, end, sent in zip(done_s, done_raw_end, sent_s, strict=True):
        at_us = (done - (0 if _is_epoch(bytes(done_raw[start:end])) else offset_s)) * 1_000_000
        start = end
        between = done >= 0 and sent * 1_000_000 <= at_us <= received_us
        found.append(at_us if between else received_us)
    return found


def _is_epoch(text: bytes) -> bool:
    """Seconds or milliseconds since 1970: ten digits that begin with 16 to 19, or thirteen."""
    return len(text) == 13 or (len(text) == 10 and b"16" <= text[:2] <= b"19")


def _kind(esm_class: int) -> int:
    message_type = esm_class & 0x3C
    if message_type == 0x04:
        return KIND_RECEIPT
    if message_type == 0x20:
        return KIND_INTERMEDIATE
    return KIND_MO if message_type == 0 else KIND_OTHER_ACK


def _body(pdu: bytes, command: int) -> _Body | None:
    """The fields that matter, None where the mandatory part is malformed. A cut-off TLV ends the list."""
    at = 16

    def text() -> bytes:
        nonlocal at
        close = pdu.index(b"\0", at)
        value = pdu[at:close]
        at = close + 1
        return value

    try:
        text()  # service_type
        at += 2
        source = text()
        at += 2
        destination = text()
        esm_class = pdu[at]
        message = b""
        if command == DATA_SM:
            data_coding = pdu[at + 2]
            at += 3
        else:
            at += 3
            text()  # schedule_delivery_time
            text()  # validity_period
            data_coding, length = pdu[at + 2], pdu[at + 4]
            at += 5
            if at + length > len(pdu):
                return None
            message = pdu[at : at + length]
            at += length
    except (ValueError, IndexError):
        return None
    tlvs: dict[int, bytes] = {}
    while at + 4 <= len(pdu):
        tag, length = int.from_bytes(pdu[at : at + 2], "big"), int.from_bytes(pdu[at + 2 : at + 4], "big")
        at += 4
        if at + length > len(pdu):
            break
        tlvs.setdefault(tag, pdu[at : at + length])
        at += length
    return _Body(source, destination, esm_class, data_coding, message, tlvs)


def _plain(body: _Body) -> bytes:
    """The message as 8-bit text without its user data header; UCS-2 is narrowed, with ? outside ASCII."""
    message = body.message or body.tlvs.get(TLV_MESSAGE_PAYLOAD, b"")
    if body.esm_class & 0x40 and message:
        message = message[message[0] + 1 :]
    if (body.data_coding & 0x0C) == 0x08 or message[:1] == b"\0" or message[:2] in BYTE_ORDER_MARKS:
        little = message[:2] == b"\xff\xfe" or (len(message) > 1 and message[0] != 0 and message[1] == 0)
        if message[:2] in BYTE_ORDER_MARKS:
            message = message[2:]
        high, low = (message[1::2], message[0::2]) if little else (message[0::2], message[1::2])
        return bytes(b if a == 0 and b < 0x80 else 0x3F for a, b in zip(high, low, strict=False))
    return message


def _text_fields(text: bytes) -> dict[str, bytes]:
    """The first value of each known key, up to `text:`; keys in any case and order."""
    fields: dict[str, bytes] = {}
    lower = text.lower()
    at = 0
    while at < len(text):
        if text[at] in SPACE:
            at += 1
            continue
        name, at_value = _key(lower, at)
        if name == "text":
            break
        if name:
            at = at_value
            while at < len(text) and text[at] in SPACE:
                at += 1
            if _key(lower, at)[0]:
                fields.setdefault(name, b"")
                continue
        begin = at
        while at < len(text) and text[at] not in SPACE:
            at += 1
        if name:
            fields.setdefault(name, text[begin:at])
    return fields


def _key(lower: bytes, at: int) -> tuple[str, int]:
    """(key that stands here with its colon, where its value begins), or ("", at)."""
    for spelling, name in KEYS:
        if lower.startswith(spelling, at):
            colon = at + len(spelling)
            while lower[colon : colon + 1] == b" ":
                colon += 1
            if lower[colon : colon + 1] == b":":
                return name, colon + 1
    return "", at


def _state(tlv: bytes, text: bytes, prefer_text: bool) -> int:
    by_tlv = tlv[0] if len(tlv) == 1 and tlv[0] <= 9 else UNKNOWN_STATE
    by_text = STATES.get(text.lower(), UNKNOWN_STATE)
    if text.isdigit() and len(text) <= 3 and int(text) <= 9:
        by_text = int(text)
    first, second = (by_text, by_tlv) if prefer_text else (by_tlv, by_text)
    return first if first != UNKNOWN_STATE else second


def _error(tlv: bytes, text: bytes) -> bytes:
    """The err: value, else the TLV: its code in decimal where it is type + 2 octets, otherwise raw in hex."""
    kept = bytes(byte for byte in text[:ERROR_LENGTH] if byte in ALPHANUMERIC)
    if kept or not tlv:
        return kept
    if len(tlv) == 3:
        return b"%03d" % int.from_bytes(tlv[1:], "big")
    return tlv.hex().encode()[:ERROR_LENGTH]


def _date(text: bytes) -> int:
    """YYMMDDhhmm[ss], YYYYMMDDhhmm[ss], or epoch in s (10 digits) or ms (13): epoch seconds; -1 for none.

    Ten digits that begin with 16-19 are an epoch: as a date they would lie before 2020.
    """
    if not text.isdigit():
        return -1
    size = len(text)
    if size == 13:
        return int(text) // 1000
    if size == 10:
        return int(text) if 16 <= int(text[:2]) <= 19 else _calendar(b"20" + text + b"00")
    if size == 12:
        found = _calendar(b"20" + text)
        return found if found >= 0 else _calendar(text + b"00")
    return _calendar(text) if size == 14 else -1


def _calendar(text: bytes) -> int:
    """YYYYMMDDhhmmss of this century."""
    if not text.startswith(b"20"):
        return -1
    parts = [int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))]
    try:
        return timegm(datetime(*parts).timetuple())  # type: ignore[arg-type]
    except ValueError:
        return -1


def _number(source: bytes) -> int:
    digits = source.removeprefix(b"+")
    return int(digits) if digits.isdigit() and len(digits) <= NUMBER_LENGTH else -1
