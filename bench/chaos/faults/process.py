"""What happens to a process besides kill -9: SIGTERM, SIGSTOP, a second one, a clock that jumps."""

import asyncio
import signal

from bench.chaos.fault import fault
from bench.chaos.lab import Lab, Settings
from bench.simulators.smsc.behaviour import Behaviour


def _slow() -> Settings:
    return Settings(behaviour=Behaviour(latency_ms=100, receipt_delay_ms=100), tps=1500)


def _clocked(*programs: str) -> Settings:
    return Settings(behaviour=Behaviour(latency_ms=40, receipt_delay_ms=100), tps=1500, shim=programs)


@fault(
    "process", "SIGTERM with a full window: what was written is answered, the rest given back", settings=_slow
)
async def sigterm_full_window(lab: Lab) -> None:
    await lab.send()
    for turn in range(3):
        await lab.under_way(0.1 + 0.2 * turn)
        lab.engine.signal(signal.SIGTERM)
        await lab.engine.back(turn + 1)


@fault("process", "two engines on one ledger", settings=lambda: Settings(tps=1500, binds=2))
async def two_engines(lab: Lab) -> None:
    await lab.add_engine()
    await lab.send()
    await lab.under_way(0.3)
    await lab.crash(1)


@fault(
    "process", "SIGSTOP of one engine past its lease, and back", settings=lambda: Settings(tps=800, binds=2)
)
async def sigstop_past_lease(lab: Lab) -> None:
    second = await lab.add_engine()
    await lab.send()
    await lab.under_way(0.2)
    second.signal(signal.SIGSTOP)
    lab.crashes += 1
    await asyncio.sleep(9.0)  # lease 6 s and margin
    second.signal(signal.SIGCONT)


@fault(
    "process",
    "the engine's wall clock jumps an hour ahead, then two back",
    settings=lambda: _clocked("engine"),
)
async def clock_of_engine(lab: Lab) -> None:
    await lab.send()
    for turn, offset_s in enumerate((3600.0, -3600.0, 0.0)):
        await lab.under_way(0.15 + 0.2 * turn)
        lab.shims["engine"].clock_s = offset_s


@fault(
    "process", "PostgreSQL's clock jumps ten minutes ahead and back", settings=lambda: _clocked("postgres")
)
async def clock_of_postgres(lab: Lab) -> None:
    await lab.send()
    for turn, offset_s in enumerate((600.0, 0.0)):
        await lab.under_way(0.2 + 0.2 * turn)
        lab.shims["postgres"].clock_s = offset_s
