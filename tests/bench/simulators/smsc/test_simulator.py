"""The simulator as a process, with another author's client (smpplib) against it."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from smpplib.client import Client
from smpplib.exceptions import PDUError

from bench.simulators.smsc import witness

Start = Callable[..., tuple[subprocess.Popen[str], int]]


@pytest.fixture(params=["0", "1"], ids=["c", "pure"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts a simulator with options; gives its process and port."""
    processes = []

    def run(*options: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.simulators.smsc", "--port", "0", *options],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"HELIOGRAPH_PURE": request.param},
        )
        processes.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())["listening"]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


class Esme:
    """smpplib's client, keeping what it got."""

    def __init__(self, port: int) -> None:
        self.receipts: list[Any] = []
        self.responses: list[Any] = []
        self.client = Client("127.0.0.1", port, timeout=10, allow_unknown_opt_params=True)
        self.client.set_message_received_handler(lambda pdu: self.receipts.append(pdu))
        self.client.set_message_sent_handler(lambda pdu: self.responses.append(pdu))
        self.client.connect()

    def send(self, number: int) -> None:
        self.client.send_message(
            source_addr_ton=5,
            source_addr="HELIO",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr=str(number),
            short_message=b"hello",
            registered_delivery=True,
        )

    def read_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.client.read_once()


@pytest.fixture
def esme() -> Iterator[Callable[[int], Esme]]:
    clients: list[Esme] = []

    def connect(port: int) -> Esme:
        clients.append(Esme(port))
        return clients[-1]

    yield connect
    for one in clients:
        one.client.disconnect()


@pytest.fixture
def raw() -> Iterator[Callable[[int], socket.socket]]:
    sockets: list[socket.socket] = []

    def connect(port: int) -> socket.socket:
        sockets.append(socket.create_connection(("127.0.0.1", port), timeout=10))
        return sockets[-1]

    yield connect
    for one in sockets:
        one.close()


def pdu(command: int, sequence: int, body: bytes = b"") -> bytes:
    return struct.pack(">IIII", 16 + len(body), command, 0, sequence) + body


def read_pdu(peer: socket.socket) -> tuple[int, int, int, bytes]:
    head = peer.recv(16, socket.MSG_WAITALL)
    length, command, status, sequence = struct.unpack(">IIII", head)
    return command, status, sequence, peer.recv(length - 16, socket.MSG_WAITALL) if length > 16 else b""


BIND = pdu(0x9, 1, b"demo\0secret\0\0\x34\0\0\0")


def test_smpplib_binds_submits_gets_its_receipt_and_unbinds(start: Start, esme: Any, tmp_path: Path) -> None:
    process, port = start(
        "--system-id", "demo", "--password", "secret", "--latency-ms", "5", "--witness", str(tmp_path / "w")
    )
    one = esme(port)
    assert one.client.bind_transceiver(system_id="demo", password="secret").status == 0
    for n in range(20):
        one.send(447700900000 + n)
    one.read_until(lambda: len(one.responses) == len(one.receipts) == 20)
    assert {r.message_id for r in one.responses} == {r.receipted_message_id for r in one.receipts}
    assert all(b"stat:DELIVRD err:000 text:hello" in r.short_message for r in one.receipts)
    one.client.unbind()
    process.terminate()
    assert process.wait(timeout=5) == 0
    assert witness.read(tmp_path / "w").as_dict() | {"first_us": 0, "last_us": 0} == {
        "parts": 20,
        "duplicates": 0,
        "messages": 20,
        "destinations": 20,
        "first_us": 0,
        "last_us": 0,
    }


def test_transmitter_and_receiver_are_a_pair(start: Start, esme: Any) -> None:
    _, port = start()
    receiver, transmitter = esme(port), esme(port)
    receiver.client.bind_receiver(system_id="demo", password="")
    transmitter.client.bind_transmitter(system_id="demo", password="")
    transmitter.send(447700900001)
    transmitter.read_until(lambda: bool(transmitter.responses))
    receiver.read_until(lambda: bool(receiver.receipts))
    assert receiver.receipts[0].receipted_message_id == transmitter.responses[0].message_id


@pytest.mark.parametrize(
    ("system_id", "password", "status"), [("demo", "wrong", 0x0E), ("other", "secret", 0x0F)]
)
def test_a_wrong_password_or_name_is_refused(
    start: Start, esme: Any, system_id: str, password: str, status: int
) -> None:
    _, port = start("--system-id", "demo", "--password", "secret")
    with pytest.raises(PDUError) as refusal:
        esme(port).client.bind_transceiver(system_id=system_id, password=password)
    assert refusal.value.args[1] == status


