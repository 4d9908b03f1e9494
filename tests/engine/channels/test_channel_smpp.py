"""The SMPP channel: addresses, settings, binds of an account."""

from array import array
from dataclasses import replace
from typing import Any, cast

import pytest

from engine.channels.interface import Account, BadSettings
from engine.channels.message_encoder import source_address
from engine.channels.message_settings import MessageSettings
from engine.channels.smpp import SmppChannel
from engine.smpp import codec
from engine.smpp.status import Class

ACCOUNT = Account(
    account_id=1,
    name="Operator",
    host="127.0.0.1",
    port=2775,
    system_id="esme",
    password="secret",
    system_type="",
    bind_mode="transceiver",
    interface_version=0x34,
    tps=10,
    binds=2,
    window_size=10,
    settings={},
    enabled=True,
    version=1,
)
NOBODY = cast(Any, None)


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("Heliograph", (b"Heliograph", 5, 0)),
        ("12345", (b"12345", 3, 0)),
        ("447700900123", (b"447700900123", 1, 1)),
        ("+447700900123", (b"447700900123", 1, 1)),
        ("4U", (b"4U", 5, 0)),
    ],
)
def test_a_sender_has_its_ton_and_npi(sender: str, expected: tuple[bytes, int, int]) -> None:
    assert source_address(sender, MessageSettings()) == expected


@pytest.mark.parametrize("sender", ["", "twelve chars", "Zoë", "1" * 16, "tab\t"])
def test_a_sender_that_no_submit_sm_can_carry_is_refused(sender: str) -> None:
    with pytest.raises(BadSettings, match="sender"):
        source_address(sender, MessageSettings())


def test_settings_of_the_channel_stand_in_the_pdu() -> None:
    settings = {"alphanumeric_npi": 1, "validity_period": "000001020000000R", "registered_delivery": 0}
    encoder = SmppChannel().encoder(settings, text="Hi", sender="Bank", columns=[])
    batch = encoder.encode(array("q", [447_700_900_123]), [], array("i", [0]), 0, 1, 1)
    pdu = codec.decode(bytes(batch.pdus))
    assert (pdu.integer("source_addr_ton"), pdu.integer("source_addr_npi")) == (5, 1)
    assert pdu.octets("validity_period") == b"000001020000000R"
    assert pdu.integer("registered_delivery") == 0
    assert pdu.octets("short_message") == b"Hi"


@pytest.mark.parametrize("settings", [{"no_such": 1}, {"max_parts": "many"}, {"gsm_data_coding": 3}])
def test_wrong_settings_are_said(settings: dict[str, Any]) -> None:
    with pytest.raises(BadSettings):
        SmppChannel().encoder(settings, text="Hi", sender="Bank", columns=[])


def test_an_unknown_column_is_said() -> None:
    with pytest.raises(BadSettings, match="nmae"):
        SmppChannel().encoder({}, text="Hi {{nmae}}", sender="Bank", columns=["name"])


def test_an_account_has_its_binds() -> None:
    binds = SmppChannel().binds(ACCOUNT, NOBODY)
    assert [(bind.number, bind.submits) for bind in binds] == [(1, True), (2, True)]


def test_a_pair_binds_its_receivers_first() -> None:
    binds = SmppChannel().binds(replace(ACCOUNT, bind_mode="pair"), NOBODY)
    assert [(bind.number, bind.submits) for bind in binds] == [(3, False), (4, False), (1, True), (2, True)]


def test_wrong_account_settings_are_said() -> None:
    with pytest.raises(BadSettings, match="response_timeout"):
        SmppChannel().binds(replace(ACCOUNT, settings={"response_timeout": 3}), NOBODY)


def test_errors_have_their_class() -> None:
    assert SmppChannel().classify(0x58) is Class.THROTTLE
