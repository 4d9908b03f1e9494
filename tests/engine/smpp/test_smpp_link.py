"""The asyncio link against a real TCP server, on asyncio's own loop and on uvloop."""

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from engine._fast.columns import EncodedBatch, ReceiptBatch
from engine.smpp import codec
from engine.smpp.link import (
    MAX_UNWRITTEN,
    WRITE_HIGH_WATER,
    Link,
    LinkConfig,
    LinkState,
    WallClock,
    _Connection,
)
from engine.smpp.session import NotBound, WindowFull
from engine.smpp.tables import BIND_TRANSCEIVER, DELIVER_SM, ENQUIRE_LINK, RESPONSE, UNBIND

pytestmark = pytest.mark.usefixtures("fast")
Submits = Callable[..., EncodedBatch]
RECEIPT = {"source_addr": b"15550100000", "esm_class": 4, "short_message": b"id:id-1 stat:DELIVRD text:"}


def submit(link: Link, submits: Submits, count: int, text: str = "hello") -> None:
    link.submit(submits(count, link.reserve_sequences(count), text), 0, count, 7, 0, 3)


async def test_a_link_binds_submits_and_unbinds(smsc, recorder, links, submits: Submits) -> None:
    link = links(smsc.port)
    assert (link.free, link.bound, link.writable) == (0, False, False)
    with pytest.raises(NotBound):
        submit(link, submits, 1)
    await recorder.until(lambda: link.bound)
    assert (link.free, link.writable) == (100, True)
    submit(link, submits, 60)
    submit(link, submits, 40)
    assert (link.free, link.in_flight) == (0, 100)
    with pytest.raises(WindowFull):
        submit(link, submits, 1)
    await recorder.until(lambda: len(recorder.results) == 100)
    assert {status for _, status in recorder.results} == {0}
    assert link.free == 100
    await link.stop()
    assert smsc.names() == ["bind_transceiver"] + ["submit_sm"] * 100 + ["unbind"]
    assert [state for state, _ in recorder.states] == [
        LinkState.CONNECTING, LinkState.BINDING, LinkState.BOUND, LinkState.UNBINDING, LinkState.STOPPED,
    ]  # fmt: skip
    assert recorder.down == ["unbound"]


async def test_a_dropped_connection_loses_what_was_in_flight_and_comes_back(
    smsc, recorder, links, submits: Submits
) -> None:
    smsc.answers = lambda pdu: None if pdu.name == "submit_sm" else smsc.accept(pdu)
    link = links(smsc.port)
    recorder.when_bound = lambda link: submit(link, submits, 5) if len(smsc.writers) == 1 else None
    await smsc.until(lambda: len(smsc.received) == 6)
    smsc.writers[0].transport.abort()
    await recorder.until(lambda: recorder.calls.count("bound") == 2)
    assert recorder.results == [(row, -2) for row in range(5)]
    assert recorder.calls.index("results") < recorder.calls.index("down")
    assert link.free == 100
    binds = [pdu.sequence for pdu in smsc.received if pdu.name == "bind_transceiver"]
    assert binds == [1, 7]


async def test_the_peers_unbind_ends_in_a_new_bind(smsc, recorder, links) -> None:
    links(smsc.port)
    await recorder.until(lambda: "bound" in recorder.calls)
    smsc.writers[0].write(codec.encode(UNBIND, 0xFFFFFFFF))
    await recorder.until(lambda: recorder.calls.count("bound") == 2)
    assert recorder.down == ["unbound by the SMSC"]
    assert ("unbind_resp", 0xFFFFFFFF) in [(pdu.name, pdu.sequence) for pdu in smsc.received]


async def test_a_wrong_password_is_tried_three_times_and_then_not_until_started(
    smsc, recorder, links
) -> None:
    def refuse(pdu: codec.Pdu) -> bytes:
        return codec.encode(pdu.command_id | RESPONSE, pdu.sequence, status=0x0E)

    smsc.answers = refuse
    link = links(smsc.port)
    await recorder.until(lambda: link.state is LinkState.REFUSED)
    assert smsc.names() == ["bind_transceiver"] * 3
    assert "ESME_RINVPASWD" in link.reason
    assert "secret" not in repr(recorder.states)
    smsc.answers = smsc.accept
    link.start()
    await recorder.until(lambda: link.bound)
    assert recorder.down == []


async def test_already_bound_waits_long_and_stop_does_not_wait_for_it(smsc, recorder, links) -> None:
    smsc.answers = lambda pdu: codec.encode(pdu.command_id | RESPONSE, pdu.sequence, status=0x05)
    link = links(smsc.port)
    await recorder.until(lambda: link.state is LinkState.WAITING)
    await asyncio.wait_for(link.stop(), 5)
    assert len(smsc.received) == 1
    assert link.state is LinkState.STOPPED


