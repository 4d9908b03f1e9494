"""The account's `tlv` setting, and what else a bind does for its account."""

from array import array
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from engine._fast.columns import ResultBatch
from engine.channels.interface import Account, BadSettings, Encoder
from engine.channels.result_split import split
from engine.channels.smpp import SmppBind, SmppChannel
from engine.core_api.schema import MessageOptions
from engine.smpp import codec
from engine.smpp.session import Session
from engine.smpp.tables import BIND_TRANSCEIVER, RESPONSE

ACCOUNT = Account(
    account_id=1, name="Op", host="127.0.0.1", port=1, system_id="esme", password="secret", system_type="",
    bind_mode="transceiver", interface_version=0x34, tps=10, binds=1, window_size=10, settings={},
    enabled=True, version=1,
)  # fmt: skip
DLT = MessageOptions(dlt_pe_id="1101172974420810001", dlt_template_id="1107161234567890123")
LONG = "x" * 200


class Owner:
    def __init__(self) -> None:
        self.levels: list[int] = []

    def on_congestion(self, bind: Any, level: int) -> None:
        self.levels.append(level)


def pdus(encoder: Encoder) -> list[codec.Pdu]:
    batch = encoder.encode(array("q", [447700900123]), [], array("i", [0]), 0, 1, 1)
    edges = [0, *batch.end]
    return [codec.decode(bytes(batch.pdus[a:b])) for a, b in pairwise(edges)]


def made(tlv: str) -> tuple[SmppChannel, SmppBind]:
    channel = SmppChannel()
    (bind,) = channel.binds(replace(ACCOUNT, settings={"tlv": tlv}), Owner())  # type: ignore[arg-type]
    assert isinstance(bind, SmppBind)
    return channel, bind


def encoder(channel: SmppChannel, splitting: str = "udh8") -> Encoder:
    return channel.encoder(
        {"splitting": splitting}, text=LONG, sender="Bank", columns=[], options=DLT, account_id=1
    )


def bind_answered(session: Session, version: int | None) -> None:
    session.open(0.0)
    tlvs = [] if version is None else [codec.tlv("sc_interface_version", version)]
    sequence = codec.decode(session.take_output()).sequence
    session.receive(codec.encode(BIND_TRANSCEIVER | RESPONSE, sequence, tlvs=tlvs), 0.0, 0)


@pytest.fixture
def tags() -> Any:
    return lambda encoder: {tag for pdu in pdus(encoder) for tag, _ in pdu.tlvs}


@pytest.mark.parametrize("splitting", ["udh8", "sar", "payload"])
def test_never_sends_no_tlv_and_loses_no_text(tags: Any, splitting: str) -> None:
    channel, _ = made("never")
    assert tags(encoder(channel, splitting)) == set()
    found = pdus(encoder(channel, splitting))
    assert all(pdu.integer("esm_class") & 0x40 for pdu in found)
    assert sum(len(pdu.octets("short_message")) - pdu.octets("short_message")[0] - 1 for pdu in found) == 200


def test_always_sends_them_whatever_the_smsc_says(tags: Any) -> None:
    channel, bind = made("always")
    bind_answered(bind.link.session, None)
    assert {0x1400, 0x1401} <= tags(encoder(channel))
    assert {0x020C, 0x020E, 0x020F} <= tags(encoder(channel, "sar"))


@pytest.mark.parametrize(("version", "sent"), [(None, False), (0x33, False), (0x34, True), (0x50, True)])
def test_negotiated_follows_the_last_bind_answer(tags: Any, version: int | None, sent: bool) -> None:
    channel, bind = made("negotiated")
    chosen = encoder(channel)
    bind_answered(bind.link.session, version)
    assert ({0x1400, 0x1401} <= tags(chosen)) is sent
    bind.link.session.connection_lost(0)
    bind_answered(bind.link.session, 0x34)
    assert {0x1400, 0x1401} <= tags(chosen), "the same encoder, after a new bind"


def test_a_channel_that_requires_dlt_is_not_sent_without_it() -> None:
    channel, _ = made("never")
    with pytest.raises(BadSettings, match="DLT"):
        channel.encoder({"dlt_required": True}, text="Hi", sender="Bank", columns=[], account_id=1)


def test_account_settings_reach_the_link() -> None:
    settings = {"enquire_link_s": 7, "already_bound_min_s": 31, "already_bound_max_s": 32, "straggler_s": 9}
    (bind,) = SmppChannel().binds(replace(ACCOUNT, settings=settings), Owner())  # type: ignore[arg-type]
    assert isinstance(bind, SmppBind)
    config = bind.link.config
    assert (config.enquire_link_s, config.straggler_s, config.already_bound_s) == (7, 9, (31, 32))
    assert (config.ssl, config.response_timeout_s, config.interface_version) == (None, 30, 0x34)


def test_tls_is_on_only_where_the_account_says_so() -> None:
    (bind,) = SmppChannel().binds(replace(ACCOUNT, settings={"tls": "on"}), Owner())  # type: ignore[arg-type]
    assert isinstance(bind, SmppBind)
    assert bind.link.config.ssl is not None


def test_congestion_reaches_the_accounts_owner() -> None:
    owner = Owner()
    (bind,) = SmppChannel().binds(ACCOUNT, owner)  # type: ignore[arg-type]
    assert isinstance(bind, SmppBind)
    bind.on_congestion(bind.link, 88)
    assert owner.levels == [88]


def test_results_of_one_claim_are_taken_out_whole() -> None:
    batch = ResultBatch(count=3)
    for claim, row, name in ((4, 0, b"a"), (-1, 1, b"bb"), (4, 2, b"")):
        for column in ("index", "slice_id", "part", "parts", "attempt", "msisdn", "status", "sent_us"):
            getattr(batch, column).append(row)
        batch.done_us.append(row)
        batch.late.append(0)
        batch.claim.append(claim)
        batch.row.append(row)
        batch.ids += name
        batch.id_end.append(len(batch.ids))
    mine, others = split(batch, -1)
    assert (mine.count, list(mine.row), bytes(mine.ids)) == (1, [1], b"bb")
    assert (others.count, list(others.row), bytes(others.ids), list(others.id_end)) == (
        2,
        [0, 2],
        b"a",
        [1, 1],
    )
