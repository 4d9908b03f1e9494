"""The database away: receipts are kept, acknowledged, and counted once, whatever dies meanwhile."""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from array import array
from uuid import uuid4

import asyncpg
import pytest
from ledger_world import FIRST_MSISDN, Driver, make_driver, make_worker

from engine._fast.columns import KIND_MO, ReceiptBatch
from engine.ledger import outage as outage_module
from engine.ledger import writer as writer_module
from engine.ledger.intake import RX_T_APPN
from engine.ledger.journal import Entry, Journal
from engine.ledger.writer import LedgerWriter
from engine.smpp import codec

MOST = 1 << 20


class SwitchedPool:
    """A pool whose database can be taken away: connections are severed, new ones refused."""

    def __init__(self, pool):
        self.pool, self.there, self.asked = pool, True, asyncio.Event()
        self._out = []

    def acquire(self):
        return self.pool.acquire() if self.there else self._refuse()

    async def _refuse(self):
        self.asked.set()
        raise ConnectionRefusedError

    async def release(self, connection, **options):
        await self.pool.release(connection, **options)

    def take_away(self, writer: LedgerWriter) -> None:
        self.there = False
        self.asked.clear()
        if writer._connection is not None:
            with contextlib.suppress(asyncpg.InterfaceError):  # severed already
                writer._connection.terminate()


class World:
    """A driver whose writer has a journal; `crash` leaves the writer where it stands and starts another."""

    def __init__(self, driver: Driver, pool: SwitchedPool, folder):
        self.driver, self.pool, self.folder = driver, pool, folder

    @property
    def writer(self) -> LedgerWriter:
        return self.driver.writer

    async def start(self, most: int = MOST, **options) -> None:
        """A new process on the same folder."""
        worker = await make_worker(self.driver.pool, str(uuid4()))
        journal = await Journal.open(self.folder, most)
        self.driver.writer = LedgerWriter(
            self.pool, worker, recent_capacity=10_000, hold_s=options.pop("hold_s", 0.0),
            orphan_interval_s=0.0, journal=journal, **options,
        )  # fmt: skip
        await self.driver.writer.rebuild()

    async def crash(self, *tasks: asyncio.Task) -> None:
        old = self.writer
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if old._outage is not None and old._outage._writing is not None:
            old._outage._writing.cancel()
            await asyncio.wait({old._outage._writing})
        connection, old._connection = old._connection, None
        if connection is not None:
            with contextlib.suppress(asyncpg.InterfaceError):
                connection.terminate()
            await self.pool.release(connection)
        self.pool.there = True
        await self.driver.fetch("UPDATE workers SET stopped_at = now() WHERE worker_id = $1", old.worker_id)
        await self.start()

    async def journalled(self) -> None:
        """Returns when all that was given is in the journal or refused."""
        await self.writer._outage.settled()

    async def replayed(self) -> None:
        while self.writer._outage.active:
            await self.writer.flush()
            await self.writer.replay()

    async def receipts(self) -> list[tuple[int, int]]:
        rows = await self.driver.fetch("SELECT row_no, verdict FROM receipts ORDER BY row_no, verdict")
        return [(row["row_no"], row["verdict"]) for row in rows]

    async def balanced(self) -> bool:
        found = await self.driver.equation()
        assert found.balanced, found.first_difference
        return True


@pytest.fixture
async def world(pool, box, tmp_path) -> World:
    driver = await make_driver(pool, box)
    world = World(driver, SwitchedPool(pool), tmp_path / "journal")
    await world.start()
    return world


async def away(world: World) -> asyncio.Task:
    """The database is away and a commit is being tried."""
    world.pool.take_away(world.writer)
    trying = asyncio.create_task(world.writer.flush())
    await asyncio.wait_for(world.pool.asked.wait(), 10)
    return trying


async def test_no_acknowledged_receipt_is_lost_over_an_outage_and_each_is_counted_once(world):
    driver = world.driver
    await driver.claim([1, 1, 1, 1])
    driver.accept(0, 1, 2, 3)
    await world.writer.flush()
    driver.delivered("0.1")  # buffered before anybody knows
    trying = await away(world)
    driver.delivered("1.1")
    world.writer.spill()
    driver.delivered("2.1", "0.1")
    driver.undelivered("nobody's")
    await world.journalled()
    assert driver.acknowledged == 4
    pending = world.writer.pending
    for _ in range(50):
        driver.delivered("3.1")
    await world.journalled()
    assert world.writer.pending == pending  # memory does not grow
    assert world.writer.journal.waiting > 50
    world.pool.there = True
    await trying
    await world.replayed()
    counts = await driver.counts()
    assert (counts.delivered, counts.receipts) == (4, 54)
    assert not world.writer.journal.bytes
    assert [r["smsc_id"] for r in await driver.fetch("SELECT smsc_id FROM orphan_receipts")] == ["nobody's"]
    driver.delivered("3.1")  # live again
    await world.writer.flush()
    assert (driver.acknowledged, (await driver.counts()).receipts) == (55, 55)
    assert await world.balanced()


