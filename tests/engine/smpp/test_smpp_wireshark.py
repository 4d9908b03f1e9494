"""Wireshark's dissector reads every PDU we build as we meant it: a third party's view of the tables."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.smpp import codec
from engine.smpp.codec import ListName, Sme, Unsuccessful
from engine.smpp.tables import PDUS, SUBMIT_SM, TLVS, Field, Kind

pytestmark = [
    pytest.mark.system,
]


def value(spec: Field) -> codec.Value:
    match spec.kind:
        case Kind.INTEGER:
            return 1
        case Kind.C_OCTETS:
            # A time is 16 characters or none.
            timed = spec.name in ("schedule_delivery_time", "validity_period", "final_date")
            return b"000001020000000R" if timed else b"v" * min(spec.size - 1, 8)
        case Kind.COUNTED:
            return b"hello"
        case Kind.DESTINATIONS:
            return (Sme(1, 1, b"15550100"), ListName(b"friends"))
        case _:
            return (Unsuccessful(1, 1, b"15550101", 0x0B),)


def every_pdu() -> list[bytes]:
    pdus = [
        codec.encode(layout.command_id, number, fields={spec.name: value(spec) for spec in layout.fields})
        for number, layout in enumerate(PDUS.values(), 1)
    ]
    tlvs = [
        codec.tlv(tlv.name, 1 if tlv.kind is Kind.INTEGER else b"7" * min(tlv.size, 3))
        for tlv in TLVS.values()
    ]
    return [
        *pdus,
        codec.encode(SUBMIT_SM, 1000, tlvs=tlvs),
        codec.encode(SUBMIT_SM | 0x80000000, 1001, status=0x58),
    ]


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("wireshark")
    dump = "".join(f"000000 {pdu.hex(' ')}\n\n" for pdu in every_pdu())
    (folder / "dump.txt").write_text(dump)
    subprocess.run(
        ["text2pcap", "-q", "-T", "40000,2775", folder / "dump.txt", folder / "dump.pcap"], check=True
    )
    shown = subprocess.run(
        [
            "tshark",
            "-r",
            folder / "dump.pcap",
            "-d",
            "tcp.port==2775,smpp",
            "-T",
            "json",
            "--no-duplicate-keys",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return [packet["_source"]["layers"] for packet in json.loads(shown.stdout)]


def test_every_pdu_is_dissected_with_its_command_and_sequence(dissected: list[dict[str, Any]]) -> None:
    assert len(dissected) == len(every_pdu())
    for octets, layers in zip(every_pdu(), dissected, strict=True):
        mine, theirs = codec.decode(octets), layers["smpp"]
        assert int(theirs["smpp.command_id"], 16) == mine.command_id
        assert int(theirs["smpp.sequence_number"]) == mine.sequence
        assert int(theirs["smpp.command_length"]) == len(octets)


def test_none_is_malformed(dissected: list[dict[str, Any]]) -> None:
    assert "malformed" not in json.dumps(dissected).lower()


def test_it_finds_all_our_tlvs(dissected: list[dict[str, Any]]) -> None:
    text = json.dumps(dissected[-2])
    for tag in TLVS:
        assert f"0x{tag:04x}" in text, hex(tag)
