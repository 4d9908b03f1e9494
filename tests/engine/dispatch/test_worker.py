"""Workers: identity, epoch, lease and deadline."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.dispatch.worker import DataFolderInUse, Worker
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.settings import EngineSettings

pytestmark = pytest.mark.system


@pytest.fixture
async def pool(ledger_dsn: str) -> AsyncIterator[Pool]:
    await migrate(ledger_dsn)
    opened = await open_pool(ledger_dsn)
    yield opened
    await opened.close()


def settings(folder: Path) -> EngineSettings:
    return EngineSettings(ledger_dsn="postgresql://unused", data_dir=folder, lease_s=10, lease_margin_s=2)


async def test_a_restart_keeps_the_name_and_raises_the_epoch(pool: Pool, tmp_path: Path) -> None:
    first = await Worker.register(pool, settings(tmp_path))
    await first.leave()
    second = await Worker.register(pool, settings(tmp_path))
    assert second.name == first.name
    assert second.epoch > first.epoch
    assert second.worker_id != first.worker_id
    await second.leave()


async def test_a_data_folder_takes_one_engine(pool: Pool, tmp_path: Path) -> None:
    first = await Worker.register(pool, settings(tmp_path))
    with pytest.raises(DataFolderInUse):
        await Worker.register(pool, settings(tmp_path))
    await first.leave()


async def test_workers_of_two_folders_have_two_names(pool: Pool, tmp_path: Path) -> None:
    first = await Worker.register(pool, settings(tmp_path / "a"))
    second = await Worker.register(pool, settings(tmp_path / "b"))
    assert first.name != second.name
    await first.leave()
    await second.leave()


async def test_the_deadline_ends_before_the_lease_and_moves_with_it(pool: Pool, tmp_path: Path) -> None:
    before = time.monotonic()
    worker = await Worker.register(pool, settings(tmp_path))
    assert before + 8 <= worker.deadline <= time.monotonic() + 8
    earlier = worker.deadline
    assert await worker.renew()
    assert worker.deadline > earlier
    await worker.leave()
    assert worker.deadline < time.monotonic()


async def test_a_worker_that_was_taken_over_never_writes_again(pool: Pool, tmp_path: Path) -> None:
    worker = await Worker.register(pool, settings(tmp_path))
    await pool.execute("UPDATE workers SET stopped_at = now()")
    assert not await worker.renew()
    assert worker.lost
    assert worker.deadline < time.monotonic()
    await worker.leave()


async def test_who_could_not_renew_calls_nobody_dead_until_the_others_had_time(
    pool: Pool, tmp_path: Path
) -> None:
    worker = await Worker.register(pool, settings(tmp_path))
    now = time.monotonic()
    assert not worker.may_fence(now), "others may have been away like us before our start"
    worker.deadline = now + 100  # renewed all the time
    assert worker.may_fence(now + 11)
    worker.deadline = now - 100  # no renewal came through
    assert await worker.renew()
    assert not worker.may_fence(time.monotonic() + 9)
    worker.deadline = now + 100
    assert worker.may_fence(time.monotonic() + 10.5)
    await worker.leave()
