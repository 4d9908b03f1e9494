"""Every fault of the proxy, on real sockets, between a client by hand and an SMSC that answers all."""

import asyncio
import json
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from bench.simulators.proxy.proxy import FaultProxy
from bench.simulators.proxy.rules import parse

BIND, SUBMIT, ENQUIRE = 0x9, 0x4, 0x15
RESPONSE = 0x80000000
Pdu = tuple[int, int, int, bytes]


def pdu(command: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    return struct.pack(">IIII", 16 + len(body), command, status, sequence) + body


class Peer:
    """A connection that reads PDUs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def read(self) -> Pdu:
        length, command, status, sequence = struct.unpack(">IIII", await self.reader.readexactly(16))
        return command, status, sequence, await self.reader.readexactly(length - 16)

    async def sequences(self, count: int) -> list[int]:
        return [(await self.read())[2] for _ in range(count)]


class Smsc:
    """Answers each request with status 0 and an id; keeps what it got."""

    def __init__(self) -> None:
        self.got: list[Pdu] = []
        self.pieces: list[bytes] = []
        self.ends: asyncio.Queue[str] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        try:
            while piece := await reader.read(65536):
                self.pieces.append(piece)
                data += piece
                while len(data) >= 16 and len(data) >= (length := int.from_bytes(data[:4], "big")) >= 16:
                    _, command, status, sequence = struct.unpack(">IIII", data[:16])
                    self.got.append((command, status, sequence, data[16:length]))
                    writer.write(pdu(command | RESPONSE, sequence, b"id\0"))
                    data = data[length:]
            self.ends.put_nowait("end")
        except ConnectionResetError:
            self.ends.put_nowait("reset")
        finally:
            writer.close()


@asynccontextmanager
async def between(*rules: str, seed: int = 1) -> AsyncIterator[tuple[FaultProxy, Smsc, Peer]]:
    smsc = Smsc()
    server = await asyncio.start_server(smsc.serve, "127.0.0.1", 0)
    proxy = FaultProxy(
        "127.0.0.1", server.sockets[0].getsockname()[1], [parse(rule) for rule in rules], seed=seed
    )
    await proxy.start()
    esme = Peer(*await asyncio.open_connection("127.0.0.1", proxy.port))
    try:
        yield proxy, smsc, esme
    finally:
        esme.writer.close()
        await proxy.stop()
        server.close()


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(story(), 10)

    uvloop.run(bounded())


def test_without_a_rule_all_passes_in_both_directions() -> None:
    async def story() -> None:
        async with between() as (proxy, smsc, esme):
            esme.writer.write(pdu(BIND, 1, b"x" * 40) + pdu(SUBMIT, 2, b"y" * 3000))
            assert [await esme.read() for _ in range(2)] == [
                (BIND | RESPONSE, 0, 1, b"id\0"),
                (SUBMIT | RESPONSE, 0, 2, b"id\0"),
            ]
            assert smsc.got == [(BIND, 0, 1, b"x" * 40), (SUBMIT, 0, 2, b"y" * 3000)]
            assert proxy.counters() == {"connections": 1}

    play(story)


@pytest.mark.parametrize(
    ("rule", "sequences"),
    [
        ("drop:submit_sm_resp@count=2", [1, 3, 4]),
        ("duplicate:submit_sm_resp@count=2", [1, 2, 2, 3, 4]),
        ("reorder:submit_sm_resp@count=2", [1, 3, 2, 4]),
        ("sequence=0x1000:submit_sm_resp@count=2", [1, 0x1002, 3, 4]),
        ("drop:submit_sm@count=2", [1, 3, 4]),
        ("duplicate:submit_sm@count=2", [1, 2, 2, 3, 4]),
    ],
)
def test_responses_are_dropped_doubled_reordered_and_renumbered(rule: str, sequences: list[int]) -> None:
    async def story() -> None:
        async with between(rule) as (proxy, _, esme):
            esme.writer.write(b"".join(pdu(SUBMIT, n) for n in range(1, 5)))
            assert await esme.sequences(len(sequences)) == sequences
            assert proxy.counters()[parse(rule).name] == 1

    play(story)


def test_a_response_may_say_another_status() -> None:
    async def story() -> None:
        async with between("status=0x480:submit_sm_resp@count=1") as (_, smsc, esme):
            esme.writer.write(pdu(SUBMIT, 1))
            assert await esme.read() == (SUBMIT | RESPONSE, 0x480, 1, b"")
            assert len(smsc.got) == 1

    play(story)


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ("answer=0x0E:bind_transceiver@times=1", (BIND | RESPONSE, 0x0E, 1, b"")),
        ("nack=0x03:bind_transceiver@times=1", (RESPONSE, 0x03, 1, b"")),
    ],
)
def test_a_request_may_be_answered_without_getting_there(rule: str, answer: Pdu) -> None:
    async def story() -> None:
        async with between(rule) as (_, smsc, esme):
            esme.writer.write(pdu(BIND, 1))
            assert await esme.read() == answer
            esme.writer.write(pdu(BIND, 2))
            assert (await esme.read())[:3] == (BIND | RESPONSE, 0, 2)
            assert [sequence for _, _, sequence, _ in smsc.got] == [2]

    play(story)


def test_single_octets_arrive_as_single_octets_and_whole() -> None:
    async def story() -> None:
        async with between("slice:submit_sm") as (_, smsc, esme):
            esme.writer.write(pdu(SUBMIT, 1, b"z" * 100))
            await esme.read()
            assert smsc.got == [(SUBMIT, 0, 1, b"z" * 100)]
            assert len(smsc.pieces) > 10, "in many reads"

    play(story)


def test_a_delay_keeps_the_order() -> None:
    async def story() -> None:
        async with between("delay=50:submit_sm_resp@count=1") as (_, _, esme):
            began = asyncio.get_running_loop().time()
            esme.writer.write(pdu(SUBMIT, 1) + pdu(SUBMIT, 2))
            assert await esme.sequences(2) == [1, 2]
            assert asyncio.get_running_loop().time() - began >= 0.049

    play(story)


def test_a_reset_comes_inside_the_pdu_and_reaches_both() -> None:
    async def story() -> None:
        async with between("reset:submit_sm@count=1") as (_, smsc, esme):
            esme.writer.write(pdu(SUBMIT, 1, b"z" * 100))
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await esme.read()
            assert await smsc.ends.get() in ("reset", "end")
            assert smsc.got == []
            assert len(b"".join(smsc.pieces)) in (0, 58), "a half, unless the reset overtook it"

    play(story)


def test_garbage_and_a_lie_about_the_length_reach_the_reader() -> None:
    async def story() -> None:
        async with between("garbage=8:submit_sm_resp@count=1", "oversized:submit_sm_resp@count=2") as (
            proxy,
            _,
            esme,
        ):
            esme.writer.write(pdu(SUBMIT, 1) + pdu(SUBMIT, 2))
            await esme.reader.readexactly(8)
            assert (await esme.read())[2] == 1
            assert int.from_bytes(await esme.reader.readexactly(4), "big") == 1 << 30
            assert set(proxy.counters().values()) == {1}

    play(story)


def test_a_black_hole_is_silent_and_closes_nothing() -> None:
    async def story() -> None:
        async with between("black_hole:submit_sm@count=1") as (proxy, smsc, esme):
            esme.writer.write(pdu(BIND, 1))
            await esme.read()
            esme.writer.write(pdu(SUBMIT, 2) + pdu(ENQUIRE, 3))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(esme.reader.read(1), 0.2)
            assert [command for command, *_ in smsc.got] == [BIND]
            proxy.drop()
            with pytest.raises(ConnectionResetError):
                await esme.read()

    play(story)


def test_half_open_ends_one_side_and_does_not_tell_the_other() -> None:
    async def story() -> None:
        async with between("half_open:submit_sm@count=1") as (_, smsc, esme):
            esme.writer.write(pdu(SUBMIT, 1))
            assert await smsc.ends.get() == "end"
            esme.writer.write(pdu(ENQUIRE, 2))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(esme.reader.read(1), 0.2)

    play(story)


def test_after_clear_all_passes_and_the_counts_stay() -> None:
    async def story() -> None:
        async with between("drop:submit_sm_resp") as (proxy, smsc, esme):
            esme.writer.write(pdu(SUBMIT, 1))
            esme.writer.write(pdu(ENQUIRE, 9))
            assert await esme.sequences(1) == [9], "behind the response that was dropped"
            assert len(smsc.got) == 2
            proxy.clear()
            esme.writer.write(pdu(SUBMIT, 2))
            assert await esme.sequences(1) == [2]
            assert proxy.counters() == {"drop:submit_sm_resp": 1, "connections": 1}

    play(story)


def test_the_command_listens_counts_and_ends() -> None:
    async def story() -> None:
        smsc = Smsc()
        server = await asyncio.start_server(smsc.serve, "127.0.0.1", 0)
        target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bench.simulators.proxy", "--target", target, "--json-status"),
            *("--rule", "answer=0x58:submit_sm"),
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        port = json.loads(await process.stdout.readline())["listening"]
        esme = Peer(*await asyncio.open_connection("127.0.0.1", port))
        esme.writer.write(pdu(SUBMIT, 1))
        assert (await esme.read())[1] == 0x58
        process.send_signal(signal.SIGTERM)
        lines = (await process.communicate())[0].splitlines()
        assert process.returncode == 0
        assert json.loads(lines[-1])["answer:submit_sm"] == 1
        server.close()

    play(story)
