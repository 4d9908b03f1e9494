"""Writing a receipt, or a subscriber's reply, in the field's shapes (SMPP 3.4 §4.6, §4.7, appendix B)."""

import time
from dataclasses import dataclass

from bench.simulators.smsc.behaviour import Plan
from bench.simulators.smsc.dialects import FIELDS, FORMS

DELIVER_SM, DATA_SM = 0x5, 0x103
REPLY_TEXT = b"STOP"
TEXT, TLV, PAYLOAD, UCS2, DATA = (FORMS.index(name) for name in ("text", "tlv", "payload", "ucs2", "data_sm"))
NATIONAL = 2
LONGEST_TEXT = 254
TIMES = {"10": "%y%m%d%H%M", "12": "%y%m%d%H%M%S", "14": "%Y%m%d%H%M%S"}


@dataclass(slots=True)
class Receipt:
    account: int
    number: int
    submitted_s: int
    verdict: int
    form: int
    addresses: tuple[
        int, int, bytes, int, int, bytes
    ]  # source TON, NPI, digits; destination TON, NPI, digits
    text: bytes


def receipt_pdu(plan: Plan, receipt: Receipt, now_s: int) -> tuple[int, bytes]:
    """(command_id, body)."""
    verdict, delivered = receipt.verdict, len(plan.verdict_limits)
    source_ton, source_npi, source, ton, npi, number = receipt.addresses
    if plan.local_numbers and len(number) > 4:
        ton, number = NATIONAL, b"0" + number[2:]
    addresses = b"".join(
        (b"\0", bytes((ton, npi)), number, b"\0", bytes((source_ton, source_npi)), source, b"\0")
    )
    if verdict == delivered + 2:
        return DELIVER_SM, addresses + bytes(9) + bytes((len(REPLY_TEXT),)) + REPLY_TEXT
    esm_class = bytes((plan.receipt_esm_class,))
    message_id = plan.receipt_id_form.text(receipt.number)
    tlvs = b"\x00\x1e" + (len(message_id) + 1).to_bytes(2, "big") + message_id + b"\0"
    tlvs += b"\x04\x27\x00\x01" + bytes((plan.states[verdict],))
    if receipt.form == DATA:
        return DATA_SM, addresses + esm_class + b"\0\0" + tlvs
    text = _text(plan, receipt, message_id, now_s)
    if receipt.form == UCS2:
        text = text.decode("latin-1").encode("utf-16-be")
    if receipt.form == TLV:
        text = b""
    elif receipt.form == PAYLOAD or len(text) > LONGEST_TEXT:
        tlvs = b"\x04\x24" + len(text).to_bytes(2, "big") + text
        text = b""
    elif receipt.form == TEXT:
        tlvs = b""
    data_coding = 8 if receipt.form == UCS2 else 0
    head = esm_class + bytes((0, 0, 0, 0, 0, 0, data_coding, 0, len(text)))
    return DELIVER_SM, addresses + head + text + tlvs


def _text(plan: Plan, receipt: Receipt, message_id: bytes, now_s: int) -> bytes:
    out = bytearray()
    for fixed, field in plan.template:
        out += fixed
        name = FIELDS[field]
        if name == "id":
            out += message_id
        elif name == "dlvrd":
            out += b"001" if receipt.verdict == len(plan.verdict_limits) else b"000"
        elif name == "stat":
            out += plan.stats[receipt.verdict]
        elif name == "err":
            out += plan.receipt_errors[receipt.verdict]
        elif name == "text":
            out += receipt.text
        elif name:
            out += _time(name, receipt.submitted_s if name.startswith("submit") else now_s)
    return bytes(out)


def _time(name: str, at_s: int) -> bytes:
    if name.endswith("epoch"):
        return b"%d" % at_s
    return time.strftime(TIMES[name[-2:]], time.gmtime(at_s)).encode()
