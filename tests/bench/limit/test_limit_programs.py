"""The C sink answers what our link sends, one for one; the limit client counts what it is told."""

import asyncio
import json
import socket
import struct
import subprocess
import time
from array import array
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from bench.limit.programs import Receipts, Sink, limit_round, program, sink
from bench.measure import InvalidRun
from bench.scenarios.messages import encoder, messages
from engine._fast.columns import ReceiptBatch, ResultBatch
from engine.smpp import codec
from engine.smpp.link import Link, LinkConfig, LinkState
from engine.smpp.tables import BIND_TRANSCEIVER, DELIVER_SM, ENQUIRE_LINK, RESPONSE, SUBMIT_SM, UNBIND


class Owner:
    """Submits `count` messages through a link and keeps what comes back."""

    def __init__(self, port: int, count: int, window: int, expected_receipts: int) -> None:
        self.count, self.expected_receipts = count, expected_receipts
        self.ids: list[bytes] = []
        self.receipt_ids: list[bytes] = []
        self.receipts: list[ReceiptBatch] = []
        self.waits_us: list[int] = []
        rows = messages(count)
        self.batch = encoder(pure=False).encode(rows.msisdn, rows.columns, rows.rows, 0, 1, 1)
        self.next = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        config = LinkConfig(
            name="t", host="127.0.0.1", port=port, system_id="t", password="", window_size=window
        )
        self.link = Link(config, self)
        self.link.reserve_sequences(count + 1)

    def on_bound(self, link: Link) -> None:
        first = link.reserve_sequences(self.count)
        self.batch.sequence = array("I", range(first, first + self.count))
        for position, end in enumerate([0, *self.batch.end[:-1]]):
            struct.pack_into(">I", self.batch.pdus, end + 12, first + position)
        self.pump(link)

    def pump(self, link: Link) -> None:
        stop = min(self.next + link.free, self.count)
        if stop > self.next:
            link.submit(self.batch, self.next, stop, 1, 1, 1)
            self.next = stop

    def on_results(self, link: Link, batch: ResultBatch) -> None:
        assert set(batch.status) == {0}
        self.ids += texts(batch.ids, batch.id_end)
        self.waits_us += [done - sent for sent, done in zip(batch.sent_us, batch.done_us, strict=True)]
        self.pump(link)
        self.check()

    def on_receipts(self, link: Link, batch: ReceiptBatch) -> None:
        self.receipts.append(batch)
        self.receipt_ids += texts(batch.ids, batch.id_end)
        link.acknowledge(batch)
        self.check()

    def check(self) -> None:
        all_here = len(self.ids) == self.count and len(self.receipt_ids) == self.expected_receipts
        if all_here and not self.done.done():
            self.done.set_result(None)

    def on_down(self, link: Link, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(reason))

    def on_state(self, link: Link, state: LinkState, reason: str) -> None: ...
    def on_congestion(self, link: Link, level: int) -> None: ...


def texts(octets: bytearray, ends: "array[int]") -> list[bytes]:
    return [bytes(octets[start:end]) for start, end in pairwise([0, *ends])]


async def drive(port: int, count: int, window: int, expected_receipts: int) -> Owner:
    owner = Owner(port, count, window, expected_receipts)
    owner.link.start()
    try:
        async with asyncio.timeout(30):
            await owner.done
    finally:
        await owner.link.stop()
    return owner


@pytest.mark.parametrize("kind", ["text", "tlv", "both"])
async def test_every_message_gets_a_response_and_one_receipt_under_the_same_id(kind: Receipts) -> None:
    with sink(kind) as one:
        owner = await drive(one.port, 5_000, 100, 5_000)
        counts = await asyncio.to_thread(one.counts)
    assert len(set(owner.ids)) == 5_000
    assert owner.receipt_ids == owner.ids
    assert {verdict for batch in owner.receipts for verdict in batch.verdict} == {2}
    numbers = [number for batch in owner.receipts for number in batch.msisdn]
    assert numbers == list(messages(5_000).msisdn)
    assert {bytes(batch.sender[: batch.sender_end[0]]) for batch in owner.receipts} == {b"HELIOGRAPH"}
    if kind != "tlv":
        done = [at for batch in owner.receipts for at in batch.done_s]
        assert all(abs(at - time.time()) < 180 for at in done)
    expected = {"submitted": 5_000, "responses": 5_000, "receipts": 5_000, "acknowledged": 5_000}
    assert counts == {**expected, "enquiries": 0}


async def test_without_receipts_only_responses_come() -> None:
    with sink("none") as one:
        await drive(one.port, 3_000, 1_000, 0)
        counts = await asyncio.to_thread(one.counts)
    assert (counts["responses"], counts["receipts"], counts["acknowledged"]) == (3_000, 0, 0)


async def test_a_response_leaves_after_the_round_trip_and_never_before() -> None:
    with sink("both", rtt_us=20_000) as one:
        owner = await drive(one.port, 400, 100, 400)
    assert len(owner.waits_us) == 400
    assert min(owner.waits_us) >= 19_000  # our clock ticks in milliseconds
    assert sorted(owner.waits_us)[200] < 60_000
    assert owner.receipt_ids == owner.ids, "the ring gives them back in their order, also as it grows"


async def test_the_ring_of_due_times_grows_with_what_waits() -> None:
    with sink("both", rtt_us=50_000) as one:
        owner = await drive(one.port, 6_000, 3_000, 6_000)
    assert len(set(owner.ids)) == 6_000
    assert min(owner.waits_us) >= 49_000


