"""Events that must not wait for the store: on disk first, in the store once, and what was lost is told."""

import asyncio
import stat
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from control_plane.audit.audit import Audit
from control_plane.audit.outbox import AUDIT, event
from control_plane.audit.spool import FILE_NAME, MOVING_NAME, OVERFLOW_NAME, WITHOUT_STORE, Spool
from control_plane.audit.verify import verify
from control_plane.documents.store import DocumentStore
from control_plane.errors import StoreUnavailable
from control_plane.services import Services


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def happened(services: Services, **details: str) -> Any:
    return event("stop.order", services.clock(), actor="a@house.example", details=details)


async def stored(services: Services, action: str) -> list[Any]:
    found = (await services.store.find(AUDIT, {}, limit=100)).records
    return [one for one in found if one.action == action]


async def test_what_is_written_outlives_the_process_and_is_moved_once(
    services: Services, folder: Path
) -> None:
    first, second = happened(services, scope="everything"), happened(services, scope="channel")
    assert await Spool(folder).write(first)
    assert await Spool(folder).write(second)
    after = Spool(folder)
    assert await after.flush(services.audit, services.clock()) == 2
    assert {one.id for one in await stored(services, "stop.order")} == {first.id, second.id}
    assert await after.flush(services.audit, services.clock()) == 0
    assert await stored(services, "audit.gap") == []


async def test_only_its_owner_reads_the_file(services: Services, folder: Path) -> None:
    await Spool(folder).write(happened(services))
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600


