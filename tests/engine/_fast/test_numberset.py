import importlib
import itertools
import time
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.pure import numberset as pure

fast = importlib.import_module("engine._fast.numberset")
# one page with every kind of body, its first and last number, and pages far apart
near = st.integers(0, 40).map(lambda place: 447911 << 16 | place)
numbers = st.one_of(near, st.integers(0, 12), st.sampled_from([65535, 65536, (1 << 63) - 1, -1, -(1 << 63)]))
batches = st.lists(
    st.lists(
        st.tuples(st.one_of(numbers, st.integers(0, 10**15)), st.sampled_from([0, 0, 0, 2, 5])), max_size=60
    ),
    max_size=8,
)


@pytest.fixture(params=[pure, fast], ids=["pure", "c"])
def numberset(request):
    return request.param


@given(st.lists(numbers, max_size=30), batches)
def test_c_equals_the_twin(known, found):
    ours, twin = fast.NumberSet(), pure.NumberSet()
    for one in (ours, twin):
        one.add(array("q", known))
    for batch in found:
        columns = array("q", [number for number, _ in batch]), array("b", [reason for _, reason in batch])
        assert ours.new(*columns) == twin.new(*columns)
        assert len(ours) == len(twin)


@pytest.mark.parametrize("count", [4, 5, 12, 13, 3072, 3073, 3074, 65536])
@pytest.mark.parametrize("step", [1, 40503])
def test_a_page_holds_any_count_of_its_numbers_exactly_once(count, step):
    page = [447911 << 16 | place * step % 65536 for place in range(count)]
    found = fast.NumberSet()
    assert found.new(array("q", page), array("b", bytes(count))) == array("b", [1] * count)
    assert found.new(array("q", page[::-1]), array("b", bytes(count))) == array("b", bytes(count))
    others = array("q", (447911 << 16 | place * step % 65536 for place in range(count, 65536)))
    assert found.new(others, array("b", bytes(len(others)))) == array("b", [1] * len(others))
    assert len(found) == 65536


def test_a_million_spread_numbers_are_found_again_and_no_others():
    spread = array("q", (10**10 + place * 7_919_333_331 % 10**13 for place in range(1_000_000)))
    others = array("q", (number + 1 for number in spread))
    found = fast.NumberSet()
    found.add(spread)
    assert len(found) == len(set(spread))
    known = set(spread)
    keep = found.new(others, array("b", bytes(len(others))))
    assert sum(keep) == len(set(others) - known)


def test_pages_chosen_to_fall_on_each_other_do_not():
    """By the multiplier alone, whose upper bits said where a page stands: found among 15-digit numbers."""
    keys = (key for key in range(49 * 10**13 >> 16, 50 * 10**13 >> 16))
    chosen = (key << 16 for key in keys if (key + 1) * 0x9E3779B97F4A7C15 % 2**64 >> 54 == 0)
    alike = array("q", itertools.islice(chosen, 8192))
    spread = array("q", (49 * 10**13 + place * 655_360 for place in range(8192)))

    def seconds(column):
        began = time.process_time()
        for _ in range(5):
            fast.NumberSet().add(column)
        return time.process_time() - began

    assert seconds(alike) < 20 * seconds(spread) + 0.02
    found = fast.NumberSet()
    assert sum(found.new(alike, array("b", bytes(8192)))) == 8192
    assert sum(found.new(alike, array("b", bytes(8192)))) == 0
    assert sum(found.new(array("q", (number + 1 for number in alike)), array("b", bytes(8192)))) == 8192
    assert found.nbytes == 24 * 2**14


def test_numbers_of_one_country_take_no_more_than_five_octets_each():
    span = 600_000_000
    country = array("q", (447_400_000_000 + place * 229_180_693 % span for place in range(1_000_000)))
    found = fast.NumberSet()
    empty = found.nbytes
    found.add(country)
    assert found.nbytes - empty < 5 * 2**20 + 24 * 2**15


def test_columns_of_different_length_are_refused(numberset):
    with pytest.raises(ValueError, match="same length"):
        numberset.NumberSet().new(array("q", [1, 2]), array("b", [0]))
    with pytest.raises(ValueError, match="same length"):
        numberset.kept(array("q", [1, 2]), array("b", [0]))


@given(st.lists(st.tuples(numbers, st.integers(0, 1)), max_size=40))
def test_kept_in_c_equals_the_twin(rows):
    columns = array("q", [number for number, _ in rows]), array("b", [keep for _, keep in rows])
    assert fast.kept(*columns) == pure.kept(*columns) == array("q", [number for number, keep in rows if keep])
