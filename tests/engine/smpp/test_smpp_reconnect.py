"""When to come back: pure decisions on what became of the last connections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.smpp.reconnect import Backoff


def longest(low: float, high: float) -> float:
    return high


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(1, 60, 3, longest)
    assert [backoff.next_delay_s(0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


@given(st.lists(st.floats(0, 100), max_size=40))
def test_jitter_stays_between_half_and_whole(bound: list[float]) -> None:
    backoff = Backoff(1, 60, 3)
    for bound_s in bound:
        delay = backoff.next_delay_s(bound_s)
        assert delay is not None
        assert 0.5 <= delay <= 60


def test_only_a_bind_that_held_starts_over() -> None:
    backoff = Backoff(1, 60, 3, longest)
    assert [backoff.next_delay_s(0.5) for _ in range(3)] == [1, 2, 4]
    assert backoff.next_delay_s(30) == 1
    assert backoff.next_delay_s(0.5) == 2


@pytest.mark.parametrize("status", [0x0E, 0x0F])
def test_a_wrong_password_is_asked_three_times_in_all(status: int) -> None:
    backoff = Backoff(1, 60, 3, longest)
    assert [backoff.next_delay_s(0, status) for _ in range(3)] == [1, 2, None]


def test_a_lost_network_between_does_not_forgive_a_wrong_password_but_a_bind_does() -> None:
    backoff = Backoff(1, 60, 3, longest)
    assert backoff.next_delay_s(0, 0x0E)
    assert backoff.next_delay_s(0)
    assert backoff.next_delay_s(0, 0x0E)
    assert backoff.next_delay_s(0, 0x0E) is None
    backoff = Backoff(1, 60, 3, longest)
    assert backoff.next_delay_s(0, 0x0E)
    assert backoff.next_delay_s(0, 0x0E)
    assert backoff.next_delay_s(0.1)
    assert backoff.next_delay_s(0, 0x0E)


@given(st.integers(0, 20))
def test_already_bound_waits_30_to_60_s_however_often_it_was_tried(tries: int) -> None:
    backoff = Backoff(1, 60, 3)
    for _ in range(tries):
        backoff.next_delay_s(0)
    delay = backoff.next_delay_s(0, 0x05)
    assert delay is not None
    assert 30 <= delay <= 60
    assert Backoff(0.01, 0.01, 3, longest).next_delay_s(0, 0x05) == 60


def test_other_refusals_are_tried_for_ever() -> None:
    backoff = Backoff(1, 60, 3, longest)
    assert [backoff.next_delay_s(0, 0x0D) for _ in range(50)][-1] == 60