async def test_no_acknowledged_receipt_is_lost_when_the_engine_dies_in_the_outage(world):
    driver = world.driver
    await driver.claim([1, 1])
    driver.accept(0, 1)
    await world.writer.flush()
    driver.delivered("0.1")
    trying = await away(world)
    world.writer.spill()
    driver.delivered("1.1")
    await world.journalled()
    assert driver.acknowledged == 2
    await world.crash(trying)
    await world.replayed()
    assert (await driver.counts()).delivered == 2
    assert await world.balanced()


async def test_a_receipt_is_counted_once_when_its_commit_came_about_and_nobody_heard(world, monkeypatch):
    """The commit is in, the answer lost, the receipts are in the journal too, then the engine dies."""
    driver, real, done = world.driver, writer_module.commit, asyncio.Event()

    async def commit(*args, **kwargs):
        await real(*args, **kwargs)
        done.set()
        raise asyncpg.ConnectionDoesNotExistError("the answer was lost")

    await driver.claim([1, 1, 1])
    driver.accept(0, 1, 2)
    await world.writer.flush()
    driver.delivered("0.1")
    monkeypatch.setattr(writer_module, "commit", commit)
    trying = asyncio.create_task(world.writer.flush())
    await asyncio.wait_for(done.wait(), 10)
    driver.delivered("1.1")  # in the batch after the lost one, which never comes about
    world.writer.spill()
    await world.journalled()
    assert driver.acknowledged == 2
    monkeypatch.setattr(writer_module, "commit", real)
    await world.crash(trying)
    await world.replayed()
    assert await world.receipts() == [(0, 2), (1, 2)]
    assert await world.balanced()


async def test_a_receipt_is_counted_once_when_the_engine_dies_between_replay_and_discard(world, monkeypatch):
    driver = world.driver
    await driver.claim([1, 1])
    driver.accept(0, 1)
    await world.writer.flush()
    monkeypatch.setattr(outage_module, "REPLAY_ROWS", 1)
    monkeypatch.setattr(writer_module, "REPLAY_ROWS", 1)
    world.writer.spill()
    for id_ in ("0.1", "1.1", "0.1"):
        driver.delivered(id_)
        await world.journalled()
    await world.writer.replay()  # one of three
    assert len(await world.receipts()) == 1
    await world.crash()
    await world.writer.replay()
    await world.writer.replay()
    await world.crash()
    await world.replayed()
    await world.writer.sweep_orphans()  # the repeat: its id is no longer among the recent ones
    assert await world.receipts() == [(0, 2), (0, 2), (1, 2)]
    assert (await driver.counts()).delivered == 2
    assert await world.balanced()


async def test_a_full_journal_refuses_with_rx_t_appn_and_keeps_what_it_acknowledged(pool, box, tmp_path):
    driver = await make_driver(pool, box)
    world = World(driver, SwitchedPool(pool), tmp_path / "journal")
    await world.start(most=3000)
    await driver.claim([1, 1])
    driver.accept(0, 1)
    await world.writer.flush()
    statuses = []
    world.writer.spill()
    for _ in range(40):
        batch = ReceiptBatch(
            count=1, kind=array("b", [0]), ids=bytearray(b"0.1"), id_end=array("i", [3]),
            verdict=array("b", [2]), stat=array("h", [2]),
        )  # fmt: skip
        world.writer.receipts(driver.account_id, batch, statuses.append)
        await world.journalled()
    assert set(statuses) == {0, RX_T_APPN}
    assert world.writer.journal.refused == statuses.count(RX_T_APPN)
    await world.replayed()
    assert len(await world.receipts()) == statuses.count(0)
    assert await world.balanced()


async def test_a_correction_after_the_outage_corrects_what_the_journal_held(world):
    driver = world.driver
    await driver.claim([1, 1])
    driver.accept(0, 1)
    await world.writer.flush()
    world.writer.spill()
    driver.undelivered("0.1")
    driver.delivered("1.1")
    await world.journalled()
    replaying = asyncio.create_task(world.writer.replay())
    while not replaying.done():
        driver.delivered("0.1")  # in the journal, between, or live: always after
        driver.undelivered("1.1")
        await asyncio.sleep(0)
    await world.replayed()
    await world.writer.flush()
    counts = await driver.counts()
    assert (counts.delivered, counts.undelivered) == (2, 0)
    assert counts.receipts == driver.acknowledged
    assert await world.balanced()


async def test_a_message_of_a_person_survives_the_outage_whole(world):
    fields = {"source_addr": b"49151", "destination_addr": b"HELIO", "short_message": b"STOP please"}
    pdu = codec.encode(5, 1, fields=fields)
    batch = ReceiptBatch(
        count=1, kind=array("b", [KIND_MO]), id_end=array("i", [0]), pdu=bytearray(pdu),
        pdu_end=array("i", [len(pdu)]),
    )  # fmt: skip
    world.writer.spill()
    world.writer.receipts(world.driver.account_id, batch, world.driver._acknowledge)
    await world.journalled()
    assert world.driver.acknowledged == 1
    await world.crash()
    await world.replayed()
    (row,) = await world.driver.fetch("SELECT * FROM inbound")
    assert (row["body"], row["source"], bytes(row["pdu"])) == ("STOP please", "49151", pdu)


