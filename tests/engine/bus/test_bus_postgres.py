"""The bus over LISTEN and NOTIFY."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine.bus.postgres import PostgresBus, ring

pytestmark = pytest.mark.system


class Heard:
    def __init__(self) -> None:
        self.count = 0
        self._more = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._more.set()

    async def next(self) -> None:
        async with asyncio.timeout(20):
            await self._more.wait()
        self._more.clear()


@pytest.fixture
async def heard() -> Heard:
    return Heard()


@pytest.fixture
async def bus(ledger_dsn: str, heard: Heard) -> AsyncIterator[PostgresBus]:
    started = PostgresBus(ledger_dsn, heard, reconnect_s=0.01)
    started.start()
    async with asyncio.timeout(20):
        await started.listening.wait()
    await heard.next()  # whoever begins to listen looks once
    yield started
    await started.stop()


async def test_a_ring_is_heard_when_its_transaction_commits(
    ledger_dsn: str, bus: PostgresBus, heard: Heard
) -> None:
    connection = await asyncpg.connect(ledger_dsn)
    async with connection.transaction():
        await ring(connection)
        before = heard.count
    await heard.next()
    assert heard.count > before == 1
    await connection.close()


async def test_a_lost_connection_is_made_anew_and_the_listener_looks(
    ledger_dsn: str, bus: PostgresBus, heard: Heard
) -> None:
    connection = await asyncpg.connect(ledger_dsn)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await heard.next()
    await ring(connection)
    await heard.next()
    await connection.close()
