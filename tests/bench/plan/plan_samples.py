"""A plan as its measurements would give it, for the tests that only read one."""

from dataclasses import replace
from typing import Any

from bench.plan.advice import advise
from bench.plan.measured import Disk, Durable, Goal, Step, WindowRamp
from bench.plan.run import Plan

GOAL = Goal(target_tps=5000, rtt_ms=50, tps_per_bind=500, p99_ms=100)
DISK = Disk("/data", "ext4", 0.4, 4.0, 0.5, 4.1, 1000, 3.2, 10.0)
DURABLE = Durable(
    tps=5000,
    held_per_s=4990,
    messages=60_000,
    submits=60_000,
    throttled=0,
    seconds=13.0,
    cpu_us={"engine": 100.0, "postgres": 40.0, "control_plane": 10.0, "smsc": 50.0},
    wal_bytes=360.0,
    table_bytes=300.0,
    closed_bytes=60.0,
    rss_bytes={"engine": 150_000_000, "control_plane": 140_000_000},
)
CEILING = replace(DURABLE, tps=1e6, held_per_s=18_000, cpu_us={**DURABLE.cpu_us, "engine": 12.0})


def step(rate: float, p99_ms: float = 60.0, refused: int = 0) -> Step:
    return Step(rate, rate, 52.0, p99_ms, 58.0, 1.0, round(rate), refused, 0, 5.0)


def ramps() -> list[WindowRamp]:
    return [
        WindowRamp(
            window,
            window * 20.0,
            window * 19.0,
            [step(window * 12.0), step(window * 19.0), step(window * 21.0, 130)],
        )
        for window in (10, 100, 1000)
    ]


def plan(**changed: Any) -> Plan:
    """`changed`: goal, confirmed, disk, durable or ceiling, in place of what holds."""
    given = {
        "goal": GOAL,
        "confirmed": step(5000),
        "disk": DISK,
        "durable": DURABLE,
        "ceiling": CEILING,
        **changed,
    }
    advice = advise(
        given["goal"], ramps(), given["confirmed"], given["disk"], given["durable"], given["ceiling"], 2
    )
    return Plan(
        advice=advice,
        ramps=ramps(),
        command="heliograph bench plan --target-tps 5000",
        seconds=120.0,
        quick=False,
        versions={
            "heliograph": "0.1.0",
            "PostgreSQL": "18.6",
            "fsync": "on, synchronous_commit on",
            "uvloop": "0.23",
            "pyarrow": "26.0",
        },
        **given,
    )