async def test_a_link_waits_for_an_smsc_that_is_not_there_yet(smsc, recorder, links) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    link = links(port)
    await recorder.until(lambda: link.state is LinkState.WAITING)
    assert link.reason.startswith("connect failed")
    await smsc.stop()
    await smsc.start(port)
    await recorder.until(lambda: link.bound)


async def test_a_silent_peer_is_probed_and_left(smsc, recorder, links) -> None:
    smsc.answers = lambda pdu: None if pdu.name == "enquire_link" else smsc.accept(pdu)
    links(smsc.port, enquire_link_s=0.02, enquire_timeout_s=0.02)
    await recorder.until(lambda: recorder.down)
    assert recorder.down[0] == "no answer to enquire_link"
    assert smsc.names()[:3] == ["bind_transceiver", "enquire_link", "enquire_link"]


async def test_a_response_that_does_not_come_in_time_is_reported(
    smsc, recorder, links, submits: Submits
) -> None:
    smsc.answers = lambda pdu: None if pdu.name == "submit_sm" else smsc.accept(pdu)
    link = links(smsc.port, response_timeout_s=0.02)
    recorder.when_bound = lambda link: submit(link, submits, 2)
    await recorder.until(lambda: recorder.results)
    assert recorder.results == [(0, -1), (1, -1)]
    assert (link.bound, link.in_flight) == (True, 2)


async def test_receipts_are_acknowledged_when_their_owner_says_so(smsc, recorder, links) -> None:
    link = links(smsc.port)
    await recorder.until(lambda: link.bound)
    smsc.writers[0].write(
        b"".join(codec.encode(DELIVER_SM, 0x90000000 + i, fields=RECEIPT) for i in range(3))
    )
    await recorder.until(lambda: sum(batch.count for batch in recorder.receipts) == 3)
    smsc.writers[0].write(codec.encode(ENQUIRE_LINK, 1))
    await smsc.until(lambda: "enquire_link_resp" in smsc.names())
    assert "deliver_sm_resp" not in smsc.names()
    for batch in recorder.receipts:
        link.acknowledge(batch)
    await smsc.until(lambda: smsc.names().count("deliver_sm_resp") == 3)
    assert [pdu.sequence for pdu in smsc.received[-3:]] == [0x90000000 + i for i in range(3)]


async def test_stop_does_not_wait_for_ever_for_an_unbind_resp(smsc, recorder, links) -> None:
    smsc.answers = lambda pdu: None if pdu.name == "unbind" else smsc.accept(pdu)
    link = links(smsc.port)
    await recorder.until(lambda: link.bound)
    await asyncio.wait_for(link.stop(timeout_s=0.02), 5)
    assert link.state is LinkState.STOPPED
    assert recorder.down


async def test_stop_before_the_bind_is_answered_just_leaves(smsc, recorder, links) -> None:
    smsc.answers = lambda pdu: None
    link = links(smsc.port)
    await smsc.until(lambda: smsc.received)
    await asyncio.wait_for(link.stop(), 5)
    assert recorder.down == []
    link.start()
    smsc.answers = smsc.accept
    await recorder.until(lambda: link.bound)


async def test_an_owners_bug_costs_neither_the_connection_nor_the_next_event(smsc, recorder, links) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    recorder.when_bound = fail
    recorder.when_receipts = fail
    link = links(smsc.port)
    await recorder.until(lambda: link.bound)
    smsc.writers[0].write(codec.encode(DELIVER_SM, 1, fields=RECEIPT) + codec.encode(ENQUIRE_LINK, 2))
    await smsc.until(lambda: "enquire_link_resp" in smsc.names())
    assert (link.bound, recorder.down) == (True, [])


