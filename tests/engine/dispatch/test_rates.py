"""Rates over the last seconds."""

import pytest

from engine.dispatch.rates import WINDOW_S, Rate


def test_a_steady_stream_shows_its_rate() -> None:
    rate = Rate()
    for tenth in range(200):
        rate.add(10, 50 + tenth / 10)
    assert rate.per_s(70.0) == pytest.approx(100)


def test_what_stopped_fades_out() -> None:
    rate = Rate()
    rate.add(500, 10.5)
    assert rate.per_s(11.0) > 0
    assert rate.per_s(11.0 + WINDOW_S) == 0


def test_nothing_counted_is_nothing_a_second() -> None:
    assert Rate().per_s(12345.6) == 0
