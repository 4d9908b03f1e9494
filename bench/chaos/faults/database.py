"""The database gone, silent, slow, full, or without a free connection."""

import asyncio

import asyncpg

from bench.chaos.fault import fault
from bench.chaos.lab import LEDGER, Lab, LabError, Settings
from bench.measure import rss_bytes
from bench.simulators.smsc.behaviour import Behaviour

AWAY_S = 8.0
FLAT_BYTES = 64 << 20


def _slow() -> Settings:
    return Settings(behaviour=Behaviour(latency_ms=40, receipt_delay_ms=400), tps=1000)


def _filled() -> Settings:
    return Settings(behaviour=Behaviour(latency_ms=40, receipt_delay_ms=400), tps=1000, shim=("postgres",))


async def _away(lab: Lab, away_s: float = AWAY_S) -> None:
    """Sending stops, receipts are still taken, and memory stays flat."""
    before = rss_bytes(lab.engine.pid)
    await asyncio.sleep(2.0)
    accepted = lab.smsc.counters()["accepted"]
    await asyncio.sleep(away_s - 2.0)
    more = lab.smsc.counters()["accepted"] - accepted
    if more > lab.settings.max_claimed:
        raise LabError(f"{more} parts went out while nothing could be booked")
    if (grown := rss_bytes(lab.engine.pid) - before) > FLAT_BYTES:
        raise LabError(f"the engine grew by {grown >> 20} MiB while the database was away")


@fault("database", "the database is gone: connections end, none comes about", settings=_slow)
async def database_gone(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.3)
    lab.wire.cut = True
    lab.wire.drop()
    await _away(lab)
    lab.wire.cut = False


@fault("database", "the database is gone for a minute", settings=_slow)
async def database_gone_a_minute(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.3)
    lab.wire.cut = True
    lab.wire.drop()
    await _away(lab, 60.0)
    lab.wire.cut = False


@fault("database", "the database falls silent: connections stay and nothing passes", settings=_slow)
async def database_silent(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.3)
    lab.wire.silence(True)
    await _away(lab)
    lab.wire.silence(False)


@fault("database", "the database is slow: 50 ms more each way", settings=_slow)
async def database_slow(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.2)
    lab.wire.delay_s = 0.05
    await lab.under_way(0.5)
    lab.wire.delay_s = 0.0


@fault("database", "the database's disk is full: files cannot grow", settings=_filled)
async def database_disk_full(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.3)
    lab.shims["postgres"].disk_full = True
    await _away(lab)
    lab.shims["postgres"].disk_full = False
    await lab.database.start()  # a full WAL folder ends PostgreSQL itself


@fault("database", "no free connection is left in the database", settings=_slow)
async def database_no_connections(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.2)
    held: list[asyncpg.Connection] = []
    dsn = lab.database.dsn(LEDGER)
    try:
        lab.wire.drop()  # the engine's own are among those that are taken
        while len(held) < 200:
            try:
                held.append(await asyncpg.connect(dsn, timeout=3))
            except asyncpg.TooManyConnectionsError:
                break
        await _away(lab)
    finally:
        for connection in held:
            await connection.close()
