"""The reference parser and builder of SMPP 3.4 PDUs: they interpret `tables`, one PDU at a time.

The hot path has its own in `_fast.pdu` and `_fast.receipts`; this one serves control PDUs, tests and tools.
A body that does not parse is survivable: the PDU comes back with a `fault` that says what to answer. A
command_length that cannot be right is fatal, for nothing after it can be framed: BadLength.

What SMSCs send and the specification does not allow, accepted in responses: no body at all, missing last
fields, a C-octet string without its NUL at the end. Everywhere: strings over their maximum, unknown TLVs,
any 32-bit sequence number.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from engine.smpp.tables import (
    HEADER_SIZE,
    MAX_PDU_SIZE,
    PDUS,
    RESPONSE,
    TLV_TAGS,
    TLVS,
    Field,
    Kind,
)

RINVCMDLEN = 0x02
RINVCMDID = 0x03
RINVOPTPARSTREAM = 0xC0

_HEADER = Struct(">IIII")
_TLV_HEADER = Struct(">HH")


class SmppError(Exception):
    """Base of this package's errors."""


class BadLength(SmppError):
    """The peer's command_length is under 16, over 64 KiB or not that of the PDU: answer 0x02 and close."""

    def __init__(self, command_length: int, sequence: int = 0) -> None:
        super().__init__(f"command_length {command_length}")
        self.command_length = command_length
        self.sequence = sequence


class Unencodable(SmppError):
    """Our fault: a value that the wire cannot carry, or a field that the PDU does not have."""


class Sme(NamedTuple):
    """An SME destination of submit_multi (dest_flag 1)."""

    ton: int
    npi: int
    address: bytes


class ListName(NamedTuple):
    """A distribution list as a destination of submit_multi (dest_flag 2)."""

    name: bytes


class Unsuccessful(NamedTuple):
    """A destination that submit_multi_resp refuses."""

    ton: int
    npi: int
    address: bytes
    status: int


Destination = Sme | ListName
Value = int | bytes | tuple[Destination, ...] | tuple[Unsuccessful, ...]


class Fault(NamedTuple):
    """Why a body did not parse, and the command_status to answer a request with."""

    status: int
    reason: str


class Header(NamedTuple):
    """The 16 octets before every body."""

    command_length: int
    command_id: int
    status: int
    sequence: int


@dataclass(slots=True)
class Pdu:
    """One PDU. `fields` holds every mandatory field of its layout, zero or empty where the peer left it out.

    `tlvs` are (tag, raw value) in the order of the wire. `fault` is None for a PDU that parsed whole.
    """

    command_id: int
    sequence: int
    status: int = 0
    fields: dict[str, Value] = field(default_factory=dict)
    tlvs: tuple[tuple[int, bytes], ...] = ()
    fault: Fault | None = None

    @property
    def name(self) -> str:
        layout = PDUS.get(self.command_id)
        return layout.name if layout else f"0x{self.command_id:08X}"

    @property
    def is_response(self) -> bool:
        return bool(self.command_id & RESPONSE)

    def integer(self, name: str) -> int:
        value = self.fields.get(name, 0)
        assert isinstance(value, int), name
        return value

    def octets(self, name: str) -> bytes:
        value = self.fields.get(name, b"")
        assert isinstance(value, bytes), name
        return value

    def tlv(self, name: str) -> int | bytes | None:
        """The first TLV of that name as its table says; None if absent or an integer of 0 or over 8 octets.

        Integers of another length than the specification's are read all the same. A flag gives its empty
        value.
        """
        tag = TLV_TAGS[name]
        for present, value in self.tlvs:
            if present != tag:
                continue
            match TLVS[tag].kind:
                case Kind.INTEGER:
                    return int.from_bytes(value, "big") if 1 <= len(value) <= 8 else None
                case Kind.C_OCTETS:
                    return value.partition(b"\0")[0]
                case _:
                    return value
        return None


class _Short(Exception):
    """The body ended inside a field."""


