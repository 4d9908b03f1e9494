"""Documents of an earlier release become this one's, whatever happens meanwhile; newer ones are refused."""

import asyncio
import copy
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from things import THINGS, thing

from control_plane.access import Membership, Role
from control_plane.app import COLLECTIONS
from control_plane.documents.choice import open_store
from control_plane.documents.migrate import (
    PAGE,
    SCHEMA,
    SCHEMA_ID,
    Migratable,
    Migration,
    Schema,
    SchemaTooNew,
    migrate,
    migrations,
)
from control_plane.documents.records import Collection, Raw, Record
from control_plane.errors import StoreUnavailable
from control_plane.identity.model import USERS
from engine.core_api.certs import make

HERE, THERE = uuid4(), uuid4()
# As release 0.1.0 wrote it.
RELEASED_USER = {
    "outbox": [],
    "email": "moderator@demo.example",
    "name": "Moderator",
    "password_hash": "!",
    "super_admin": False,
    "must_set_password": True,
    "disabled": False,
    "memberships": {str(HERE): "moderator", str(THERE): "author"},
    "epoch": 1,
    "created_at": "2026-01-31T10:00:00.000Z",
}


class ReleasedUser(Record, frozen=True, kw_only=True):
    outbox: tuple[str, ...] = ()
    email: str
    name: str
    password_hash: str
    super_admin: bool = False
    must_set_password: bool = True
    disabled: bool = False
    memberships: dict[UUID, str]
    epoch: int = 1
    created_at: datetime


RELEASED_USERS = Collection("users", ReleasedUser)


async def store_released(store: Migratable, **fields: object) -> UUID:
    user = msgspec.convert({**RELEASED_USER, "id": str(uuid4())}, ReleasedUser)
    await store.ensure([RELEASED_USERS])
    return (await store.insert(RELEASED_USERS, msgspec.structs.replace(user, **fields))).id


async def test_a_released_user_is_one_of_this_release(empty_store: Migratable) -> None:
    user_id = await store_released(empty_store)
    (released,) = await empty_store.raw("users", None, 10)
    assert released.body == RELEASED_USER
    assert await migrate(empty_store) == len(migrations())
    await empty_store.ensure(COLLECTIONS)
    user = await empty_store.get(USERS, user_id)
    assert user.memberships == {
        HERE: Membership(role=Role.MODERATOR),
        THERE: Membership(role=Role.AUTHOR),
    }
    assert (user.email, user.created_at) == ("moderator@demo.example", datetime(2026, 1, 31, 10, tzinfo=UTC))
    assert user.version == 2  # who read it before does not write it back
    kept = await empty_store.raw("users", None, 10)
    assert await migrate(empty_store) == len(migrations())
    assert await empty_store.raw("users", None, 10) == kept


async def test_an_empty_store_is_of_this_release(empty_store: Migratable) -> None:
    assert await migrate(empty_store) == len(migrations())
    assert (await empty_store.get(SCHEMA, SCHEMA_ID)).number == len(migrations())


async def test_a_newer_schema_is_refused_and_left_alone(empty_store: Migratable) -> None:
    newer = await newer_schema(empty_store)
    user_id = await store_released(empty_store)
    with pytest.raises(SchemaTooNew) as told:
        await migrate(empty_store)
    assert str(told.value) == (
        f"the documents have schema 999, this release {len(migrations())}: start the newer one"
    )
    assert await empty_store.get(SCHEMA, SCHEMA_ID) == newer
    assert (await empty_store.get(RELEASED_USERS, user_id)).version == 1


async def newer_schema(store: Migratable) -> Schema:
    await store.ensure([SCHEMA])
    return await store.insert(SCHEMA, Schema(id=SCHEMA_ID, number=999))


