"""A channel's settings and a campaign's options, seen in the PDUs."""

from array import array
from typing import Any

import pytest

from engine.channels.described import describe
from engine.channels.interface import BadSettings
from engine.channels.message_encoder import message_encoder
from engine.channels.message_settings import MessageSettings
from engine.core_api.schema import MessageOptions
from engine.smpp import codec
from engine.smpp.text import Part, reassemble

PE, TEMPLATE = "1101172974420810001", "1107161234567890123"


def sent(text: str, settings: dict[str, Any] | None = None, **options: Any) -> list[codec.Pdu]:
    encoder = message_encoder(
        settings or {}, text=text, sender="Bank", columns=[], options=MessageOptions(**options)
    )
    batch = encoder.encode(array("q", [447_700_900_123]), [], array("i", [0]), 0, 1, 1)
    starts = [0, *batch.end][:-1]
    return [codec.decode(bytes(batch.pdus[a:b])) for a, b in zip(starts, batch.end, strict=True)]


def coded(pdus: list[codec.Pdu]) -> list[tuple[Any, Any]]:
    return [(pdu.integer("data_coding"), pdu.octets("short_message")) for pdu in pdus]


@pytest.mark.parametrize(
    ("text", "settings", "options", "expected"),
    [
        ("@{", {}, {}, (0, b"\x00\x1b(")),
        ("@{", {"gsm_data_coding": 0xF1}, {}, (0xF1, b"\x00\x1b(")),
        ("@{", {"default_alphabet": "ia5"}, {}, (0, b"@{")),
        ("@é", {"default_alphabet": "latin1"}, {}, (0, b"@\xe9")),
        ("hellohello", {"default_alphabet": "gsm_packed"}, {}, (0, bytes.fromhex("E8329BFD4697D9EC37"))),
        ("ê", {"latin1_characters": 140}, {}, (3, b"\xea")),
        ("ê", {}, {}, (8, b"\x00\xea")),
        ("Hi", {}, {"flash": True}, (0x10, b"Hi")),
        ("Hi", {"gsm_data_coding": 0xF1}, {"flash": True}, (0xF0, b"Hi")),
        ("ê", {"latin1_characters": 140}, {"flash": True}, (0x18, b"\x00\xea")),
        ("ê", {}, {"charset_rule": "transliterate"}, (0, b"e")),
        ("ê", {"latin1_characters": 140}, {"charset_rule": "transliterate"}, (3, b"\xea")),
        ("😀", {}, {}, (8, bytes.fromhex("D83DDE00"))),
    ],
)
def test_the_alphabet_is_the_channels(
    text: str, settings: dict[str, Any], options: dict[str, Any], expected: tuple[int, bytes]
) -> None:
    (pdu,) = sent(text, settings, **options)
    assert coded([pdu]) == [expected]
    assert pdu.integer("esm_class") == 0


def test_the_test_alphabet_arrives_in_every_default_alphabet() -> None:
    """The message that shows an operator's alphabet."""
    text = "@£$_{}[]~^|€ñ"
    (gsm,) = sent(text)
    assert gsm.octets("short_message") == bytes.fromhex(
        "00 01 02 11 1b28 1b29 1b3c 1b3e 1b3d 1b14 1b40 1b65 7d"
    )
    (latin,) = sent(text.replace("€", ""), {"default_alphabet": "latin1"})
    assert latin.octets("short_message") == text.replace("€", "").encode("latin-1")


def test_dlt_stands_in_every_part() -> None:
    settings = {"dlt_chain": "sha256", "dlt_telemarketers": ["1101172974420830004"]}
    parts = sent("x" * 400, settings, dlt_pe_id=PE, dlt_template_id=TEMPLATE)
    assert len(parts) == 3
    for part in parts:
        assert part.tlvs == (
            (0x1400, PE.encode()),
            (0x1401, TEMPLATE.encode()),
            (0x1402, b"c0c951afca257c5b87c3da535c09112080483f35b7e6faf35e2428b3b526b694"),
        )
    together = [Part(p.octets("short_message"), 0, p.integer("esm_class")) for p in parts]
    assert reassemble(together) == "x" * 400


