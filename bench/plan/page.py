"""The report: one HTML file with its style and drawings inside, to attach to a tender."""

import math
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.plan import charts
from bench.plan.charts import Axis, Bar, Level, Point, Series
from bench.plan.measured import HEADROOM_CPU, HEADROOM_WINDOW, KEPT_UP, Durable, Step
from bench.plan.run import Plan

WIDE, NARROW = 800, 350
NAMES = {"engine": "engine", "postgres": "PostgreSQL", "control_plane": "console"}
CSS = {"engine": "c-engine", "postgres": "c-postgres", "control_plane": "c-console"}


def html(plan: Plan) -> str:
    """The whole page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["n"] = number
    environment.filters["octets"] = octets
    folder = files("bench.plan")
    template = environment.from_string((folder / "report.html").read_text("utf-8"))
    return template.render(
        plan=plan,
        goal=plan.goal,
        advice=plan.advice,
        style=Markup((folder / "report.css").read_text("utf-8")),  # noqa: S704 - ours
        response=_both(_response, plan),
        windows=_both(_windows, plan),
        cpu=_both(_cpu, plan),
        disk=_both(_disk, plan),
        names=NAMES,
        css=CSS,
        headroom_window=HEADROOM_WINDOW,
        headroom_cpu=HEADROOM_CPU,
        kept_up=KEPT_UP,
        days=_days(plan),
        campaigns=_campaigns(plan),
    )


def number(value: float, digits: int = 0) -> str:
    """With thin spaces for thousands, as no locale misreads them."""
    return f"{value:,.{digits}f}".replace(",", "\u202f")


def octets(value: float) -> str:
    for size, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.0f} B"


def _both(draw: Any, plan: Plan) -> Markup:
    """Two drawings, of which the style shows the one that fits: letters keep their size."""
    wide, narrow = draw(plan, WIDE), draw(plan, NARROW)
    return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')  # noqa: S704 - escaped


def _response(plan: Plan, width: int) -> str:
    limit, steps = plan.goal.p99_ms, [step for ramp in plan.ramps for step in ramp.steps]
    top = limit * 1.5
    series = []
    for place, ramp in enumerate(plan.ramps):
        points = [
            Point(
                step.offered_per_s,
                step.response_p99_ms,
                step.holds(limit),
                f"window {ramp.window}: {number(step.offered_per_s)}/s offered, "
                f"{number(step.achieved_per_s)}/s done, p99 {step.response_p99_ms:.0f} ms",
            )
            for step in better(ramp.steps)
        ]
        words = f"window {ramp.window}" if width == WIDE else f"{ramp.window}"
        series.append(Series(words, f"w{place % 6}", points))
    return charts.lines(
        series,
        [
            Level(limit, f"limit {limit:g} ms", "limit"),
            Level(plan.goal.rtt_ms, f"round trip {plan.goal.rtt_ms:g} ms", "quiet", below=True),
        ],
        _rates("submit_sm a second, offered", [step.offered_per_s for step in steps]),
        Axis("p99, ms", 0, top),
        title="99th percentile of the response time over the offered rate, one line a window",
        width=width,
        height=340 if width == WIDE else 300,
    )


def better(steps: list[Step]) -> list[Step]:
    """By rate, of each rate the better try."""
    best: dict[float, Step] = {}
    for step in sorted(steps, key=lambda step: (step.offered_per_s, -step.response_p99_ms)):
        best[step.offered_per_s] = step
    return list(best.values())


def _windows(plan: Plan, width: int) -> str:
    goal, advice = plan.goal, plan.advice
    tried = [*(ramp.window for ramp in plan.ramps), advice.window]
    low, high = float(min(tried)), float(max(tried))
    if low == high:
        low, high = low / 2, high * 2
    rates = [ramp.best_per_s for ramp in plan.ramps if ramp.best_per_s]
    theory = [low * 1000 / goal.rtt_ms, high * 1000 / goal.rtt_ms]
    measured = [
        Point(
            ramp.window,
            ramp.best_per_s,
            True,
            f"window {ramp.window}: {number(ramp.best_per_s)}/s, {ramp.of_bound:.0%} of window / RTT",
        )
        for ramp in plan.ramps
        if ramp.best_per_s
    ]
    advised = Point(
        advice.window,
        advice.tps_per_bind,
        True,
        f"recommended: window {advice.window} for {number(advice.tps_per_bind)}/s a bind",
    )
    return charts.lines(
        [
            Series("", "quiet", [Point(low, theory[0]), Point(high, theory[1])], False, True),
            Series("measured", "w3", measured),
            Series("recommended", "advised", [advised], label_below=True),
        ],
        [Level(goal.tps_per_bind, f"operator: {short(goal.tps_per_bind)} a bind", "limit")],
        Axis("window", low, high, log=True),
        _rates("submit_sm/s a bind", [*rates, *theory, goal.tps_per_bind, advice.tps_per_bind]),
        title="Highest rate that held at each window, beside window divided by round trip",
        width=width,
        height=340 if width == WIDE else 300,
    )


def _cpu(plan: Plan, width: int) -> str:
    rows = [
        _cores("paced at the target", plan.durable, plan.durable.held_per_s),
        _cores("as fast as it goes", plan.ceiling, plan.ceiling.held_per_s),
    ]
    cores = float(plan.machine["cores"])
    most = max(sum(value for _, value, _ in row.pieces) for row in rows)
    return charts.bars(
        rows,
        title="Cores that Heliograph keeps busy",
        width=width,
        most=most,
        level=(cores, f"this machine: {cores:.0f} cores"),
    )


def _cores(label: str, one: Durable, rate: float) -> Bar:
    pieces = [(NAMES[name], one.cpu_us.get(name, 0.0) * rate / 1e6, CSS[name]) for name in NAMES]
    total = sum(value for _, value, _ in pieces)
    return Bar(f"{label}, {number(rate)}/s held", pieces, f"{total:.2f} cores")


def _disk(plan: Plan, width: int) -> str:
    one = plan.ceiling  # the larger sample
    stored = one.table_bytes + one.closed_bytes
    kept = [
        ("tables", one.table_bytes, "c-engine"),
        ("indexes once closed", one.closed_bytes, "c-postgres"),
    ]
    log = [("log", one.wal_bytes, "c-console")]
    rows = [
        Bar("kept, a submit_sm", kept, f"{stored:.0f} B"),
        Bar("written to the log, a submit_sm", log, f"{one.wal_bytes:.0f} B"),
    ]
    return charts.bars(rows, title="Octets a submit_sm", width=width, most=max(stored, one.wal_bytes))


def _rates(label: str, values: list[float]) -> Axis:
    """A logarithmic axis around the values."""
    low, high = min(values), max(values)
    return Axis(label, low / 1.5, high * 1.5, log=True)


def _days(plan: Plan) -> list[tuple[int, float]]:
    """(days, octets kept) for the table."""
    daily = plan.advice.bytes_per_message * plan.goal.messages_per_day
    return [(days, daily * days) for days in sorted({1, 30, 90, plan.goal.retention_days})]


def _campaigns(plan: Plan) -> list[tuple[str, list[str]]]:
    both = (plan.durable, plan.ceiling)
    return [
        ("messages", [number(one.messages) for one in both]),
        ("submit_sm a second held", [number(one.held_per_s) for one in both]),
        *(
            (f"CPU µs a submit_sm: {label}", [number(one.cpu_us.get(name, 0.0), 1) for one in both])
            for name, label in NAMES.items()
        ),
        ("octets of log a submit_sm", [number(one.wal_bytes) for one in both]),
        ("throttled answers", [number(one.throttled) for one in both]),
        ("peak memory of the engine", [octets(one.rss_bytes["engine"]) for one in both]),
    ]


def short(value: float) -> str:
    return charts.short(value) if value >= 10_000 or math.modf(value)[0] else number(value)
