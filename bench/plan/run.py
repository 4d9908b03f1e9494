"""The measurements of a plan, one after the other. Everything it starts ends with it."""

import asyncio
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from bench.measure import Spread, machine
from bench.plan import disk as disks
from bench.plan.advice import Advice, advise, binds_and_window
from bench.plan.durable import Account, Whole
from bench.plan.load import Load
from bench.plan.measured import Disk, Durable, Goal, Step, WindowRamp
from bench.plan.ramp import ramp
from bench.report import Result
from bench.scenarios.smsc_process import smsc

WINDOWS = (10, 30, 100, 300, 1000)
NO_LIMIT_TPS = 1_000_000
MOST_BINDS = 64  # of the confirming run: the rest is arithmetic
CEILING_PER_S = 100_000  # what the window of a campaign without a limit allows by Little's law
CEILING_WINDOWS = (1000, 20_000)
CEILING_DEADLINE_S = 180.0
RECEIPT_DELAY_MS = 200
_PREFERRED = 300  # submit_sm a step has at least, for a p99 to mean something

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each part of a plan may take."""

    step_s: float = 1.0
    longest_step_s: float = 3.0
    confirm_s: float = 5.0
    disk_s: float = 3.0
    campaign_s: float = 12.0
    most_recipients: int = 150_000
    bisections: int = 3


QUICK = Pace(
    step_s=0.3,
    longest_step_s=0.6,
    confirm_s=1.0,
    disk_s=0.6,
    campaign_s=2.0,
    most_recipients=5_000,
    bisections=1,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that was asked, measured and advised."""

    goal: Goal
    advice: Advice
    ramps: list[WindowRamp]
    confirmed: Step | None
    disk: Disk
    durable: Durable
    ceiling: Durable
    command: str
    seconds: float
    quick: bool
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    machine: dict[str, Any] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def result(self) -> Result:
        """As the history keeps it: what held at each window, to window / RTT."""
        goal = asdict(self.goal)
        return Result(
            scenario="plan",
            unit="submit_sm",
            parameters={**goal, "windows": [each.window for each in self.ramps], "quick": self.quick},
            rate_per_s=Spread.of([self.durable.held_per_s]),
            cpu_s=self.durable.core_us * self.durable.submits / 1e6,
            rss_bytes=max(self.durable.rss_bytes.values()),
            ratios={f"held/bound at {each.window}": Spread.of([each.of_bound]) for each in self.ramps},
            extra={"ceiling_per_s": self.ceiling.held_per_s, "reachable": self.advice.reachable},
            machine=self.machine,
        )


