"""The pacer: even spacing, small writes, slower on throttles, back up in quiet."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dispatch.pacer import CUT, FLOOR, PROBE_AFTER_S, TICKS_PER_S, WRITE_S, Pacer


def spend(pacer: Pacer, wake_ups: list[float]) -> list[tuple[float, int]]:
    taken = []
    for now in wake_ups:
        count = pacer.tokens(now)
        pacer.take(count, now)
        taken.append((now, count))
    return taken


@given(
    tps=st.integers(1, 100_000),
    steps=st.lists(st.floats(0.0001, 0.5), min_size=1, max_size=200),
)
def test_no_second_holds_more_than_the_rate_and_a_tick(tps: int, steps: list[float]) -> None:
    now, wake_ups = 100.0, []
    for step in steps:
        now += step
        wake_ups.append(now)
    taken = spend(Pacer(tps), wake_ups)
    for start, _ in taken:
        in_second = sum(count for at, count in taken if start <= at < start + 1)
        assert in_second <= tps * (1 + 1 / TICKS_PER_S) + 1


@given(
    tps=st.integers(1, 100_000),
    steps=st.lists(st.tuples(st.floats(0.0001, 0.5), st.booleans()), min_size=1, max_size=200),
)
def test_express_in_a_full_second_stays_within_a_hundredth_and_one(
    tps: int, steps: list[tuple[float, bool]]
) -> None:
    pacer, now, taken = Pacer(tps), 100.0, []
    for step, express in steps:
        now += step
        count = pacer.tokens(now, express=express)
        pacer.take(count, now)
        taken.append((now, count))
    for start, _ in taken:
        in_second = sum(count for at, count in taken if start <= at < start + 1)
        assert in_second <= tps * 1.01 + 1


@pytest.mark.parametrize("tps", [50, 1000, 10_000])
def test_express_does_not_wait_where_a_pause_that_was_made_up_for_comes_by_again(tps: int) -> None:
    pacer, now = Pacer(tps), 10.0
    full = let_through = 0
    while now < 13.0:
        count = pacer.tokens(now)
        if not count and pacer.next_at() <= now:
            full += 1
            let_through += pacer.tokens(now, express=True) > 0
        pacer.take(count, now)
        now += 0.15 if 11.0 <= now < 11.001 else 0.001
    assert full
    assert let_through == full


@given(tps=st.integers(1, 100_000), idle_s=st.floats(0, 1000))
def test_a_write_carries_at_most_ten_milliseconds_worth(tps: int, idle_s: float) -> None:
    pacer = Pacer(tps)
    pacer.take(1, 5.0)
    assert pacer.tokens(5.0 + idle_s) <= max(1, tps * WRITE_S)


@pytest.mark.parametrize("tps", [1, 7, 100, 1000, 25_000])
def test_wake_ups_at_the_due_time_reach_the_set_rate(tps: int) -> None:
    pacer, now, total = Pacer(tps), 0.0, 0
    while now < 20:
        count = pacer.tokens(now)
        pacer.take(count, now)
        total += count
        now = max(pacer.next_at(), now + 0.001)
    assert total == pytest.approx(20 * tps, rel=0.03, abs=1.1)


@pytest.mark.parametrize("tps", [50, 2000])
def test_late_wake_ups_do_not_cost_rate(tps: int) -> None:
    pacer, now, total = Pacer(tps), 0.0, 0
    while now < 20:
        count = pacer.tokens(now)
        pacer.take(count, now)
        total += count
        stalled = int(now / 0.4) != int((now + 0.005) / 0.4)  # 80 ms, every 400
        now = max(pacer.next_at(), now + (0.08 if stalled else 0.005))
    assert total == pytest.approx(20 * tps, rel=0.03)


def test_one_token_after_the_other_at_a_low_rate() -> None:
    pacer = Pacer(10)
    taken = [now for now, count in spend(pacer, [i / 1000 for i in range(3000)]) if count]
    gaps = [after - before for before, after in pairwise(taken)]
    assert len(taken) == pytest.approx(30, abs=1)
    assert min(gaps) > 0.07


def test_throttles_of_one_second_cut_once_and_never_under_the_floor() -> None:
    pacer = Pacer(1000)
    assert pacer.throttled(1, 10.0)
    pacer.throttled(1, 10.4)
    assert pacer.rate_per_s == pytest.approx(1000 * CUT)
    for second in range(11, 60):
        pacer.throttled(1, float(second))
    assert pacer.rate_per_s == pytest.approx(1000 * FLOOR)


def test_the_rate_grows_back_to_the_set_one_and_no_further() -> None:
    pacer = Pacer(1000)
    for second in range(20):
        pacer.throttled(1, float(second))
    low = pacer.rate_per_s
    pacer.tokens(19 + PROBE_AFTER_S)
    assert pacer.rate_per_s == low
    pacer.tokens(19 + PROBE_AFTER_S + 2)
    assert pacer.rate_per_s == pytest.approx(low + 100)
    pacer.tokens(19 + PROBE_AFTER_S + 200)
    assert pacer.rate_per_s == 1000


def test_a_changed_tps_keeps_the_proportion_of_a_cut() -> None:
    pacer = Pacer(1000)
    pacer.throttled(1, 1.0)
    pacer.set_tps(500, 1.0)
    assert pacer.rate_per_s == pytest.approx(500 * CUT)


@pytest.mark.parametrize("tps", [0, -1])
def test_a_rate_of_nothing_is_refused(tps: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        Pacer(tps)


def test_a_long_wait_without_work_is_not_made_up_for() -> None:
    pacer = Pacer(1000)
    pacer.take(10, 1.0)
    taken = spend(pacer, [100 + i / 1000 for i in range(100)])
    assert sum(count for _, count in taken) == pytest.approx(100 + 10, abs=2)


def test_a_closed_pacer_gives_no_token_and_never_says_when() -> None:
    pacer = Pacer(1000, closed=True)
    assert pacer.tokens(5.0) == 0
    assert pacer.next_at() == float("inf")
    pacer.closed = False
    assert pacer.tokens(5.0) > 0


@pytest.mark.parametrize("tps", [50, 500, 5000])
@pytest.mark.parametrize("seed", range(5))
def test_a_few_throttles_in_a_hundred_do_not_drive_the_rate_to_the_floor(tps: int, seed: int) -> None:
    """1 % of the responses, at random: no sign of too much, for they come at any rate."""
    pacer, chance, now, total = Pacer(tps), random.Random(seed), 0.0, 0
    while now < 120:
        count = pacer.tokens(now)
        pacer.take(count, now)
        pacer.responded(count, now)
        throttles = sum(chance.random() < 0.01 for _ in range(count))
        if throttles:
            pacer.throttled(throttles, now)
        total += count
        now = max(pacer.next_at(), now + 0.001)
    assert total > 0.8 * 120 * tps


@settings(max_examples=10)
@given(limit=st.floats(0.2, 0.9), tps=st.integers(100, 1000))
def test_the_rate_comes_down_to_what_the_smsc_takes(limit: float, tps: int) -> None:
    """An SMSC that throttles what is over its own limit: most of what it could take goes out."""
    pacer, now, accepted, refused = Pacer(tps), 0.0, 0, 0
    in_second = second = 0
    while now < 90:
        if int(now) != second:
            second, in_second = int(now), 0
        count = pacer.tokens(now)
        pacer.take(count, now)
        taken = max(0, min(count, int(limit * tps) - in_second))
        in_second += taken
        pacer.responded(count, now)
        if count > taken:
            pacer.throttled(count - taken, now)
        if now > 30:
            accepted, refused = accepted + taken, refused + count - taken
        now = max(pacer.next_at(), now + 0.001)
    assert accepted > 0.6 * 60 * limit * tps
    assert refused < 0.25 * (accepted + refused)


def test_a_share_under_the_noise_says_go_on_and_one_over_it_says_rest() -> None:
    pacer = Pacer(1000)
    pacer.responded(1000, 10.5)
    assert not pacer.throttled(10, 10.6)
    assert pacer.throttled(90, 10.7)


def test_congestion_of_an_smpp_5_smsc_stops_the_growth_and_cuts_at_a_hundred() -> None:
    pacer = Pacer(1000)
    pacer.congested(89, 10.0)
    assert pacer.rate_per_s == 1000
    pacer.congested(100, 10.0)
    assert pacer.rate_per_s == pytest.approx(1000 * CUT)
    low = pacer.rate_per_s
    for second in range(11, 20):
        pacer.congested(95, float(second))
        pacer.tokens(float(second))
    assert pacer.rate_per_s == low


RATES = (10, 13, 100, 333, 999, 1000, 2500, 10_000, 33_333, 50_000)


@settings(max_examples=60, deadline=None)
@given(
    tps=st.sampled_from(RATES) | st.integers(10, 50_000),
    jitter_ms=st.floats(0, 4),
    stalls=st.lists(st.tuples(st.floats(0.5, 10), st.floats(0, 0.15)), max_size=1),
    seed=st.integers(0, 999),
)
def test_ten_seconds_are_right_to_a_hundredth_whatever_the_wake_ups_are_late(
    tps: int, jitter_ms: float, stalls: list[tuple[float, float]], seed: int
) -> None:
    """Every wake-up comes up to `jitter_ms` late, and once the whole process stands still."""
    pacer, chance, now = Pacer(tps), random.Random(seed), 0.0
    taken: list[tuple[float, int]] = []
    stalls = sorted(stalls)
    while now < 12:
        count = pacer.tokens(now)
        assert count <= max(1, tps * WRITE_S)
        pacer.take(count, now)
        if count:
            taken.append((now, count))
        now = max(pacer.next_at(), now + 0.001) + chance.random() * jitter_ms / 1000
        if stalls and now >= stalls[0][0]:
            now += stalls.pop(0)[1]
    inside = [(at, count) for at, count in taken if 1 <= at < 11]
    total = sum(count for _, count in inside)
    # one message and one late wake-up at either end belong to either side
    edge = 2 + tps * (jitter_ms + 1) / 1000
    assert abs(total - 10 * tps) <= 0.01 * 10 * tps + edge


@pytest.mark.parametrize("tps", RATES)
def test_wake_ups_in_time_leave_even_gaps(tps: int) -> None:
    pacer, now = Pacer(tps), 0.0
    writes = []
    while now < 11:
        count = pacer.tokens(now)
        if count:
            pacer.take(count, now)
            writes.append((now, count))
        now = max(pacer.next_at(), now + 0.001)
    inside = [(at, count) for at, count in writes if at >= 1]
    total = sum(count for _, count in inside[:-1])
    assert total / (inside[-1][0] - inside[0][0]) == pytest.approx(tps, rel=0.01)
    gaps = [after[0] - before[0] for before, after in pairwise(inside)]
    assert max(gaps) <= max(1 / tps, 0.001) + 0.0011 + 2 / TICKS_PER_S * (tps < 1000)