@pytest.fixture
def peer() -> Iterator[tuple[Sink, socket.socket]]:
    with sink() as one, closing(socket.create_connection(("127.0.0.1", one.port), timeout=10)) as connection:
        yield one, connection


def read_pdu(connection: socket.socket) -> codec.Pdu:
    head = b""
    while len(head) < 16:
        head += connection.recv(16 - len(head))
    length = struct.unpack_from(">I", head)[0]
    while len(head) < length:
        head += connection.recv(length - len(head))
    return codec.decode(head)


def test_bind_enquire_link_and_unbind_are_answered_even_octet_by_octet(
    peer: tuple[Sink, socket.socket],
) -> None:
    one, connection = peer
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bind = codec.encode(BIND_TRANSCEIVER, 7, fields={"system_id": b"e"})
    unknown = struct.pack(">IIII", 16, 0x7777, 0, 9)
    for octet in bind + codec.encode(ENQUIRE_LINK, 8) + unknown + codec.encode(UNBIND, 10):
        connection.sendall(bytes([octet]))
    answers = [read_pdu(connection) for _ in range(4)]
    assert [(each.command_id, each.sequence, each.status) for each in answers] == [
        (BIND_TRANSCEIVER | RESPONSE, 7, 0),
        (ENQUIRE_LINK | RESPONSE, 8, 0),
        (RESPONSE, 9, 3),
        (UNBIND | RESPONSE, 10, 0),
    ]
    assert connection.recv(1) == b""
    assert one.counts()["enquiries"] == 1


def test_a_message_that_wants_no_receipt_gets_none_and_a_malformed_one_is_refused(
    peer: tuple[Sink, socket.socket],
) -> None:
    one, connection = peer
    fields = {"source_addr": b"Shop", "destination_addr": b"15550100000", "short_message": b"hello"}
    whole = codec.encode(SUBMIT_SM, 1, fields=fields)
    cut = bytearray(whole[:-4])
    struct.pack_into(">I", cut, 0, len(cut))
    wanted = codec.encode(SUBMIT_SM, 3, fields={**fields, "registered_delivery": 1})
    connection.sendall(whole + bytes(cut) + wanted + codec.encode(UNBIND, 4))
    answers = [read_pdu(connection) for _ in range(5)]
    assert [(each.command_id, each.status) for each in answers] == [
        (SUBMIT_SM | RESPONSE, 0),
        (SUBMIT_SM | RESPONSE, 8),
        (SUBMIT_SM | RESPONSE, 0),
        (DELIVER_SM, 0),
        (UNBIND | RESPONSE, 0),
    ]
    text = answers[3].octets("short_message")
    assert text.endswith(b"stat:DELIVRD err:000 text:hello")
    counts = one.counts()
    assert (counts["submitted"], counts["responses"], counts["receipts"]) == (3, 2, 1)


def test_octets_that_are_no_pdu_end_the_connection_and_not_the_sink(peer: tuple[Sink, socket.socket]) -> None:
    one, connection = peer
    connection.sendall(b"\0\0\0\1" * 4)
    assert connection.recv(1) == b""
    one.counts()
    with closing(socket.create_connection(("127.0.0.1", one.port), timeout=10)) as other:
        other.sendall(codec.encode(ENQUIRE_LINK, 1))
        assert read_pdu(other).command_id == ENQUIRE_LINK | RESPONSE


@pytest.mark.parametrize(("window", "wanted"), [(1, True), (10, True), (1_000, True), (1_000, False)])
def test_the_limit_client_counts_what_the_sink_counts(tmp_path: Path, window: int, wanted: bool) -> None:
    rows = messages(4 * window + 8)
    pdus = tmp_path / "pdus"
    pdus.write_bytes(encoder(pure=False).encode(rows.msisdn, rows.columns, rows.rows, 0, 1, 1).pdus)
    with sink("both" if wanted else "none") as one:
        done, counted = limit_round(one.port, 20_000, window, pdus, receipts=wanted)
        counts = one.counts()
    due = 20_000 if wanted else 0
    assert (done.units, counted["accepted"], counted["receipts"]) == (20_000, 20_000, due)
    assert counts["submitted"] == counts["responses"] == 20_000
    assert (counts["receipts"], counts["acknowledged"]) == (due, due)
    assert done.seconds > 0
    assert counted["writes"] >= 20_000 // window


def test_a_limit_client_without_a_peer_is_an_invalid_run(tmp_path: Path) -> None:
    pdus = tmp_path / "pdus"
    rows = messages(16)
    pdus.write_bytes(encoder(pure=False).encode(rows.msisdn, rows.columns, rows.rows, 0, 1, 1).pdus)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        with pytest.raises(InvalidRun, match="limit client"):
            limit_round(taken.getsockname()[1], 10, 1, pdus)


def test_it_compiles_once_into_the_cache_and_not_into_the_source_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built = program("client")
    assert built.is_relative_to(tmp_path)
    before = built.stat().st_mtime_ns
    assert program("client") == built
    assert built.stat().st_mtime_ns == before
    assert [path.name for path in built.parent.iterdir()] == [built.name]
    assert subprocess.run([built], check=False).returncode == 2


def test_the_sink_says_where_it_listens_in_json() -> None:
    process = subprocess.Popen([program("sink")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with closing(process.stdout):
        assert json.loads(process.stdout.readline())["listening"] > 1024
        process.terminate()
        process.wait(10)
