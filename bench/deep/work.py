"""The hot functions with fixed inputs: what the micro benches time and valgrind counts.

Nothing heavy is imported here: under valgrind an import of pyarrow costs more than all that is measured.
"""

import importlib
import struct
from array import array
from collections.abc import Callable
from typing import Any

Function = Callable[[], object]

MESSAGES = 1000
FIRST_MSISDN = 447_700_000_000
NOW_US = 1_700_000_000_000_000
NAMES = ("Anna", "José", "Zoë", "Grace", "Søren", "Ada", "Maria del Carmen", "Ludovic", "Li", "François")
BEFORE, AFTER = "Hello ", ", your order is ready for collection."
SUBMIT_SM_RESP, DELIVER_SM = 0x8000_0004, 0x0000_0005


def fast(name: str, pure: bool) -> Any:
    """`engine._fast` module `name`: the C one or its twin."""
    return importlib.import_module(f"engine._fast.{'pure.' if pure else ''}{name}")


def _encoded(pure: bool) -> tuple[Function, Any]:
    template = fast("text", pure).Template([BEFORE.encode(), 0, AFTER.encode()])
    encoder = fast("pdu", pure).SubmitEncoder(
        template=template, source=b"HELIOGRAPH", source_ton=5, source_npi=0
    )
    names = [NAMES[i % len(NAMES)].encode() for i in range(MESSAGES)]
    offsets = array("i", [0])
    for name in names:
        offsets.append(offsets[-1] + len(name))
    numbers = array("q", range(FIRST_MSISDN, FIRST_MSISDN + MESSAGES))
    columns, rows = [(offsets, b"".join(names))], array("i", range(MESSAGES))

    def encode() -> Any:
        return encoder.encode(numbers, columns, rows, 0, 1, 1)

    return encode, encode()


def encode(pure: bool) -> Function:
    """Rendering the text and writing the submit_sm."""
    return _encoded(pure)[0]


def _stream() -> bytes:
    """A response and a receipt a message, as an SMSC sends them."""
    pdus = []
    for i in range(MESSAGES):
        identity = b"%08x" % i
        body = identity + b"\0"
        pdus.append(struct.pack(">IIII", 16 + len(body), SUBMIT_SM_RESP, 0, i + 1) + body)
        text = (
            b"id:%s sub:001 dlvrd:001 submit date:2311142213 done date:2311142214 stat:DELIVRD err:000 text:"
            % identity
        )
        body = b"\0\1\1%d\0\5\0HELIOGRAPH\0\4\0\0\0\0\0\0\0\0" % (FIRST_MSISDN + i)
        body += bytes((len(text),)) + text
        body += struct.pack(">HH", 0x001E, len(identity) + 1) + identity + b"\0"
        body += struct.pack(">HHB", 0x0427, 1, 2)
        pdus.append(struct.pack(">IIII", 16 + len(body), DELIVER_SM, 0, i + 1) + body)
    return b"".join(pdus)


def parse(pure: bool) -> Function:
    """Cutting a receive buffer into responses and receipts."""
    stream, pdu = _stream(), fast("pdu", pure)
    return lambda: pdu.StreamParser().feed(stream)


def receipts(pure: bool) -> Function:
    """Reading the receipts."""
    parsed, module = fast("pdu", pure).StreamParser().feed(_stream()), fast("receipts", pure)
    return lambda: module.parse(parsed.data, parsed.deliver_start, parsed.deliver_end)


def _resolved(pure: bool) -> tuple[Function, Any]:
    batch = _encoded(pure)[1]
    parsed = fast("pdu", pure).StreamParser().feed(_stream())
    window = fast("window", pure).Window(MESSAGES)

    def register_and_resolve() -> Any:
        window.register(batch, 0, batch.count, 1, 1, 1, NOW_US)
        return window.resolve(parsed, NOW_US + 50_000)

    return register_and_resolve, register_and_resolve()


def window(pure: bool) -> Function:
    """Registering in the window ring and resolving the responses."""
    return _resolved(pure)[0]


def copy_rows(pure: bool) -> Function:
    """Binary COPY rows of `submissions`."""
    results, module = _resolved(pure)[1], fast("copyformat", pure)
    outcome = array("b", bytes(results.count))
    columns = [
        ("int8", results.slice_id),
        ("int4", results.row),
        ("int2", results.part),
        ("int2", results.attempt),
        ("int2", results.parts),
        ("int2", outcome),
        ("int8", results.status),
        ("int8", results.msisdn),
        ("int4", 1),
        ("int4", 1),
        ("text_or_null", results.ids, results.id_end),
        ("timestamptz", results.sent_us),
        ("timestamptz", results.done_us),
        ("int4", 1),
        ("int4", 0),
    ]
    return lambda: module.encode(columns, results.count)


def _column(values: list[bytes]) -> tuple[bytes, "array[int]"]:
    data, end = b"".join(values), array("i")
    for value in values:
        end.append((end[-1] if end else 0) + len(value))
    return data, end


def normalise(pure: bool) -> Function:
    """Phone numbers as people write them to E.164."""
    numbers = range(7_700_900_000, 7_700_900_000 + MESSAGES)
    forms = ("+44 %s", "0%s", "0044%s", "44%s")
    data, end = _column([(forms[i % len(forms)] % number).encode() for i, number in enumerate(numbers)])
    module = fast("msisdn", pure)
    return lambda: module.normalise(data, end, "GB")


def lines(pure: bool) -> Function:
    """Cutting a block of a recipient file into lines and fields."""
    block = b"".join(
        b"+44%d,%s\n" % (7_700_900_000 + i, NAMES[i % len(NAMES)].encode()) for i in range(MESSAGES)
    )
    module = fast("lines", pure)
    return lambda: module.scan(block, 2, ord(","), final=True)


def gsm(pure: bool) -> Function:
    """Texts into the GSM alphabet."""
    text, module = f"{BEFORE}José{AFTER} [20 €]", fast("text", pure)

    def each() -> None:
        for _ in range(MESSAGES):
            module.encode_gsm(text)

    return each


def ucs2(pure: bool) -> Function:
    """Texts with an emoji into UCS-2."""
    text, module = f"{BEFORE}Zoë{AFTER} 🎁", fast("text", pure)

    def each() -> None:
        for _ in range(MESSAGES):
            module.encode_ucs2(text)

    return each


WORK: dict[str, Callable[[bool], Function]] = {
    "encode": encode,
    "parse": parse,
    "receipts": receipts,
    "window": window,
    "copy_rows": copy_rows,
    "normalise": normalise,
    "lines": lines,
    "gsm": gsm,
    "ucs2": ucs2,
}
"""Each makes its inputs and gives a function that works through MESSAGES of them."""
