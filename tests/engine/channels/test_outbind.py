"""Outbind: an SMSC calls us, is checked, and gets a receiver on its own connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from engine._fast.columns import ReceiptBatch
from engine.channels.interface import Account
from engine.channels.smpp import OUTBIND_NUMBER, SmppChannel
from engine.smpp import codec
from engine.smpp.tables import BIND_RECEIVER, DELIVER_SM, ENQUIRE_LINK, OUTBIND, RESPONSE, UNBIND

ALLOWED = {"outbind": True, "outbind_allow": ["127.0.0.0/8"], "outbind_system_id": "operator"}
ACCOUNT = Account(
    account_id=1, name="Op", host="127.0.0.1", port=1, system_id="esme", password="secret", system_type="",
    bind_mode="transmitter", interface_version=0x34, tps=10, binds=1, window_size=10,
    settings=ALLOWED | {"reconnect_min_s": 60, "reconnect_max_s": 60},
    enabled=True, version=1, secrets={"outbind_password": "call-me"},
)  # fmt: skip


class Owner:
    def __init__(self) -> None:
        self.receipts: list[tuple[Any, ReceiptBatch]] = []

    def on_receipts(self, bind: Any, batch: ReceiptBatch) -> None:
        self.receipts.append((bind.number, batch))
        bind.acknowledge(batch)

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("on_"):
            return lambda *_: None
        raise AttributeError(name)


class Called:
    """A channel that listens, and verbs of an SMSC."""

    def __init__(self, account: Account) -> None:
        self.owner = Owner()
        self.channel = SmppChannel()
        (self.bind,) = self.channel.binds(account, self.owner)  # type: ignore[arg-type]
        self.port = 0

    async def call(self, system_id: str = "operator", password: str = "call-me", rest: bytes = b"") -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        fields = {"system_id": system_id.encode(), "password": password.encode()}
        writer.write(codec.encode(OUTBIND, 1, fields=fields) + rest)
        return reader, writer


async def read(reader: asyncio.StreamReader) -> codec.Pdu | None:
    """The next PDU, None at the end of the connection."""
    async with asyncio.timeout(10):
        try:
            head = await reader.readexactly(4)
            return codec.decode(head + await reader.readexactly(int.from_bytes(head, "big") - 4))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None


@pytest.fixture
async def called() -> AsyncIterator[Callable[..., Any]]:
    made: list[Called] = []

    async def make(**changed: Any) -> Called:
        each = Called(replace(ACCOUNT, **changed))
        made.append(each)
        each.bind.start()
        each.port = await each.channel.listen("127.0.0.1", 0)
        return each

    yield make
    for each in made:
        await each.channel.stop_listening()
        await each.bind.stop(0.2)


async def test_an_allowed_smsc_gets_a_receiver_on_its_connection_and_its_receipts_are_the_accounts(
    called: Any,
) -> None:
    we = await called()
    reader, writer = await we.call()
    bind = await read(reader)
    assert (bind.name, bind.octets("system_id"), bind.octets("password")) == (
        "bind_receiver", b"esme", b"secret",
    )  # fmt: skip
    writer.write(codec.encode(BIND_RECEIVER | RESPONSE, bind.sequence, fields={"system_id": b"op"}))
    fields = {"source_addr": b"15550100000", "esm_class": 4, "short_message": b"id:1 stat:DELIVRD text:"}
    writer.write(codec.encode(DELIVER_SM, 0xFFFFFFFE, fields=fields))
    answer = await read(reader)
    assert (answer.name, answer.sequence, answer.status) == ("deliver_sm_resp", 0xFFFFFFFE, 0)
    assert [number for number, _ in we.owner.receipts] == [OUTBIND_NUMBER]
    writer.write(codec.encode(UNBIND, 9))
    assert (await read(reader)).name == "unbind_resp"
    assert await read(reader) is None


async def test_what_follows_the_outbind_in_one_segment_is_read(called: Any) -> None:
    we = await called()
    reader, _ = await we.call(rest=codec.encode(ENQUIRE_LINK, 77))
    names = {(await read(reader)).name, (await read(reader)).name}
    assert names == {"bind_receiver", "enquire_link_resp"}


@pytest.mark.parametrize(
    "call",
    [{"password": "wrong"}, {"system_id": "other"}, {"system_id": "", "password": ""}],
    ids=["password", "system_id", "empty"],
)
async def test_wrong_credentials_get_no_octet(called: Any, call: dict[str, str]) -> None:
    we = await called()
    reader, _ = await we.call(**call)
    assert await read(reader) is None


async def test_an_address_that_is_not_allowed_gets_no_octet(called: Any) -> None:
    we = await called(settings=ACCOUNT.settings | {"outbind_allow": ["10.0.0.0/8"]})
    reader, _ = await we.call()
    assert await read(reader) is None


@pytest.mark.parametrize(
    "octets",
    [codec.encode(ENQUIRE_LINK, 1), b"GET / HTTP/1.1\r\n\r\n", b"\0\0\xff\xff" + b"\0\0\0\x0b" + b"\0" * 60],
    ids=["another request", "http", "too long"],
)
async def test_anything_but_an_outbind_ends_the_connection(called: Any, octets: bytes) -> None:
    we = await called()
    reader, writer = await asyncio.open_connection("127.0.0.1", we.port)
    writer.write(octets)
    assert await read(reader) is None


async def test_without_the_setting_nobody_is_let_in(called: Any) -> None:
    we = await called(settings={"reconnect_min_s": 60, "reconnect_max_s": 60})
    reader, _ = await we.call()
    assert await read(reader) is None


async def test_a_second_call_is_refused_while_the_first_is_served_and_taken_after_it(called: Any) -> None:
    we = await called()
    first, first_writer = await we.call()
    assert (await read(first)).name == "bind_receiver"
    second, _ = await we.call()
    assert await read(second) is None
    first_writer.transport.abort()
    async with asyncio.timeout(10):
        while True:
            third, _ = await we.call()
            if (bind := await read(third)) is not None:
                break
    assert bind.name == "bind_receiver"


async def test_an_account_that_stops_leaves_its_callers(called: Any) -> None:
    we = await called()
    reader, writer = await we.call()
    bind = await read(reader)
    writer.write(codec.encode(BIND_RECEIVER | RESPONSE, bind.sequence, fields={"system_id": b"op"}))
    writer.write(codec.encode(ENQUIRE_LINK, 5))
    assert (await read(reader)).name == "enquire_link_resp"
    await we.bind.stop(0.5)
    assert (await read(reader)).name == "unbind"
    again, _ = await we.call()
    assert await read(again) is None
