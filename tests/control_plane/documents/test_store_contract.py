"""What every document store does, on PostgreSQL and on a MongoDB-wire-compatible server.

On a real MongoDB too, where HELIOGRAPH_TEST_MONGODB_URL names one.
"""

import asyncio
import base64
import dataclasses
from datetime import timedelta
from uuid import uuid4

import msgspec
import orjson
import pytest
from things import START, THINGS, Inner, Thing, thing

from control_plane.documents.change import change
from control_plane.documents.migrate import Migratable
from control_plane.documents.records import Collection, Index, Record, Sort
from control_plane.documents.store import DocumentStore, DuplicateKey, VersionConflict, find_one
from control_plane.errors import Invalid, NotFound


@pytest.fixture
async def store(empty_store: Migratable) -> DocumentStore:
    await empty_store.ensure([THINGS])
    return empty_store


async def test_a_document_comes_back_as_it_went_in(store: DocumentStore) -> None:
    full = thing(
        'quotes " \\ and ünïcödé 🦊',
        group=uuid4(),
        number=-(2**53),
        flag=False,
        expires_at=START + timedelta(days=1),
        inner=Inner(at=START, label="x"),
        tags=("a", "b"),
        roles={uuid4(): "author"},
        notes={"a.b": "1", "$set": "2", "": "3"},
    )
    await store.insert(THINGS, full)
    assert await store.get(THINGS, full.id) == msgspec.structs.replace(full, version=1)


async def test_a_missing_document_is_not_found(store: DocumentStore) -> None:
    with pytest.raises(NotFound):
        await store.get(THINGS, uuid4())
    with pytest.raises(NotFound):
        await store.replace(THINGS, thing("ghost"), 1)
    with pytest.raises(NotFound):
        await store.delete(THINGS, uuid4())


async def test_an_id_is_inserted_once(store: DocumentStore) -> None:
    first = await store.insert(THINGS, thing("one"))
    with pytest.raises(DuplicateKey):
        await store.insert(THINGS, msgspec.structs.replace(first, name="other"))
    assert (await store.get(THINGS, first.id)).name == "one"


async def test_unique_fields_bind_inserts_and_replaces(store: DocumentStore) -> None:
    await store.insert(THINGS, thing("taken"))
    other = await store.insert(THINGS, thing("free"))
    with pytest.raises(DuplicateKey):
        await store.insert(THINGS, thing("taken"))
    with pytest.raises(DuplicateKey):
        await store.replace(THINGS, msgspec.structs.replace(other, name="taken"), 1)
    assert await store.get(THINGS, other.id) == other


async def test_a_unique_index_binds_only_documents_with_all_its_fields(store: DocumentStore) -> None:
    group = uuid4()
    await store.insert(THINGS, thing("a", number=1))
    await store.insert(THINGS, thing("b", number=1))
    await store.insert(THINGS, thing("c", group=group, number=1))
    with pytest.raises(DuplicateKey):
        await store.insert(THINGS, thing("d", group=group, number=1))


async def test_replace_raises_the_version_and_needs_the_right_one(store: DocumentStore) -> None:
    first = await store.insert(THINGS, thing("one"))
    second = await store.replace(THINGS, msgspec.structs.replace(first, number=2), first.version)
    assert (first.version, second.version) == (1, 2)
    with pytest.raises(VersionConflict):
        await store.replace(THINGS, msgspec.structs.replace(first, number=3), first.version)
    assert (await store.get(THINGS, first.id)).number == 2


async def test_of_fifty_replaces_at_once_one_wins(store: DocumentStore) -> None:
    first = await store.insert(THINGS, thing("one"))

    async def replace(number: int) -> int:
        await store.replace(THINGS, msgspec.structs.replace(first, number=number), 1)
        return number

    outcomes = await asyncio.gather(*(replace(n) for n in range(50)), return_exceptions=True)
    winners = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 49
    assert (await store.get(THINGS, first.id)).number == winners[0]


