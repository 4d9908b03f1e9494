"""What the pace scenario says of times that the witness saw."""

import pytest

from bench.measure import InvalidRun
from bench.scenarios.pace import measure


def test_even_times_have_no_error_and_late_ones_have_theirs() -> None:
    even = [i * 10_000 for i in range(1300)]
    found = measure(even, 100, 10.0)
    assert found["error_percent"] == 0
    assert found["met"]
    assert found["gap_ms"]["max"] == 10
    slow = measure([at * 102 // 100 for at in even], 100, 10.0)
    assert slow["error_percent"] == pytest.approx(-1.96, abs=0.02)
    assert not slow["met"]


def test_what_was_read_at_once_is_measured_in_time() -> None:
    bursts = [at for i in range(130) for at in [i * 100_000] * 100]
    assert measure(bursts, 1000, 10.0)["largest_read_ms_worth"] == 100


def test_a_run_in_which_nothing_went_out_says_so() -> None:
    with pytest.raises(InvalidRun):
        measure([0, 1, 2], 1000, 10.0)