async def test_run_spills_by_itself_replays_by_itself_and_goes_live_again(pool, box, tmp_path):
    driver = await make_driver(pool, box)
    world = World(driver, SwitchedPool(pool), tmp_path / "journal")
    await world.start(hold_s=0.05)
    await driver.claim([1, 1, 1])
    driver.accept(0, 1, 2)
    await world.writer.flush()
    world.pool.take_away(world.writer)
    running = asyncio.create_task(world.writer.run())
    heard = asyncio.Event()
    real = driver._acknowledge

    def acknowledge(status):
        real(status)
        heard.set()

    driver._acknowledge = acknowledge
    driver.delivered("0.1")
    await asyncio.wait_for(heard.wait(), 10)  # the database is away: from the journal
    assert (await world.receipts()) == []
    heard.clear()
    driver.delivered("1.1")
    await asyncio.wait_for(heard.wait(), 10)
    world.pool.there = True
    async with asyncio.timeout(20):
        while world.writer._outage.active:  # noqa: ASYNC110 - a task of the writer's own ends it
            await asyncio.sleep(0)
    heard.clear()
    driver.delivered("2.1")
    await asyncio.wait_for(heard.wait(), 10)
    assert not world.writer._outage.active
    await world.writer.stop()
    await running
    assert await world.receipts() == [(0, 2), (1, 2), (2, 2)]
    assert await world.balanced()


@pytest.mark.parametrize("seed", range(6))
async def test_each_acknowledged_receipt_is_in_the_ledger_once_whatever_dies_when(world, seed):
    """Receipts, outages and deaths in any order: acknowledged ones are in once, others at most once."""
    chance, driver = random.Random(seed), world.driver
    rows = 30
    await driver.claim([1] * rows)
    driver.accept(*range(rows))
    await world.writer.flush()
    acknowledged: set[str] = set()
    running = asyncio.create_task(world.writer.run())
    for number in range(60):
        tag = f"{number:06}"
        batch = ReceiptBatch(
            count=1, kind=array("b", [0]), verdict=array("b", [chance.choice([0, 1, 2])]),
            stat=array("h", [2]), errors=bytearray(tag.encode()), error_end=array("i", [6]),
            msisdn=array("q", [FIRST_MSISDN]),
        )  # fmt: skip
        batch.ids += f"{chance.randrange(rows)}.1".encode()
        batch.id_end.append(len(batch.ids))

        def acknowledge(status, tag=tag):
            assert status == 0
            acknowledged.add(tag)

        world.writer.receipts(driver.account_id, batch, acknowledge)
        match chance.randrange(12):
            case 0:
                world.pool.take_away(world.writer)
                world.writer.spill()
            case 1:
                world.pool.there = True
            case 2:
                world.writer.spill()
            case 3 if number % 3 == 0:
                await world.crash(running)
                running = asyncio.create_task(world.writer.run())
            case 4 | 5:
                await world.journalled()
            case _:
                await asyncio.sleep(0)
    world.pool.there = True
    async with asyncio.timeout(30):
        while world.writer._outage.active or world.writer.pending:  # noqa: ASYNC110
            await asyncio.sleep(0)
    await world.writer.stop()
    await running
    await world.writer.sweep_orphans()  # repeats after a restart are found by SQL
    stored = [row["error"] for row in await driver.fetch("SELECT error FROM receipts")]
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored)
    assert not await driver.fetch("SELECT FROM orphan_receipts WHERE matched_at IS NULL")
    assert await world.balanced()


CHILD = """
import asyncio, sys
from pathlib import Path
from engine._fast.columns import ReceiptBatch
from engine.ledger.journal import Entry, Journal
from engine.ledger.rows import completed

async def main():
    journal = await Journal.open(Path(sys.argv[1]), 1 << 26)
    number = 0
    while True:
        batch = ReceiptBatch(count=50)
        for _ in range(50):
            batch.ids += b"%d " % number * 40
            batch.id_end.append(len(batch.ids))
            number += 1
        await journal.append([Entry(1, 1, completed(batch))])
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 7, 23])
async def test_no_acknowledged_receipt_is_lost_by_kill_9_in_the_middle_of_a_write(tmp_path, lines):
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE
    )
    acknowledged = 0
    for _ in range(lines):
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    for line in process.stdout.read().split(b"\n"):
        acknowledged = int(line) if line.strip() else acknowledged
    process.wait()
    journal = await Journal.open(tmp_path, 1 << 26)
    assert journal.waiting >= acknowledged
    count = 0
    while records := await journal.take(1000):
        count += sum(record.entry.receipts.count for record in records)
    assert count >= acknowledged
    await journal.append([Entry(1, 1, ReceiptBatch())])