async def test_of_fifty_inserts_of_a_unique_name_one_wins(store: DocumentStore) -> None:
    outcomes = await asyncio.gather(
        *(store.insert(THINGS, thing("one")) for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(outcome, DuplicateKey) for outcome in outcomes) == 49
    assert await store.count(THINGS, {"name": "one"}) == 1


async def test_changes_at_once_are_all_made(store: DocumentStore) -> None:
    first = await store.insert(THINGS, thing("one"))

    async def add() -> None:
        await change(
            store, THINGS, first.id, lambda found: msgspec.structs.replace(found, number=found.number + 1)
        )

    await asyncio.gather(*(add() for _ in range(50)))
    assert (await store.get(THINGS, first.id)).number == 50


async def test_a_change_that_gives_the_same_back_writes_nothing(store: DocumentStore) -> None:
    first = await store.insert(THINGS, thing("one"))
    assert (await change(store, THINGS, first.id, lambda found: found)).version == 1


async def test_delete_minds_the_version(store: DocumentStore) -> None:
    first = await store.insert(THINGS, thing("one"))
    with pytest.raises(VersionConflict):
        await store.delete(THINGS, first.id, expected_version=7)
    await store.delete(THINGS, first.id, expected_version=1)
    with pytest.raises(NotFound):
        await store.get(THINGS, first.id)


async def test_find_matches_every_kind_of_value_exactly(store: DocumentStore) -> None:
    group = uuid4()
    wanted = await store.insert(THINGS, thing("a", group=group, number=1, flag=True, tags=("red",)))
    await store.insert(THINGS, thing("A", group=group, number=2, flag=False))
    await store.insert(THINGS, thing("b", at=START + timedelta(seconds=1)))

    async def names(**where: object) -> set[str]:
        return {one.name for one in (await store.find(THINGS, where)).records}

    assert await names(name="a") == {"a"}
    assert await names(group=group) == {"a", "A"}
    assert await names(group=group, number=2) == {"A"}
    assert await names(flag=True) == {"a"}
    assert await names(flag=None) == {"b"}
    assert await names(at=START) == {"a", "A"}
    assert await names(number="1") == set()
    assert await names(tags="red") == set()  # a list is not its element
    assert await names(name="a", flag=None) == set()
    assert await find_one(store, THINGS, {"name": "a"}) == wanted
    assert await find_one(store, THINGS, {"name": "nobody"}) is None
    assert await store.count(THINGS, {"group": group}) == 2
    assert await store.count(THINGS, {}) == 3


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("field", ["number", "at", None])
async def test_pages_give_every_document_once_and_in_order(
    store: DocumentStore, field: str | None, descending: bool
) -> None:
    for n in range(23):
        at = START + timedelta(milliseconds=n // 3)
        await store.insert(THINGS, thing(f"n{n}", number=n // 3 * 100, at=at))
    sort = Sort(field, descending) if field else None
    seen: list[Thing] = []
    after = None
    while True:
        page = await store.find(THINGS, {}, sort=sort, limit=5, after=after)
        assert len(page.records) <= 5
        seen += page.records
        if page.next is None:
            break
        after = page.next
    assert len({one.id for one in seen}) == len(seen) == 23
    if field:
        values = [getattr(one, field) for one in seen]
        assert values == sorted(values, reverse=descending)


async def test_pages_of_a_part_end_where_the_part_ends(store: DocumentStore) -> None:
    group = uuid4()
    for n in range(12):
        await store.insert(THINGS, thing(f"n{n}", group=group if n % 2 else uuid4(), number=n))
    names, after = [], None
    while True:
        page = await store.find(THINGS, {"group": group, "at": START}, sort=Sort("at"), limit=2, after=after)
        names += [one.name for one in page.records]
        if (after := page.next) is None:
            break
    assert sorted(names) == sorted(f"n{n}" for n in range(1, 12, 2))


async def test_a_sort_may_be_bounded_on_both_sides_which_are_part_of_it(store: DocumentStore) -> None:
    group = uuid4()
    for n in range(10):
        at = START + timedelta(milliseconds=n)
        await store.insert(THINGS, thing(f"n{n}", group=group, number=n, at=at))

    async def numbers(sort: Sort, limit: int = 100) -> list[int]:
        seen: list[int] = []
        after = None
        while True:
            page = await store.find(THINGS, {"group": group}, sort=sort, limit=limit, after=after)
            seen += [one.number for one in page.records]
            if page.next is None:
                return seen
            after = page.next

    third, fifth = START + timedelta(milliseconds=3), START + timedelta(milliseconds=5)
    assert await numbers(Sort("at", least=third, most=fifth)) == [3, 4, 5]
    assert await numbers(Sort("at", descending=True, least=third, most=fifth), limit=2) == [5, 4, 3]
    assert await numbers(Sort("at", most=third)) == [0, 1, 2, 3]
    assert await numbers(Sort("number", least=8)) == [8, 9]
    assert await numbers(Sort("number", least=8, most=7)) == []


async def test_a_full_last_page_has_no_next(store: DocumentStore) -> None:
    for n in range(4):
        await store.insert(THINGS, thing(f"n{n}"))
    assert (await store.find(THINGS, {}, limit=4)).next is None
    assert (await store.find(THINGS, {"name": "none"}, limit=4)).records == []


@pytest.mark.parametrize("cursor", ["", "x", "bnVsbA==", "WzEsMl0=", "🦊", "eyJhIjoxfQ=="])
async def test_a_foreign_cursor_is_the_callers_mistake(store: DocumentStore, cursor: str) -> None:
    with pytest.raises(Invalid):
        await store.find(THINGS, {}, sort=Sort("number"), after=cursor)


@pytest.mark.parametrize("value", [{"$gt": ""}, [], 2**70, 1e300, "a\0b"])
async def test_a_cursor_holds_no_query(store: DocumentStore, value: object) -> None:
    await store.insert(THINGS, thing("one"))
    forged = base64.urlsafe_b64encode(
        orjson.dumps([value, str(uuid4())]) if value != 2**70 else b"[%d,1]" % 2**70
    )
    with pytest.raises(Invalid):
        await store.find(THINGS, {}, sort=Sort("name"), after=forged.decode())


async def test_a_cursor_of_another_kind_of_value_does_no_harm(store: DocumentStore) -> None:
    await store.insert(THINGS, thing("one"))
    for value in (True, 0, -1.5, "zz", ""):
        forged = base64.urlsafe_b64encode(orjson.dumps([value, str(uuid4())])).decode()
        assert len((await store.find(THINGS, {}, sort=Sort("number"), after=forged)).records) <= 1


async def test_documents_are_given_as_they_are_stored(store: Migratable) -> None:
    assert await store.raw("nothing_there", None, 10) == []
    for name in ("a", "b", "c"):
        await store.insert(THINGS, thing(name, at=START, group=uuid4()))
    first, second = await store.raw("things", None, 2)
    (third,) = await store.raw("things", second.id, 2)
    assert first.id.bytes < second.id.bytes < third.id.bytes
    assert first.version == 1
    assert first.body["at"] == "2026-01-01T10:00:00.123Z"
    assert isinstance(first.body["group"], str)
    assert not {"id", "_id", "version", "_writing"} & first.body.keys()
    changed = dataclasses.replace(first, body=first.body | {"name": "renamed"})
    assert await store.replace_raw("things", changed)
    assert not await store.replace_raw("things", changed)
    found = await store.get(THINGS, first.id)
    assert (found.name, found.version) == ("renamed", 2)


async def test_purge_drops_what_expired_and_nothing_else(store: DocumentStore) -> None:
    await store.insert(THINGS, thing("over", expires_at=START))
    await store.insert(THINGS, thing("runs", expires_at=START + timedelta(milliseconds=1)))
    await store.insert(THINGS, thing("for ever"))
    assert await store.purge(THINGS, START) == 1
    assert {one.name for one in (await store.find(THINGS, {})).records} == {"runs", "for ever"}


async def test_ensure_can_be_repeated_and_run_at_once(store: DocumentStore) -> None:
    kept = await store.insert(THINGS, thing("kept"))
    await asyncio.gather(*(store.ensure([THINGS]) for _ in range(5)))
    assert await store.get(THINGS, kept.id) == kept


def test_an_index_on_an_unknown_field_is_refused() -> None:
    with pytest.raises(AssertionError):
        Collection("bad", Thing, indexes=(Index(("nonsense",)),))


def test_an_optional_field_without_the_default_none_is_refused() -> None:
    class Loose(Record, frozen=True, kw_only=True):
        number: int | None

    with pytest.raises(AssertionError, match="default None"):
        Collection("loose", Loose)
