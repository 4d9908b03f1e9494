"""The reference codec: every PDU there and back, an independent codec's opinion, hostile octets."""

import struct

import pytest
import smpp34
from hypothesis import given
from hypothesis import strategies as st

from engine.smpp import codec
from engine.smpp.codec import BadLength, ListName, Sme, Unencodable, Unsuccessful
from engine.smpp.tables import (
    COMMAND_IDS,
    DELIVER_SM,
    GENERIC_NACK,
    PDUS,
    RESPONSE,
    SUBMIT_SM,
    TLVS,
    Kind,
)

octet = st.integers(0, 255)
word = st.integers(0, 0xFFFFFFFF)


def c_octets(most: int) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=most).map(lambda value: value.replace(b"\0", b"0"))


VALUES = {
    Kind.C_OCTETS: lambda spec: c_octets(spec.size - 1),
    Kind.COUNTED: lambda spec: st.binary(max_size=spec.size),
    Kind.INTEGER: lambda spec: st.integers(0, 256**spec.size - 1),
    Kind.DESTINATIONS: lambda spec: st.lists(
        st.builds(Sme, octet, octet, c_octets(20)) | st.builds(ListName, c_octets(20)), max_size=8
    ).map(tuple),
    Kind.UNSUCCESSFUL: lambda spec: st.lists(
        st.builds(Unsuccessful, octet, octet, c_octets(20), word), max_size=8
    ).map(tuple),
}

tlvs = st.lists(
    st.tuples(st.sampled_from(sorted(TLVS)) | st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=5
).map(tuple)


@st.composite
def pdus(draw: st.DrawFn) -> codec.Pdu:
    layout = PDUS[draw(st.sampled_from(sorted(PDUS)))]
    fields = {spec.name: draw(VALUES[spec.kind](spec)) for spec in layout.fields}
    return codec.Pdu(layout.command_id, draw(word), draw(word), fields, draw(tlvs))


def wire(pdu: codec.Pdu) -> bytes:
    return codec.encode(pdu.command_id, pdu.sequence, status=pdu.status, fields=pdu.fields, tlvs=pdu.tlvs)


@given(pdus())
def test_every_pdu_survives_the_wire(pdu: codec.Pdu) -> None:
    octets = wire(pdu)
    assert codec.decode(octets) == pdu
    assert wire(codec.decode(octets)) == octets


@pytest.mark.parametrize("command_id", sorted(PDUS), ids=lambda each: PDUS[each].name)
def test_every_pdu_has_an_empty_form(command_id: int) -> None:
    pdu = codec.decode(codec.encode(command_id, 7))
    assert pdu.fault is None
    assert pdu.name == PDUS[command_id].name
    assert set(pdu.fields) == set(PDUS[command_id].by_name)
    assert not any(pdu.fields.values())


def test_every_request_of_the_specification_has_its_response() -> None:
    alone = {"outbind", "alert_notification", "generic_nack"}
    for name, command_id in COMMAND_IDS.items():
        if name in alone or name.endswith("_resp"):
            continue
        assert PDUS[command_id].answer == COMMAND_IDS[f"{name}_resp"] == command_id | RESPONSE
    assert len(PDUS) == 27


def test_a_submit_sm_of_the_specification_has_these_octets() -> None:
    octets = codec.encode(
        SUBMIT_SM,
        0x01020304,
        fields={
            "source_addr_ton": 5,
            "source_addr": b"Shop",
            "dest_addr_ton": 1,
            "dest_addr_npi": 1,
            "destination_addr": b"15550100",
            "registered_delivery": 1,
            "short_message": b"Hi",
        },
        tlvs=[codec.tlv("user_message_reference", 0x0A0B)],
    )
    assert octets.hex() == (
        "00000035" "00000004" "00000000" "01020304"
        "00" "0500" "53686f7000" "0101" "313535353031303000" "000000" "00" "00" "01" "00" "00" "00"
        "02" "4869"
        "02040002" "0a0b"
    )  # fmt: skip


MESSAGE = PDUS[SUBMIT_SM].fields
ascii_c_octets = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=16).map(str.encode)


@given(
    st.sampled_from([SUBMIT_SM, DELIVER_SM]),
    st.fixed_dictionaries(
        {
            spec.name: octet
            if spec.kind is Kind.INTEGER
            else st.binary(max_size=254)
            if spec.kind is Kind.COUNTED
            else ascii_c_octets.map(lambda value, most=spec.size - 1: value[:most])
            for spec in MESSAGE
            if spec.name not in ("schedule_delivery_time", "validity_period")
        }
    ),
    tlvs,
    st.integers(1, 0x7FFFFFFF),
)
def test_another_codec_reads_the_same_message(command_id, fields, tlvs, sequence) -> None:
    theirs = smpp34.decode(codec.encode(command_id, sequence, fields=fields, tlvs=tlvs))
    assert theirs.sequence_number == sequence
    for name, value in fields.items():
        seen = getattr(theirs, name)
        assert (seen.encode() if isinstance(seen, str) else seen) == value, name
    assert [(each.tag, each.value) for each in theirs.tlvs] == list(tlvs)


@given(st.binary(max_size=120), st.sampled_from(sorted(PDUS)) | word, word, word)
def test_hostile_bodies_come_back_as_pdus(body: bytes, command_id: int, status: int, sequence: int) -> None:
    pdu = codec.decode(struct.pack(">IIII", 16 + len(body), command_id, status, sequence) + body)
    assert (pdu.command_id, pdu.status, pdu.sequence) == (command_id, status, sequence)
    for name in TLVS.values():
        pdu.tlv(name.name)
    if pdu.fault:
        assert pdu.fault.status in (0x02, 0x03, 0xC0)


