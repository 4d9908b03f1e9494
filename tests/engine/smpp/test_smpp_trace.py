"""PDU traces: what is kept, and what nobody gets to see."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.smpp import codec
from engine.smpp.tables import (
    BIND_TRANSCEIVER,
    DELIVER_SM,
    ENQUIRE_LINK,
    RESPONSE,
    SUBMIT_MULTI,
    SUBMIT_SM,
)
from engine.smpp.trace import KEPT, Filter, Recorder, local_digits, masked, show

NUMBER = 447700900123
OTHER = 447700900999
SECRET = "the winning number"


def submit(sequence: int, number: int = NUMBER, **fields: codec.Value) -> bytes:
    given = {"source_addr": b"Bank", "destination_addr": b"%d" % number, "short_message": SECRET.encode()}
    return codec.encode(SUBMIT_SM, sequence, fields=given | fields)


def response(sequence: int) -> bytes:
    return codec.encode(SUBMIT_SM | RESPONSE, sequence, fields={"message_id": b"id-%d" % sequence})


def receipt(sequence: int, number: bytes, message_id: bytes = b"id-1") -> bytes:
    text = b"id:" + message_id + b" sub:001 stat:DELIVRD err:000 text:" + SECRET.encode()
    fields = {"source_addr": number, "destination_addr": b"Bank", "esm_class": 4, "short_message": text}
    return codec.encode(DELIVER_SM, sequence, fields=fields)


def commands(recorder: Recorder) -> list[str]:
    return [show(octets).command for _, _, octets in recorder.collect()]


@given(cuts=st.lists(st.integers(1, 400), max_size=8))
def test_pdus_are_framed_however_the_reads_cut_them(cuts: list[int]) -> None:
    stream = b"".join(receipt(sequence, b"1555") for sequence in range(5))
    recorder = Recorder(Filter())
    recorder.tap(True, codec.encode(BIND_TRANSCEIVER, 1), 0)
    edges = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    for start, end in pairwise(edges):
        recorder.tap(False, stream[start:end], 1)
    seen = recorder.collect()
    assert b"".join(octets for _, out, octets in seen if not out) == stream
    assert recorder.collect() == []


def test_a_trace_begun_amid_a_pdu_waits_for_a_read_that_begins_with_one() -> None:
    recorder = Recorder(Filter())
    recorder.tap(False, receipt(1, b"1555")[20:], 0)
    assert commands(recorder) == []
    recorder.tap(False, receipt(2, b"1555"), 0)
    assert commands(recorder) == ["deliver_sm"]


def test_the_newest_are_kept_and_the_others_counted() -> None:
    recorder = Recorder(Filter())
    for sequence in range(KEPT + 7):
        recorder.tap(True, codec.encode(ENQUIRE_LINK, sequence), sequence)
    kept = recorder.collect()
    assert (len(kept), kept[0][0], recorder.skipped) == (KEPT, 7, 7)


def test_a_number_is_followed_through_its_responses_and_receipts_and_no_other_is() -> None:
    recorder = Recorder(Filter(local_digits(NUMBER)))
    recorder.tap(True, codec.encode(BIND_TRANSCEIVER, 1), 0)
    recorder.tap(True, submit(1) + submit(2, OTHER), 0)
    recorder.tap(False, response(1) + response(2) + receipt(1, b"07700900123") + receipt(2, b"1555"), 0)
    recorder.tap(True, codec.encode(DELIVER_SM | RESPONSE, 1) + codec.encode(DELIVER_SM | RESPONSE, 2), 0)
    assert commands(recorder) == ["submit_sm", "submit_sm_resp", "deliver_sm", "deliver_sm_resp"]


def test_a_message_is_followed_by_its_ids_too() -> None:
    recorder = Recorder(Filter(local_digits(NUMBER), (b"id-77",)))
    recorder.tap(False, receipt(1, b"", b"id-77") + receipt(2, b"", b"id-78"), 0)
    assert commands(recorder) == ["deliver_sm"]


def test_nobody_sees_a_password_a_number_or_a_text() -> None:
    shown = [
        show(codec.encode(BIND_TRANSCEIVER, 1, fields={"system_id": b"esme", "password": b"s3cret"})),
        show(submit(1)),
        show(submit(1, esm_class=0x40, short_message=b"\5\0\3\7\2\1" + SECRET.encode())),
        show(codec.encode(SUBMIT_SM, 1, tlvs=[codec.tlv("message_payload", SECRET.encode())])),
        show(receipt(1, b"447700900123")),
        show(codec.encode(DELIVER_SM, 1, fields={"source_addr": b"1555", "short_message": b"STOP " * 3})),
        show(submit(1, service_type=b"447700900123")),
        show(codec.encode(SUBMIT_MULTI, 1, fields={"dest_addresses": (codec.Sme(1, 1, b"447700900123"),)})),
    ]
    text = repr(shown)
    for hidden in ("s3cret", "447700900123", "7700900", SECRET, "STOP", SECRET.encode().hex()):
        assert hidden not in text
    assert shown[0].fields["system_id"] == "esme"
    assert shown[1].fields["destination_addr"] == "•••••••••123"
    assert shown[2].fields["short_message"].startswith("(user data header 05 00 03 07 02 01, 24 octets")
    assert shown[4].fields["short_message"] == "id:id-1 sub:001 stat:DELIVRD err:000 text: (not shown)"


def test_a_status_is_named_and_a_fault_said() -> None:
    refused = show(codec.encode(SUBMIT_SM | RESPONSE, 3, status=0x58))
    assert (refused.status, refused.status_name, refused.sequence) == (0x58, "ESME_RTHROTTLED", 3)
    broken = submit(1)[:30]
    assert "ends inside" in show(len(broken).to_bytes(4, "big") + broken[4:]).fault


@given(octets=st.binary(min_size=16, max_size=200))
def test_hostile_pdus_are_shown_without_raising(octets: bytes) -> None:
    assert show(len(octets).to_bytes(4, "big") + octets[4:]).length == len(octets)


@pytest.mark.parametrize(
    ("number", "shown"), [("447700900123", "•••••••••123"), ("+15551234", "•••••234"), ("Bank", "Bank")]
)
def test_masking(number: str, shown: str) -> None:
    assert masked(number) == shown
