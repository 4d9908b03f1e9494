"""What is fuzzed. Each target reads its input from octets, runs the C function and its plain-Python twin, and
holds the two equal; the sanitizers watch the C, the coverage of the twin steers.
"""

import dataclasses
import importlib
import struct
from array import array

from engine._fast.columns import EncodedBatch
from engine.smpp import codec

_NAMES = ("lines", "msisdn", "numberset", "pdu", "receipts", "text", "window")
C = {name: importlib.import_module(f"engine._fast.{name}") for name in _NAMES}
PURE = {name: importlib.import_module(f"engine._fast.pure.{name}") for name in _NAMES}


class Source:
    """Choices out of octets; zeros and nothing once they are used up."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def octets(self, count):
        piece = self.data[self.at : self.at + count]
        self.at += len(piece)
        return piece

    def number(self, most):
        """From 0 to `most`."""
        piece = self.octets(1 if most < 256 else 4)
        return int.from_bytes(piece, "little") % (most + 1)

    def rest(self):
        return self.octets(len(self.data))

    def text(self, octets):
        return self.octets(octets).decode("utf-8", "ignore")


def same(name, act):
    """Both answer the same, or both refuse."""
    found = []
    for modules in (C, PURE):
        try:
            found.append(("answer", plain(act(modules[name], modules))))
        except (ValueError, IndexError, OverflowError) as error:
            found.append(("refused", type(error).__name__))
    if found[0] != found[1]:
        raise AssertionError(f"{name}: C says {found[0]!r:.500}, its twin {found[1]!r:.500}")
    return found[0]


def plain(value):
    """Comparable; batches by their columns."""
    if dataclasses.is_dataclass(value):
        return [plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if slots := getattr(value, "__slots__", None):
        return [plain(getattr(value, name)) for name in slots]
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, array):
        return list(value)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def garbage(data):
    """Octets as deliver_sm: nothing a peer sends may do more than be wrong."""
    source = Source(data)
    pdus, start, end = bytearray(), array("i"), array("i")
    while source.at < len(data):
        body = source.octets(source.number(255))
        start.append(len(pdus))
        command = (0x5, 0x103)[source.number(1)]
        pdus += struct.pack(">IIII", 16 + len(body), command, 0, len(start)) + body
        end.append(len(pdus))
    prefer_text = bool(len(data) & 1)
    same("receipts", lambda module, _: module.parse(bytes(pdus), start, end, prefer_text))


def receipt_text(data):
    """A well-formed deliver_sm around a hostile text and hostile TLVs."""
    source = Source(data)
    esm_class, coding = source.number(255), source.number(255)
    message, tail = source.octets(source.number(254)), source.rest()
    if source.data[:1] > b"\x40":
        message = b"id:%s sub:001 dlvrd:001 done date:%s stat:%s err:%s text:" % tuple(
            (message + b"    ").split(b" ")[:4]
        )
        message = message[:254]
    head = b"\0\1\1447911123456\0\5\0HELIO\0"
    body = head + bytes([esm_class, 0, 0, 0, 0, 0, 0, coding, 0, len(message)]) + message + tail
    pdu = struct.pack(">IIII", 16 + len(body), 5, 0, 1) + body
    same("receipts", lambda module, _: module.parse(pdu, array("i", [0]), array("i", [len(pdu)])))


def framing(data):
    """A stream cut anywhere is the stream."""
    source = Source(data)
    cuts = [source.number(40) for _ in range(source.number(12))]
    stream = bytearray()
    while source.at < len(data):
        kind, length = source.number(7), source.number(60)
        body = source.octets(length)
        command = (0x80000004, 0x5, 0x103, 0x15, 0x80000000, 0x80000009, source.number(1 << 31), 0x4)[kind]
        claimed = 16 + len(body) if kind else 16 + len(body) + source.number(3)
        stream += struct.pack(">IIII", claimed, command, source.number(255), source.number(1 << 31)) + body

    def pieces(module, _):
        parser, at, found = module.StreamParser(), 0, []
        for cut in [*cuts, len(stream)]:
            parsed = parser.feed(bytes(stream[at : at + cut]))
            found.append(parsed)
            at += cut
            if parsed.fatal is not None:
                break
        return found

    same("pdu", pieces)


def encode_decode(data):
    """Any text to any number: PDUs that the reference codec reads, the same from C and twin."""
    source = Source(data)
    rows = 1 + source.number(5)
    numbers = array("q", [1 + source.number((1 << 31) - 1) for _ in range(rows)])
    texts = [source.text(source.number(255)).encode() for _ in range(rows)]
    fixed = source.text(source.number(20)).encode()
    ends = array("i", [0])
    for text in texts:
        ends.append(ends[-1] + len(text))
    most = 1 + source.number(9)

    def encode(module, modules):
        encoder = module.SubmitEncoder(
            template=modules["text"].Template([fixed, 0]),
            source=b"Shop",
            source_ton=5,
            source_npi=0,
            max_parts=most,
        )
        column = (ends.tobytes(), b"".join(texts))
        return encoder.encode(numbers, [column], array("i", range(rows)), 3, 77, 0x7FFFFFFE)

    said, found = same("pdu", encode)
    if said == "refused":
        return
    batch = EncodedBatch(*found)
    begin = 0
    for end in batch.end:
        read = codec.decode(bytes(batch.pdus[begin:end]))
        assert not read.fault, read.fault
        begin = end
    assert begin == len(batch.pdus)


def texts(data):
    """Classes, septets and parts of texts."""
    source = Source(data)
    column, ends = bytearray(), array("i")
    while source.at < len(data):
        column += source.text(source.number(255)).encode()
        ends.append(len(column))
    same("text", lambda module, _: module.classify(bytes(column), ends))


def lines(data):
    """A recipient file of any octets."""
    source = Source(data)
    columns, separator = 1 + source.number(4), b",;\t|"[source.number(3)]
    final, in_long, most = bool(source.number(1)), bool(source.number(1)), 1 + source.number(300)
    block = source.rest()

    def scanned(module, _):
        found = module.scan(block, columns, separator, final=final, in_long=in_long, max_line=most)
        pattern = (block * (1 + found.rows // 4))[: 2 * found.rows].ljust(2 * found.rows, b"\1")
        keep = array("b", bytes(octet & 1 for octet in pattern))
        return found, [module.gather([column, column], keep) for column in found.columns]

    same("lines", scanned)


def numbers(data):
    """Whatever a column of numbers holds."""
    source = Source(data)
    country = ("", "GB", "IN", "TR", "US", "ZZ")[source.number(5)]
    column, ends = bytearray(), array("i")
    while source.at < len(data):
        column += source.octets(source.number(30))
        ends.append(len(column))
    same("msisdn", lambda module, _: module.normalise(bytes(column), ends, country))


def numberset(data):
    """Runs of numbers in few pages, near each other's ends, so that every body of a page has its turn; and
    numbers anywhere, with rows that bring none."""
    source = Source(data)
    script = []
    while source.at < len(data) and len(script) < 16:
        kind, page = source.number(3), source.number(3) * 0xFFFF - 1
        first, step = source.number(0xFFFF), 1 + source.number(0xFFFF)
        count = source.number((12, 255, 4000, 255)[kind])
        if kind == 3:
            column = array("q", source.octets(8 * count).ljust(8 * count, b"\0"))
        else:
            column = array("q", ((page << 16) + (first + place * step) % 0x10000 for place in range(count)))
        reasons = array("b", source.octets(source.number(8)).ljust(count, b"\0")[:count])
        script.append((kind & 1, column, reasons))

    def play(module, _):
        known, found = module.NumberSet(), []
        for plainly, column, reasons in script:
            if plainly:
                known.add(column)
            else:
                keep = known.new(column, reasons)
                found += [keep, module.kept(column, keep)]
            found.append(len(known))
        return found

    same("numberset", play)


def window(data):
    """Registered, answered, expired and drained in any order."""
    source = Source(data)
    size = 1 + source.number(15)
    script = [(source.number(4), source.number(20), source.number(40)) for _ in range(25)]

    def play(module, _):
        ring, found, sequence, now = module.Window(size), [], 1, 0
        for kind, count, pick in script:
            now += 1 + pick
            if kind == 0:
                batch = EncodedBatch(count=count)
                for i in range(count):
                    batch.row.append(i)
                    batch.part.append(1)
                    batch.parts.append(1)
                    batch.msisdn.append(i)
                    batch.sequence.append(sequence + i)
                    batch.end.append(0)
                try:
                    ring.register(batch, 0, count, 7, 0, 1, now)
                    sequence += count
                except (ValueError, IndexError) as error:
                    found.append(type(error).__name__)
            elif kind == 1:
                found.append(ring.resolve_one(max(1, sequence - pick), count, now))
            elif kind == 2:
                found.append(ring.expire(now - count, now))
            elif kind == 3:
                found.append(ring.forget_before(now - 10 * count))
            else:
                found.append(ring.drain(now))
            found.append((ring.in_flight, ring.free, ring.oldest_us))
        return found

    same("window", play)


TARGETS = {
    one.__name__: one
    for one in (garbage, receipt_text, framing, encode_decode, texts, lines, numbers, numberset, window)
}
