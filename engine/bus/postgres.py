"""The default bus: `NOTIFY heliograph_work` says that campaigns or channels changed, `heliograph_stops` that
sending was stopped or let go on; who listens looks again.

A notification carries nothing and may be lost: PostgreSQL's rows decide, and every listener polls as well.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog

from engine.ledger.pool import AWAY, Connection

log = structlog.get_logger(__name__)

WORK = "heliograph_work"
STOPS = "heliograph_stops"
RECONNECT_S = 1.0
ALIVE_EVERY_S = 10.0  # a listener writes nothing, so a dead connection shows only when asked


async def ring(connection: Connection, channel: str = WORK) -> None:
    """Tell every listener to look; within a transaction they hear it when that commits."""
    await connection.execute("SELECT pg_notify($1, '')", channel)


class PostgresBus:
    """Listens on a connection of its own, and comes back when it is lost."""

    def __init__(
        self,
        dsn: str,
        on_work: Callable[[], None],
        on_stops: Callable[[], None] | None = None,
        *,
        reconnect_s: float = RECONNECT_S,
    ) -> None:
        self._dsn = dsn
        self._on = {WORK: on_work, STOPS: on_stops or on_work}
        self._reconnect_s = reconnect_s
        self._task: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()

    def start(self) -> None:
        assert self._task is None, "started twice"
        self._task = asyncio.create_task(self._run(), name="bus-postgres")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except AWAY as error:
                log.warning("bus lost", error=type(error).__name__)
            self.listening.clear()
            await asyncio.sleep(self._reconnect_s)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=10)
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda *_: lost.set())
            for channel in self._on:
                await connection.add_listener(channel, self._heard)
            self.listening.set()
            for look in dict.fromkeys(self._on.values()):
                look()  # what was said while nobody listened
            while not lost.is_set():
                try:
                    async with asyncio.timeout(ALIVE_EVERY_S):
                        await lost.wait()
                except TimeoutError:
                    await connection.execute("SELECT 1", timeout=10)
        finally:
            connection.terminate()

    def _heard(self, _connection: Any, _pid: int, channel: str, _payload: str) -> None:
        self._on[channel]()
