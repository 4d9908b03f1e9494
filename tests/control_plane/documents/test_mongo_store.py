"""What only a MongoDB can do to a store: die, hang, lose an answer. Tried on a wire-compatible server."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import msgspec
import pytest
from cutting_proxy import CuttingProxy, cutting_proxy
from pymongo import MongoClient
from things import THINGS, Thing, thing
from wire_compatible import WireServer, free_port

from control_plane.documents import mongo
from control_plane.documents.change import change
from control_plane.documents.mongo import MongoStore
from control_plane.documents.store import DuplicateKey, VersionConflict
from control_plane.errors import NotFound, StoreUnavailable

pytestmark = pytest.mark.system


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[WireServer]:
    """One that may be killed."""
    server = WireServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture
async def straight(wire_database: str) -> AsyncIterator[MongoStore]:
    store = await MongoStore.open(wire_database)
    await store.ensure([THINGS])
    yield store
    await store.close()


@pytest.fixture
async def proxy(wire_database: str) -> AsyncIterator[CuttingProxy]:
    port = urlsplit(wire_database).port
    assert port is not None
    async with cutting_proxy(port) as running:
        yield running


@pytest.fixture
async def broken(straight: MongoStore, proxy: CuttingProxy, wire_database: str) -> AsyncIterator[MongoStore]:
    """A store whose connection can be cut."""
    database = urlsplit(wire_database).path
    store = await MongoStore.open(f"mongodb://127.0.0.1:{proxy.port}{database}?directConnection=true")
    yield store
    await store.close()


async def test_what_was_acknowledged_survives_a_killed_server(own_server: WireServer) -> None:
    """Eight write, three times the server is killed in the middle and started again."""
    store = await MongoStore.open(own_server.url("documents"))
    await store.ensure([THINGS])
    acknowledged: dict[UUID, int] = {}
    refused = 0
    enough, over = asyncio.Condition(), False

    async def write(writer: int) -> None:
        nonlocal refused
        number = 0
        while not over:
            number += 1
            try:
                made = await store.insert(THINGS, thing(f"{writer}-{number}"))
                acknowledged[made.id] = 1
                again = await store.replace(THINGS, msgspec.structs.replace(made, number=number), 1)
                acknowledged[again.id] = 2
            except StoreUnavailable:
                refused += 1
            async with enough:
                enough.notify_all()

    writers = [asyncio.create_task(write(writer)) for writer in range(8)]
    for _ in range(3):
        wanted = len(acknowledged) + 40
        async with enough:
            await enough.wait_for(lambda wanted=wanted: len(acknowledged) >= wanted)
        own_server.kill()
        await asyncio.to_thread(own_server.start)
    over = True
    await asyncio.gather(*writers)
    stored = {document.id: document.version for document in await _all(store)}
    lost = {found for found, version in acknowledged.items() if stored.get(found, 0) < version}
    assert len(acknowledged) >= 120
    assert lost == set()
    # nothing is there twice, and the unique index holds what it held
    with pytest.raises(DuplicateKey):
        await store.insert(THINGS, thing("0-1"))
    await store.close()


async def _all(store: MongoStore) -> list[Thing]:
    found: list[Thing] = []
    after = None
    while True:
        page = await store.find(THINGS, {}, limit=500, after=after)
        found += page.records
        if (after := page.next) is None:
            return found


async def test_a_dead_server_is_told_within_its_time_and_comes_back(
    own_server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo, "SELECTION_TIMEOUT_S", 1.0)
    store = await MongoStore.open(own_server.url("documents"))
    await store.ensure([THINGS])
    kept = await store.insert(THINGS, thing("kept"))
    own_server.kill()
    for act in (
        lambda: store.get(THINGS, kept.id),
        lambda: store.find(THINGS, {}),
        lambda: store.count(THINGS, {}),
        lambda: store.insert(THINGS, thing("new")),
        lambda: store.replace(THINGS, kept, 1),
        lambda: store.delete(THINGS, kept.id),
        lambda: store.purge(THINGS, kept.at),
        lambda: store.ensure([THINGS]),
    ):
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await act()
        assert time.monotonic() - begun < 5.0
    await asyncio.to_thread(own_server.start)
    assert (await store.replace(THINGS, kept, 1)).version == 2
    await store.close()


async def test_a_server_that_hangs_is_told_within_its_time(
    own_server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo, "SELECTION_TIMEOUT_S", 1.0)
    monkeypatch.setattr(mongo, "COMMAND_TIMEOUT_S", 1.0)
    store = await MongoStore.open(own_server.url("documents"))
    await store.ensure([THINGS])
    kept = await store.insert(THINGS, thing("kept"))
    assert own_server.process is not None
    os.kill(own_server.process.pid, signal.SIGSTOP)
    await asyncio.to_thread(os.waitpid, own_server.process.pid, os.WUNTRACED)  # until it has stopped
    try:
        for act in (lambda: store.get(THINGS, kept.id), lambda: store.replace(THINGS, kept, 1)):
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await act()
            assert time.monotonic() - begun < 6.0
    finally:
        os.kill(own_server.process.pid, signal.SIGCONT)
    found = await store.get(THINGS, kept.id)
    assert found.version in (1, 2)  # nobody knows; the version tells
    assert (await store.replace(THINGS, found, found.version)).version == found.version + 1
    await store.close()


@pytest.mark.parametrize("sent", [True, False])
async def test_an_insert_without_an_answer_is_made_once(
    broken: MongoStore, straight: MongoStore, proxy: CuttingProxy, sent: bool
) -> None:
    proxy.cut(b"insert\0", sent=sent)
    made = await broken.insert(THINGS, thing("one"))
    assert proxy.cuts == 1
    assert made.version == 1
    assert await straight.get(THINGS, made.id) == made
    assert await straight.count(THINGS, {}) == 1


@pytest.mark.parametrize("sent", [True, False])
async def test_a_replace_without_an_answer_is_made_once(
    broken: MongoStore, straight: MongoStore, proxy: CuttingProxy, sent: bool
) -> None:
    first = await broken.insert(THINGS, thing("one"))
    proxy.cut(b"update\0", sent=sent)
    second = await broken.replace(THINGS, msgspec.structs.replace(first, number=7), 1)
    assert proxy.cuts == 1
    assert (second.version, second.number) == (2, 7)
    assert await straight.get(THINGS, first.id) == second


@pytest.mark.parametrize("sent", [True, False])
async def test_a_delete_without_an_answer_is_made(
    broken: MongoStore, straight: MongoStore, proxy: CuttingProxy, sent: bool
) -> None:
    first = await broken.insert(THINGS, thing("one"))
    proxy.cut(b"delete\0", sent=sent)
    await broken.delete(THINGS, first.id, 1)
    assert proxy.cuts == 1
    with pytest.raises(NotFound):
        await straight.get(THINGS, first.id)


@pytest.mark.parametrize("command", [b"find\0", b"aggregate\0"])
async def test_a_read_survives_a_lost_connection(
    broken: MongoStore, proxy: CuttingProxy, command: bytes
) -> None:
    proxy.cut(command)
    assert (await broken.find(THINGS, {})).records == []
    assert await broken.count(THINGS, {}) == 0
    assert proxy.cuts == 1


async def test_a_lost_race_is_no_success_because_the_answer_was_lost(
    broken: MongoStore, straight: MongoStore, proxy: CuttingProxy
) -> None:
    """The connection broke before the server had the write, and another was first: it is they who won."""
    first = await broken.insert(THINGS, thing("one"))
    theirs = msgspec.structs.replace(first, number=1)
    proxy.cut(b"update\0", sent=False, then=lambda: straight.replace(THINGS, theirs, 1))
    with pytest.raises(VersionConflict):
        await broken.replace(THINGS, msgspec.structs.replace(first, number=2), 1)
    other = thing("two")
    proxy.cut(b"insert\0", sent=False, then=lambda: straight.insert(THINGS, other))
    with pytest.raises(DuplicateKey):
        await broken.insert(THINGS, msgspec.structs.replace(other, number=2))
    assert proxy.cuts == 2
    assert (await straight.get(THINGS, first.id)).number == 1
    assert (await straight.get(THINGS, other.id)).number == 0


async def test_a_write_that_nobody_can_tell_of_is_not_called_lost_or_made(
    broken: MongoStore, straight: MongoStore, proxy: CuttingProxy
) -> None:
    """Ours was made, its answer lost, and another has changed the document since."""
    first = await broken.insert(THINGS, thing("one"))
    later = msgspec.structs.replace(first, number=3)
    proxy.cut(b"update\0", then=lambda: straight.replace(THINGS, later, 2))
    with pytest.raises(StoreUnavailable):
        await broken.replace(THINGS, msgspec.structs.replace(first, number=2), 1)
    new = thing("two")
    proxy.cut(b"insert\0", then=lambda: straight.replace(THINGS, new, 1))
    with pytest.raises(StoreUnavailable):
        await broken.insert(THINGS, new)
    assert proxy.cuts == 2


async def test_changes_are_made_once_each_over_a_connection_that_breaks(
    broken: MongoStore, proxy: CuttingProxy
) -> None:
    first = await broken.insert(THINGS, thing("one"))
    for n in range(20):
        if n % 3 == 0:
            proxy.cut(b"update\0", sent=n % 2 == 0)
        await change(
            broken, THINGS, first.id, lambda found: msgspec.structs.replace(found, number=found.number + 1)
        )
    assert proxy.cuts == 7
    assert (await broken.get(THINGS, first.id)).number == 20


async def test_the_indexes_are_those_declared(straight: MongoStore, wire_database: str) -> None:
    with MongoClient[dict[str, object]](wire_database) as client:
        found = client.get_default_database()["things"].index_information()
    assert found["things_at"]["key"] == [("at", 1), ("_id", 1)]
    for name in ("things_name_unique", "things_group_number_unique"):
        assert found[name]["unique"] is True
    assert found["things_group_number_unique"]["partialFilterExpression"] == {
        "group": {"$exists": True},
        "number": {"$exists": True},
    }


async def test_a_document_is_one_that_others_can_read(straight: MongoStore, wire_database: str) -> None:
    made = await straight.insert(THINGS, thing("one", group=uuid4()))
    with MongoClient[dict[str, object]](wire_database, uuidRepresentation="standard") as client:
        found = client.get_default_database()["things"].find_one({"_id": made.id})
    assert found is not None
    assert (found["version"], found["name"], found["group"]) == (1, "one", str(made.group))
    assert found["at"] == "2026-01-01T10:00:00.123Z"
    assert "flag" not in found


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://u:s3cret@127.0.0.1:{port}/documents",
        "mongodb://u:s3cret@secret@127.0.0.1:{port}/documents",
        "mongodb://u:s3cr/et@127.0.0.1:{port}/documents",
        "mongodb://u:s3cret@127.0.0.1:s3cret/documents",
        "mongodb://u:s3cret%zz@127.0.0.1:{port}/docu.ments",
        "mongodb+srv://u:s3cret@127.0.0.1/documents",
    ],
)
async def test_what_cannot_be_opened_is_told_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo, "SELECTION_TIMEOUT_S", 0.5)
    with pytest.raises(StoreUnavailable) as told:
        await MongoStore.open(url.format(port=free_port()))
    assert "document store" in str(told.value)
    assert "s3cr" not in str(told.value)
    assert len(str(told.value).splitlines()) == 1
