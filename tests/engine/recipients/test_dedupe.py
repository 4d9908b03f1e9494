from array import array

from hypothesis import given
from hypothesis import strategies as st

from engine.recipients.dedupe import SeenNumbers

numbers = st.integers(1, 40).map(lambda place: 447911000000 + place * 7001)
blocks = st.lists(st.lists(st.tuples(numbers, st.sampled_from([0, 0, 0, 2])), max_size=30), max_size=6)


@given(blocks, blocks)
def test_a_number_is_new_once_whatever_was_stored_before(stored, found):
    seen, expected = SeenNumbers(), set()
    for block in stored:
        kept = array("q", [number for number, reason in block if reason == 0])
        seen.add(memoryview(kept))
        expected |= set(kept)
    for block in found:
        keep = seen.new(array("q", [n for n, _ in block]), array("b", [reason for _, reason in block]))
        for (number, reason), kept in zip(block, keep, strict=True):
            assert kept == (reason == 0 and number not in expected)
            if reason == 0:
                expected.add(number)
    assert len(seen) == len(expected)
