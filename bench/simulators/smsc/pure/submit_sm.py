"""Reading a submit_sm body (SMPP 3.4 §4.4.1), and telling texts apart. Twin of `submit_sm.pxd`."""

from dataclasses import dataclass

RINVCMDLEN, RINVSRCADR, RINVDSTADR = 0x2, 0xA, 0xB
MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN = 0x9E3779B97F4A7C15


@dataclass(slots=True)
class Message:
    source: tuple[int, int, bytes]
    destination: tuple[int, int, bytes]
    esm_class: int
    registered_delivery: int
    data_coding: int
    text: bytes
    reference: int = 0
    part: int = 1
    parts: int = 1
    tagged: bool = False  # has the TLV that was asked for


class MalformedError(ValueError):
    """A submit_sm that cannot be read; `status` is the answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def fingerprint(text: bytes) -> int:
    """64 bits that tell texts apart, eight octets a step."""
    h = (len(text) * GOLDEN) & MASK
    for start in range(0, len(text), 8):
        h = ((h ^ int.from_bytes(text[start : start + 8], "little")) * 0xFF51AFD7ED558CCD) & MASK
        h ^= h >> 32
    return h


def read_submit(body: bytes, required_tlv: int = 0) -> Message:
    """Reads a submit_sm body; MalformedError where lengths do not fit."""
    position = 0

    def text(longest: int, status: int) -> bytes:
        nonlocal position
        end = body.find(b"\0", position)
        if end < 0:
            raise MalformedError(RINVCMDLEN)
        value, position = body[position:end], end + 1
        if len(value) > longest:
            raise MalformedError(status)
        return value

    def octets(count: int) -> bytes:
        nonlocal position
        if position + count > len(body):
            raise MalformedError(RINVCMDLEN)
        position += count
        return body[position - count : position]

    text(5, RINVCMDLEN)
    source_ton, source_npi = octets(2)
    source = text(20, RINVSRCADR)
    dest_ton, dest_npi = octets(2)
    destination = text(20, RINVDSTADR)
    esm_class, _, _ = octets(3)
    text(16, RINVCMDLEN)
    text(16, RINVCMDLEN)
    registered_delivery, _, data_coding, _, length = octets(5)
    short_message = octets(length)
    if not destination:
        raise MalformedError(RINVDSTADR)
    message = Message(
        (source_ton, source_npi, source),
        (dest_ton, dest_npi, destination),
        esm_class,
        registered_delivery,
        data_coding,
        short_message,
    )
    _read_tlvs(message, body, position, required_tlv)
    if esm_class & 0x40:
        _read_udh(message)
    return message


def _read_tlvs(message: Message, body: bytes, position: int, required_tlv: int) -> None:
    while position + 4 <= len(body):
        tag = int.from_bytes(body[position : position + 2], "big")
        length = int.from_bytes(body[position + 2 : position + 4], "big")
        value = body[position + 4 : position + 4 + length]
        if len(value) < length:
            raise MalformedError(RINVCMDLEN)
        position += 4 + length
        message.tagged = message.tagged or tag == required_tlv
        if tag == 0x0424 and not message.text:
            message.text = value
        elif tag == 0x020C and length == 2:
            message.reference = int.from_bytes(value, "big")
        elif tag == 0x020E and length == 1:
            message.parts = value[0]
        elif tag == 0x020F and length == 1:
            message.part = value[0]


def _read_udh(message: Message) -> None:
    text = message.text
    end = 1 + text[0] if text else 0
    if end > len(text):
        return
    position = 1
    while position + 2 <= end:
        element, length = text[position], text[position + 1]
        value = text[position + 2 : position + 2 + length]
        if position + 2 + length > end:
            break
        if element == 0 and length == 3:
            message.reference, message.parts, message.part = value[0], value[1], value[2]
        elif element == 8 and length == 4:
            message.reference, message.parts, message.part = value[0] << 8 | value[1], value[2], value[3]
        position += 2 + length
    message.text = text[end:]