class _Body:
    """A cursor over one PDU's body."""

    __slots__ = ("at", "data", "lenient")

    def __init__(self, data: bytes, lenient: bool) -> None:
        self.data = data
        self.at = 0
        self.lenient = lenient

    @property
    def done(self) -> bool:
        return self.at >= len(self.data)

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise _Short
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def c_octets(self) -> bytes:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            if not self.lenient:
                raise _Short
            return self.take(len(self.data) - self.at)
        taken = self.data[self.at : end]
        self.at = end + 1
        return taken

    def destinations(self) -> tuple[Destination, ...]:
        found: list[Destination] = []
        for _ in range(self.integer(1)):
            flag = self.integer(1)
            if flag == 1:
                found.append(Sme(self.integer(1), self.integer(1), self.c_octets()))
            elif flag == 2:
                found.append(ListName(self.c_octets()))
            else:
                raise _Short
        return tuple(found)

    def unsuccessful(self) -> tuple[Unsuccessful, ...]:
        return tuple(
            Unsuccessful(self.integer(1), self.integer(1), self.c_octets(), self.integer(4))
            for _ in range(self.integer(1))
        )

    def field(self, spec: Field) -> Value:
        match spec.kind:
            case Kind.INTEGER:
                return self.integer(spec.size)
            case Kind.C_OCTETS:
                return self.c_octets()
            case Kind.COUNTED:
                return self.take(self.integer(1))
            case Kind.DESTINATIONS:
                return self.destinations()
            case Kind.UNSUCCESSFUL:
                return self.unsuccessful()
            case _:
                raise AssertionError(f"{spec.kind} is no kind of a mandatory field")

    def tlvs(self) -> tuple[list[tuple[int, bytes]], bool]:
        """The TLVs up to the end or the first broken one, and whether all were whole."""
        found: list[tuple[int, bytes]] = []
        while not self.done:
            if len(self.data) - self.at < _TLV_HEADER.size:
                return found, False
            tag, length = _TLV_HEADER.unpack_from(self.data, self.at)
            start = self.at + _TLV_HEADER.size
            if start + length > len(self.data):
                return found, False
            found.append((tag, self.data[start : start + length]))
            self.at = start + length
        return found, True


def _empty(spec: Field) -> Value:
    if spec.kind is Kind.INTEGER:
        return 0
    return b"" if spec.kind in (Kind.C_OCTETS, Kind.COUNTED) else ()


def read_header(data: bytes | bytearray | memoryview, start: int = 0) -> Header:
    """The header at `start`. Raises BadLength if it is cut off or its length cannot be right."""
    if len(data) - start < HEADER_SIZE:
        raise BadLength(len(data) - start)
    header = Header(*_HEADER.unpack_from(data, start))
    if not HEADER_SIZE <= header.command_length <= MAX_PDU_SIZE:
        raise BadLength(header.command_length, header.sequence)
    return header


def decode(data: bytes | bytearray | memoryview) -> Pdu:
    """One whole PDU. Raises BadLength; a body that does not parse comes back with a `fault`."""
    header = read_header(data)
    if header.command_length != len(data):
        raise BadLength(header.command_length, header.sequence)
    pdu = Pdu(header.command_id, header.sequence, header.status)
    layout = PDUS.get(header.command_id)
    if layout is None:
        pdu.fault = Fault(RINVCMDID, f"unknown command_id 0x{header.command_id:08X}")
        return pdu

    body = _Body(bytes(data[HEADER_SIZE:]), lenient=pdu.is_response)
    pdu.fields = {spec.name: _empty(spec) for spec in layout.fields}
    for spec in layout.fields:
        if body.lenient and body.done:
            return pdu
        try:
            pdu.fields[spec.name] = body.field(spec)
        except _Short:
            pdu.fault = Fault(RINVCMDLEN, f"{layout.name} ends inside {spec.name}")
            return pdu
    tlvs, whole = body.tlvs()
    pdu.tlvs = tuple(tlvs)
    if not whole:
        pdu.fault = Fault(RINVOPTPARSTREAM, f"{layout.name} ends inside a TLV")
    return pdu


def _integer(name: str, value: object, size: int) -> bytes:
    if not isinstance(value, int) or not 0 <= value < 1 << (8 * size):
        raise Unencodable(f"{name} must be an integer of {size} octets")
    return value.to_bytes(size, "big")


