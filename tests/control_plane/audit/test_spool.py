"""Events that must not wait for the store: on disk first, in the store once, and what was lost is told."""

import stat
from pathlib import Path
from typing import Any

import pytest

from control_plane.audit.outbox import AUDIT, event
from control_plane.audit.spool import FILE_NAME, WITHOUT_STORE, Spool
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


async def test_a_disk_that_refuses_stops_nothing_and_is_told(services: Services, no_folder: Path) -> None:
    spool = Spool(no_folder)
    assert not await spool.write(happened(services))
    assert spool.lost == 1
