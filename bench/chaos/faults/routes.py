"""Channels that end while campaigns by routes go over them: what no operator has goes over the next one."""

from uuid import uuid4

from bench.chaos.fault import fault
from bench.chaos.lab import ACCOUNT, CHANNEL, Lab, LabError, Settings
from bench.simulators.smsc.behaviour import Behaviour
from engine.core_api import schema

OTHER_ACCOUNT, OTHER_CHANNEL = "chaos-2", "Chaos 2"
BY_ROUTES = ""


def _slow() -> Settings:
    return Settings(behaviour=Behaviour(latency_ms=100, receipt_delay_ms=100), tps=1200)


async def _route(lab: Lab, *channels: schema.RouteChannel) -> None:
    """Every number goes by one route, over two accounts."""
    await lab.seed_channel(OTHER_ACCOUNT, OTHER_CHANNEL)
    spec = schema.RouteSpec(decision_id=uuid4(), name="everywhere", channels=list(channels))
    await lab.patiently(lambda core: core.put_route(None, spec))


async def _drain(lab: Lab, account: str, *, drained: bool = True) -> None:
    order = schema.ControlSpec(decision_id=uuid4())
    await lab.patiently(lambda core: core.drain(account, order, drained=drained))


async def _over(lab: Lab) -> dict[str, int]:
    """Rows by the channel that has them."""
    async with lab.core() as core:
        found = await core.campaign_channels(lab.campaigns[0].campaign_id)
    return {each.channel: each.rows for each in found.channels}


@fault("routes", "the first channel is drained; kill -9 of the engine at once", settings=_slow)
async def route_drained_under_kill(lab: Lab) -> None:
    await _route(
        lab, schema.RouteChannel(channel=CHANNEL), schema.RouteChannel(channel=OTHER_CHANNEL, tier=2)
    )
    await lab.send(channel=BY_ROUTES)
    await lab.under_way(0.2)
    await _drain(lab, ACCOUNT)
    await lab.crash()
    await lab.under_way(0.6)
    await lab.crash()
    await lab.finish()
    rows = await _over(lab)
    if not rows.get(CHANNEL) or not rows.get(OTHER_CHANNEL):
        raise LabError(f"both channels have rows, not {rows}")


@fault("routes", "channels are drained in turn, forth and back, under two engines", settings=_slow)
async def route_drained_in_turn(lab: Lab) -> None:
    await _route(lab, schema.RouteChannel(channel=CHANNEL), schema.RouteChannel(channel=OTHER_CHANNEL))
    await lab.add_engine()
    await lab.send(channel=BY_ROUTES)
    for turn in range(4):
        await lab.under_way(0.15 + 0.15 * turn)
        account, other = (ACCOUNT, OTHER_ACCOUNT) if turn % 2 else (OTHER_ACCOUNT, ACCOUNT)
        await _drain(lab, other, drained=False)
        await _drain(lab, account)
    await lab.crash(1)
    await _drain(lab, ACCOUNT, drained=False)
    await _drain(lab, OTHER_ACCOUNT, drained=False)
    await lab.finish()
    if len(await _over(lab)) != 2:
        raise LabError(f"both channels have rows, not {await _over(lab)}")


def _refusing() -> Settings:
    return Settings(behaviour=Behaviour(latency_ms=60, receipt_delay_ms=100, errors=((0x0A, 0.1),)), tps=1200)


@fault(
    "routes",
    "both channels refuse one message in ten for good, under kill -9",
    settings=_refusing,
    may_fail=True,
)
async def route_refused_under_kill(lab: Lab) -> None:
    await _route(
        lab, schema.RouteChannel(channel=CHANNEL), schema.RouteChannel(channel=OTHER_CHANNEL, tier=2)
    )
    await lab.send(channel=BY_ROUTES)
    await lab.under_way(0.3)
    await lab.crash()
