"""Stop all sending: within a second on every worker, nothing lost; drains and rebinds; lanes and weights."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from engine.bus.postgres import STOPS, WORK, ring
from engine.core_api import schema
from engine.ledger import leases, stops

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any


async def stop(room: Room, scope: Any = "everything", **given: Any) -> schema.Stop:
    """As the Core API does it."""
    spec = schema.StopSpec(decision_id=uuid4(), scope=scope, **given)
    async with room.pool.acquire() as connection, connection.transaction():
        made = await stops.stop(connection, spec)
        await ring(connection, STOPS)
    return made


async def lift(room: Room, made: schema.Stop) -> None:
    async with room.pool.acquire() as connection, connection.transaction():
        await stops.lift(connection, made.stop_id, schema.LiftSpec(decision_id=uuid4()))
        await ring(connection, STOPS)


async def order(room: Room, act: Any) -> None:
    async with room.pool.acquire() as connection, connection.transaction():
        await act(connection)
        await ring(connection, WORK)


async def claimed(room: Room) -> int:
    return int(await room.pool.fetchval("SELECT coalesce(sum(claimed_to), 0) FROM slices"))


async def test_stop_everything_ends_sending_of_two_workers_within_a_second_and_loses_nothing(
    room: Room, smsc: Smsc, until: Until, tmp_path: Any
) -> None:
    channel = await room.channel(smsc.port, tps=2000, binds=2)
    campaign = await room.campaign(channel, await room.upload(8000))
    for name in ("one", "two"):
        await room.engine(
            data_dir=tmp_path / name, poll_interval_ms=60_000
        )  # only what is told, or its own look
    await until(lambda: smsc.bound["esme"] >= 1 and len(smsc.seen) > 400, "under way")
    loop = asyncio.get_running_loop()
    asked = loop.time()
    made = await stop(room, reason="wrong text")

    async def given_back() -> bool:
        return await room.open_claims() == 0

    await until(given_back, "nothing is claimed any more")
    assert smsc.at[-1] < asked + 1
    count = len(smsc.seen)
    assert await claimed(room) == count < 8000, "what was not begun went back"
    assert (await room.get(campaign)).state == "Sending"
    assert (await room.get(campaign)).reason == "stopped: wrong text"

    late = await room.campaign(channel, await room.upload(50))  # starts while everything is stopped

    async def waits() -> bool:
        for engine in room.engines:
            engine.dispatcher.wake()
        return (await room.get(late)).reason == "stopped: wrong text"

    await until(waits, "the reason stands beside the new one too")
    assert len(smsc.seen) == count
    await lift(room, made)
    await room.reaches(campaign, "Done")
    await room.reaches(late, "Done")
    assert len(smsc.seen) == 8050
    assert len(smsc.accepted) == 8000  # the late one's numbers are among them
    for each in (campaign, late):
        await room.balanced(each)


async def test_a_stop_of_one_workspace_or_channel_leaves_the_others_alone(
    room: Room, smsc: Smsc, until: Until
) -> None:
    first = await room.channel(smsc.port, "First", tps=500)
    second = await room.channel(smsc.port, "Second", tps=500)
    upload = await room.upload(400)
    held = await room.campaign(first, upload)
    free = await room.campaign(second, upload)
    made = await stop(room, "channel", channel="First")
    other = await stop(room, "workspace", workspace_id=uuid4())
    await room.engine()
    await room.reaches(free, "Done")
    assert (await room.get(held)).reason == "stopped"
    assert len(smsc.seen) == 400
    of_ours = await stop(room, "workspace", workspace_id=room.workspace, reason="ours")
    await lift(room, made)
    assert (await room.get(held)).reason == "stopped: ours", "another stop holds it still"
    await lift(room, of_ours)
    await room.reaches(held, "Done")
    async with room.pool.acquire() as connection:
        assert await stops.covering(connection, workspace_id=room.workspace, channel_id=1) is None
    assert (await stops.listed(room.pool)).stops[0].stop_id == other.stop_id


async def test_no_claim_is_committed_while_a_stop_stands_even_by_a_worker_that_did_not_hear(
    room: Room, smsc: Smsc, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(300))
    engine = await room.engine()
    await until(lambda: smsc.held == 20, "window is full")
    deaf = asyncio.Event()

    async def hears_nothing() -> bool:
        await deaf.wait()
        return False

    monkeypatch.setattr(engine.dispatcher._halt, "look", hears_nothing)
    engine.dispatcher.halted()
    await stop(room)
    before = await room.pool.fetchval("SELECT count(*) FROM claims")
    smsc.answer = lambda number, destination: 0
    smsc.release()

    async def claims_sent() -> bool:
        return await room.open_claims() == 0

    await until(claims_sent, "what was claimed is sent")
    engine.dispatcher.wake()
    for _ in range(3):  # it looks, and asks, in vain
        await engine.dispatcher._look()
    assert await room.pool.fetchval("SELECT count(*) FROM claims") == before
    assert (await room.get(campaign)).state == "Sending"


async def test_parts_that_wait_for_their_next_try_wait_for_the_lift_and_go_out_once(
    room: Room, smsc: Smsc, until: Until
) -> None:
    refused: set[str] = set()

    def answer(number: int, destination: str) -> int:
        if len(refused) < 50 and destination not in refused:
            refused.add(destination)
            return 0x58
        return 0

    smsc.answer = answer
    channel = await room.channel(smsc.port, window_size=100)
    campaign = await room.campaign(channel, await room.upload(50))
    await room.engine()
    await until(lambda: len(smsc.seen) == 50, "all were throttled")
    made = await stop(room)

    async def deferred() -> bool:
        return await room.open_claims() == 0

    await until(deferred, "their claims end")
    assert len(smsc.seen) == 50
    await lift(room, made)
    done = await room.reaches(campaign, "Done")
    assert set(smsc.accepted.values()) == {1}
    assert (done.counts.in_doubt, done.counts.in_flight) == (0, 50)
    await room.balanced(campaign)


async def test_stops_and_lifts_happen_once_a_decision(room: Room) -> None:
    spec = schema.StopSpec(decision_id=uuid4(), scope="everything")
    async with room.pool.acquire() as connection, connection.transaction():
        first, again = await stops.stop(connection, spec), await stops.stop(connection, spec)
    assert first == again
    assert len((await stops.listed(room.pool)).stops) == 1
    assert (await stops.covered(room.pool)).holds(uuid4(), 7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "workspace"},
        {"scope": "everything", "channel": "Test"},
        {"scope": "channel", "workspace_id": UUID(int=1)},
    ],
)
async def test_a_stop_that_contradicts_itself_is_refused(room: Room, wrong: Any) -> None:
    with pytest.raises(Exception, match="given for the scope"):
        await stop(room, **wrong)
    assert not await stops.covered(room.pool)


async def test_a_drained_account_takes_no_claims_and_keeps_its_binds(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: 0 if number < 300 else None
    channel = await room.channel(smsc.port, binds=2)
    campaign = await room.campaign(channel, await room.upload(3000))
    await room.engine()
    await until(lambda: smsc.held == 40, "windows are full")
    await order(room, lambda connection: leases.drain_account(connection, channel, True))

    async def only_what_was_written() -> bool:
        return await claimed(room) == 340

    await until(only_what_was_written, "what was not begun goes back")
    smsc.answer = lambda number, destination: 0
    smsc.release()

    async def said() -> bool:
        return (await room.get(campaign)).reason == "Test is drained"

    await until(said, "it is said")

    async def closed() -> bool:
        return await room.open_claims() == 0

    await until(closed, "what was begun has ended")
    assert (smsc.bound["esme"], len(smsc.seen)) == (2, 340)
    await order(room, lambda connection: leases.drain_account(connection, channel, False))
    await room.reaches(campaign, "Done")
    assert len(smsc.seen) == 3000
    await room.balanced(campaign)


async def test_a_drained_bind_leaves_its_work_to_the_others(room: Room, smsc: Smsc, until: Until) -> None:
    channel = await room.channel(smsc.port, tps=2000, binds=2)
    await order(room, lambda connection: leases.control_bind(connection, channel, 1, "drain"))
    campaign = await room.campaign(channel, await room.upload(1000))
    engine = await room.engine()
    await room.reaches(campaign, "Done")
    await until(lambda: smsc.bound["esme"] == 2, "both are bound")
    assert sorted(smsc.by_session.values()) == [1000]
    assert {bind.number: bind.drained for bind in engine.dispatcher.binds()} == {1: True, 2: False}
    with pytest.raises(Exception, match="no bind 3"):
        await order(room, lambda connection: leases.control_bind(connection, channel, 3, "drain"))


async def test_a_rebind_loses_no_message_and_doubts_none(room: Room, smsc: Smsc, until: Until) -> None:
    channel = await room.channel(smsc.port, tps=1000, binds=2)
    campaign = await room.campaign(channel, await room.upload(3000))
    await room.engine()
    await until(lambda: smsc.binds == 2 and len(smsc.seen) > 300, "under way")
    await order(room, lambda connection: leases.control_bind(connection, channel, 2, "rebind"))
    await until(lambda: smsc.binds == 3, "bound anew")
    done = await room.reaches(campaign, "Done")
    assert (smsc.binds, smsc.most_bound) == (3, 2), "once"
    assert len(smsc.seen) == len(set(smsc.seen)) == 3000
    assert done.counts.in_doubt == 0
    await room.balanced(campaign)


async def test_express_overtakes_bulk_that_fills_the_channel(room: Room, smsc: Smsc, until: Until) -> None:
    channel = await room.channel(smsc.port, tps=500, window_size=10)
    bulk = await room.campaign(channel, await room.upload(3000))
    await room.engine()
    await until(lambda: len(smsc.seen) > 200, "bulk is under way")
    express = await room.campaign(channel, await room.upload(100), "express", lane="express")
    assert (await room.reaches(express, "Done")).lane == "express"
    assert (await room.get(bulk)).state == "Sending"
    times = await room.pool.fetch(
        "SELECT s.lane, m.sent_at FROM submissions m JOIN slices s USING (slice_id) ORDER BY m.sent_at"
    )
    lanes = [row["lane"] for row in times]
    first, last = lanes.index(0), len(lanes) - 1 - lanes[::-1].index(0)
    assert lanes[first : last + 1].count(1) <= 40, "at most what was claimed already goes between"
    await room.reaches(bulk, "Done")
    for each in (bulk, express):
        await room.balanced(each)


async def test_two_workspaces_share_a_channel_by_weight(room: Room, smsc: Smsc, until: Until) -> None:
    channel = await room.channel(smsc.port, tps=2000)
    upload = await room.upload(3000)
    light = await room.campaign(channel, upload, "light")
    heavy_workspace = uuid4()
    await room.pool.execute("UPDATE uploads SET workspace_id = $1", heavy_workspace)
    ours, room.workspace = room.workspace, heavy_workspace
    heavy = await room.campaign(channel, upload, "heavy")
    room.workspace = ours
    await order(room, lambda connection: leases.set_weight(connection, heavy_workspace, 3.0))
    await room.pool.execute("UPDATE uploads SET workspace_id = $1", ours)
    await room.engine()
    await until(lambda: len(smsc.seen) >= 2400, "a good part is out")
    await stop(room)

    async def quiet() -> bool:
        return await room.open_claims() == 0

    await until(quiet, "stopped")
    counts = dict(await room.pool.fetch("SELECT campaign_id, sum(claimed_to) FROM slices GROUP BY 1"))
    assert 2.2 < counts[heavy] / counts[light] < 4.0
