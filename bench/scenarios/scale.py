"""More workers, more binds on one ledger: the engines' messages for each CPU second stay what they were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.measure import Size, Spread
from bench.report import Result, Target
from bench.scenarios.durable import TPS, demo

WINDOW = 1000  # of all binds together
LEAST = 0.9  # of the messages a CPU second with one worker and one bind


@dataclass(frozen=True, slots=True)
class Shape:
    workers: int
    binds: int

    @property
    def name(self) -> str:
        return f"workers {self.workers}, binds {self.binds}"


SHAPES = (Shape(1, 1), Shape(1, 4), Shape(1, 16), Shape(2, 2))


def run(size: Size) -> Result:
    """`count` is recipients of each campaign. The rate is that of one worker and one bind, the ratios are
    messages a CPU second of each shape to those of the first."""
    count = size.units(default=200_000, quick=5_000)
    outcomes: dict[Shape, list[dict[str, Any]]] = {shape: [] for shape in SHAPES}
    for turn in range(size.repeats):
        for shape in SHAPES if turn % 2 == 0 else reversed(SHAPES):
            outcomes[shape].append(
                demo(
                    count,
                    ("--workers", str(shape.workers), "--binds", str(shape.binds)),
                    window=max(10, WINDOW // shape.binds),
                )
            )
    first = outcomes[SHAPES[0]]
    ratios = {
        shape.name: Spread.of(
            [_cpu_us(base) / _cpu_us(each) for base, each in zip(first, found, strict=True)]
        )
        for shape, found in outcomes.items()
        if shape != SHAPES[0]
    }
    return Result(
        scenario="scale",
        unit="message",
        parameters={"recipients": count, "window": WINDOW, "tps": TPS, "repeats": size.repeats},
        rate_per_s=_rates(first),
        cpu_s=sum(_cpu_us(each) for each in first) / len(first) * count / 1e6,
        rss_bytes=max(each["peak_rss_bytes"]["engine"] for found in outcomes.values() for each in found),
        rates={shape.name: _rates(found) for shape, found in outcomes.items()},
        ratios=ratios,
        cost={f"engine_cpu_us, {shape.name}": _median_cpu_us(found) for shape, found in outcomes.items()},
        targets=[
            Target(name=f"messages a CPU second, {name}", ratio=ratio.median, target=LEAST)
            for name, ratio in ratios.items()
        ],
    )


def _cpu_us(outcome: dict[str, Any]) -> float:
    """Of all engines, for each message."""
    used: dict[str, float] = outcome["a_message"]
    return sum(value for name, value in used.items() if name.startswith("engine"))


def _median_cpu_us(outcomes: Sequence[dict[str, Any]]) -> float:
    return Spread.of([_cpu_us(each) for each in outcomes]).median


def _rates(outcomes: Sequence[dict[str, Any]]) -> Spread:
    return Spread.of([each["received_per_s"] for each in outcomes])
