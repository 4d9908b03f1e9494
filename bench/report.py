"""A scenario's result, as JSON and as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.measure import Comparison, Spread, machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a scenario has to reach: the median of a ratio."""

    name: str
    ratio: float
    target: float

    @property
    def met(self) -> bool:
        return self.ratio >= self.target


@dataclass(frozen=True, slots=True)
class Result:
    """`rate_per_s` is the scenario's own; `rates` has every contender's, `ratios` ours to each of theirs."""

    scenario: str
    unit: str
    parameters: dict[str, Any]
    rate_per_s: Spread
    cpu_s: float
    rss_bytes: int
    rates: dict[str, Spread] = field(default_factory=dict)
    ratios: dict[str, Spread] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    """For one unit: `cpu_us`, `syscalls`, `wal_bytes`, ...: what was measured."""
    targets: Sequence[Target] = ()
    void: str = ""
    """Why the run says nothing; "" where it does."""
    extra: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine)

    def as_dict(self) -> dict[str, Any]:
        targets = [{**asdict(target), "met": target.met} for target in self.targets]
        return {**asdict(self), "targets": targets}


def compared(
    scenario: str,
    unit: str,
    parameters: dict[str, Any],
    comparison: Comparison,
    rss_bytes: int,
    *,
    cost: dict[str, float] | None = None,
    targets: Sequence[Target] = (),
    void: str = "",
    **extra: Any,
) -> Result:
    """A result of contenders that ran side by side; the first one is ours."""
    return Result(
        scenario=scenario,
        unit=unit,
        parameters=parameters,
        rate_per_s=next(iter(comparison.rates.values())),
        cpu_s=comparison.cpu_s,
        rss_bytes=rss_bytes,
        rates=comparison.rates,
        ratios=comparison.ratios,
        cost=cost or {},
        targets=targets,
        void=void,
        extra=extra,
    )


def table(results: Sequence[Result]) -> str:
    """Lines for a person: rates as min / median / max, then the ratios."""
    rows = [
        ("scenario", "contender", "unit", "min/s", "median/s", "max/s", "ours to it", "CPU s", "peak RSS MiB")
    ]
    for result in results:
        rates = result.rates or {result.scenario: result.rate_per_s}
        for place, (name, spread) in enumerate(rates.items()):
            ratio = next((r for key, r in result.ratios.items() if key.endswith(f"/{name}")), None)
            rows.append(
                (
                    "" if place else result.scenario,
                    name,
                    "" if place else result.unit,
                    f"{spread.min:,.0f}",
                    f"{spread.median:,.0f}",
                    f"{spread.max:,.0f}",
                    f"{ratio.median:,.2f}x ({ratio.min:,.2f}-{ratio.max:,.2f})" if ratio else "",
                    "" if place else f"{result.cpu_s:.2f}",
                    "" if place else f"{result.rss_bytes / 2**20:,.0f}",
                )
            )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    if results:
        about = results[0].machine
        lines.append(f"{about['cpu']}, {about['cores']} cores, {about['system']}, Python {about['python']}")
    for result in results:
        lines.extend(_verdicts(result))
    lines.extend(
        f"{result.scenario}: {name} = {value}" for result in results for name, value in result.extra.items()
    )
    return "\n".join(lines)


def _verdicts(result: Result) -> list[str]:
    """What one unit costs, and each target with whether it was met."""
    lines = []
    if result.cost:
        shown = ", ".join(f"{value:,.3g} {name}" for name, value in result.cost.items())
        lines.append(f"{result.scenario}: cost of one {result.unit}: {shown}")
    lines.extend(
        f"{result.scenario}: {target.name}: {target.ratio:,.3g} of {target.target:,.3g}, "
        f"{'met' if target.met else 'NOT met'}"
        for target in result.targets
    )
    if result.void:
        lines.append(f"{result.scenario}: VOID: {result.void}")
    return lines
