"""A server that says it ends before its connection does: the database is away, and nothing of ours is broken.

asyncpg then answers every statement with an InternalClientError until the connection ends too.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest
from ledger_world import make_driver
from structlog.testing import capture_logs

from engine.ledger.migrate import migrate
from engine.ledger.pool import open_pool

SOCKET = ".s.PGSQL.5432"


class LateEnd:
    """Between us and the server: passes everything on, but not that the server hung up."""

    def __init__(self, target: Path) -> None:
        self.hung_up = asyncio.Event()
        self.folder = Path(tempfile.mkdtemp(prefix="relay-"))  # a socket's path has a hundred octets at most
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.folder / SOCKET))

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self.folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_unix_connection(str(self._target))
        back = asyncio.create_task(self._back(far_reader, writer))
        try:
            while data := await reader.read(65536):
                far_writer.write(data)
        finally:
            back.cancel()
            far_writer.transport.abort()
            writer.transport.abort()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        self.hung_up.set()


@pytest.fixture
async def relay(ledger_dsn: str) -> AsyncIterator[LateEnd]:
    (folder,) = parse_qs(urlsplit(ledger_dsn).query)["host"]
    between = LateEnd(Path(folder) / SOCKET)
    await between.start()
    yield between
    await between.stop()


@pytest.mark.system
async def test_the_writer_goes_on_over_another_connection(ledger_dsn: str, relay: LateEnd, box) -> None:
    await migrate(ledger_dsn)
    base = ledger_dsn.split("?", 1)[0]
    pool = await open_pool(f"{base}?host={quote(str(relay.folder), safe='')}", min_size=1, max_size=4)
    direct = await asyncpg.connect(ledger_dsn)
    try:
        driver = await make_driver(pool, box)
        await driver.claim([1] * 4)
        driver.accept(0, 1)
        await driver.writer.flush()
        await direct.execute("SELECT pg_terminate_backend($1)", driver.writer._connection.get_server_pid())
        await relay.hung_up.wait()
        await direct.fetchval("SELECT 1")  # by now the last words are read
        driver.accept(2, 3)
        with capture_logs() as logged:
            await asyncio.wait_for(driver.writer.flush(), 20)
        assert "InternalClientError" in logged[0]["error"]
        assert await direct.fetchval("SELECT count(*) FROM submissions") == 4
    finally:
        await direct.close()
        pool.terminate()
