"""How the simulator lets people in, throws them out, and comes back."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from bench.simulators.smsc import witness
from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.server import Door, Simulator

RALYBND, RBINDFAIL = 0x5, 0xD
BIND = struct.pack(">IIII", 16 + 17, 9, 0, 1) + b"demo\0secret\0\0\x34\0\0\0"


class Esme:
    """A connection, and PDUs from it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def pdu(self) -> tuple[int, int, int, bytes]:
        length, command, status, sequence = struct.unpack(">IIII", await self.reader.readexactly(16))
        return command, status, sequence, await self.reader.readexactly(length - 16)

    async def bind(self) -> tuple[int, bytes]:
        self.writer.write(BIND)
        _, status, _, body = await self.pdu()
        return status, body

    async def ended(self) -> bool:
        try:
            return not await self.reader.read()
        except ConnectionResetError:
            return True


async def connect(simulator: Simulator) -> Esme:
    return Esme(*await asyncio.open_connection("127.0.0.1", simulator.port))


def run(simulator: Simulator, play: Callable[[Simulator], Awaitable[None]]) -> None:
    async def whole() -> None:
        await simulator.start()
        try:
            await asyncio.wait_for(play(simulator), 10)
        finally:
            await simulator.stop(0.1)

    uvloop.run(whole())


def test_the_version_may_be_left_out_of_the_bind_response() -> None:
    async def play(simulator: Simulator) -> None:
        assert await (await connect(simulator)).bind() == (0, b"heliograph\0")

    run(Simulator(Door(version=None), Behaviour()), play)


def test_the_first_binds_may_be_refused() -> None:
    async def play(simulator: Simulator) -> None:
        found = [(await (await connect(simulator)).bind())[0] for _ in range(3)]
        assert found == [RBINDFAIL, 0x0E, 0]

    run(Simulator(Door(refused_binds=(RBINDFAIL, 0x0E)), Behaviour()), play)


def test_more_binds_than_permitted_are_already_bound() -> None:
    async def play(simulator: Simulator) -> None:
        kept = [await connect(simulator) for _ in range(3)]
        assert [(await esme.bind())[0] for esme in kept] == [0, 0, RALYBND]

    run(Simulator(Door(max_binds=2), Behaviour()), play)


def test_a_dropped_session_is_still_bound_for_a_while_and_an_unbound_one_is_not() -> None:
    async def play(simulator: Simulator) -> None:
        polite = await connect(simulator)
        await polite.bind()
        polite.writer.write(struct.pack(">IIII", 16, 6, 0, 2))
        await polite.pdu()
        assert await polite.ended()
        rude = await connect(simulator)
        assert (await rude.bind())[0] == 0
        rude.writer.transport.abort()
        statuses = set()
        while 0 not in statuses:  # the session ends in its time, 100 ms
            statuses.add((await (await connect(simulator)).bind())[0])
        assert statuses == {0, RALYBND}
        assert simulator.counts["binds_dropped"] == 1

    run(Simulator(Door(max_binds=1, stale_bind_s=0.1), Behaviour()), play)


def test_a_bind_that_leaves_a_receipt_unanswered_is_dropped_and_the_receipt_comes_again(
    submit_sm: Any,
) -> None:
    async def play(simulator: Simulator) -> None:
        esme = await connect(simulator)
        await esme.bind()
        esme.writer.write(submit_sm(2))
        assert [(await esme.pdu())[0] for _ in range(2)] == [0x80000004, 5]
        assert await esme.ended()
        again = await connect(simulator)
        await again.bind()
        assert (await again.pdu())[0] == 5

    run(Simulator(Door(), Behaviour(unanswered_ms=50)), play)


def test_a_restart_keeps_its_receipts_or_forgets_them_and_counts_on(submit_sm: Any, tmp_path: Path) -> None:
    async def play(simulator: Simulator) -> None:
        port = simulator.port
        for memory, brought in ((True, 1), (False, 0)):
            esme = await connect(simulator)
            await esme.bind()
            esme.writer.write(submit_sm(2))
            await esme.pdu()
            await simulator.restart(memory=memory)
            assert await esme.ended()
            assert simulator.port == port
            assert simulator.counters()["delayed"] == brought
        assert simulator.counters()["accepted"] == 2
        assert simulator.counters()["restarts"] == 2

    run(Simulator(Door(), Behaviour(receipt_delay_ms=60_000), tmp_path / "witness"), play)
    assert witness.read(tmp_path / "witness").parts == 2


def test_acknowledged_receipts_are_in_their_file(submit_sm: Any, tmp_path: Path) -> None:
    async def play(simulator: Simulator) -> None:
        esme = await connect(simulator)
        await esme.bind()
        esme.writer.write(submit_sm(2))
        _, receipt = await esme.pdu(), await esme.pdu()
        esme.writer.write(struct.pack(">IIIIB", 17, 0x80000005, 0, receipt[2], 0))
        esme.writer.write(struct.pack(">IIII", 16, 0x15, 0, 9))
        await esme.pdu()

    run(Simulator(Door(), Behaviour(), None, tmp_path / "receipts"), play)
    assert len(list(witness.acknowledged(tmp_path / "receipts"))) == 1