@given(st.binary(max_size=80))
def test_hostile_octets_give_a_pdu_or_bad_length(data: bytes) -> None:
    try:
        pdu = codec.decode(data)
    except BadLength:
        assert len(data) < 16 or int.from_bytes(data[:4], "big") != len(data)
    else:
        assert int.from_bytes(data[:4], "big") == len(data)
        assert pdu.sequence == int.from_bytes(data[12:16], "big")


@pytest.mark.parametrize("length", [0, 15, 64 * 1024 + 1, 0xFFFFFFFF])
def test_a_length_that_cannot_be_right_is_fatal_and_keeps_the_sequence(length: int) -> None:
    with pytest.raises(BadLength) as caught:
        codec.decode(struct.pack(">IIII", length, SUBMIT_SM, 0, 99))
    assert (caught.value.command_length, caught.value.sequence) == (length, 99)


def test_an_error_response_has_no_body_and_reads_as_empty() -> None:
    octets = codec.encode(SUBMIT_SM | RESPONSE, 5, status=0x58)
    assert len(octets) == 16
    pdu = codec.decode(octets)
    assert (pdu.status, pdu.octets("message_id"), pdu.fault) == (0x58, b"", None)


@pytest.mark.parametrize(
    ("body", "message_id"),
    [(b"", b""), (b"\0", b""), (b"abc\0", b"abc"), (b"abc", b"abc"), (b"9" * 80 + b"\0", b"9" * 80)],
)
def test_a_response_is_read_however_its_message_id_ends(body: bytes, message_id: bytes) -> None:
    pdu = codec.decode(struct.pack(">IIII", 16 + len(body), SUBMIT_SM | RESPONSE, 0, 5) + body)
    assert (pdu.octets("message_id"), pdu.fault) == (message_id, None)


def test_a_request_that_ends_inside_a_field_is_answered_with_invalid_command_length() -> None:
    whole = codec.encode(DELIVER_SM, 5, fields={"source_addr": b"15550100", "short_message": b"hello"})
    cut = struct.pack(">I", len(whole) - 3) + whole[4:-3]
    pdu = codec.decode(cut)
    assert pdu.fault is not None
    assert pdu.fault.status == 0x02
    assert pdu.octets("source_addr") == b"15550100"


def test_a_broken_tlv_keeps_the_whole_ones_before_it() -> None:
    whole = codec.encode(DELIVER_SM, 5, tlvs=[codec.tlv("message_state", 2)]) + b"\x04\x24\x00\x09x"
    pdu = codec.decode(struct.pack(">I", len(whole)) + whole[4:])
    assert pdu.tlv("message_state") == 2
    assert pdu.fault is not None
    assert pdu.fault.status == 0xC0


def test_an_unknown_command_is_to_be_nacked_with_invalid_command_id() -> None:
    pdu = codec.decode(struct.pack(">IIII", 18, 0x1234, 0, 9) + b"xx")
    assert pdu.name == "0x00001234"
    assert pdu.fault is not None
    assert pdu.fault.status == 0x03


def test_tlvs_are_read_by_their_kind_whatever_their_length() -> None:
    pdu = codec.Pdu(
        DELIVER_SM,
        1,
        tlvs=(
            (0x001E, b"id-1"),
            (0x0427, b"\0\2"),
            (0x0423, b"\x03\x00\x01\x09"),
            (0x130C, b""),
            (0x0204, b""),
        ),
    )
    assert pdu.tlv("receipted_message_id") == b"id-1"
    assert pdu.tlv("message_state") == 2
    assert pdu.tlv("network_error_code") == b"\x03\x00\x01\x09"
    assert pdu.tlv("alert_on_message_delivery") == b""
    assert pdu.tlv("user_message_reference") is None
    assert pdu.tlv("message_payload") is None
    assert codec.tlv("receipted_message_id", b"id-1") == (0x001E, b"id-1\0")


@pytest.mark.parametrize(
    "fields",
    [
        {"source_addr": b"a\0b"},
        {"source_addr_ton": 256},
        {"source_addr_ton": -1},
        {"source_addr_ton": b"1"},
        {"short_message": b"x" * 256},
        {"source_addr": 5},
        {"nothing": 1},
    ],
    ids=str,
)
def test_what_the_wire_cannot_carry_is_refused(fields) -> None:
    with pytest.raises(Unencodable):
        codec.encode(SUBMIT_SM, 1, fields=fields)


def test_unknown_commands_bad_numbers_and_foreign_entries_are_refused() -> None:
    with pytest.raises(Unencodable):
        codec.encode(0x7777, 1)
    with pytest.raises(Unencodable):
        codec.encode(GENERIC_NACK, 1 << 32)
    with pytest.raises(Unencodable):
        codec.encode(SUBMIT_SM, 1, tlvs=[(0x0424, bytes(0x10000))])
    with pytest.raises(Unencodable):
        codec.encode(SUBMIT_SM, 1, tlvs=[(0x0424, bytes(0xFFFF))])
    with pytest.raises(Unencodable):
        codec.encode(
            COMMAND_IDS["submit_multi"], 1, fields={"dest_addresses": (Unsuccessful(1, 1, b"1", 1),)}
        )


def test_fields_over_the_specification_are_named_and_sent_all_the_same() -> None:
    bind = COMMAND_IDS["bind_transceiver"]
    fields = {"system_id": b"x" * 15, "password": b"longer than eight", "interface_version": 0x34}
    assert codec.oversize(bind, fields) == ["password"]
    assert codec.decode(codec.encode(bind, 1, fields=fields)).octets("password") == b"longer than eight"
