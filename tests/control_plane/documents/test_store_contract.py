"""What every document store does. A store joins by adding its factory to STORES."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from control_plane.documents.change import change
from control_plane.documents.postgres import PostgresStore
from control_plane.documents.records import Collection, Index, Record, Sort
from control_plane.documents.store import DocumentStore, DuplicateKey, VersionConflict, find_one
from control_plane.errors import Invalid, NotFound

START = datetime(2026, 1, 1, 10, 0, 0, 123000, tzinfo=UTC)


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    label: str = ""


class Thing(Record, frozen=True, kw_only=True):
    name: str
    group: UUID | None = None
    number: int = 0
    flag: bool | None = None
    at: datetime = START
    expires_at: datetime | None = None
    inner: Inner | None = None
    tags: tuple[str, ...] = ()
    roles: dict[UUID, str] = msgspec.field(default_factory=dict)


THINGS = Collection(
    "things",
    Thing,
    indexes=(Index(("name",), unique=True), Index(("group", "number"), unique=True), Index(("at",))),
    expires=True,
)


async def _postgres(dsn: str) -> DocumentStore:
    return await PostgresStore.open(dsn)


STORES: dict[str, Callable[[str], Awaitable[DocumentStore]]] = {"postgres": _postgres}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, fresh_database: str) -> AsyncIterator[DocumentStore]:
    opened = await STORES[request.param](fresh_database)
    await opened.ensure([THINGS])
    yield opened
    await opened.close()


def thing(name: str, **fields: object) -> Thing:
    return msgspec.structs.replace(Thing(id=uuid4(), name=name), **fields)


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

    await asyncio.gather(*(add() for _ in range(20)))
    assert (await store.get(THINGS, first.id)).number == 20


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
    wanted = await store.insert(THINGS, thing("a", group=group, number=1, flag=True))
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


async def test_a_full_last_page_has_no_next(store: DocumentStore) -> None:
    for n in range(4):
        await store.insert(THINGS, thing(f"n{n}"))
    assert (await store.find(THINGS, {}, limit=4)).next is None
    assert (await store.find(THINGS, {"name": "none"}, limit=4)).records == []


@pytest.mark.parametrize("cursor", ["", "x", "bnVsbA==", "WzEsMl0=", "🦊", "eyJhIjoxfQ=="])
async def test_a_foreign_cursor_is_the_callers_mistake(store: DocumentStore, cursor: str) -> None:
    with pytest.raises(Invalid):
        await store.find(THINGS, {}, sort=Sort("number"), after=cursor)


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
