"""Two workers on one slice: what one gives back is sent once, and so is what the other claimed behind it."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from engine.dispatch import claims
from engine.dispatch.campaign import OpenSlice
from engine.dispatch.planner import LegKey, Release
from engine.dispatch.release import release
from engine.dispatch.worker import Worker
from engine.ledger import retries

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any


@pytest.fixture
async def workers(room: Room, tmp_path: Any) -> list[Worker]:
    return [
        await Worker.register(room.pool, room.settings.model_copy(update={"data_dir": tmp_path / name}))
        for name in ("one", "two")
    ]


async def claimed_pairs(room: Room) -> list[tuple[int, int]]:
    """(slice, row) of the origin, once for every open claim of it."""
    rows = await room.pool.fetch(
        "SELECT k.row_start, k.row_end, s.slice_id, s.origin_slice_id, s.explicit_rows"
        " FROM claims k JOIN slices s USING (slice_id) WHERE k.closed_at IS NULL"
    )
    found = []
    for row in rows:
        numbers: Any = range(row["row_start"], row["row_end"])
        if row["origin_slice_id"]:
            numbers = retries.unpack("i", row["explicit_rows"])[row["row_start"] : row["row_end"]]
        found += [(row["origin_slice_id"] or row["slice_id"], number) for number in numbers]
    return sorted(found)


async def took(room: Room, worker: Worker, each: OpenSlice, count: int) -> bool:
    done = await claims.commit(room.pool, worker, [claims.Order(each, count)], 1, [1], [None])
    return each.slice_id in done.ids


def unpriced(channel_id: int, **given: Any) -> Any:
    """As much of a run as a claim looks at."""
    return SimpleNamespace(pricing=None, key=SimpleNamespace(channel_id=channel_id), **given)


async def claim_all(room: Room, worker: Worker) -> None:
    """Whatever may be claimed of any slice."""
    rows = await room.pool.fetch("SELECT * FROM slices WHERE state = 'open' AND claimed_to < row_count")
    orders = [
        claims.Order(
            OpenSlice(
                row["slice_id"], unpriced(row["channel_id"]), 0, 0, row["row_count"], row["claimed_to"]
            ),
            row["row_count"] - row["claimed_to"],
        )
        for row in rows
    ]
    await claims.commit(room.pool, worker, orders, 1, [1] * len(orders), [None] * len(orders))


async def released(room: Room, rows: int) -> tuple[UUID, OpenSlice]:
    channel = await room.channel(1)
    campaign = await room.campaign(channel, await room.upload(rows))
    leg = LegKey(campaign, 0, await room.pool.fetchval("SELECT channel_id FROM channels"))
    run = unpriced(leg.channel_id, chunk_rows=[rows], place=lambda chunk_no, row: row)
    done = await release(room.pool, [Release(leg, 0, 0, rows)], {leg: run}, 1)
    return campaign, OpenSlice(next(iter(done.slices)), run, 0, 0, rows)


@pytest.mark.parametrize("retried", [False, True], ids=["slice", "retry slice"])
async def test_rows_given_back_before_another_workers_claim_are_claimed_once(
    room: Room, workers: list[Worker], retried: bool
) -> None:
    one, two = workers
    _, each = await released(room, 10)
    origin = each.slice_id
    if retried:
        assert await took(room, one, each, 10)
        stranded = await room.pool.fetchval("SELECT claim_id FROM claims")
        assert await retries.rescue(room.pool, [stranded], one.worker_id) == 1
        again = await room.pool.fetchval("SELECT slice_id FROM slices WHERE origin_slice_id = $1", origin)
        each = OpenSlice(again, each.run, 0, 0, 10)
    assert await took(room, one, each, 4)
    each.claimed_to = 4
    assert await took(room, two, each, 4)
    await claims.give_back(room.pool, one, {each.slice_id: 2})
    await claims.give_back(room.pool, one, {each.slice_id: 2})
    await claim_all(room, one)
    assert await claimed_pairs(room) == [(origin, row) for row in range(10)]


async def test_a_cancelled_campaign_ends_with_every_row_though_another_worker_claimed_behind(
    room: Room, workers: list[Worker]
) -> None:
    one, two = workers
    campaign, each = await released(room, 10)
    assert await took(room, one, each, 4)
    each.claimed_to = 4
    assert await took(room, two, each, 4)
    await room.command(campaign, "cancel")
    await claims.give_back(room.pool, two, {each.slice_id: 4})
    await claims.give_back(room.pool, one, {each.slice_id: 0})
    counts = await room.balanced(campaign)
    assert (counts.waiting, counts.cancelled + counts.failed) == (0, 10)
    assert await room.open_claims() == 0


async def test_a_claim_that_is_committed_while_earlier_rows_wait_to_be_given_back_is_sent_once(
    room: Room, smsc: Smsc, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bind is lost and comes back while the ledger takes its time over a claim."""
    held, let_go, commit, orders = asyncio.Event(), asyncio.Event(), claims.commit, 0

    async def slowly(*given: Any) -> Any:
        nonlocal orders
        orders += 1
        ids = await commit(*given)
        if orders == 2:
            held.set()
            await let_go.wait()
        return ids

    monkeypatch.setattr(claims, "commit", slowly)
    smsc.answer = lambda number, destination: None if number < 20 else 0
    channel = await room.channel(smsc.port, window_size=20)
    campaign = await room.campaign(channel, await room.upload(200))
    await room.engine()
    await until(held.is_set, "a second claim is on its way")
    await until(lambda: smsc.held == 20, "the window is full")
    binds = smsc.binds
    smsc.drop()
    await until(lambda: smsc.binds > binds, "bound again")
    await until(lambda: all(bind.state == "bound" for bind in room.engines[0].dispatcher.binds()), "seen")
    let_go.set()
    done = await room.reaches(campaign, "Done")
    assert len(smsc.seen) == len(set(smsc.seen)) == 200, "sent twice or not at all"
    assert (done.counts.in_doubt, done.counts.in_flight) == (20, 180)
    assert await room.open_claims() == 0
    await room.balanced(campaign)