def _c_octets(name: str, value: object) -> bytes:
    if not isinstance(value, bytes) or b"\0" in value:
        raise Unencodable(f"{name} must be bytes without a NUL")
    return value + b"\0"


def _count(name: str, value: object) -> bytes:
    if not isinstance(value, bytes | tuple) or len(value) > 255:
        raise Unencodable(f"{name} holds at most 255")
    return bytes((len(value),))


def _entry(spec: Field, each: object) -> bytes:
    name = spec.name
    match spec.kind, each:
        case Kind.DESTINATIONS, Sme(ton, npi, address):
            return b"\1" + _integer(name, ton, 1) + _integer(name, npi, 1) + _c_octets(name, address)
        case Kind.DESTINATIONS, ListName(list_name):
            return b"\2" + _c_octets(name, list_name)
        case Kind.UNSUCCESSFUL, Unsuccessful(ton, npi, address, status):
            parts = (_integer(name, ton, 1), _integer(name, npi, 1), _c_octets(name, address))
            return b"".join(parts) + _integer(name, status, 4)
        case _:
            raise Unencodable(f"{name} cannot hold {each!r}")


def _field(spec: Field, value: Value) -> bytes:
    match spec.kind:
        case Kind.INTEGER:
            return _integer(spec.name, value, spec.size)
        case Kind.C_OCTETS:
            return _c_octets(spec.name, value)
        case Kind.COUNTED:
            if not isinstance(value, bytes):
                raise Unencodable(f"{spec.name} must be bytes")
            return _count(spec.name, value) + value
        case _:
            if not isinstance(value, tuple):
                raise Unencodable(f"{spec.name} must be a tuple")
            return _count(spec.name, value) + b"".join(_entry(spec, each) for each in value)


def tlv(name: str, value: int | bytes = b"") -> tuple[int, bytes]:
    """A (tag, raw value) pair for `encode`, from a TLV's name and value. Raises Unencodable."""
    spec = TLVS[TLV_TAGS[name]]
    if spec.kind is Kind.INTEGER:
        return spec.tag, _integer(name, value, spec.size)
    if not isinstance(value, bytes):
        raise Unencodable(f"{name} must be bytes")
    return spec.tag, _c_octets(name, value) if spec.kind is Kind.C_OCTETS else value


def encode(
    command_id: int,
    sequence: int,
    *,
    status: int = 0,
    fields: Mapping[str, Value] | None = None,
    tlvs: Iterable[tuple[int, bytes]] = (),
) -> bytes:
    """One PDU as octets. Fields left out are zero or empty; an error response without fields has no body.

    Raises Unencodable for what the wire cannot carry. Lengths over the specification's are sent (`oversize`).
    """
    layout = PDUS.get(command_id)
    if layout is None:
        raise Unencodable(f"no layout for command_id 0x{command_id:08X}")
    given = dict(fields or {})
    unknown = given.keys() - layout.by_name.keys()
    if unknown:
        raise Unencodable(f"{layout.name} has no field {', '.join(sorted(unknown))}")

    body = bytearray()
    if given or not (status and command_id & RESPONSE):
        for spec in layout.fields:
            body += _field(spec, given.get(spec.name, _empty(spec)))
    for tag, value in tlvs:
        if not 0 <= tag <= 0xFFFF or len(value) > 0xFFFF:
            raise Unencodable(f"TLV 0x{tag:04X} of {len(value)} octets")
        body += _TLV_HEADER.pack(tag, len(value)) + value

    length = HEADER_SIZE + len(body)
    if length > MAX_PDU_SIZE:
        raise Unencodable(f"{layout.name} of {length} octets")
    head = (length, command_id, status, sequence)
    if not all(0 <= each <= 0xFFFFFFFF for each in head):
        raise Unencodable(f"{layout.name}: status and sequence are 32 bits")
    return _HEADER.pack(*head) + bytes(body)


def oversize(command_id: int, fields: Mapping[str, Value]) -> list[str]:
    """The names of the given fields that are longer than the specification allows: warn, do not refuse."""
    specs = PDUS[command_id].by_name
    return [
        name
        for name, value in fields.items()
        if isinstance(value, bytes) and len(value) + (specs[name].kind is Kind.C_OCTETS) > specs[name].size
    ]
