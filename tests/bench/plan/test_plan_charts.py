"""Charts: where values stand, and that no word of a caller becomes markup."""

from xml.etree import ElementTree

import pytest

from bench.plan import charts
from bench.plan.charts import Axis, Bar, Level, Point, Series, linear_ticks, short


def drawn(**changed: object) -> ElementTree.Element:
    given = {
        "label": "window 10 <b>",
        "css": "w0",
        "points": [Point(100, 50, title='"<&'), Point(200, 130, False)],
    }
    svg = charts.lines(
        [Series(**{**given, **changed})],  # type: ignore[arg-type]
        [Level(100, "limit <100>", "limit")],
        Axis("rate", 50, 400, log=True),
        Axis("p99", 0, 150),
        title='a "title"',
        width=660,
        height=300,
    )
    return ElementTree.fromstring(svg)


def test_what_is_drawn_is_well_formed_and_says_its_words() -> None:
    root = drawn()
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "window 10 <b>" in words
    assert "limit <100>" in words
    assert root.attrib["aria-label"] == 'a "title"'


def test_higher_values_stand_higher_and_outside_ones_at_the_edge() -> None:
    circles = [element for element in drawn().iter() if element.tag.endswith("circle")]
    low, high = (float(circle.attrib["cy"]) for circle in circles)
    assert high < low
    assert [("hollow" in circle.attrib["class"]) for circle in circles] == [False, True]
    [beyond] = [e for e in drawn(points=[Point(9999, 9999)]).iter() if e.tag.endswith("circle")]
    assert 0 <= float(beyond.attrib["cx"]) <= 660
    assert 0 <= float(beyond.attrib["cy"]) <= 300


def test_a_line_without_points_is_no_error() -> None:
    assert not [element for element in drawn(points=[]).iter() if element.tag.endswith("circle")]


@pytest.mark.parametrize(("low", "high"), [(0, 150), (0, 1), (10, 11), (0, 3), (0, 99_999)])
def test_ticks_are_few_and_within(low: float, high: float) -> None:
    ticks = linear_ticks(low, high, 6)
    assert 2 <= len(ticks) <= 7
    assert all(low <= tick <= high * 1.001 for tick in ticks)


def test_a_logarithmic_axis_has_its_ticks_thinned_where_there_is_little_room() -> None:
    axis = Axis("", 10, 100_000, log=True)
    assert len(axis.ticks(20)) > len(axis.ticks(5)) >= 4
    assert axis.at(10) == 0
    assert axis.at(1000) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "words"), [(5, "5"), (1200, "1.2k"), (30_000, "30k"), (2e6, "2M"), (0.25, "0.25")]
)
def test_numbers_are_short(value: float, words: str) -> None:
    assert short(value) == words


def test_stacked_bars_are_as_wide_as_their_values() -> None:
    rows = [
        Bar("a", [("x", 1.0, "c-engine"), ("y", 3.0, "c-postgres")], "4"),
        Bar("b", [("x", 0.0, "c")], "0"),
    ]
    root = ElementTree.fromstring(charts.bars(rows, title="t", width=350, most=4.0, level=(2.0, "two")))
    first, second, _ = (float(e.attrib["width"]) for e in root.iter() if e.tag.endswith("rect"))
    assert second == pytest.approx(3 * first, rel=0.05)