async def test_a_wall_clock_that_jumps_neither_expires_nor_bends_times(
    smsc, recorder, links, submits: Submits
) -> None:
    held: list[codec.Pdu] = []

    def hold(pdu: codec.Pdu) -> bytes | None:
        if pdu.name != "submit_sm":
            return smsc.accept(pdu)
        held.append(pdu)
        return None

    jump = [0]
    smsc.answers = hold
    link = links(smsc.port, wall_us=lambda: time.time_ns() // 1000 + jump[0])
    await recorder.until(lambda: link.bound)
    submit(link, submits, 1)
    await smsc.until(lambda: held)
    jump[0] = 3_600_000_000
    submit(link, submits, 1)
    await smsc.until(lambda: len(held) == 2)
    jump[0] = -3_600_000_000
    smsc.writers[0].write(b"".join(filter(None, map(smsc.accept, held))))
    await recorder.until(lambda: len(recorder.results) == 2)
    assert {status for _, status in recorder.results} == {0}
    for batch in recorder.batches:
        for sent, done in zip(batch.sent_us, batch.done_us, strict=True):
            assert 0 <= done - sent < 60_000_000


def test_the_wall_clock_takes_the_systems_time_only_when_told() -> None:
    system = [1_000_000]
    clock = WallClock(lambda: system[0], 10.0)
    assert (clock.us(10.0), clock.us(11.5)) == (1_000_000, 2_500_000)
    system[0] = 9_000_000
    assert clock.us(12.0) == 3_000_000
    clock.set(12.0)
    assert clock.us(12.5) == 9_500_000


class Wire(asyncio.Transport):
    """A transport that keeps every write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.wrote = asyncio.Event()
        self.closed = False
        self.aborted = False
        self.unwritten = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self.wrote.set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unwritten

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
async def wired(recorder) -> tuple[Link, _Connection, Wire]:
    """A bound link whose connection is driven by hand."""
    config = LinkConfig(name="test", host="", port=0, system_id="e", password="s", window_size=100)
    link, wire, loop = Link(config, recorder), Wire(), asyncio.get_running_loop()
    connection = _Connection(link, loop, WallClock(lambda: 0, loop.time()))
    connection.connection_made(wire)
    connection.open()
    connection.data_received(codec.encode(BIND_TRANSCEIVER | RESPONSE, 1))
    assert link.bound
    wire.writes.clear()
    return link, connection, wire


async def test_one_wake_up_makes_one_write(wired, recorder, submits: Submits) -> None:
    link, connection, wire = wired

    def feed(link: Link, batch: object) -> None:
        submit(link, submits, 3)
        link.acknowledge(batch)
        submit(link, submits, 2)

    recorder.when_receipts = feed
    connection.data_received(
        codec.encode(ENQUIRE_LINK, 5)
        + codec.encode(DELIVER_SM, 6, fields=RECEIPT)
        + codec.encode(ENQUIRE_LINK, 7)
    )
    assert len(wire.writes) == 1
    submit(link, submits, 3)
    submit(link, submits, 3)
    assert len(wire.writes) == 1
    await asyncio.sleep(0)
    assert len(wire.writes) == 2
    assert link.in_flight == 11


async def test_what_responses_led_to_is_written_before_the_receipts_behind_them_are_read(
    wired, recorder, submits: Submits, responses
) -> None:
    link, connection, wire = wired
    submit(link, submits, 2)
    await asyncio.sleep(0)
    wire.writes.clear()
    seen: list[int] = []
    recorder.on_results = lambda link, batch: submit(link, submits, 2)

    def answer(link: Link, batch: ReceiptBatch) -> None:
        seen.append(len(wire.writes))
        link.acknowledge(batch)

    recorder.when_receipts = answer
    receipt = codec.encode(DELIVER_SM, 6, fields=RECEIPT)
    answered = codec.encode(DELIVER_SM | RESPONSE, 6, fields={})
    connection.data_received(responses([2, 3]) + receipt)
    assert seen == [1], "the submits were out before the receipts were told"
    assert len(wire.writes) == 1, "the answer waits for company"
    connection.data_received(responses([4, 5]) + receipt)
    assert wire.writes[1].endswith(answered), "and goes out with the next submits"
    assert wire.high == WRITE_HIGH_WATER
    wire.wrote.clear()
    async with asyncio.timeout(10):
        await wire.wrote.wait()
    assert wire.writes[2:] == [answered], "or soon by itself"


async def test_an_answer_that_waits_does_not_hold_back_one_to_the_peers_request(
    wired, recorder, submits: Submits, responses
) -> None:
    link, connection, wire = wired
    submit(link, submits, 2)
    await asyncio.sleep(0)
    wire.writes.clear()
    recorder.on_results = lambda link, batch: submit(link, submits, 1)
    recorder.when_receipts = lambda link, batch: link.acknowledge(batch)
    receipt = codec.encode(DELIVER_SM, 6, fields=RECEIPT)
    connection.data_received(responses([2]) + receipt + codec.encode(ENQUIRE_LINK, 9))
    assert wire.writes[1].endswith(codec.encode(ENQUIRE_LINK | RESPONSE, 9))


@pytest.mark.parametrize(
    "farewell",
    [codec.encode(UNBIND, 9), b"\0\0\0\x0f" + bytes(11) + b"\x09"],
    ids=["unbind", "length that cannot be right"],
)
async def test_a_session_that_ends_in_a_read_takes_no_submits_for_that_reads_responses(
    wired, recorder, submits: Submits, responses, farewell: bytes
) -> None:
    link, connection, wire = wired
    submit(link, submits, 2)
    await asyncio.sleep(0)
    wire.writes.clear()
    free: list[int] = []
    recorder.on_results = lambda link, batch: free.append(link.free)
    connection.data_received(responses([2, 3]) + codec.encode(DELIVER_SM, 6, fields=RECEIPT) + farewell)
    assert free == [0], "it would be lost: the SMSC has taken its leave"
    assert recorder.receipts[0].count == 1
    assert len(wire.writes) == 1
    assert wire.closed


async def test_a_response_that_came_with_the_bind_response_answers_nothing_of_this_session(
    wired, recorder, submits: Submits, responses
) -> None:
    link, connection, wire = wired
    connection.connection_lost(None)
    loop = asyncio.get_running_loop()
    connection = _Connection(link, loop, WallClock(lambda: 0, loop.time()))
    connection.connection_made(wire)
    connection.open()
    recorder.when_bound = lambda link: submit(link, submits, 2)
    connection.data_received(codec.encode(BIND_TRANSCEIVER | RESPONSE, 2) + responses([3, 4]))
    assert (link.in_flight, recorder.results) == (2, []), "they were not written yet"


async def test_a_full_socket_alone_does_not_stop_the_feeding(
    wired, recorder, submits: Submits, responses
) -> None:
    link, connection, wire = wired
    submit(link, submits, 2)
    await asyncio.sleep(0)
    recorder.on_results = lambda link, batch: submit(link, submits, 1)

    def full(high: int | None = None, low: int | None = None) -> None:
        if high == 0:
            connection.pause_writing()  # what a transport does that could not write all at once

    wire.set_write_buffer_limits = full
    wire.unwritten = WRITE_HIGH_WATER
    connection.data_received(responses([2]))
    assert link.writable
    wire.unwritten = WRITE_HIGH_WATER + 1
    connection.data_received(responses([3]))
    assert not link.writable
    connection.resume_writing()
    assert link.writable


async def test_backpressure_stops_feeding_and_not_reading(wired, recorder) -> None:
    link, connection, wire = wired
    connection.pause_writing()
    assert (link.writable, link.bound) == (False, True)
    connection.data_received(codec.encode(ENQUIRE_LINK, 5) + codec.encode(DELIVER_SM, 6, fields=RECEIPT))
    assert recorder.receipts[0].count == 1
    assert wire.writes == [codec.encode(ENQUIRE_LINK | RESPONSE, 5)]
    connection.resume_writing()
    assert link.writable


async def test_a_peer_that_asks_and_never_reads_is_left(wired) -> None:
    _, connection, wire = wired
    wire.unwritten = MAX_UNWRITTEN
    connection.data_received(codec.encode(ENQUIRE_LINK, 5))
    assert not wire.aborted
    wire.unwritten = MAX_UNWRITTEN + 1
    connection.data_received(codec.encode(ENQUIRE_LINK, 6))
    assert wire.aborted


async def test_no_timer_outlives_its_connection(wired, recorder) -> None:
    link, connection, wire = wired
    for sequence in (2, 3, 4):
        timer = connection._timer
        assert timer is not None
        assert not timer.cancelled()
        connection.connection_lost(None)
        assert timer.cancelled()
        assert connection._timer is None
        loop = asyncio.get_running_loop()
        connection = _Connection(link, loop, WallClock(lambda: 0, loop.time()))
        connection.connection_made(wire)
        connection.open()
        connection.data_received(codec.encode(BIND_TRANSCEIVER | RESPONSE, sequence))
        assert link.bound
    connection.connection_lost(None)
    assert recorder.down == ["connection lost"] * 4


async def test_traffic_keeps_one_timer(wired, submits: Submits) -> None:
    link, connection, _ = wired
    submit(link, submits, 10)
    await asyncio.sleep(0)
    timer = connection._timer
    for sequence in range(50):
        connection.data_received(codec.encode(ENQUIRE_LINK, sequence))
        assert connection._timer is timer


async def test_after_a_fatal_length_the_nack_is_written_and_the_connection_closed(wired) -> None:
    _, connection, wire = wired
    connection.data_received(b"\0\0\0\x0f" + bytes(11) + b"\x21")
    assert wire.writes == [codec.encode(0x80000000, 0x21, status=2)]
    assert wire.closed
