"""A wrong password is asked about three times in all, by however many engines, and not again by a restart."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.core_api import schema
from engine.ledger import leases
from engine.ledger.accounts import upsert_account

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Until = Callable[..., Any]
HEADER = struct.Struct(">IIII")
WRONG = 0x0E
QUICK = {"reconnect_min_s": 0.01, "reconnect_max_s": 0.05, "bind_stagger_s": 0.0}


class Gatekeeper:
    """Refuses every bind, until it does not."""

    def __init__(self) -> None:
        self.status = WRONG
        self.binds = 0
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                length, command, _, sequence = HEADER.unpack(await reader.readexactly(16))
                await reader.readexactly(length - 16)
                self.binds += command in (0x1, 0x2, 0x9)
                body = b"smsc\0" if command in (0x1, 0x2, 0x9) and not self.status else b""
                writer.write(HEADER.pack(16 + len(body), command | 0x80000000, self.status, sequence) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
async def gatekeeper() -> AsyncIterator[Gatekeeper]:
    started = Gatekeeper()
    await started.start()
    yield started
    await started.stop()


async def account(room: Room, port: int, binds: int) -> None:
    spec = schema.AccountSpec(
        name="Test", host="127.0.0.1", port=port, system_id="esme", password="secret", binds=binds,
        settings=QUICK,
    )  # fmt: skip
    async with room.pool.acquire() as connection:
        await upsert_account(connection, spec, room.secrets)


def refused(engine: Any) -> bool:
    """All binds it holds have given up."""
    (working,) = engine.dispatcher._working.values()
    held = working.binds.held_binds
    return bool(held) and all(bind.link.state.value == "refused" for bind in held)


async def test_several_engines_ask_three_times_in_all(
    room: Room, gatekeeper: Gatekeeper, tmp_path: Path, until: Until
) -> None:
    await account(room, gatekeeper.port, 6)
    engines = await asyncio.gather(
        *(room.engine(data_dir=tmp_path / name, poll_interval_ms=100) for name in ("one", "two", "three"))
    )
    await until(lambda: all(refused(each) for each in engines), "every bind to give up")
    assert gatekeeper.binds == 3
    await engines[0].stop(0.2)
    again = await room.engine(data_dir=tmp_path / "one", poll_interval_ms=100)
    await until(lambda: refused(again), "the one that started again to give up")
    assert gatekeeper.binds == 3, "a restart is no new try"


async def test_a_rebind_tries_again_and_an_accepted_one_stays(
    room: Room, gatekeeper: Gatekeeper, until: Until
) -> None:
    await account(room, gatekeeper.port, 1)
    engine = await room.engine()
    await until(lambda: refused(engine), "the bind to give up")
    assert gatekeeper.binds == 3
    gatekeeper.status = 0
    async with room.pool.acquire() as connection:
        await leases.control_bind(connection, "Test", 1, "rebind")
    engine.dispatcher.wake()
    (working,) = engine.dispatcher._working.values()
    await until(lambda: working.binds.held_binds[0].bound, "the bind")
    assert gatekeeper.binds == 4

    async def cleared() -> bool:
        return await room.pool.fetchval("SELECT refused = 0 FROM accounts") is True

    await until(cleared, "the count to be cleared")


async def test_a_change_of_the_tps_leaves_the_binds_and_their_tries(
    room: Room, gatekeeper: Gatekeeper, until: Until
) -> None:
    """They are made from what is stored, whatever its version: they need not wait."""
    gatekeeper.status = 0
    await account(room, gatekeeper.port, 1)
    engine = await room.engine()
    (working,) = engine.dispatcher._working.values()
    await until(lambda: working.binds.held_binds and working.binds.held_binds[0].bound, "the bind")
    async with room.pool.acquire() as connection:
        await connection.execute("UPDATE accounts SET tps = 7, version = version + 1")
    engine.dispatcher.wake()
    await until(lambda: working.account.tps == 7, "the new TPS")
    for writer in gatekeeper._writers:
        writer.transport.abort()
    await until(lambda: gatekeeper.binds == 2, "it to come back")
    assert list(engine.dispatcher._working.values()) == [working]


async def test_a_wrong_password_that_is_made_right_binds(
    room: Room, gatekeeper: Gatekeeper, until: Until
) -> None:
    await account(room, gatekeeper.port, 2)
    engine = await room.engine(poll_interval_ms=100)
    await until(lambda: refused(engine), "every bind to give up")
    gatekeeper.status = 0
    await account(room, gatekeeper.port, 3)

    def bound() -> bool:
        held = [bind for each in engine.dispatcher._working.values() for bind in each.binds.held_binds]
        return len(held) == 3 and all(bind.bound for bind in held)

    await until(bound, "every bind")
