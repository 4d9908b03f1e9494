"""Campaigns by routes while channels close, refuse or cannot carry them: nothing waits without a reason,
and no operator gets what another may have."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from leg_room import BAD_SENDER, FULL, close, holds, numbers, over

from engine.dispatch.legs import fail_over, plan
from engine.dispatch.worker import Worker
from engine.ledger import partitions, reports
from engine.ledger.sql import load

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any
LONG = "x" * 200  # two parts


async def disable(room: Room, name: str, *, enabled: bool = False) -> None:
    await room.pool.execute("UPDATE channels SET enabled = $2 WHERE name = $1", name, enabled)
    for engine in room.engines:
        engine.dispatcher.wake()


async def channel_id(room: Room, name: str) -> int:
    return int(await room.pool.fetchval("SELECT channel_id FROM channels WHERE name = $1", name))


def says(room: Room, campaign: Any, text: str) -> Any:
    async def there() -> bool:
        return text in (await room.get(campaign)).reason

    return there


async def test_a_message_of_several_parts_is_never_spread_over_two_operators(
    two: Room, smsc: Smsc, other_smsc: Smsc
) -> None:
    smsc.answer = lambda number, destination: BAD_SENDER if smsc.seen.count(destination) == 2 else 0
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(5), text=LONG)
    await two.engine()
    await two.reaches(campaign, "Done")
    assert not other_smsc.seen
    await holds(two)


async def test_a_campaign_that_cannot_be_planned_fails_and_holds_up_no_other(two: Room, smsc: Smsc) -> None:
    await two.route("all", "one")
    bad = await two.upload(10)
    await two.pool.execute("UPDATE recipient_chunks SET data = '\\x00'")
    first = await two.campaign("", bad)
    second = await two.campaign("", await two.upload(10))
    await two.engine()
    await two.reaches(second, "Done")
    assert "not what was sealed" in (await two.reaches(first, "Failed")).reason


async def test_what_is_refused_waits_with_a_reason_while_the_next_channel_is_disabled(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: BAD_SENDER
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    await disable(two, "two")
    campaign = await two.campaign("", await two.upload(10))
    await two.engine()
    await until(says(two, campaign, "channel two is disabled"), "it says why")
    await disable(two, "two", enabled=True)
    done = await two.reaches(campaign, "Done")
    assert other_smsc.accepted == numbers(0, 10)
    assert done.reason == ""


async def test_a_campaign_all_of_whose_channels_tripped_says_so(two: Room, smsc: Smsc, until: Until) -> None:
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    await two.pool.execute("UPDATE channels SET tripped_at = now(), tripped_reason = 'breaker: 0x0A on 90 %'")
    campaign = await two.campaign("", await two.upload(10))
    await two.engine()
    await until(says(two, campaign, "channel tripped: breaker"), "it says why")


async def test_a_campaign_whose_open_channel_is_stopped_says_so(two: Room, until: Until) -> None:
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    await close(two, "one")
    await two.pool.execute(
        "INSERT INTO stops (stop_id, scope, channel_id, reason, decision_id)"
        " VALUES ($1, 'channel', $2, 'x', $3)",
        uuid4(),
        await channel_id(two, "two"),
        uuid4(),
    )
    campaign = await two.campaign("", await two.upload(20))
    await two.engine()
    await until(says(two, campaign, "stopped: x"), "it says why")


async def test_what_no_channel_refused_goes_back_to_the_first_when_its_own_is_disabled(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    other_smsc.answer = lambda number, destination: FULL
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    await close(two, "one")
    campaign = await two.campaign("", await two.upload(10))
    await two.engine(retry_queue_full_s=0.5)
    await until(lambda: len(other_smsc.seen) >= 10, "tried")
    await two.pool.execute("UPDATE accounts SET drained = false, version = version + 1")
    await disable(two, "two")
    await two.reaches(campaign, "Done")
    assert smsc.accepted == numbers(0, 10)
    await holds(two)


async def test_long_messages_keep_no_others_of_their_retry_slice_on_a_closed_channel(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: FULL
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(20, names=[LONG, "Bo"]))
    await two.engine(retry_queue_full_s=0.5)
    await until(lambda: len(smsc.seen) >= 30, "tried")
    await disable(two, "one")
    await until(lambda: len(other_smsc.accepted) == 10, "the short ones go over the other")
    smsc.answer = lambda number, destination: 0
    await disable(two, "one", enabled=True)
    await two.reaches(campaign, "Done")
    assert len(smsc.accepted) == 10
    assert set(other_smsc.accepted.values()) == {1}
    await two.balanced(campaign)
    await holds(two)


async def test_a_channel_that_cannot_carry_the_campaign_does_not_end_it(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    await two.channel(smsc.port, "one", tps=300, window_size=5)
    await two.channel(other_smsc.port, "two", settings={"long_messages": "payload"})  # no such setting
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(400))
    await two.engine()
    await until(lambda: len(smsc.seen) > 20, "under way")
    await close(two, "one")
    await until(says(two, campaign, "channel two cannot carry it"), "it says why")
    await two.channel(other_smsc.port, "two")
    await until(lambda: other_smsc.accepted.total() > 50, "it can now")
    await two.pool.execute("UPDATE accounts SET drained = false, version = version + 1")
    two.engines[0].dispatcher.wake()
    await two.reaches(campaign, "Done")
    assert smsc.accepted + other_smsc.accepted == numbers(0, 400)
    await holds(two)


async def test_rows_that_move_to_a_channel_at_work_do_not_wait_for_the_end_of_others(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    await two.channel(smsc.port, "one", tps=60, window_size=5)
    await two.channel(other_smsc.port, "two", tps=300, window_size=5)
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    big = await two.campaign("two", await two.upload(20_000, chunk_rows=20_000))
    await two.engine()
    await until(lambda: len(other_smsc.seen) > 100, "the big one goes")
    campaign = await two.campaign("", await two.upload(400, chunk_rows=250))
    await until(lambda: len(smsc.seen) > 20, "under way")
    await disable(two, "one")
    await two.reaches(campaign, "Done")
    assert (await two.get(big)).state == "Sending"
    await two.command(big, "cancel")


async def test_a_slice_whose_last_claim_ends_while_its_rest_moves_is_closed(two: Room) -> None:
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(100))
    worker = await Worker.register(two.pool, two.settings)
    assert await plan(two.pool, campaign, worker.worker_id)
    one = await channel_id(two, "one")
    async with two.pool.acquire() as connection, connection.transaction():
        (slice_id,) = await partitions.allot(connection, [100])
        await connection.execute(
            "INSERT INTO slices"
            " (slice_id, campaign_id, chunk_no, channel_id, row_start, row_count, claimed_to)"
            " VALUES ($1, $2, 0, $3, 0, 100, 40)",
            slice_id,
            campaign,
            one,
        )
        claim = await connection.fetchval(
            "INSERT INTO claims (slice_id, row_start, row_end, worker_id, epoch, account_id, bind_number)"
            " SELECT $1, 0, 40, worker_id, epoch, 1, 1 FROM workers WHERE worker_id = $2 RETURNING claim_id",
            slice_id,
            worker.worker_id,
        )
    async with two.pool.acquire() as writing, writing.transaction():
        await writing.execute(load("commit")["close_claims"], [claim])
        await writing.execute(load("commit")["close_slices"], [slice_id])
        moving = await _waits_for_it(two, one)
    assert await moving == 1
    state = await two.pool.fetchval("SELECT state FROM slices WHERE slice_id = $1", slice_id)
    assert state == "done"


async def _waits_for_it(room: Room, closed: int) -> Any:
    """A fail-over that waits for the transaction that closes the claim."""
    moving = asyncio.create_task(fail_over(room.pool, [closed]))
    while not await room.pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM claims%'"
    ):
        assert not moving.done(), "it did not wait"
        await asyncio.sleep(0)
    return moving


async def test_a_message_in_doubt_is_shown_at_the_operator_that_may_have_it(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    other_smsc.answer = lambda number, destination: BAD_SENDER
    smsc.answer = lambda number, destination: None
    await two.route("both", ("two", 1, 1), ("one", 2, 1))
    campaign = await two.campaign("", await two.upload(3))
    await two.engine()
    await until(lambda: smsc.held == 3, "held")
    smsc.drop()

    async def doubtful() -> bool:
        return bool((await two.get(campaign)).counts.in_doubt == 3)

    await until(doubtful, "in doubt")
    shown = await two.pool.fetch(
        "SELECT m.channel_id FROM slices s, messages_of(s.slice_id, 0, 100, false) m"
        " WHERE s.origin_slice_id IS NULL"
    )
    assert {row["channel_id"] for row in shown} == {await channel_id(two, "one")}


async def test_a_leg_that_flips_under_two_workers_sends_each_number_once(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    await two.channel(smsc.port, "one", binds=2, tps=1500, window_size=5)
    await two.channel(other_smsc.port, "two", binds=2, tps=1500, window_size=5)
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(4000, chunk_rows=1500))
    await two.engine()
    await two.engine(data_dir=two.settings.data_dir / "second")
    for turn in range(1, 9):
        await until(lambda turn=turn: len(smsc.seen) + len(other_smsc.seen) > 400 * turn, "it goes on")
        await disable(two, "one", enabled=not turn % 2)
    await disable(two, "one", enabled=True)
    await two.reaches(campaign, "Done")
    assert smsc.accepted + other_smsc.accepted == numbers(0, 4000)
    await two.balanced(campaign)
    await holds(two)


async def test_rows_without_a_route_are_shown_as_never_tried(two: Room) -> None:
    await two.route("elsewhere", "one", prefix="91")
    campaign = await two.campaign("", await two.upload(40_000, chunk_rows=20_000))
    await two.engine()
    done = await two.reaches(campaign, "Done")
    assert done.counts.failed == 40_000
    listed = await reports.recipients(two.pool, campaign, None, 50, None)
    assert {(each.attempts, each.sent_at, each.error) for each in listed.recipients} == {
        (0, None, "no route")
    }
    assert Counter(await over(two, campaign)) == {"": (40_000, 0)}
    await holds(two)
