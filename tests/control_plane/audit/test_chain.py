"""The hash chains: numbers without a gap whoever writes, and every kind of tampering named."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.audit.audit import Audit
from control_plane.audit.chain import START, canonical, hash_of, sealed
from control_plane.audit.head import CHAINS, GENESIS, INSTALLATION_CHAIN
from control_plane.audit.outbox import AUDIT, Event, event
from control_plane.audit.verify import ChainReport, verify
from control_plane.documents.postgres import PostgresStore
from control_plane.documents.records import Sort

NOW = datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)
HERE, THERE = uuid4(), uuid4()


@pytest.fixture
def audit(postgres_store: PostgresStore) -> Audit:
    return Audit(postgres_store, ())


def happened(number: int = 0, workspace_id: UUID | None = HERE, **fields: Any) -> Event:
    made = event(f"thing.act{number}", NOW, workspace_id=workspace_id, target_name=f"number {number}")
    return msgspec.structs.replace(made, **fields)


async def entries(store: PostgresStore, chain: UUID = HERE) -> list[Event]:
    return (await store.find(AUDIT, {"chain": chain}, sort=Sort("seq"), limit=1000)).records


async def report(store: PostgresStore, chain: UUID = HERE, **kept: Any) -> ChainReport:
    (found,) = [one async for one in verify(store, chain, **kept)]
    return found


async def test_each_workspace_has_its_own_chain_and_what_belongs_to_none_has_one(
    audit: Audit, postgres_store: PostgresStore
) -> None:
    for number, workspace_id in enumerate((HERE, THERE, None, HERE, None)):
        await audit.record(happened(number, workspace_id))
    assert [one.seq for one in await entries(postgres_store)] == [1, 2]
    assert [one.seq for one in await entries(postgres_store, THERE)] == [1]
    first, second = await entries(postgres_store, INSTALLATION_CHAIN)
    assert (first.previous, second.previous) == (GENESIS, first.hash)
    reports = [one async for one in verify(postgres_store)]
    assert {one.chain: one.entries for one in reports} == {HERE: 2, THERE: 1, INSTALLATION_CHAIN: 2}
    assert all(one.holds for one in reports)


async def test_several_processes_at_once_write_one_chain_without_a_gap(
    postgres_store: PostgresStore,
) -> None:
    """Each with a chain of its own making, so that only the store stands between them."""
    processes = [Audit(postgres_store, ()) for _ in range(6)]
    written = [[happened(10 * who + n) for n in range(10)] for who in range(len(processes))]

    async def work(audit: Audit, events: list[Event]) -> None:
        for one in events:
            await audit.record(one)

    await asyncio.gather(*(work(a, e) for a, e in zip(processes, written, strict=True)))
    found = await entries(postgres_store)
    assert [one.seq for one in found] == [*range(1, 61)]
    for events in written:  # each in the order of its own writing
        ids = [one.id for one in events]
        assert [one.id for one in found if one.id in ids] == ids
    assert (await report(postgres_store)).holds


async def test_an_event_joins_once_whoever_brings_it_again(
    audit: Audit, postgres_store: PostgresStore
) -> None:
    events = [happened(n) for n in range(5)]
    assert await audit.append(events[:3]) == 3
    assert await audit.append(events) == 2
    assert await asyncio.gather(*(Audit(postgres_store, ()).append(events) for _ in range(3))) == [0, 0, 0]
    assert [one.id for one in await entries(postgres_store)] == [one.id for one in events]
    assert (await report(postgres_store)).holds


async def test_a_head_that_a_crash_left_behind_is_caught_up_with(
    audit: Audit, postgres_store: PostgresStore
) -> None:
    await audit.append([happened(n) for n in range(3)])
    head = await postgres_store.get(CHAINS, HERE)
    first = (await entries(postgres_store))[0]
    await postgres_store.replace(CHAINS, msgspec.structs.replace(head, seq=1, hash=first.hash), head.version)
    await audit.record(happened(3))
    assert [one.seq for one in await entries(postgres_store)] == [1, 2, 3, 4]
    assert (await postgres_store.get(CHAINS, HERE)).seq == 4
    assert (await report(postgres_store)).holds


async def test_events_of_a_time_before_the_chains_stay_and_the_chain_says_so(
    audit: Audit, postgres_store: PostgresStore
) -> None:
    for number in range(2):
        await postgres_store.insert(AUDIT, happened(number))
    await audit.record(happened(2))
    started, first = await entries(postgres_store)
    assert (started.action, started.details) == (START, {"earlier events": "2"})
    assert first.seq == 2
    assert await postgres_store.count(AUDIT, {"workspace_id": HERE}) == 4
    found = await report(postgres_store)
    assert (found.holds, found.unchained) == (True, 2)
    await postgres_store.insert(AUDIT, happened(3))
    assert (await report(postgres_store)).faults == ["1 events were put in beside the chain"]


@pytest.fixture
async def chain(audit: Audit, postgres_store: PostgresStore) -> list[Event]:
    await audit.append([happened(n) for n in range(1, 8)])
    assert (await report(postgres_store)).holds
    return await entries(postgres_store)


async def test_a_changed_entry_is_named(chain: list[Event], postgres_store: PostgresStore) -> None:
    await postgres_store.replace(AUDIT, msgspec.structs.replace(chain[3], actor="somebody else"), 1)
    assert (await report(postgres_store)).faults == ["4: was changed after it was written (thing.act4)"]


async def test_a_changed_entry_with_a_hash_that_fits_breaks_the_next(
    chain: list[Event], postgres_store: PostgresStore
) -> None:
    forged = msgspec.structs.replace(chain[3], actor="somebody else")
    forged = msgspec.structs.replace(forged, hash=hash_of(forged))
    await postgres_store.replace(AUDIT, forged, 1)
    assert (await report(postgres_store)).faults == ["5: does not follow the entry before it"]


async def test_a_deleted_entry_is_named(chain: list[Event], postgres_store: PostgresStore) -> None:
    await postgres_store.delete(AUDIT, chain[2].id)
    assert (await report(postgres_store)).faults == ["3: is missing"]


async def test_a_beginning_that_was_taken_out_is_named(
    chain: list[Event], postgres_store: PostgresStore
) -> None:
    for entry in chain[:2]:
        await postgres_store.delete(AUDIT, entry.id)
    assert (await report(postgres_store)).faults == ["1 to 2: are missing"]


async def test_swapped_entries_are_named(chain: list[Event], postgres_store: PostgresStore) -> None:
    second, third = chain[1], chain[2]
    for entry in (second, third):
        await postgres_store.delete(AUDIT, entry.id)
    await postgres_store.insert(AUDIT, msgspec.structs.replace(second, seq=3))
    await postgres_store.insert(AUDIT, msgspec.structs.replace(third, seq=2))
    faults = (await report(postgres_store)).faults
    assert {fault.partition(":")[0] for fault in faults} >= {"2", "3"}
    assert any("was changed" in fault for fault in faults)


async def test_an_entry_put_in_between_is_named(chain: list[Event], postgres_store: PostgresStore) -> None:
    """In the place of one that was taken out; the unique index leaves no other."""
    assert chain[4].previous is not None
    await postgres_store.delete(AUDIT, chain[4].id)
    await postgres_store.insert(AUDIT, sealed(happened(99), HERE, 5, chain[4].previous, 90))
    assert (await report(postgres_store)).faults == ["6: does not follow the entry before it"]


async def test_an_entry_put_in_at_the_end_is_named_by_the_head(
    chain: list[Event], postgres_store: PostgresStore
) -> None:
    assert chain[6].previous is not None
    await postgres_store.delete(AUDIT, chain[6].id)
    await postgres_store.insert(AUDIT, sealed(happened(99), HERE, 7, chain[6].previous, 90))
    assert (await report(postgres_store)).faults == ["7: is another entry than the one that was written"]


async def test_a_tail_that_was_cut_off_is_missed_by_the_head(
    chain: list[Event], postgres_store: PostgresStore
) -> None:
    for entry in chain[5:]:
        await postgres_store.delete(AUDIT, entry.id)
    assert (await report(postgres_store)).faults == ["6 to 7: are missing: the end was cut off"]
    await Audit(postgres_store, ()).record(happened(8))  # and writing goes on behind the gap
    assert (await report(postgres_store)).faults == ["6 to 7: are missing"]


async def test_a_tail_that_was_cut_off_with_its_head_is_seen_only_against_a_kept_head(
    chain: list[Event], postgres_store: PostgresStore
) -> None:
    last = chain[6]
    head = await postgres_store.get(CHAINS, HERE)
    for entry in chain[5:]:
        await postgres_store.delete(AUDIT, entry.id)
    await postgres_store.replace(
        CHAINS, msgspec.structs.replace(head, seq=5, hash=chain[4].hash), head.version
    )
    assert (await report(postgres_store)).holds
    kept = {HERE: (last.seq, last.hash)}
    faults = (await report(postgres_store, kept=kept)).faults
    assert faults == ["6 to 7: are missing: the end was cut off"]


async def test_a_missing_head_is_a_fault(chain: list[Event], postgres_store: PostgresStore) -> None:
    await postgres_store.delete(CHAINS, HERE)
    (found,) = [one async for one in verify(postgres_store, HERE, {HERE: (7, chain[6].hash or "")})]
    assert found.faults == ["the chain's head is missing"]


async def test_an_entry_moved_to_another_workspace_is_named(
    chain: list[Event], postgres_store: PostgresStore
) -> None:
    await postgres_store.replace(AUDIT, msgspec.structs.replace(chain[0], workspace_id=THERE), 1)
    assert "1: was changed" in (await report(postgres_store)).faults[0]


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=10), max_size=3),
    st.text(max_size=20),
    st.datetimes(max_value=datetime(9000, 1, 1), timezones=st.just(UTC)),
)
def test_the_canonical_form_outlives_a_store(details: dict[str, str], name: str, at: datetime) -> None:
    """As JSON it comes back with times in milliseconds; the hash is the same."""
    made = sealed(happened(details=details, target_name=name, at=at), HERE, 1, GENESIS, 1)
    cut = msgspec.structs.replace(made, at=made.at.replace(microsecond=made.at.microsecond // 1000 * 1000))
    assert canonical(cut) == canonical(made)
    again = msgspec.json.decode(msgspec.json.encode(cut), type=Event)
    assert hash_of(again) == made.hash


# Retention


async def test_expired_entries_go_from_the_beginning_and_the_chain_verifies_from_its_anchor(
    audit: Audit, postgres_store: PostgresStore
) -> None:
    for number in range(6):
        await audit.record(happened(number, at=NOW + timedelta(days=number)))
    assert await audit.purge(NOW + timedelta(days=92, hours=1)) == 3
    found = await report(postgres_store)
    assert (found.holds, found.anchor, found.first, found.entries) == (True, 3, 4, 3)
    assert await audit.purge(NOW + timedelta(days=400)) == 3
    found = await report(postgres_store)
    assert (found.holds, found.anchor, found.last, found.entries) == (True, 6, 6, 0)
    await audit.record(happened(6, at=NOW + timedelta(days=401)))
    assert [one.seq for one in await entries(postgres_store)] == [7]
    assert (await report(postgres_store)).holds


async def test_a_purge_that_broke_off_is_gone_on_with(
    audit: Audit, postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await audit.append([happened(n) for n in range(4)])
    delete, left = PostgresStore.delete, [2]

    async def breaking(*arguments: Any) -> None:
        if not left[0]:
            raise RuntimeError("killed")
        left[0] -= 1
        await delete(*arguments)

    monkeypatch.setattr(PostgresStore, "delete", breaking)
    with pytest.raises(RuntimeError):
        await audit.purge(NOW + timedelta(days=91))
    monkeypatch.undo()
    assert (await report(postgres_store)).holds
    assert await audit.purge(NOW + timedelta(days=91)) == 2
    assert (await report(postgres_store)).holds


async def test_an_entry_that_is_kept_longer_keeps_those_after_it(
    audit: Audit, postgres_store: PostgresStore
) -> None:
    audit.retention._known[HERE] = (float("inf"), 1000)
    await audit.record(happened(0))
    audit.retention._known[HERE] = (float("inf"), 1)
    await audit.record(happened(1))
    assert await audit.purge(NOW + timedelta(days=500)) == 0
    assert await audit.purge(NOW + timedelta(days=1001)) == 2
    assert (await report(postgres_store)).holds


async def test_events_without_a_chain_go_by_the_retention_of_today(
    audit: Audit, postgres_store: PostgresStore
) -> None:
    await postgres_store.insert(AUDIT, happened(0))
    await postgres_store.insert(AUDIT, happened(1, at=NOW + timedelta(days=80)))
    await audit.record(happened(2, at=NOW + timedelta(days=80)))
    assert await audit.purge(NOW + timedelta(days=91)) == 1
    assert (await report(postgres_store)).holds


@pytest.mark.parametrize("field", ["actor", "action", "target_kind", "address"])
async def test_a_filter_of_the_page_is_answered_by_an_index(
    audit: Audit, postgres_store: PostgresStore, fresh_database: str, field: str
) -> None:
    """In the order of the page, so that a page reads about as many entries as it shows."""
    await audit.append([happened(n) for n in range(3)])
    connection = await asyncpg.connect(fresh_database)
    try:
        await connection.execute(
            "SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off"
        )
        plan = await connection.fetch(
            "EXPLAIN SELECT * FROM documents_audit WHERE body->'workspace_id' = '\"x\"'::jsonb"
            f" AND body->'{field}' = '\"y\"'::jsonb AND body->'at' >= '\"2026\"'::jsonb"
            " ORDER BY (body->'at') DESC, id DESC LIMIT 51"
        )
        told = "\n".join(row[0] for row in plan)
        assert f"audit_workspace_id_{field}_at" in told
        assert "Incremental Sort" in told
    finally:
        await connection.close()
