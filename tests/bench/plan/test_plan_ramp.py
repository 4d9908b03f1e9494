"""The ramp finds the edge, wherever it is, in few steps."""

import asyncio

import pytest

from bench.plan.measured import Step
from bench.plan.ramp import MOST_STEPS, ramp


def step(rate: float, *, p99_ms: float = 50.0, refused: int = 0, unsent: int = 0, kept: float = 1.0) -> Step:
    return Step(rate, rate * kept, 40.0, p99_ms, 45.0, 1.0, round(rate), refused, unsent, 5.0)


class Machine:
    """Holds every rate up to its edge."""

    def __init__(self, edge: float, moods: int = 0) -> None:
        self.edge, self.moods = edge, moods
        self.tried: list[float] = []

    async def __call__(self, rate: float) -> Step:
        self.tried.append(rate)
        moody = self.moods > 0 and len(self.tried) % 2 == 1
        self.moods -= moody
        return step(rate, p99_ms=500.0 if moody or rate > self.edge else 50.0)


def found(machine: Machine, *, window: int = 100, rtt_s: float = 0.05, guess: float = 2000.0) -> float:
    made = asyncio.run(ramp(machine, window=window, rtt_s=rtt_s, p99_ms=100.0, guess_per_s=guess))
    assert made.bound_per_s == window / rtt_s
    assert len(made.steps) == len(machine.tried) <= MOST_STEPS
    return made.best_per_s


@pytest.mark.parametrize("edge", [1950.0, 1500.0, 1210.0, 900.0, 400.0])
def test_the_edge_is_found_from_below_within_a_tenth(edge: float) -> None:
    assert 0.88 * edge <= found(Machine(edge)) <= edge


def test_nothing_far_above_the_windows_bound_is_tried() -> None:
    machine = Machine(1e9)
    assert 2000.0 <= found(machine) <= 2200.0
    assert max(machine.tried) <= 2200.0


def test_one_bad_moment_does_not_end_a_ramp() -> None:
    assert found(Machine(1950.0, moods=3)) >= 0.88 * 1950


def test_where_nothing_holds_the_ramp_ends_and_says_so() -> None:
    assert found(Machine(0.0)) == 0.0


def test_a_guess_above_the_bound_is_cut_to_it() -> None:
    assert 0.88 * 1950 <= found(Machine(1950.0), guess=1e6) <= 1950


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        (step(100), True),
        (step(100, p99_ms=100.0), True),
        (step(100, p99_ms=100.1), False),
        (step(100, refused=1), False),
        (step(100, unsent=1), False),
        (step(100, kept=0.97), False),
    ],
)
def test_a_rate_holds_only_if_all_of_it_went_in_time(one: Step, holds: bool) -> None:
    assert one.holds(100.0) is holds