def make(
    goal: Goal,
    windows: Sequence[int],
    folder: Path,
    pace: Pace,
    command: str,
    say: Say,
    *,
    quick: bool = False,
) -> Plan:
    """Measures and advises. `folder`: on the disk to be measured; what is made in it is removed.

    Raises InvalidRun where a measurement cannot be made at all.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    ramps = _ramps(goal, windows, pace, say)
    binds, window = binds_and_window(goal)
    say(f"the target over {binds} binds with window {window} ...")
    confirmed = _confirm(goal, binds, window, pace)
    scratch = Path(tempfile.mkdtemp(prefix="plan-", dir=folder))
    scratch.chmod(0o755)  # PostgreSQL may have a user of its own
    try:
        disk, durable, ceiling, versions = _with_ledger(goal, binds, window, scratch, pace, say)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    about = machine()
    return Plan(
        goal=goal,
        advice=advise(goal, ramps, confirmed, disk, durable, ceiling, int(about["cores"])),
        ramps=ramps,
        confirmed=confirmed,
        disk=disk,
        durable=durable,
        ceiling=ceiling,
        command=command,
        seconds=time.monotonic() - began,
        quick=quick,
        machine=about,
        versions=versions,
    )


def _ramps(goal: Goal, windows: Sequence[int], pace: Pace, say: Say) -> list[WindowRamp]:
    found: list[WindowRamp] = []
    with smsc("--latency-ms", str(goal.rtt_ms), "--receipt-delay-ms", "0") as port:
        for window in sorted(set(windows)):
            say(f"window {window} ...")
            bound = window * 1000 / goal.rtt_ms
            short = found[-1].of_bound if found else 1.0
            guess = bound if short > 0.8 else max(found[-1].best_per_s, 1.0) * 1.3
            found.append(uvloop.run(_ramp(goal, port, window, guess, pace)))
    return found


async def _ramp(goal: Goal, port: int, window: int, guess: float, pace: Pace) -> WindowRamp:
    async with Load(port, binds=1, window=window, p99_ms=goal.p99_ms) as load:

        async def measure(rate: float) -> Step:
            return await load.step(rate, _seconds(rate, goal, pace))

        await measure(min(guess / 10, 100.0))  # the first PDUs of a process are slow
        return await ramp(
            measure,
            window=window,
            rtt_s=goal.rtt_ms / 1000,
            p99_ms=goal.p99_ms,
            guess_per_s=guess,
            bisections=pace.bisections,
        )


def _seconds(rate: float, goal: Goal, pace: Pace) -> float:
    wanted = max(pace.step_s, _PREFERRED / rate, 5 * goal.rtt_ms / 1000)
    return min(wanted, max(pace.longest_step_s, 5 * goal.rtt_ms / 1000))


def _confirm(goal: Goal, binds: int, window: int, pace: Pace) -> Step | None:
    """The target against an SMSC that grants just that window and that TPS; the better of two runs."""
    if binds > MOST_BINDS:
        return None
    options = ("--latency-ms", str(goal.rtt_ms), "--receipt-delay-ms", "0", "--window", str(window))
    with smsc(*options, "--bind-tps", str(math.ceil(goal.tps_per_bind))) as port:

        async def run() -> Step:
            async with Load(port, binds=binds, window=window, p99_ms=goal.p99_ms) as load:
                first = await load.step(goal.submits_per_s, pace.confirm_s)
                if first.holds(goal.p99_ms):
                    return first
                again = await load.step(goal.submits_per_s, pace.confirm_s)
                return again if again.holds(goal.p99_ms) else first

        return uvloop.run(run())


def _with_ledger(
    goal: Goal, binds: int, window: int, scratch: Path, pace: Pace, say: Say
) -> tuple[Disk, Durable, Durable, dict[str, str]]:
    latency = ("--latency-ms", str(goal.rtt_ms), "--receipt-delay-ms", str(RECEIPT_DELAY_MS))
    say("PostgreSQL, engine and console: starting ...")
    whole = Whole(scratch, " ".join(latency))
    try:
        say("the disk ...")
        disk = asyncio.run(disks.measure(whole.stack.data / "postgres", whole.dsn(), pace.disk_s))
        versions = asyncio.run(_versions(whole.dsn()))
        rate = goal.submits_per_s
        recipients = int(min(max(goal.target_tps * pace.campaign_s, 500), pace.most_recipients))
        deadline_s = 60 + 6 * recipients * goal.parts / rate
        say(f"a campaign of {recipients:,} through the ledger at {goal.target_tps:,.0f} a second ...")
        operator = (*latency, "--window", str(window), "--bind-tps", str(math.ceil(goal.tps_per_bind)))
        with smsc(*operator) as port:
            account = Account(port, math.ceil(rate), min(binds, MOST_BINDS), window)
            durable = whole.run(account, recipients, goal.parts, deadline_s)
        most = int(min(max(10 * recipients, 20_000), pace.most_recipients))
        say(f"a campaign of {most:,} as fast as it goes ...")
        account = Account(whole.smsc_port, NO_LIMIT_TPS, 1, ceiling_window(goal.rtt_ms))
        ceiling = whole.run(account, most, goal.parts, CEILING_DEADLINE_S)
        closed = whole.closed_bytes(durable.submits + ceiling.submits)
    finally:
        whole.stop()
    return disk, _closed(durable, closed), _closed(ceiling, closed), versions


def ceiling_window(rtt_ms: float) -> int:
    """Of a campaign that the machine is to limit, and not its window."""
    least, most = CEILING_WINDOWS
    return min(most, max(least, math.ceil(CEILING_PER_S * rtt_ms / 1000)))


def _closed(one: Durable, closed_bytes: float) -> Durable:
    return replace(one, closed_bytes=closed_bytes)


async def _versions(dsn: str) -> dict[str, str]:
    connection = await asyncpg.connect(dsn)
    try:
        postgres = str(await connection.fetchval("SHOW server_version"))
        sync = [await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")]
    finally:
        await connection.close()
    return {
        "heliograph": version("heliograph"),
        "PostgreSQL": postgres.split(" ")[0],
        "fsync": f"{sync[0]}, synchronous_commit {sync[1]}",
        "uvloop": version("uvloop"),
        "pyarrow": version("pyarrow"),
    }
