"""A database that hangs without closing a connection: who asks it goes on within a bound."""

import asyncio
import re
import shutil
import tempfile
import time
from functools import partial
from types import SimpleNamespace

import pytest
from ledger_world import make_channel, make_worker

from engine.core_api.server.metrics import LEDGER_PATIENCE_S, _ledger
from engine.ledger.bind_tries import PATIENCE_S, AccountTries
from engine.ledger.migrate import migrate
from engine.ledger.pool import open_pool
from engine.smpp.gate import UNCOUNTED


class Proxy:
    """Passes octets on to a database while `go` is set; with `stall_commit`, until it has passed a COMMIT."""

    def __init__(self, path):
        self.go = asyncio.Event()
        self.go.set()
        self.stall_commit = False
        self._path = path
        self._pumps = set()

    async def start(self, path):
        self._server = await asyncio.start_unix_server(self._serve, path)

    def stop(self):
        self.go.set()
        self._server.close()
        for pump in self._pumps:
            pump.cancel()

    async def _serve(self, reader, writer):
        up_reader, up_writer = await asyncio.open_unix_connection(self._path)
        for source, target, up in ((reader, up_writer, True), (up_reader, writer, False)):
            pump = asyncio.create_task(self._pump(source, target, up))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source, target, up):
        try:
            while data := await source.read(65536):
                await self.go.wait()
                target.write(data)
                await target.drain()
                if up and self.stall_commit and b"COMMIT" in data:
                    self.go.clear()
        except OSError:
            return
        finally:
            target.close()


@pytest.fixture
async def database(ledger_dsn):
    """(proxy, a pool through it, a pool beside it)"""
    await migrate(ledger_dsn)
    quoted = re.search(r"host=([^&]+)", ledger_dsn).group(1)
    port = found.group(1) if (found := re.search(r"port=(\d+)", ledger_dsn)) else "5432"
    folder = tempfile.mkdtemp(prefix="hang-")  # short: a socket's path has few characters
    proxy = Proxy(f"{quoted.replace('%2F', '/')}/.s.PGSQL.{port}")
    await proxy.start(f"{folder}/.s.PGSQL.{port}")
    through = await open_pool(ledger_dsn.replace(quoted, folder), min_size=1, max_size=4)
    beside = await open_pool(ledger_dsn, min_size=1, max_size=2)
    yield proxy, through, beside
    through.terminate()
    beside.terminate()
    proxy.stop()
    shutil.rmtree(folder)


async def until(holds):
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110  # a database tells nobody
            await asyncio.sleep(0.05)


async def held(pool):
    return await pool.fetchval("SELECT count(*) FROM bind_tries")


async def no_try_is_held(pool):
    return not await held(pool)


async def answers(state):
    return await _ledger(state) is not None


async def test_a_bind_and_a_scrape_wait_their_patience_and_no_longer(database, box):
    proxy, pool, beside = database
    tries = AccountTries(pool, await make_worker(beside, "one"), await make_channel(beside, box), 1)
    state = SimpleNamespace(pool=pool)
    assert await _ledger(state) is not None
    proxy.stall_commit = True
    began = time.monotonic()
    assert await tries.take(3) == UNCOUNTED
    assert await tries.take(3) == UNCOUNTED, "at once: the first question hangs"
    assert await _ledger(state) is None
    assert await _ledger(state) is None
    assert time.monotonic() - began < PATIENCE_S + LEDGER_PATIENCE_S + 2
    assert await held(beside) == 1, "its COMMIT went through"
    proxy.stall_commit = False
    proxy.go.set()
    await until(partial(no_try_is_held, beside))
    assert await tries.take(3)
    await until(partial(answers, state))


async def test_a_bind_that_is_stopped_while_its_try_is_committed_gives_it_back(database, box):
    proxy, pool, beside = database
    tries = AccountTries(pool, await make_worker(beside, "one"), await make_channel(beside, box), 1)
    await pool.fetchval("SELECT 1")
    proxy.stall_commit = True
    asked = asyncio.ensure_future(tries.take(3))
    await until(partial(held, beside))
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    proxy.stall_commit = False
    proxy.go.set()
    await until(partial(no_try_is_held, beside))
