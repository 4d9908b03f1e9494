"""Measuring: contenders run side by side within one run, so that the machine's mood falls on all of them."""

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MAX_LIMIT_SPREAD = 1.5  # most of a run's fastest to its slowest round of the limit client


class InvalidRun(RuntimeError):
    """What ran did not do its job, so that its rate means nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much to do. `count` is in the scenario's own unit; None takes its default."""

    repeats: int = 5
    quick: bool = False
    count: int | None = None

    def units(self, default: int, quick: int) -> int:
        if self.count is not None:
            return self.count
        return quick if self.quick else default


@dataclass(frozen=True, slots=True)
class Spread:
    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True, slots=True)
class Round:
    """One contender's turn: `units` done in `seconds` of wall-clock, with `cpu_s` of its own process."""

    units: int
    seconds: float
    cpu_s: float

    @property
    def rate_per_s(self) -> float:
        return self.units / self.seconds

    @classmethod
    def sum(cls, turns: Sequence["Round"]) -> "Round":
        return cls(
            sum(one.units for one in turns),
            sum(one.seconds for one in turns),
            sum(one.cpu_s for one in turns),
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rates of each contender, and ratios of the first to each other, paired round by round."""

    rates: dict[str, Spread]
    ratios: dict[str, Spread]
    cpu_s: float  # median of the first contender's
    rounds: dict[str, list[Round]] = field(default_factory=dict)

    def ratio(self, one: str, other: str) -> Spread:
        """Rates of `one` to those of `other`, paired round by round."""
        pairs = zip(self.rounds[one], self.rounds[other], strict=True)
        return Spread.of([a.rate_per_s / b.rate_per_s for a, b in pairs])

    @property
    def cpu_us(self) -> float:
        """Processor time of the first contender for a unit, in microseconds; its median round."""
        return statistics.median(one.cpu_s / one.units for one in next(iter(self.rounds.values()))) * 1e6

    def void(self, limit: str) -> str:
        """Why the run says nothing: the contender that bounds it was not steady itself; "" where it was."""
        spread = self.rates[limit]
        if spread.max <= MAX_LIMIT_SPREAD * spread.min:
            return ""
        return (
            f"{limit} itself spread over {spread.max / spread.min:.2f}x ({spread.min:,.0f} to "
            f"{spread.max:,.0f} /s), more than {MAX_LIMIT_SPREAD}x: the machine was busy"
        )


Contender = Callable[[], Round]


def timed(work: Callable[[], int]) -> Round:
    """Times `work`, which returns the units it did."""
    cpu_s, began = time.process_time(), time.perf_counter()
    units = work()
    return Round(units, time.perf_counter() - began, time.process_time() - cpu_s)


@contextmanager
def a_core_each(peer_pid: int) -> Iterator[None]:
    """The peer on the last core, this process and what it starts on the first; as it was on leaving.

    Else the scheduler puts both on one core for a while, and a round says where it put them. Does nothing
    where there is one core. Linux only.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        yield
        return
    os.sched_setaffinity(peer_pid, cores[-1:])
    os.sched_setaffinity(0, cores[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def side_by_side(
    contenders: Mapping[str, Contender], repeats: int, *, warm: bool = False, slices: int = 1
) -> Comparison:
    """Runs all contenders `repeats` times, every other time in reverse order.

    warm: one turn of each before, which does not count (a processor that slept is slow at first).
    slices: turns that make up one repeat of each, so that what disturbs the machine for some seconds
    falls on all contenders of that repeat.
    """
    if repeats < 1:
        raise ValueError("at least one repeat")
    names = list(contenders)
    for name in names if warm else ():
        contenders[name]()
    rounds: dict[str, list[Round]] = {name: [] for name in names}
    for repeat in range(repeats):
        turns: dict[str, list[Round]] = {name: [] for name in names}
        for turn in range(slices):
            for name in names if (repeat + turn) % 2 == 0 else reversed(names):
                turns[name].append(contenders[name]())
        for name in names:
            rounds[name].append(Round.sum(turns[name]))
    ours = [one.rate_per_s for one in rounds[names[0]]]
    theirs = {name: [one.rate_per_s for one in rounds[name]] for name in names[1:]}
    return Comparison(
        rates={name: Spread.of([one.rate_per_s for one in rounds[name]]) for name in names},
        ratios={
            f"{names[0]}/{name}": Spread.of([a / b for a, b in zip(ours, rates, strict=True)])
            for name, rates in theirs.items()
        },
        cpu_s=statistics.median(one.cpu_s for one in rounds[names[0]]),
        rounds=rounds,
    )


def rss_bytes(pid: int) -> int:
    """Resident memory of a process now. Linux only."""
    with Path(f"/proc/{pid}/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_rss_bytes(pid: int | None = None) -> int:
    """Highest resident memory of a process so far (VmHWM); our own without a pid.

    Raises ProcessLookupError for a process that is gone.
    """
    if pid is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError as error:
        raise ProcessLookupError(f"no process {pid}") from error
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


def machine() -> dict[str, str | int]:
    """What the numbers were measured on; no host name."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        model = models[0] if models else model
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