async def test_a_flush_that_breaks_off_is_gone_on_with_and_doubles_nothing(
    services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(folder)
    for _ in range(3):
        await spool.write(happened(services, **{WITHOUT_STORE: "yes"}))
    insert, left = type(services.store).insert, [2]

    async def breaking(store: DocumentStore, *arguments: Any) -> Any:
        if not left[0]:
            raise StoreUnavailable("away")
        left[0] -= 1
        return await insert(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(services.store), "insert", breaking)
    with pytest.raises(StoreUnavailable):
        await spool.flush(services.audit, services.clock())
    monkeypatch.undo()
    assert await spool.flush(services.audit, services.clock()) == 3
    assert len(await stored(services, "stop.order")) == 3
    (gap,) = await stored(services, "audit.gap")
    assert gap.details["events"] == "3"


async def test_a_torn_line_is_no_event_and_is_told(services: Services, folder: Path) -> None:
    spool = Spool(folder)
    await spool.write(happened(services))
    with (folder / FILE_NAME).open("ab") as file:
        file.write(b'{"id": "half of it')
    assert await spool.flush(services.audit, services.clock()) == 1
    (gap,) = await stored(services, "audit.gap")
    assert gap.details["lost"] == "1"


@pytest.fixture
def no_folder(folder: Path) -> Path:
    folder.write_text("a file where the folder should be")
    return folder


def repaired(no_folder: Path) -> None:
    no_folder.unlink()


async def test_a_disk_that_refuses_stops_nothing_and_is_told(services: Services, no_folder: Path) -> None:
    spool = Spool(no_folder)
    assert not await spool.write(happened(services))
    assert spool.lost == 1
    repaired(no_folder)
    await spool.flush(services.audit, services.clock())
    (gap,) = await stored(services, "audit.gap")
    assert gap.details["lost"] == "1"
    assert spool.lost == 0


async def test_each_line_says_what_it_is(services: Services, folder: Path) -> None:
    await Spool(folder).write(happened(services))
    assert (folder / FILE_NAME).read_bytes().startswith(b'[audit-fallback] {"id":')


async def test_lines_of_an_earlier_release_are_moved_too(services: Services, folder: Path) -> None:
    await Spool(folder).write(happened(services))
    (folder / FILE_NAME).write_bytes(msgspec.json.encode(happened(services)) + b"\n")
    assert await Spool(folder).flush(services.audit, services.clock()) == 1
    assert len(await stored(services, "stop.order")) == 1


async def test_a_line_after_a_torn_one_is_whole(services: Services, folder: Path) -> None:
    await Spool(folder).write(happened(services))
    with (folder / FILE_NAME).open("ab") as file:
        file.write(b'[audit-fallback] {"id": "half of it')
    await Spool(folder).write(happened(services))
    assert await Spool(folder).flush(services.audit, services.clock()) == 2
    assert len(await stored(services, "stop.order")) == 2


async def test_at_its_cap_the_file_takes_nothing_more_and_that_is_loud_and_outlives_the_process(
    services: Services, folder: Path
) -> None:
    spool = Spool(folder, max_bytes=2500, metrics=services.metrics)
    with structlog.testing.capture_logs() as logged:
        written = [await spool.write(happened(services, **{WITHOUT_STORE: "yes"})) for _ in range(9)]
    assert written[0]
    assert not written[-1]
    lost = written.count(False)
    assert (folder / FILE_NAME).stat().st_size <= 2500
    assert (folder / OVERFLOW_NAME).read_text().startswith("[audit-fallback-overflow] ")
    assert sum("[audit-fallback-overflow]" in one["event"] for one in logged) == lost
    assert sum("[audit-fallback] " in one["event"] for one in logged) == 9 - lost
    assert services.metrics.audit_lost_events._value.get() == lost
    assert services.metrics.audit_fallback_bytes._value.get() > 0
    after = Spool(folder, max_bytes=2500)
    assert (after.view().lost, after.view().away) == (lost, True)
    assert await after.flush(services.audit, services.clock()) == 9 - lost
    gaps = {(one.details["events"], one.details["lost"]) for one in await stored(services, "audit.gap")}
    assert gaps == {(str(9 - lost), "0"), ("0", str(lost))}
    assert Spool(folder).view().lost == 0
    assert not (folder / OVERFLOW_NAME).exists()


async def test_with_the_store_away_the_file_takes_it_and_when_it_is_full_nothing_is_done(
    services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = Audit(services.store, (), spool=Spool(folder, max_bytes=2500))

    async def away(*_arguments: Any, **_options: Any) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(type(services.store), "insert", away)
    monkeypatch.setattr(type(services.store), "get", away)
    await audit.record(happened(services))

    async def fill() -> None:
        for _ in range(9):
            await audit.record(happened(services))

    with pytest.raises(StoreUnavailable):
        await fill()
    monkeypatch.undo()
    count = await Spool(folder).flush(services.audit, services.clock())
    found = await stored(services, "stop.order")
    assert len(found) == count >= 1
    assert all(WITHOUT_STORE in one.details for one in found)


async def test_what_waits_in_the_file_goes_before_what_is_new(services: Services, folder: Path) -> None:
    spool = Spool(folder)
    audit = Audit(services.store, (), spool=spool)
    first, second = happened(services), happened(services)
    await spool.write(first)
    await audit.record(second)
    by_number = sorted(await stored(services, "stop.order"), key=lambda one: one.seq)
    assert [one.id for one in by_number] == [first.id, second.id]


async def test_an_event_that_the_store_refuses_for_ever_holds_up_nothing(
    services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(folder)
    events = [happened(services, n=str(n)) for n in range(3)]
    for one in events:
        await spool.write(one)
    insert = type(services.store).insert

    async def picky(store: DocumentStore, collection: Any, record: Any) -> Any:
        if record.id == events[1].id:
            raise ValueError("never")
        return await insert(store, collection, record)  # type: ignore[arg-type]

    monkeypatch.setattr(type(services.store), "insert", picky)
    await spool.flush(services.audit, services.clock())
    assert {one.id for one in await stored(services, "stop.order")} == {events[0].id, events[2].id}
    (gap,) = await stored(services, "audit.gap")
    assert gap.details["lost"] == "1"
    assert str(events[1].id) in (folder / "audit.spool.refused").read_text()


async def test_two_processes_share_the_folder(services: Services, folder: Path) -> None:
    one, other = Spool(folder), Spool(folder)
    events = [happened(services, n=str(n)) for n in range(40)]
    await asyncio.gather(*((one, other)[n % 2].write(event) for n, event in enumerate(events)))
    await asyncio.gather(*(each.flush(services.audit, services.clock()) for each in (one, other)))
    await one.flush(services.audit, services.clock())
    assert {each.id for each in await stored(services, "stop.order")} == {each.id for each in events}
    assert not (folder / FILE_NAME).exists()
    assert not (folder / MOVING_NAME).exists()


KILLED = """
import asyncio, sys
from pathlib import Path
from control_plane.audit.audit import Audit
from control_plane.audit.spool import Spool
from control_plane.clock import utc_now
from control_plane.documents.postgres import PostgresStore

async def main():
    store = await PostgresStore.open(sys.argv[1])
    insert, left = store.insert, int(sys.argv[3])
    async def counted(collection, record):
        nonlocal left
        if not left:
            print("now", flush=True)
            await asyncio.Event().wait()
        left -= 1
        return await insert(collection, record)
    store.insert = counted
    await Spool(Path(sys.argv[2])).flush(Audit(store, ()), utc_now())

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [1, 3, 7])
async def test_a_kill_in_the_middle_of_a_flush_doubles_and_loses_nothing(
    services: Services, folder: Path, fresh_database: str, after: int
) -> None:
    """SIGKILL of a real process after some inserts; then another goes on with what it left."""
    spool = Spool(folder)
    events = [happened(services, **{WITHOUT_STORE: "yes", "n": str(n)}) for n in range(8)]
    for one in events[:6]:
        await spool.write(one)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, fresh_database, str(folder), str(after), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"now\n"
    process.kill()
    await process.wait()
    for one in events[6:]:
        await Spool(folder).write(one)
    await Spool(folder).flush(services.audit, services.clock())
    found = sorted(await stored(services, "stop.order"), key=lambda one: one.seq)
    assert [one.id for one in found] == [one.id for one in events]
    assert sum(int(one.details["events"]) for one in await stored(services, "audit.gap")) == 8
    assert all([report.holds async for report in verify(services.store)])
