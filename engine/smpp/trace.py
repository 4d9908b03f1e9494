"""PDUs seen on a bind, for people who look for a fault: framed, filtered, decoded and masked.

A recorder costs nothing where there is none. It keeps the newest PDUs between two collections and counts the
rest. Numbers and texts are masked before anything leaves this module; passwords never do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from engine.smpp import codec, status
from engine.smpp.codec import BadLength, Pdu
from engine.smpp.tables import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DATA_SM,
    DELIVER_SM,
    GENERIC_NACK,
    HEADER_SIZE,
    MAX_PDU_SIZE,
    PDUS,
    RESPONSE,
    TLV_TAGS,
)
from engine.smpp.trial import tlv_name, tlv_text

KEPT = 500  # PDUs of a recorder between two collections
PENDING = 10_000  # requests whose responses are followed, of a filter
SHOWN_DIGITS = 3
LOCAL_DIGITS = 8  # a number in local form agrees in these

_BINDS = frozenset((BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER))
_NUMBERS = ("source_addr", "destination_addr", "esme_addr")
_RECEIPT = 0x3C  # esm_class bits of receipts and acknowledgements
_TEXT_TLVS = frozenset((TLV_TAGS["message_payload"],))
_NUMBER_TLVS = frozenset(TLV_TAGS[name] for name in ("callback_num",) if name in TLV_TAGS)


@dataclass(slots=True)
class Filter:
    """Which PDUs are wanted: all, or those that name a number or one of these message ids, with the
    responses to them."""

    digits: bytes = b""
    ids: tuple[bytes, ...] = ()
    _asked: dict[tuple[bool, int], None] = field(default_factory=dict)

    def wants(self, out: bool, pdu: bytes) -> bool:
        if not self.digits and not self.ids:
            return True
        command = int.from_bytes(pdu[4:8], "big")
        sequence = int.from_bytes(pdu[12:16], "big")
        if command & RESPONSE and self._asked.pop((not out, sequence), 0) is None:
            return True
        named = (self.digits and self.digits in pdu) or any(each in pdu for each in self.ids)
        if not named:
            return False
        if not command & RESPONSE:
            self._asked[out, sequence] = None
            if len(self._asked) > PENDING:
                del self._asked[next(iter(self._asked))]
        return True


@dataclass(slots=True)
class Recorder:
    """The tap of one bind for one trace."""

    wanted: Filter
    skipped: int = 0
    _kept: deque[tuple[int, bool, bytes]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _tail: bytes = b""
    _aligned: bool = False

    def tap(self, out: bool, octets: bytes, now_us: int) -> None:
        """See `engine.smpp.link.Tap`. What is written are whole PDUs; what is read may be cut anywhere."""
        if out:
            if int.from_bytes(octets[4:8], "big") in _BINDS:  # a new connection
                self._tail, self._aligned = b"", True
            self._frame(out, octets, now_us)
            return
        if not self._aligned:  # begun amid a connection: a read that begins with a header sets the frames
            if not _is_header(octets):
                return
            self._aligned = True
        self._tail = self._frame(out, self._tail + octets if self._tail else octets, now_us)

    def _frame(self, out: bool, octets: bytes, now_us: int) -> bytes:
        start = 0
        while len(octets) - start >= HEADER_SIZE:
            length = int.from_bytes(octets[start : start + 4], "big")
            if not HEADER_SIZE <= length <= MAX_PDU_SIZE:
                self._aligned = False
                return b""
            if start + length > len(octets):
                break
            pdu = octets[start : start + length]
            start += length
            if self.wanted.wants(out, pdu):
                self.skipped += len(self._kept) == KEPT
                self._kept.append((now_us, out, pdu))
        return octets[start:]

    def collect(self) -> list[tuple[int, bool, bytes]]:
        """(unix microseconds, whether it went out, octets), oldest first, once."""
        kept = list(self._kept)
        self._kept.clear()
        return kept


@dataclass(frozen=True, slots=True)
class Shown:
    """A PDU for people: masked."""

    command: str
    sequence: int
    status: int
    status_name: str
    length: int
    fields: dict[str, str]
    fault: str


def show(octets: bytes) -> Shown:
    """Decoded by the reference codec and masked. Never raises for a framed PDU."""
    try:
        pdu = codec.decode(octets)
    except BadLength as error:
        return Shown("", error.sequence, 0, "", len(octets), {}, str(error))
    shown = {name: _field(pdu, name, value) for name, value in pdu.fields.items()}
    for tag, value in pdu.tlvs:
        shown[tlv_name(tag)] = _tlv(tag, value)
    return Shown(
        command=pdu.name,
        sequence=pdu.sequence,
        status=pdu.status,
        status_name=status.name(pdu.status) if pdu.is_response else "",
        length=len(octets),
        fields=shown,
        fault=pdu.fault.reason if pdu.fault else "",
    )


def masked(number: str) -> str:
    """Only the last digits of a number; other addresses as they are."""
    digits = number.lstrip("+")
    if not digits.isdigit() or len(digits) <= SHOWN_DIGITS:
        return number
    return "•" * (len(digits) - SHOWN_DIGITS) + digits[-SHOWN_DIGITS:]


def _field(pdu: Pdu, name: str, value: codec.Value) -> str:
    if name == "password":
        return "(not shown)"
    if name == "short_message":
        assert isinstance(value, bytes)
        return _text(pdu, value)
    if isinstance(value, int):
        return _number(name, value)
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        # a number may also stand in the wrong field of a PDU that is not what it seems
        return masked(text) if name in _NUMBERS or (len(text) > 6 and name != "message_id") else text
    return f"{len(value)} entries"  # destinations of submit_multi


def _number(name: str, value: int) -> str:
    if name in ("esm_class", "data_coding", "registered_delivery", "interface_version"):
        return f"0x{value:02X}"
    return str(value)


def _tlv(tag: int, value: bytes) -> str:
    if tag in _TEXT_TLVS:
        return f"({len(value)} octets of text, not shown)"
    text = tlv_text(tag, value)
    return masked(text) if tag in _NUMBER_TLVS else text


def _text(pdu: Pdu, value: bytes) -> str:
    """Of a receipt what the SMSC wrote, up to `text:`; of a message its size and user data header."""
    esm_class = pdu.integer("esm_class")
    if pdu.command_id in (DELIVER_SM, DATA_SM) and esm_class & _RECEIPT and pdu.integer("data_coding") != 8:
        text = value.decode("latin-1")
        cut = text.lower().find("text:")
        return text if cut < 0 else text[: cut + 5] + " (not shown)"
    header = ""
    if esm_class & 0x40 and value and len(value) > value[0]:
        header = f"user data header {value[: value[0] + 1].hex(' ')}, "
    return f"({header}{len(value)} octets of text, not shown)"


def _is_header(octets: bytes) -> bool:
    if len(octets) < HEADER_SIZE:
        return False
    length, command = int.from_bytes(octets[:4], "big"), int.from_bytes(octets[4:8], "big")
    return HEADER_SIZE <= length <= MAX_PDU_SIZE and (command in PDUS or command == GENERIC_NACK)


def local_digits(msisdn: int) -> bytes:
    """What a PDU that names the number holds, in international form or a local one."""
    return str(msisdn)[-LOCAL_DIGITS:].encode()
