"""Small SVG charts: lines over a linear or logarithmic axis, and stacked bars. No script, no outside file.

Colours are classes that the page's style sheet resolves, so one drawing serves light, dark and print.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

CHAR = 6.6  # width of a character of the labels, about


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float
    good: bool = True  # a hollow mark where not
    title: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    label: str
    css: str
    points: list[Point] = field(default_factory=list)
    marks: bool = True
    dashed: bool = False
    label_below: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """A line across at `y` with its words."""

    y: float
    label: str
    css: str
    below: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    pieces: list[tuple[str, float, str]]  # name, value, class
    total: str


@dataclass(frozen=True, slots=True)
class Axis:
    label: str
    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """0 to 1; what lies outside stands at the edge."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, room: int) -> list[float]:
        """At most about `room` of them; on a logarithmic axis 1, 2 and 5 of each decade where they fit."""
        if not self.log:
            return linear_ticks(self.low, self.high, room)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [
                digit * 10.0**power
                for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
                for digit in digits
                if self.low <= digit * 10.0**power <= self.high * 1.0001
            ]
            if len(found) <= room:
                break
        return found


def linear_ticks(low: float, high: float, room: int) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / max(room, 1)))
    while (high - low) / step > room:
        step *= 2.5 if f"{step:e}"[0] == "2" else 2
    return [tick * step for tick in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """1,200 as 1.2k."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"


def lines(
    series: Sequence[Series],
    levels: Sequence[Level],
    x: Axis,
    y: Axis,
    *,
    title: str,
    width: int,
    height: int,
) -> str:
    """Lines with marks. `title` is what a screen reader says; each mark's title is its tooltip."""
    left, right, top, bottom = 48.0, width - 14.0, 26.0, height - 44.0

    def px(value: float) -> float:
        return left + x.at(value) * (right - left)

    def py(value: float) -> float:
        return bottom - y.at(value) * (bottom - top)

    out = [_open(title, width, height)]
    for tick in y.ticks(6):
        out.append(_line("grid", left, py(tick), right, py(tick)))
        out.append(_text("tick", left - 6, py(tick) + 4, short(tick), "end"))
    for tick in x.ticks(max(3, int((right - left) / 64))):
        out.append(_line("grid", px(tick), top, px(tick), bottom))
        out.append(_text("tick", px(tick), bottom + 16, short(tick), "middle"))
    out.append(_line("axis", left, bottom, right, bottom))
    out.append(_text("name", right, height - 8, x.label, "end"))
    out.append(_text("name", left - 40, 13, y.label, "start"))
    for level in levels:
        at = py(level.y)
        out.append(_line(f"level {level.css}", left, at, right, at))
    for one in series:
        out += _series(one, px, py, right)
    for level in levels:  # over the lines
        at = py(level.y) + (14 if level.below else -6)
        out.append(_text(f"word {level.css}", left + 6, at, level.label, "start"))
    return "".join([*out, "</svg>"])


def _series(
    one: Series, px: Callable[[float], float], py: Callable[[float], float], right: float
) -> list[str]:
    if not one.points:
        return []
    out = []
    path = " ".join(
        f"{'L' if place else 'M'}{px(point.x):.1f} {py(point.y):.1f}"
        for place, point in enumerate(one.points)
    )
    dashed = " dashed" if one.dashed else ""
    out.append(f'<path class="stroke {one.css}{dashed}" d="{path}"/>')
    if one.marks:
        for point in one.points:
            kind = "mark" if point.good else "mark hollow"
            out.append(
                f'<circle class="{kind} {one.css}" cx="{px(point.x):.1f}" cy="{py(point.y):.1f}" r="3.5">'
                f"<title>{escape(point.title)}</title></circle>"
            )
    if one.label:
        last = one.points[-1]
        at = px(last.x)
        room = at + CHAR * len(one.label) / 2 < right
        out.append(
            _text(
                f"word {one.css}",
                at if room else right,
                py(last.y) + (18 if one.label_below else -9),
                one.label,
                "middle" if room else "end",
            )
        )
    return out


def bars(
    rows: Sequence[Bar], *, title: str, width: int, most: float, level: tuple[float, str] | None = None
) -> str:
    """Horizontal stacked bars, each with its label above and its total behind it. `level`: a value that all
    bars are held against, with its words."""
    step, thick, top = 52, 20, 26 if level else 6
    height = top + step * len(rows)
    right = width - CHAR * max(len(row.total) for row in rows) - 12
    most = max(most, level[0] if level else 0.0) * 1.02 or 1.0

    def px(value: float) -> float:
        return right * value / most

    out = [_open(title, width, height)]
    for place, row in enumerate(rows):
        at, y = 0.0, top + place * step + 20
        out.append(_text("word ink", 0, y - 6, row.label, "start"))
        for name, value, css in row.pieces:
            wide = max(px(at + value) - px(at) - 1, 0.5)
            out.append(
                f'<rect class="fill {css}" x="{px(at):.1f}" y="{y}" width="{wide:.1f}" height="{thick}">'
                f"<title>{escape(f'{name}: {short(value)}')}</title></rect>"
            )
            at += value
        out.append(_text("word ink", px(at) + 8, y + 15, row.total, "start"))
    if level:
        anchor = "end" if px(level[0]) > width / 2 else "start"
        out.append(_line("level limit", px(level[0]), top - 6, px(level[0]), height))
        out.append(_text("word limit", px(level[0]), top - 12, level[1], anchor))
    return "".join([*out, "</svg>"])


def _open(title: str, width: int, height: float) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">'
    )


def _line(css: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(css: str, x: float, y: float, words: str, anchor: str) -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