def test_dlt_tags_and_type_are_the_operators() -> None:
    settings = {"dlt_pe_tag": 0x1500, "dlt_type": "c_octet_string"}
    (pdu,) = sent("Hi", settings, dlt_pe_id=PE)
    assert pdu.tlvs == ((0x1500, PE.encode() + b"\0"),)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"dlt_required": True}, {}),
        ({"dlt_chain": "list"}, {"dlt_pe_id": PE}),
        ({}, {"dlt_template_id": TEMPLATE}),
        ({"default_alphabet": "ia5", "national_single_shift": ["turkish"]}, {}),
        ({"default_alphabet": "latin1", "gsm_data_coding": 0xF1}, {}),
        ({"national_locking_shift": ["spanish"]}, {}),  # the specification has none
        ({"latin1_characters": 150}, {}),
        ({"validity_period": "tomorrow"}, {}),
        ({"splitting": "udh9"}, {}),
    ],
)
def test_what_contradicts_itself_is_refused(settings: dict[str, Any], options: dict[str, Any]) -> None:
    with pytest.raises(BadSettings):
        sent("Hi", settings, **options)


@pytest.mark.parametrize(
    ("settings", "options", "expected"),
    [
        ({}, {}, b""),
        ({"validity_s": 26 * 3600}, {}, b"000001020000000R"),
        ({"validity_s": 26 * 3600}, {"validity_s": 3600}, b"000000010000000R"),
        ({"validity_s": 3600, "validity_mode": "none"}, {}, b""),
        ({"validity_period": "000001020000000R", "validity_s": 60}, {}, b"000001020000000R"),
        ({"validity_period": "000001020000000R"}, {"validity_s": 3600}, b"000000010000000R"),
    ],
)
def test_validity_is_the_campaigns_else_the_channels(
    settings: dict[str, Any], options: dict[str, Any], expected: bytes
) -> None:
    (pdu,) = sent("Hi", settings, **options)
    assert pdu.octets("validity_period") == expected


def test_an_absolute_validity_moves_with_the_clock() -> None:
    now = [1_795_000_000.0]
    encoder = message_encoder(
        {"validity_mode": "absolute", "validity_s": 3600},
        text="Hi",
        sender="Bank",
        columns=[],
        clock=lambda: now[0],
    )
    periods = []
    for _ in range(2):
        batch = encoder.encode(array("q", [44]), [], array("i", [0]), 0, 1, 1)
        periods.append(codec.decode(bytes(batch.pdus)).octets("validity_period"))
        now[0] += 60
    assert periods == [b"261118120640000+", b"261118120740000+"]


def test_a_long_service_type_is_warned_of_and_sent() -> None:
    (pdu,) = sent("Hi", {"service_type": "LONGER"})
    assert pdu.octets("service_type") == b"LONGER"


def test_every_setting_is_described() -> None:
    described = describe(MessageSettings)
    assert len(described) == len(MessageSettings.__struct_fields__)
    assert all(each.description and each.group for each in described)


def test_the_keys_of_the_first_release_still_stand() -> None:
    old = {
        "service_type": "CMT", "alphanumeric_ton": 5, "alphanumeric_npi": 1, "international_ton": 1,
        "international_npi": 1, "short_code_ton": 0, "short_code_npi": 0, "dest_ton": 1, "dest_npi": 1,
        "protocol_id": 0, "priority": 1, "registered_delivery": 17, "validity_period": "000001020000000R",
        "max_parts": 3, "gsm_data_coding": 0,
    }  # fmt: skip
    (pdu,) = sent("Hi", old)
    assert (pdu.integer("registered_delivery"), pdu.integer("priority_flag")) == (17, 1)
