"""A scenario's result, as JSON and as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.measure import Comparison, Spread, machine


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
    extra: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compared(
    scenario: str, unit: str, parameters: dict[str, Any], comparison: Comparison, rss_bytes: int, **extra: Any
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
    lines.extend(
        f"{result.scenario}: {name} = {value}" for result in results for name, value in result.extra.items()
    )
    return "\n".join(lines)
