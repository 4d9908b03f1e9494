"""Our link against an SMSC that others wrote (the Rust `smpp34`): real sockets, its codec, its session."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import pairwise

import pytest
import smpp34

from engine._fast.columns import EncodedBatch, ReceiptBatch
from engine.smpp import text
from engine.smpp.link import Link
from engine.smpp.text import Part

pytestmark = pytest.mark.usefixtures("fast")
Submits = Callable[..., EncodedBatch]


class Peer:
    """The foreign server, and what it saw."""

    def __init__(self, server: smpp34.Server, port: int) -> None:
        self.server = server
        self.port = port
        self.esmes: list[smpp34.Esme] = []
        self.submits: list[smpp34.SubmitSmEvent] = []
        self.ended: list[str] = []
        self.status = 0
        self._told = asyncio.Event()

    async def serve(self) -> None:
        while True:
            event = await self.server.next()
            if isinstance(event, smpp34.Esme):
                self.esmes.append(event)
            elif isinstance(event, smpp34.SubmitSmEvent):
                self.submits.append(event)
                if self.status:
                    event.reject(self.status)
                else:
                    event.accept(f"m{len(self.submits)}")
            else:
                self.ended.append(event.session_id)
            self._told.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._told.clear()
                await self._told.wait()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    peer = Peer(smpp34.Server("127.0.0.1", port, system_id="SMSC"), port)
    await peer.server.start()
    serving = asyncio.create_task(peer.serve())
    yield peer
    serving.cancel()
    await peer.server.stop()


async def bound(peer: Peer, recorder, links) -> Link:
    link = links(peer.port)
    await recorder.until(lambda: link.bound)
    await peer.until(lambda: peer.esmes)
    return link


def spans(ends: Iterable[int]) -> list[tuple[int, int]]:
    return list(pairwise([0, *ends]))


def submit(link: Link, submits: Submits, count: int, message: str) -> int:
    batch = submits(count, link.reserve_sequences(count * 10), message)
    link.submit(batch, 0, batch.count, 7, 0, 3)
    return batch.count


async def test_it_accepts_our_bind_and_says_who_it_is(peer, recorder, links) -> None:
    link = await bound(peer, recorder, links)
    assert peer.esmes[0].system_id == "esme"
    assert peer.esmes[0].can_receive
    assert link.session.peer is not None
    assert link.session.peer.peer_system_id == "SMSC"


@pytest.mark.parametrize("message", ["hello", "@£$_{}[]~^|€ñ", "€" * 200, "я" * 100 + "😀" * 40])
async def test_it_reads_the_text_we_meant(peer, recorder, links, submits: Submits, message: str) -> None:
    link = await bound(peer, recorder, links)
    parts = submit(link, submits, 2, message)
    await recorder.until(lambda: len(recorder.results) == parts)
    assert {status for _, status in recorder.results} == {0}
    ids = [bytes(batch.ids[start:stop]) for batch in recorder.batches for start, stop in spans(batch.id_end)]
    assert sorted(ids) == sorted(b"m%d" % number for number in range(1, parts + 1))  # it answers in any order
    for number in ("15550100000", "15550100001"):
        seen = [event for event in peer.submits if event.destination_addr == number]
        assert {(event.source_addr, event.source_addr_ton, event.registered_delivery) for event in seen} == {
            ("Shop", 5, 1)
        }
        mine = [Part(event.short_message, event.data_coding, event.esm_class) for event in seen]
        assert text.reassemble(mine) == message


async def test_it_answers_a_thousand_submits_through_a_window_of_a_hundred(
    peer, recorder, links, submits: Submits
) -> None:
    link = await bound(peer, recorder, links)
    left = 1000
    while left:
        await recorder.until(lambda: link.free == 100)
        submit(link, submits, 100, "hello")
        left -= 100
    await recorder.until(lambda: len(recorder.results) == 1000)
    assert {status for _, status in recorder.results} == {0}
    assert (link.in_flight, len(peer.submits), recorder.down) == (0, 1000, [])


async def test_its_error_response_reaches_us(peer, recorder, links, submits: Submits) -> None:
    peer.status = smpp34.ESME_RMSGQFUL
    link = await bound(peer, recorder, links)
    submit(link, submits, 1, "hello")
    await recorder.until(lambda: recorder.results)
    assert recorder.results == [(0, 0x14)]


async def test_its_receipts_are_read_and_our_acknowledgement_is_accepted(peer, recorder, links) -> None:
    def acknowledge(link: Link, batch: ReceiptBatch) -> None:
        link.acknowledge(batch)

    recorder.when_receipts = acknowledge
    await bound(peer, recorder, links)
    esme = peer.esmes[0]
    by_text = await esme.deliver_sm(
        "Shop",
        b"id:m1 sub:001 dlvrd:001 stat:DELIVRD err:000 text:hi",
        source_addr="15550100000",
        esm_class=4,
    )
    by_tlv = await esme.deliver_sm(
        "Shop",
        source_addr="15550100001",
        esm_class=4,
        tlvs=[
            smpp34.Tlv(smpp34.TLV_RECEIPTED_MESSAGE_ID, b"m2\0"),
            smpp34.Tlv(smpp34.TLV_MESSAGE_STATE, b"\5"),
        ],
    )
    assert (by_text.is_success, by_tlv.is_success) == (True, True)
    await recorder.until(lambda: len(recorder.receipts) == 2)
    assert [bytes(batch.ids) for batch in recorder.receipts] == [b"m1", b"m2"]
    assert [list(batch.verdict) for batch in recorder.receipts] == [[2], [1]]
    assert [list(batch.msisdn) for batch in recorder.receipts] == [[15550100000], [15550100001]]


async def test_stopping_unbinds_politely(peer, recorder, links) -> None:
    link = await bound(peer, recorder, links)
    await link.stop()
    await peer.until(lambda: peer.ended)
    assert recorder.down == ["unbound"]


async def test_its_unbind_is_answered_and_we_come_back(peer, recorder, links) -> None:
    await bound(peer, recorder, links)
    await peer.esmes[0].unbind()
    await peer.until(lambda: len(peer.esmes) == 2)
    assert recorder.down == ["unbound by the SMSC"]
