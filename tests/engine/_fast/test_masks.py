"""Columns counted and picked by masks; the C code equal to its twin."""

import importlib
from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.pure import masks as pure

fast = importlib.import_module("engine._fast.masks")
both = pytest.mark.parametrize("masks", [fast, pure], ids=["c", "twin"])

RANGES = {"b": (-128, 127), "h": (-(2**15), 2**15 - 1), "i": (-(2**31), 2**31 - 1),
          "q": (-(2**63), 2**63 - 1), "I": (0, 2**32 - 1)}  # fmt: skip
MASKS = st.binary(max_size=40)


@st.composite
def columns(draw: Any, types: str = "bhiqI") -> "array[int]":
    typecode = draw(st.sampled_from(types))
    few = st.integers(0, 3) if draw(st.booleans()) else st.integers(*RANGES[typecode])
    return array(typecode, draw(st.lists(few, max_size=40)))


def outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except (ValueError, TypeError, OverflowError) as error:
        return type(error)


@both
def test_what_a_mask_picks_and_counts(masks: Any) -> None:
    column = array("i", [7, 7, 9, 7, 3])
    assert masks.distinct(column) == [7, 9, 3]
    assert masks.counts(column, b"\1\0\1\1\0") == {7: 2, 9: 1}
    assert masks.equal(column, 7) == b"\1\1\0\1\0"
    assert masks.pick(column, b"\0\1\2\0\xff") == array("i", [7, 9, 3])
    assert masks.same(array("b", [1, -1]), array("b", [1, 1])) == b"\1\0"
    assert masks.any_set(column)
    assert not masks.any_set(array("q", [0, 0]))
    assert not masks.any_set(array("q"))
    assert masks.pick_text(bytearray(b"abcdef"), array("i", [1, 3, 6]), b"\1\0\1") == (
        b"adef",
        array("i", [1, 4]),
    )


@both
def test_what_does_not_fit_together_is_refused(masks: Any) -> None:
    column = array("i", [1, 2])
    with pytest.raises(ValueError, match="one octet"):
        masks.pick(column, b"\1")
    with pytest.raises(ValueError, match="one octet"):
        masks.counts(column, b"\1\1\1")
    with pytest.raises(ValueError, match="one length"):
        masks.same(array("b", [1]), array("b"))
    with pytest.raises(ValueError, match="does not fit"):
        masks.pick_text(bytearray(b"abc"), array("i", [2, 4]), b"\1\1")
    with pytest.raises(ValueError, match="does not fit"):
        masks.pick_text(bytearray(b"abc"), array("i", [2, 1]), b"\1\1")
    with pytest.raises(TypeError):
        masks.distinct(array("q", [1]))
    with pytest.raises(TypeError):
        masks.pick(array("d", [1.0]), b"\1")


@given(columns(), MASKS)
def test_c_and_twin_pick_the_same(column: "array[int]", mask: bytes) -> None:
    for each in (mask, mask[: len(column)].ljust(len(column), b"\1")):
        found = [outcome(partial(m.pick, column, each)) for m in (fast, pure)]
        assert found[0] == found[1]
        if isinstance(found[0], array):
            assert found[0].typecode == column.typecode
    assert fast.any_set(column) == pure.any_set(column)


@given(columns("iq"), MASKS)
def test_c_and_twin_count_the_same(column: "array[int]", mask: bytes) -> None:
    fitted = mask[: len(column)].ljust(len(column), b"\0")
    assert outcome(lambda: fast.distinct(column)) == outcome(lambda: pure.distinct(column))
    assert outcome(lambda: fast.counts(column, fitted)) == outcome(lambda: pure.counts(column, fitted))


@given(columns(), st.integers(-4, 4) | st.integers(-(2**63), 2**63 - 1))
def test_c_and_twin_compare_the_same(column: "array[int]", value: int) -> None:
    assert fast.equal(column, value) == pure.equal(column, value)


@given(columns("b"), columns("b"))
def test_c_and_twin_find_the_same_equal(left: "array[int]", right: "array[int]") -> None:
    assert outcome(lambda: fast.same(left, right)) == outcome(lambda: pure.same(left, right))
    assert fast.same(left, left) == pure.same(left, left) == b"\1" * len(left)


@given(st.lists(st.binary(max_size=6), max_size=30), MASKS, st.integers(-2, 3))
def test_c_and_twin_pick_the_same_texts(items: list[bytes], mask: bytes, off: int) -> None:
    end, total = array("i"), 0
    for item in items:
        total += len(item)
        end.append(total)
    if end:
        end[-1] += off
    fitted = mask[: len(end)].ljust(len(end), b"\1")
    data = bytearray(b"".join(items))
    found = [outcome(partial(m.pick_text, data, end, fitted)) for m in (fast, pure)]
    assert found[0] == found[1]
