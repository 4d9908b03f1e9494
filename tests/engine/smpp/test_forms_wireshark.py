"""Wireshark's dissector reads the parts of every way of splitting as we meant them."""

import json
import subprocess
from array import array
from pathlib import Path
from typing import Any

import pytest

from engine._fast.pdu import part_reference
from engine.channels.message_encoder import message_encoder
from engine.core_api.schema import MessageOptions

pytestmark = [pytest.mark.system]

TEXT = "Hello [you] " * 30
SLICE, ROW = 7, 0
PE, TEMPLATE = "1101172974420810001", "1107161234567890123"


def pdus(settings: dict[str, Any], text: str = TEXT, **options: Any) -> list[bytes]:
    encoder = message_encoder(
        settings, text=text, sender="Bank", columns=[], options=MessageOptions(**options)
    )
    batch = encoder.encode(array("q", [447_700_900_123]), [], array("i", [0]), ROW, SLICE, 1)
    starts = [0, *batch.end][:-1]
    return [bytes(batch.pdus[a:b]) for a, b in zip(starts, batch.end, strict=True)]


def dissected(octets: list[bytes], folder: Path) -> list[dict[str, list[Any]]]:
    """Every field of every PDU, flat: name -> values."""
    (folder / "dump.txt").write_text("".join(f"000000 {pdu.hex(' ')}\n\n" for pdu in octets))
    subprocess.run(
        ["text2pcap", "-q", "-T", "40000,2775", folder / "dump.txt", folder / "dump.pcap"], check=True
    )
    command = ["tshark", "-r", folder / "dump.pcap", "-d", "tcp.port==2775,smpp", "-T", "json"]
    shown = subprocess.run(
        [*command, "--no-duplicate-keys"], check=True, capture_output=True, text=True
    ).stdout
    return [_flat(packet["_source"]["layers"]) for packet in json.loads(shown)]


def _flat(layers: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}

    def walk(node: Any, name: str) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                walk(value, key)
        elif isinstance(node, list):
            for value in node:
                walk(value, name)
        else:
            found.setdefault(name, []).append(node)

    walk(layers, "")
    return found


@pytest.mark.parametrize(("splitting", "reference_bits"), [("udh8", 8), ("udh16", 16)])
def test_headers_are_read_as_parts_of_one_message(
    splitting: str, reference_bits: int, tmp_path: Path
) -> None:
    read = dissected(pdus({"splitting": splitting}), tmp_path)
    reference = part_reference(SLICE, ROW) & (1 << reference_bits) - 1
    assert len(read) == 3
    for number, fields in enumerate(read, 1):
        assert fields["gsm_sms.udh.mm.msg_parts"] == ["3"]
        assert fields["gsm_sms.udh.mm.msg_part"] == [str(number)]
        assert fields["gsm_sms.udh.mm.msg_id"] == [str(reference)]
        assert "_ws.malformed" not in fields


def test_sar_tlvs_are_read_with_the_same_reference(tmp_path: Path) -> None:
    read = dissected(pdus({"splitting": "sar"}), tmp_path)
    assert len(read) == 3
    for number, fields in enumerate(read, 1):
        assert [int(v, 0) for v in fields["smpp.sar_msg_ref_num"]] == [part_reference(SLICE, ROW)]
        assert [int(v, 0) for v in fields["smpp.sar_total_segments"]] == [3]
        assert [int(v, 0) for v in fields["smpp.sar_segment_seqnum"]] == [number]
        assert "gsm_sms.udh.mm.msg_part" not in fields


def test_a_payload_is_read_whole(tmp_path: Path) -> None:
    (fields,) = dissected(pdus({"splitting": "payload"}), tmp_path)
    assert fields["smpp.sm_length"] == ["0"]
    (payload,) = fields["smpp.message_payload"]
    assert (
        bytes.fromhex(payload.replace(":", "")) == TEXT.replace("[", "\x1b<").replace("]", "\x1b>").encode()
    )


def test_dlt_tlvs_are_read_in_every_part(tmp_path: Path) -> None:
    read = dissected(pdus({}, dlt_pe_id=PE, dlt_template_id=TEMPLATE), tmp_path)
    assert len(read) == 3
    for fields in read:
        assert fields["smpp.opt_param_tag"] == ["0x1400", "0x1401"]
        values = [bytes.fromhex(value.replace(":", "")).decode() for value in fields["smpp.vendor_op"]]
        assert values == [PE, TEMPLATE]
        assert "_ws.malformed" not in fields


@pytest.mark.parametrize(
    ("options", "text", "coding"),
    [({}, "Hi", 0x00), ({"flash": True}, "Hi", 0x10), ({"flash": True}, "Яя", 0x18)],
)
def test_the_data_coding_is_read(options: dict[str, Any], text: str, coding: int, tmp_path: Path) -> None:
    (fields,) = dissected(pdus({}, text, **options), tmp_path)
    assert int(fields["smpp.data_coding"][0], 0) == coding
