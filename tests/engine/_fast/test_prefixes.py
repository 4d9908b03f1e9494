"""Longest-prefix tables of numbers; the C code equal to its twin."""

import importlib
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.pure import prefixes as pure

fast = importlib.import_module("engine._fast.prefixes")
both = pytest.mark.parametrize("prefixes", [fast, pure], ids=["c", "twin"])

PREFIXES = st.lists(st.text("0123456789", max_size=6) | st.text("0123456789", max_size=15), unique=True)
INT64 = st.integers(-(2**63), 2**63 - 1)


@both
def test_the_longest_prefix_wins_and_the_empty_one_matches_all(prefixes: Any) -> None:
    table = prefixes.PrefixTable(["", "91", "9198", "1"], [10, 20, 30, 40])
    numbers = array("q", [919812345678, 919712345678, 15551234567, 447700900123, 0, -5])
    assert list(table.look_up(numbers)) == [30, 20, 40, 10, -1, -1]
    assert len(table) == 4


@both
def test_a_number_shorter_than_the_prefix_does_not_match_it(prefixes: Any) -> None:
    assert list(prefixes.PrefixTable(["12345"], [7]).look_up(array("q", [1234, 12345]))) == [-1, 7]


@both
@pytest.mark.parametrize("given_", [["+91"], ["1" * 16], ["9١"], ["1", "1"], [" "]])
def test_a_prefix_that_is_none_is_refused_by_name(prefixes: Any, given_: list[str]) -> None:
    with pytest.raises(ValueError, match="prefix"):
        prefixes.PrefixTable(given_, list(range(len(given_))))


@both
def test_what_does_not_fit_together_is_refused(prefixes: Any) -> None:
    with pytest.raises(ValueError, match="one value"):
        prefixes.PrefixTable(["1"], [])
    with pytest.raises(IndexError):
        prefixes.gather(array("q", [1]), array("i", [1]))
    with pytest.raises(IndexError):
        prefixes.gather(array("q", [1]), array("i", [-1]))
    with pytest.raises(ValueError, match="one code"):
        prefixes.sums(array("q", [1]), array("b"), 3)
    with pytest.raises(ValueError, match="none of"):
        prefixes.sums(array("q", [1]), array("b", [3]), 3)


@given(entries=PREFIXES, numbers=st.lists(INT64 | st.integers(1, 10**15)), default=INT64)
def test_c_and_twin_find_the_same(entries: list[str], numbers: list[int], default: int) -> None:
    near = [int(prefix + "123") for prefix in entries if len(prefix) < 15]
    asked = array("q", numbers + near)
    values = list(range(len(entries)))
    found = [m.PrefixTable(entries, values, default).look_up(asked) for m in (fast, pure)]
    assert found[0] == found[1]


@given(
    values=st.lists(st.integers(-(2**40), 2**40), min_size=1),
    picks=st.lists(st.integers(0, 10**6)),
    codes=st.lists(st.integers(0, 5)),
)
def test_gather_and_sums_are_the_same(values: list[int], picks: list[int], codes: list[int]) -> None:
    index = array("i", [pick % len(values) for pick in picks])
    column = array("q", values)
    assert fast.gather(column, index) == pure.gather(column, index) == array("q", [values[i] for i in index])
    both_long = min(len(values), len(codes))
    arguments = column[:both_long], array("b", codes[:both_long]), 6
    assert fast.sums(*arguments) == pure.sums(*arguments)


@both
def test_a_spread_keeps_its_weights_and_a_key_its_value(prefixes: Any) -> None:
    keys = array("q", range(491500000000, 491500000000 + 10_000))
    arguments = array("i", [0, 2, 3]), array("i", [3, 4, 1]), array("i", [7, 8, 9])
    found = prefixes.spread(keys, array("q", [0]) * len(keys), *arguments)
    assert found.count(7) + found.count(8) == len(keys)
    assert 0.72 < found.count(7) / len(keys) < 0.78
    assert prefixes.spread(keys, array("q", [0]) * len(keys), *arguments) == found
    assert set(prefixes.spread(keys, array("q", [1]) * len(keys), *arguments)) == {9}
    assert set(prefixes.spread(keys, array("q", [-1]) * len(keys), *arguments)) == {-1}


@both
@pytest.mark.parametrize(
    ("choice", "start", "ends", "values"),
    [
        ([0, 0], [0, 1], [1], [5]),  # a choice too many
        ([1], [0, 1], [1], [5]),  # no such choice
        ([0], [0, 2], [1], [5]),  # beyond the values
        ([0], [1, 1], [1], [5]),
        ([0], [0, 2], [2, 1], [5, 6]),  # weights below zero
        ([0], [0, 1], [1, 1], [5]),
        ([0], [], [], []),
    ],
)
def test_a_spread_that_does_not_fit_is_refused(
    prefixes: Any, choice: list[int], start: list[int], ends: list[int], values: list[int]
) -> None:
    with pytest.raises(ValueError, match=r"choice|columns|weights"):
        prefixes.spread(
            array("q", [1]), array("q", choice), array("i", start), array("i", ends), array("i", values)
        )


@given(
    keys=st.lists(INT64),
    routes=st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=4),
    choices=st.lists(st.integers(-2, 3)),
)
def test_c_and_twin_spread_alike(keys: list[int], routes: list[list[int]], choices: list[int]) -> None:
    start, ends, values = array("i", [0]), array("i"), array("i")
    for weights in routes:
        ends.extend(sum(weights[: i + 1]) for i in range(len(weights)))
        values.extend(range(len(values), len(values) + len(weights)))
        start.append(len(values))
    count = min(len(keys), len(choices))
    choice = array("q", [c % len(routes) if c >= 0 else c for c in choices[:count]])
    arguments = array("q", keys[:count]), choice, start, ends, values
    assert fast.spread(*arguments) == pure.spread(*arguments)


@given(
    pairs=st.lists(st.tuples(st.integers(-3, 12), st.integers(0, 2**32) | st.integers(-5, 10**6))),
    first=st.integers(-2, 4),
    count=st.integers(0, 10),
)
def test_row_sums_are_the_same(pairs: list[tuple[int, int]], first: int, count: int) -> None:
    rows, values = array("i", [row for row, _ in pairs]), array("q", [value for _, value in pairs])
    found = []
    for module in (fast, pure):
        try:
            found.append(module.row_sums(rows, values, first, count))
        except OverflowError:
            found.append(None)
    assert found[0] == found[1]
    if found[0] is not None:
        assert list(found[0]) == [sum(v for row, v in pairs if row == first + i) for i in range(count)]
