"""Breakers: a campaign that only fails is paused once, a channel that only fails waits for an operator."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core_api import schema
from engine.dispatch.breaker import Breaker
from engine.ledger import breaker, error_map, reports
from engine.ledger.errors import NotFound

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any
ONE, TWO = UUID(int=1), UUID(int=2)


@given(st.lists(st.sampled_from([0, 0x0A, 0x0B]), max_size=80))
def test_a_breaker_trips_exactly_when_nine_of_the_last_ten_ended_in_one_code(statuses: list[int]) -> None:
    tested = Breaker(window=10)
    for i, status in enumerate(statuses):
        last = statuses[max(0, i - 9) : i + 1]
        if status == 0:
            tested.passed(1)
            continue
        due = len(last) == 10 and last.count(status) >= 9
        assert bool(tested.failed(status, ONE)) == due


def test_a_channels_breaker_needs_two_campaigns() -> None:
    tested = Breaker(window=10, campaigns_needed=2)
    assert not any(tested.failed(0x0A, ONE) for _ in range(30))
    assert tested.failed(0x0A, TWO) == "breaker: 0x0A on 100 %"


@pytest.mark.system
async def test_a_campaign_that_only_fails_is_paused_with_one_job_error(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: 0x0A if number % 20 else 0
    channel = await room.channel(smsc.port, window_size=50)
    campaign = await room.campaign(channel, await room.upload(3000))
    await room.engine(max_claimed=200)
    paused = await room.reaches(campaign, "Paused")
    assert paused.reason == "breaker: 0x0A on 95 %"
    errors = await reports.job_errors(room.pool, campaign)
    assert errors.counts == {"breaker": 1}

    async def given_back() -> bool:
        return not await room.open_claims()

    await until(given_back, "what was not begun is given back")
    assert len(smsc.seen) < 3000
    await room.balanced(campaign)
    smsc.answer = lambda number, destination: 0
    await room.command(campaign, "resume")
    done = await room.reaches(campaign, "Done")
    assert len(smsc.seen) == 3000, "every row went out once"
    assert done.counts.waiting == done.counts.in_flight
    await room.balanced(campaign)


@pytest.mark.system
async def test_a_channel_that_only_fails_waits_for_its_reset(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.answer = lambda number, destination: 0x0A
    channel = await room.channel(smsc.port, tps=2000, window_size=10)
    campaigns = [await room.campaign(channel, await room.upload(470)) for _ in range(3)]
    await room.engine(max_claimed=100)

    async def tripped() -> bool:
        return bool((await error_map.of_channel(room.pool, channel)).tripped)

    await until(tripped, "the channel trips")
    assert (await error_map.of_channel(room.pool, channel)).tripped == "breaker: 0x0A on 100 %"

    async def quiet() -> bool:
        return not await room.open_claims()

    await until(quiet, "nothing of it is claimed")
    sent = len(smsc.seen)
    assert sent < 3 * 470
    waiting = [await room.get(each) for each in campaigns]
    assert {each.reason for each in waiting if each.state == "Sending"} == {
        "channel tripped: breaker: 0x0A on 100 %"
    }
    smsc.answer = lambda number, destination: 0
    order = schema.ChannelReset(decision_id=uuid4())
    assert await breaker.reset_channel(room.pool, channel, order) == order
    assert await breaker.reset_channel(room.pool, channel, order) == order
    room.engines[0].dispatcher.wake()
    for each in campaigns:
        done = await room.reaches(each, "Done")
        assert done.reason == ""
        await room.balanced(each)
    assert len(smsc.seen) == 3 * 470
    with pytest.raises(NotFound):
        await breaker.reset_channel(room.pool, "no such", schema.ChannelReset(decision_id=uuid4()))


@pytest.mark.system
async def test_one_subscribers_full_box_does_not_slow_the_channel(
    room: Room, smsc: Smsc, until: Until
) -> None:
    full = {str(447_700_000_000 + i) for i in range(0, 1000, 50)}
    smsc.answer = lambda number, destination: 0x14 if destination in full else 0
    channel = await room.channel(smsc.port, window_size=50)
    campaign = await room.campaign(channel, await room.upload(1000))
    engine = await room.engine()
    await until(lambda: len(smsc.accepted) == 980, "the others went out")
    [working] = engine.dispatcher._working.values()
    assert working.binds.pacer.rate_per_s == working.binds.pacer.tps
    counts = (await room.get(campaign)).counts
    assert counts.throttled == 0


@pytest.mark.system
async def test_a_mapped_code_is_followed_by_the_next_results(room: Room, smsc: Smsc, until: Until) -> None:
    tried: set[str] = set()

    def answer(number: int, destination: str) -> int:
        known = destination in tried
        tried.add(destination)
        return 0 if known or int(destination) % 10 else 0x45B

    smsc.answer = answer
    channel = await room.channel(smsc.port)
    spec = schema.ErrorCodeSpec(
        decision_id=uuid4(), context="response", code="0x45b", error_class="temporary", meaning="busy"
    )
    await error_map.put(room.pool, channel, spec)
    campaign = await room.campaign(channel, await room.upload(100))
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert (done.counts.failed, done.counts.retried, done.counts.in_flight) == (0, 10, 100)
    found = {each.code: each for each in (await error_map.of_channel(room.pool, channel)).codes}
    assert (found["0x0000045B"].count, found["0x0000045B"].meaning) == (10, "busy")
