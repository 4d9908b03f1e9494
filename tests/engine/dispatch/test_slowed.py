"""Response times of a simulated SMSC: one that queues slows the pace and shows why, one far away does not."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.server import Door, Simulator
from engine.ledger.accounts import published_binds

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Until = Callable[..., Any]


@asynccontextmanager
async def simulated(**behaviour: Any) -> AsyncIterator[Simulator]:
    simulator = Simulator(Door(), Behaviour(receipt_share=0.0, **behaviour))
    await simulator.start()
    yield simulator
    await simulator.stop()


async def test_a_queue_at_the_smsc_slows_the_pace_and_the_binds_say_so(room: Room, until: Until) -> None:
    async with simulated(latency_ms=5, service_tps=100) as simulator:
        channel = await room.channel(simulator.port, tps=400, window_size=1000)
        engine = await room.engine()
        campaign = await room.campaign(channel, await room.upload(3000))
        await until(
            lambda: engine.dispatcher.binds()[0].slowed_by.startswith("response time "), "it is slowed"
        )
        bind = engine.dispatcher.binds()[0]
        assert bind.tps_limit < bind.tps_set == 400
        assert bind.response_ms is not None

        async def published() -> bool:
            async with room.pool.acquire() as connection:
                (binds,) = (await published_binds(connection)).values()
            return binds[0].slowed_by.startswith("response time ") and binds[0].tps_limit < 400

        await until(published, "other workers and the account's page see it")
        await until(
            lambda: 0 < engine.dispatcher.binds()[0].in_flight < 100, "the queue drains while it goes on"
        )
        await room.command(campaign, "cancel")


@pytest.mark.parametrize("behaviour", [{"latency_ms": 300}, {"latency_ms": 20, "jitter_ms": 60}])
async def test_a_long_way_or_one_with_jitter_slows_nothing(room: Room, behaviour: dict[str, float]) -> None:
    async with simulated(**behaviour) as simulator:
        channel = await room.channel(simulator.port, tps=200, window_size=200)
        engine = await room.engine()
        campaign = await room.campaign(channel, await room.upload(600))
        await room.reaches(campaign, "Done")
        (working,) = engine.dispatcher._working.values()
        assert working.binds.pacer.response_time.raised == 1.0
        assert engine.dispatcher.binds()[0].slowed_by == ""
        await room.balanced(campaign)


async def test_the_setting_switches_it_off_and_on_without_leaving_the_bind(room: Room, until: Until) -> None:
    async with simulated(latency_ms=5, service_tps=100) as simulator:
        channel = await room.channel(
            simulator.port, tps=400, window_size=500, account_settings={"slow_on_response_time": False}
        )
        engine = await room.engine()
        campaign = await room.campaign(channel, await room.upload(4000))
        await until(lambda: engine.dispatcher.binds()[0].in_flight == 500, "the window fills")
        assert engine.dispatcher.binds()[0].slowed_by == ""
        await room.pool.execute(
            "UPDATE accounts SET settings = '{\"slow_on_response_time\": true}', version = version + 1"
        )
        engine.dispatcher.wake()
        (working,) = engine.dispatcher._working.values()
        await until(lambda: working.binds.pacer.heeds_response_time, "it is on")
        assert simulator.counts["binds"] == 1
        await room.command(campaign, "cancel")