async def test_the_program_refuses_a_newer_schema_in_one_line(
    empty_store: Migratable, store_url: str, tmp_path: Path
) -> None:
    await newer_schema(empty_store)
    make(tmp_path / "certs")
    environment = {
        **os.environ,
        "HELIOGRAPH_CONTROL_DOCUMENTS_DSN": store_url,
        "HELIOGRAPH_CONTROL_CERTS_DIR": str(tmp_path / "certs"),
        "HELIOGRAPH_CONTROL_DATA_DIR": str(tmp_path / "data"),
        "HELIOGRAPH_CONTROL_UI_PORT": "0",
        "HELIOGRAPH_CONTROL_API_PORT": "0",
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "control_plane"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line == (
        f"control plane: the documents have schema 999, this release {len(migrations())}: start the newer one"
    )


class Hooked:
    """The store, with somebody who acts at a chosen moment."""

    def __init__(self, store: Migratable) -> None:
        self._store = store
        self.after_raw: Callable[[], Awaitable[object]] | None = None
        self.before_replace: Callable[[], Awaitable[object]] | None = None
        self.replaced = 0
        self.dies_after: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def raw(self, name: str, after: UUID | None, limit: int) -> list[Raw]:
        found = await self._store.raw(name, after, min(limit, 3))
        if self.after_raw is not None:
            act, self.after_raw = self.after_raw, None
            await act()
        return found

    async def replace_raw(self, name: str, document: Raw) -> bool:
        if self.before_replace is not None:
            act, self.before_replace = self.before_replace, None
            await act()
        if self.replaced == self.dies_after:
            raise StoreUnavailable("away")
        done = await self._store.replace_raw(name, document)
        self.replaced += done
        return done


async def test_a_migration_that_broke_off_is_taken_up_where_it_stood(empty_store: Migratable) -> None:
    for n in range(10):
        await store_released(empty_store, email=f"{n}@demo.example")
    for died in range(3):
        hooked = Hooked(empty_store)
        hooked.dies_after = 3
        with pytest.raises(StoreUnavailable):
            await migrate(hooked)
        users = await empty_store.raw("users", None, 100)
        assert sum(user.version == 2 for user in users) == 3 * (died + 1)
    assert await migrate(empty_store) == len(migrations())
    assert {user.version for user in await empty_store.raw("users", None, 100)} == {2}  # each once


async def test_more_documents_than_a_page_are_all_migrated(empty_store: Migratable) -> None:
    await asyncio.gather(*(store_released(empty_store, email=f"{n}@demo.example") for n in range(PAGE + 5)))
    await migrate(empty_store)
    page = await empty_store.find(USERS, {}, limit=1000)
    assert len(page.records) == PAGE + 5
    assert all(user.memberships[HERE].role is Role.MODERATOR for user in page.records)


def _first(document: dict[str, Any]) -> dict[str, Any]:
    return document if "first" in document else {**document, "first": True}


def _second(document: dict[str, Any]) -> dict[str, Any]:
    if "first" not in document:
        return document
    kept = {name: value for name, value in document.items() if name != "first"}
    return {**kept, "second": kept.get("second", 0) + 1}


# Asked again of a document that is through the second, the first would undo it.
TWO = [Migration(1, "first", "things", _first), Migration(2, "second", "things", _second)]


@pytest.mark.parametrize("moment", ["after_raw", "before_replace"])
async def test_a_process_that_is_overtaken_does_no_harm(
    empty_store: Migratable, store_url: str, moment: str
) -> None:
    """While one stands still in the middle of the first migration, another does all of them."""
    await empty_store.ensure([THINGS])
    for n in range(10):
        await empty_store.insert(THINGS, thing(str(n)))
    other = await open_store(store_url)
    slow = Hooked(empty_store)
    setattr(slow, moment, lambda: migrate(other, TWO))
    assert await migrate(slow, TWO) == 2
    bodies = [document.body for document in await empty_store.raw("things", None, 100)]
    assert [("first" in body, body["second"]) for body in bodies] == [(False, 1)] * 10
    await other.close()


async def test_of_processes_that_start_at_once_each_finds_all_done(
    empty_store: Migratable, store_url: str
) -> None:
    await empty_store.ensure([THINGS])
    for n in range(30):
        await empty_store.insert(THINGS, thing(str(n)))
    stores = [await open_store(store_url, connections=2) for _ in range(4)]
    assert await asyncio.gather(*(migrate(Hooked(store), TWO) for store in stores)) == [2] * 4
    bodies = [document.body for document in await empty_store.raw("things", None, 100)]
    assert [("first" in body, body["second"]) for body in bodies] == [(False, 1)] * 30
    for store in stores:
        await store.close()


EXAMPLES: dict[int, list[dict[str, Any]]] = {
    1: [
        RELEASED_USER,
        {**RELEASED_USER, "memberships": {}},
        {**RELEASED_USER, "memberships": {str(HERE): "author", str(THERE): {"role": "admin"}}},
        {"email": "a@demo.example"},
    ],
}


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_a_migration_is_pure_and_may_be_asked_again(migration: Migration) -> None:
    assert migration.collection in {collection.name for collection in COLLECTIONS}
    for document in EXAMPLES[migration.number]:
        given = copy.deepcopy(document)
        once = migration.migrate(given)
        assert given == document
        assert migration.migrate(copy.deepcopy(once)) == once


def test_a_user_without_memberships_is_left_alone() -> None:
    (migration,) = [one for one in migrations() if one.number == 1]
    for document in ({"memberships": {}}, {}):
        assert migration.migrate(document) == document
