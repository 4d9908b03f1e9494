"""What is recommended follows from what was measured."""

from dataclasses import replace

import pytest
from plan_samples import CEILING, DISK, DURABLE, GOAL, plan, ramps, step

from bench.plan.advice import COMMIT_MS, WAL_KEPT_BYTES, binds_and_window, granted
from bench.plan.measured import HEADROOM_BIND, HEADROOM_CPU, HEADROOM_WINDOW, Goal
from bench.plan.words import lines


@pytest.mark.parametrize(
    ("goal", "binds", "window"),
    [
        (GOAL, 12, 53),  # 5,000 / (500 / 1.2); 416.7 * 0.1 s * 1.25
        (replace(GOAL, tps_per_bind=5000), 1, 625),  # one bind needs no head-room for the others
        (replace(GOAL, tps_per_bind=4999), 2, 313),
        (replace(GOAL, parts=3), 36, 53),  # an operator counts parts
        (replace(GOAL, target_tps=10), 1, 2),
        (replace(GOAL, p99_ms=5000), 12, 53),  # a generous limit fills no windows
        (replace(GOAL, p99_ms=60), 12, 32),
    ],
)
def test_binds_by_the_operators_tps_and_windows_by_littles_law(goal: Goal, binds: int, window: int) -> None:
    assert binds_and_window(goal) == (binds, window)


@pytest.mark.parametrize(
    "goal", [GOAL, replace(GOAL, target_tps=777, rtt_ms=313, p99_ms=700, tps_per_bind=91)]
)
def test_the_recommended_binds_and_windows_carry_the_target(goal: Goal) -> None:
    binds, window = binds_and_window(goal)
    assert binds * window / (goal.rtt_ms / 1000) >= goal.submits_per_s * HEADROOM_WINDOW
    assert binds * goal.tps_per_bind >= goal.submits_per_s * HEADROOM_BIND
    assert (binds - 1) * goal.tps_per_bind < goal.submits_per_s * HEADROOM_BIND


def test_a_small_window_takes_more_binds_and_a_large_one_no_fewer_than_the_tps_asks_for() -> None:
    rows = {row.window: row for row in granted(GOAL, ramps())}
    assert rows[10].per_bind_per_s == pytest.approx(190 / HEADROOM_WINDOW)
    assert rows[10].binds == 33
    assert rows[100].binds == rows[1000].binds == 12
    held_none = granted(GOAL, [replace(ramps()[0], best_per_s=0.0)])
    assert held_none[0].binds == 0
    assert "none" in lines(replace(plan(), advice=replace(plan().advice, granted=held_none)))


def test_a_target_that_was_held_is_reached_and_costs_what_it_cost_there() -> None:
    advice = plan().advice
    assert advice.reachable
    assert advice.why == advice.needed == []
    assert advice.engine_cores == pytest.approx(0.5)
    assert advice.workers == 1
    assert advice.all_cores == pytest.approx(0.75), "the simulator is nobody's cost"
    assert advice.bytes_per_message == 360


def test_workers_leave_each_core_its_head_room() -> None:
    costly = replace(DURABLE, cpu_us={"engine": 121.0})
    assert costly.cpu_us["engine"] * 5000 / 1e6 > HEADROOM_CPU
    assert plan(durable=costly).advice.workers == 2


def test_a_target_above_the_ceiling_is_not_reached_and_names_the_cores() -> None:
    goal = replace(GOAL, target_tps=50_000, tps_per_bind=50_000)
    slow = replace(DURABLE, held_per_s=17_000.0)
    advice = plan(goal=goal, durable=slow).advice
    assert not advice.reachable
    assert "17,000 of 50,000" in advice.why[0]
    assert "18,000" in advice.why[1]
    assert advice.workers == 3, "one engine did 18,000"
    # 50,000 * (12 + 40 + 10) us = 3.1 cores, of which 60 % may be busy
    assert "about 6 cores" in advice.needed[0]
    assert "NOT reached" in lines(plan(goal=goal, durable=slow))


def test_more_cores_than_there_are_are_named_even_where_reckoning_says_fewer() -> None:
    cheap = replace(CEILING, held_per_s=4000.0, cpu_us={"engine": 1.0})
    advice = plan(durable=replace(DURABLE, held_per_s=3900.0), ceiling=cheap).advice
    assert "about 3 cores" in advice.needed[0]


def test_throttles_are_named_where_they_held_the_rate_down() -> None:
    advice = plan(durable=replace(DURABLE, held_per_s=2000.0, throttled=2148)).advice
    assert not advice.reachable
    assert "2,148 throttled" in advice.why[0]
    assert "grants more a bind" in advice.needed[0]


def test_a_limit_below_the_round_trip_cannot_be_met() -> None:
    advice = plan(goal=replace(GOAL, p99_ms=50.0)).advice
    assert not advice.reachable
    assert "not above the round trip" in advice.why[0]


@pytest.mark.parametrize("confirmed", [step(5000, p99_ms=101.0), step(5000, refused=3), None])
def test_what_was_not_confirmed_over_the_binds_is_not_reached(confirmed: object) -> None:
    advice = plan(confirmed=confirmed).advice
    assert not advice.reachable
    assert advice.needed


@pytest.mark.parametrize(
    ("commit_ms", "interval_ms"), [(0.2, COMMIT_MS[0]), (30.0, 60), (900.0, COMMIT_MS[1])]
)
def test_the_commit_interval_is_twice_a_commit_within_the_settings_bounds(
    commit_ms: float, interval_ms: int
) -> None:
    assert plan(disk=replace(DISK, batch_commit_p50_ms=commit_ms)).advice.commit_interval_ms == interval_ms


def test_the_disk_holds_the_days_that_are_kept() -> None:
    advice = plan(goal=replace(GOAL, recipients_per_day=1_000_000, retention_days=30, parts=2)).advice
    assert advice.bytes_per_message == 720
    assert advice.disk_bytes == pytest.approx(720 * 30e6 * 1.3 + WAL_KEPT_BYTES)
    assert GOAL.messages_per_day == 5000 * 8 * 3600


def test_what_is_claimed_covers_what_is_under_way() -> None:
    assert plan().advice.max_claimed == 20_000
    fast = plan(goal=replace(GOAL, target_tps=200_000, tps_per_bind=200_000)).advice
    assert fast.max_claimed >= 200_000 * 0.14 * 2
    assert fast.max_claimed % 1000 == 0