def test_a_stream_cut_into_single_octets_is_read_all_the_same(start: Start, raw: Any, submit_sm: Any) -> None:
    _, port = start("--receipt-share", "0")
    peer = raw(port)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in BIND + submit_sm(2) + pdu(0x15, 3) + submit_sm(4):
        peer.sendall(bytes([octet]))
    answers = [read_pdu(peer) for _ in range(4)]
    assert [answer[:3] for answer in answers] == [
        (0x80000009, 0, 1),
        (0x80000004, 0, 2),
        (0x80000015, 0, 3),
        (0x80000004, 0, 4),
    ]


def test_requests_it_does_not_know_get_a_generic_nack_and_responses_get_none(start: Start, raw: Any) -> None:
    _, port = start()
    peer = raw(port)
    unknown_response, nack = pdu(0x80000777, 6), pdu(0x80000000, 7)
    peer.sendall(BIND + pdu(0x777, 0xFFFFFFFF) + unknown_response + nack + pdu(0x3, 8, b"1\0\0\0\0") + BIND)
    answers = [read_pdu(peer)[:3] for _ in range(4)]
    assert answers == [
        (0x80000009, 0, 1),
        (0x80000000, 3, 0xFFFFFFFF),
        (0x80000003, 0x67, 8),
        (0x80000009, 5, 1),
    ]


@pytest.mark.parametrize("length", [0, 15, 65537, 0xFFFFFFFF])
def test_an_impossible_length_is_nacked_and_ends_the_connection(start: Start, raw: Any, length: int) -> None:
    _, port = start()
    peer = raw(port)
    peer.sendall(BIND + struct.pack(">IIII", length, 0x15, 0, 77))
    assert read_pdu(peer)[0] == 0x80000009
    assert read_pdu(peer) == (0x80000000, 2, 77, b"")
    assert peer.recv(1) == b""


def test_unbind_is_answered_and_the_receipts_wait_for_the_next_bind(
    start: Start, raw: Any, submit_sm: Any
) -> None:
    _, port = start("--receipt-delay-ms", "0")
    first = raw(port)
    transmitter_bind = pdu(0x2, 1, b"demo\0\0\0\x34\0\0\0")
    first.sendall(transmitter_bind + submit_sm(2) + pdu(0x6, 3))
    assert [read_pdu(first)[0] for _ in range(3)] == [0x80000002, 0x80000004, 0x80000006]
    assert first.recv(1) == b""
    second = raw(port)
    second.sendall(BIND)
    assert [read_pdu(second)[0] for _ in range(2)] == [0x80000009, 0x5]


def test_a_silent_peer_is_asked_whether_it_lives_and_dropped(start: Start, raw: Any) -> None:
    _, port = start("--enquire-link-s", "0.05")
    peer = raw(port)
    peer.sendall(BIND)
    assert read_pdu(peer)[0] == 0x80000009
    assert read_pdu(peer)[0] == 0x15
    with contextlib.suppress(ConnectionResetError):
        while peer.recv(64):
            pass


def test_the_witness_has_all_the_client_saw_accepted_before_the_kill(
    start: Start, esme: Any, tmp_path: Path
) -> None:
    process, port = start("--witness", str(tmp_path / "w"))
    one = esme(port)
    one.client.bind_transceiver(system_id="demo", password="")
    for n in range(500):
        one.send(447700900000 + n)
    one.read_until(lambda: len(one.responses) >= 250)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=5)
    seen = {int(response.message_id, 16) for response in one.responses}
    recorded = {record.number for record in witness.records(tmp_path / "w")}
    assert seen <= recorded
    assert 250 <= len(seen) <= len(recorded) <= 500


def test_sigterm_unbinds_and_ends_within_two_seconds_with_work_pending(
    start: Start, raw: Any, submit_sm: Any
) -> None:
    process, port = start("--receipt-delay-ms", "60000", "--json-status")
    peer = raw(port)
    peer.sendall(BIND + b"".join(submit_sm(n) for n in range(2, 50)))
    assert [read_pdu(peer)[0] for _ in range(49)] == [0x80000009] + [0x80000004] * 48
    began = time.monotonic()
    process.terminate()
    assert read_pdu(peer)[0] == 0x6, "the peer is told, and may leave its answer out"
    output, _ = process.communicate(timeout=5)
    assert time.monotonic() - began < 2
    assert process.returncode == 0
    assert json.loads(output.splitlines()[-1])["accepted"] == 48


def test_a_port_in_use_is_one_clear_line(start: Start) -> None:
    _, port = start()
    other = subprocess.run(
        [sys.executable, "-m", "bench.simulators.smsc", "--port", str(port)], capture_output=True, text=True
    )
    assert other.returncode == 1
    assert "address already in use" in other.stderr.lower()
    assert "Traceback" not in other.stderr
