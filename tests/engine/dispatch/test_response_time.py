"""Response times: a queue at the SMSC slows the pace, nothing else does; in virtual time, with the pacer."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dispatch.pacer import Pacer

LOOK_S = 0.1


@dataclass
class Link:
    """A pacer with a window to an SMSC that answers one message after another (`takes_per_s`, 0: all at
    once), `way_s(now)` later. `stalls(now)`: how much later our event loop reads."""

    pacer: Pacer
    takes_per_s: float = 0.0
    way_s: Callable[[float], float] = lambda now: 0.02
    stalls: Callable[[float], float] = lambda now: 0.0
    window: int = 100_000
    answered: list[tuple[float, float, float]] = field(default_factory=list)  # (when, response time, rate)
    _free_at: float = 0.0
    _pending: list[tuple[float, float]] = field(default_factory=list)

    def run(self, start: float, stop: float) -> None:
        now, look_at = start, start
        while now < stop:
            late = self.stalls(now)
            now += late
            if now >= look_at:
                self.pacer.late(max(late, now - look_at if look_at > start else 0.0))
                self.pacer.look(now, len(self._pending))
                look_at = now + LOOK_S
            parts, newest = 0, None
            while self._pending and self._pending[0][0] <= now:
                _, sent = heapq.heappop(self._pending)
                parts, newest = parts + 1, now - sent
                self.answered.append((now, now - sent, self.pacer.rate_per_s))
            if parts:
                self.pacer.responded(parts, now)
                self.pacer.accepted(parts, newest, now)
            count = min(self.pacer.tokens(now), self.window - len(self._pending))
            if count > 0:
                self.pacer.take(count, now)
            for _ in range(count):
                served = now
                if self.takes_per_s:
                    served = self._free_at = max(now, self._free_at) + 1 / self.takes_per_s
                heapq.heappush(self._pending, (served + self.way_s(now), now))
            now += 0.005

    def rate(self, start: float, stop: float) -> float:
        return sum(start <= at < stop for at, _, _ in self.answered) / (stop - start)

    def slowest(self, start: float, stop: float) -> float:
        return max(took for at, took, _ in self.answered if start <= at < stop)


@settings(max_examples=15, deadline=None)
@given(
    share=st.floats(0.15, 0.95),
    tps=st.integers(100, 200),
    way_ms=st.integers(1, 200),
    jitter_ms=st.integers(0, 50),
    seed=st.integers(0, 99),
)
def test_an_smsc_that_queues_is_filled_and_its_queue_stays_short(
    share: float, tps: int, way_ms: int, jitter_ms: int, seed: int
) -> None:
    chance = random.Random(seed)
    link = Link(Pacer(tps), share * tps, lambda now: (way_ms + jitter_ms * chance.random()) / 1000)
    link.run(0.0, 60.0)
    assert link.rate(20, 60) >= 0.9 * share * tps
    way_s = (way_ms + jitter_ms) / 1000
    # without the cut the queue grows without an end: by 1/share - 1 seconds a second
    assert link.slowest(20, 60) <= 2 * way_s + 0.1 + 1.5 + 40 / (share * tps)


@settings(max_examples=15, deadline=None)
@given(way_ms=st.integers(0, 2000), tps=st.integers(1, 100), jitter=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_long_way_with_jitter_is_no_reason(way_ms: int, tps: int, jitter: float, seed: int) -> None:
    chance = random.Random(seed)
    link = Link(Pacer(tps), 0.0, lambda now: way_ms / 1000 * (1 + jitter * chance.random()))
    link.run(0.0, 60.0)
    cut = sum(rate < tps for _, _, rate in link.answered)
    assert cut <= 0.2 * len(link.answered)
    assert link.pacer.rate_per_s == tps
    assert link.rate(10, 60) >= 0.95 * tps


@pytest.mark.parametrize("later_ms", [150, 300, 1500])
def test_a_way_that_becomes_longer_costs_one_short_try_and_then_nothing(later_ms: int) -> None:
    link = Link(Pacer(200), 0.0, lambda now: 0.02 if now < 20 else later_ms / 1000)
    link.run(0.0, 60.0)
    assert link.rate(35, 60) == pytest.approx(200, rel=0.02)
    assert min(rate for at, _, rate in link.answered if at > 20) >= 0.5 * 200
    assert all(rate == 200 for at, _, rate in link.answered if at > 32)


def test_our_own_late_event_loop_is_no_reason() -> None:
    link = Link(Pacer(200), 0.0, stalls=lambda now: 0.1 if int(now * 4) % 2 else 0.0)
    link.run(0.0, 60.0)
    assert link.pacer.rate_per_s == 200
    assert all(rate == 200 for _, _, rate in link.answered)


def test_a_queue_that_is_gone_gives_the_set_rate_back() -> None:
    link = Link(Pacer(200), 80.0)
    link.run(0.0, 30.0)
    assert link.pacer.rate_per_s < 120
    assert link.pacer.slowed_by.startswith("response time ")
    link.takes_per_s = 0.0
    link.run(30.0, 100.0)
    assert link.pacer.rate_per_s == 200
    assert link.pacer.slowed_by == ""


def test_the_rate_does_not_swing_slowly() -> None:
    """Ten seconds in the middle of the run are like ten others: no minute of crawling after a minute of
    crowding."""
    link = Link(Pacer(200), 80.0)
    link.run(0.0, 120.0)
    tens = [link.rate(start, start + 10) for start in range(30, 120, 10)]
    assert min(tens) >= 0.9 * 80
    assert max(tens) <= 1.02 * 80


def test_a_window_that_is_full_is_slowed_no_further_than_the_smsc_takes() -> None:
    link = Link(Pacer(1000), 100.0, window=20)
    link.run(0.0, 60.0)
    assert link.rate(10, 60) >= 0.9 * 100


def test_switched_off_it_says_nothing() -> None:
    pacer = Pacer(200)
    pacer.heeds_response_time = False
    link = Link(pacer, 80.0, window=200)
    link.run(0.0, 30.0)
    assert all(rate == 200 for _, _, rate in link.answered)


def test_few_messages_that_take_long_are_no_queue() -> None:
    """Five a minute say nothing of what the SMSC could take."""
    pacer, now = Pacer(1000), 0.0
    for i in range(200):
        now += 0.25
        pacer.accepted(1, 0.01 if i < 20 else 0.2, now)
        pacer.look(now, 1)
    assert pacer.rate_per_s == 1000


def test_responses_quicker_than_the_clocks_tick_are_a_best_all_the_same() -> None:
    pacer, now = Pacer(1000), 0.0
    for i in range(60):
        now += 0.1
        pacer.accepted(20, 0.0 if i < 20 else 0.2, now)
        pacer.look(now, 50)
        if pacer.slowed_by:
            break
    assert pacer.slowed_by.startswith("response time ")


def test_a_pause_of_the_smsc_at_a_quiet_time_does_not_slow_the_campaign_after_it() -> None:
    """One message a second, then none answered for half a minute, then all: nothing waits there any more."""
    pacer = Pacer(1000)
    for tenth in range(930):
        now, paused = tenth / 10, 600 <= tenth < 900
        if tenth % 10 == 0 and not paused:
            pacer.accepted(30 if tenth == 900 else 1, 1.0 if tenth == 900 else 0.02, now)
        pacer.look(now, tenth // 10 - 59 if paused else 0)
    link = Link(pacer)
    link.run(93.0, 103.0)
    assert link.rate(94, 103) >= 0.95 * 1000
