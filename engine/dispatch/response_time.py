"""Response times of one account: a queue that stands at the SMSC, seen from outside, and the rate that lets
it drain.

The sign is that of CoDel (RFC 8289): the *shortest* response time of an interval is raised, so that it is no
burst and no jitter; against the shortest of the last ten minutes, as in LEDBAT (RFC 6817); and by Little's
law at least some messages wait (TCP Vegas). The answer is multiplicative: below what the SMSC was seen to
take, for as long as the queue needs to drain. Then whatever raised the response time is known: where it came
down, it was our queue, and the rate goes on a little under what the SMSC takes and probes upwards; where it
did not, the way there has become longer, nothing is gained by going slow, and the new time is the best.

Every function is pure in its arguments: `now` is monotonic seconds and passed in.
"""

from collections import deque
from dataclasses import dataclass, field

INTERVAL_S = 0.5
LEAST_SAMPLES = 8  # of an interval; one that has fewer goes on
LONGEST_INTERVAL_S = 5.0
RAISED = 2.0  # times the best: a queue, where it is
RAISED_S = 0.050  # above the best as well
QUEUED = 4  # messages that wait, at least
LATENESS = 4.0  # times our own event loop's: less says nothing of the SMSC
DRAIN = 0.5  # of what the SMSC takes, while its queue drains: it is busy all the same
LONGEST_DRAIN_S = 60.0
TAKES_OF = 4  # intervals: one in which the way became longer has fewer responses than the SMSC takes
STEADY = 0.97  # of what the SMSC takes, after that
PROBE_PER_S = 0.01  # of what the SMSC takes: the first step of the probing, twice as much after each QUIET_S
QUIET_S = 10.0
FORGET_S = 60.0  # without a response the limit is forgotten
BEST_OF = 10  # intervals of BEST_EVERY_S
BEST_EVERY_S = 60.0
LEAST_S = 0.001  # the event loop's clock tells no less: a response in the same tick takes 0
_NEVER = float("inf")


@dataclass(slots=True)
class ResponseTime:
    """`limit_per_s` is the most submit_sm a second that the response times allow; infinite where they say
    nothing. `responded` for each batch of responses, `look` some times a second."""

    limit_per_s: float = _NEVER
    raised: float = 1.0  # the response time of the cut that counts, in times of its best
    _lowest: deque[tuple[float, float]] = field(default_factory=deque)  # (since, lowest) by minute
    _began: float = -_NEVER  # of the running interval
    _low: float = _NEVER  # its shortest response time
    _samples: int = 0
    _accepted: int = 0
    _late_s: float = 0.0
    _heard_at: float = -_NEVER
    _takes: deque[float] = field(default_factory=lambda: deque(maxlen=TAKES_OF))
    _took_per_s: float = 0.0  # what the SMSC was seen to take, at the cut
    _excess_s: float = 0.0  # of the cut
    _drained_at: float = _NEVER  # until then below it
    _judging: bool = False
    _before: float = _NEVER  # the limit before the cut
    _probed_at: float = -_NEVER
    _quiet_since: float = -_NEVER

    @property
    def best_s(self) -> float:
        """The shortest response time of the last ten minutes; infinite where none is known."""
        return min((low for _, low in self._lowest), default=_NEVER)

    def responded(self, count: int, response_s: float | None, now: float) -> None:
        """`count` were accepted; `response_s`: of one of them, the newest, None where it is not known."""
        if self._began == -_NEVER:
            self._began = now
        self._accepted += count
        self._heard_at = now
        if response_s is None:
            return
        self._samples += 1
        self._low = min(self._low, max(response_s, LEAST_S))

    def late(self, late_s: float) -> None:
        """Our own event loop came so much too late."""
        self._late_s = max(self._late_s, late_s)

    def look(self, now: float, tps: float, in_flight: int) -> bool:
        """End the interval where it is time to. `tps`: the set one, above which no limit counts; `in_flight`:
        submit_sm without a response. True: the rate is cut now."""
        if self._drained_at <= now:
            self._drained_at, self._judging = _NEVER, True
            self.limit_per_s = STEADY * self._took_per_s
            self._probed_at = self._quiet_since = now
            self._begin(now)  # what comes from now on was sent into a shorter queue
            return False
        passed = now - self._began
        if passed < INTERVAL_S or self._began == -_NEVER:
            return False
        if self._samples < LEAST_SAMPLES and passed < LONGEST_INTERVAL_S:
            return False
        cut = self._end(now, passed, tps, in_flight) if self._samples else False
        if now - self._heard_at > FORGET_S:
            self._forget()
        self._begin(now)
        return cut

    def forget(self) -> None:
        """Nothing was seen: another route, or the setting is off."""
        self._forget()
        self._lowest.clear()
        self._began = -_NEVER

    # one interval -------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        self._began, self._low, self._samples, self._accepted, self._late_s = now, _NEVER, 0, 0, 0.0

    def _end(self, now: float, passed: float, tps: float, in_flight: int) -> bool:
        low, took = self._low, self._accepted / passed
        best = min(self.best_s, low)
        excess = low - best
        if self._drained_at < _NEVER:
            self._remember(low, now)
            return False
        if self._judging:
            again = self._judge(excess, took)
            self._remember(low, now)
            if again:
                self._takes.clear()
                self._cut(low, best, took, in_flight, now)
            return again
        self._remember(low, now)
        self._takes.append(took)
        took = max(self._takes)
        raised = low > max(RAISED * best, best + RAISED_S)
        # both by the interval and as of now: after a pause of the SMSC nothing may wait there any more
        if raised and min(took * excess, in_flight) >= QUEUED and excess > LATENESS * self._late_s:
            self._cut(low, best, took, in_flight, now)
            return True
        self._probe(now, tps)
        return False

    def _cut(self, low: float, best: float, took: float, in_flight: int, now: float) -> None:
        self._before = self.limit_per_s
        self._took_per_s = took
        # what was sent since then waits longer than what was answered: Little's law, as of now
        self._excess_s = max(low - best, in_flight / took - best)
        self.raised = low / best
        self.limit_per_s = DRAIN * took
        self._drained_at = now + min(self._excess_s / (1 - DRAIN) + best, LONGEST_DRAIN_S)

    def _judge(self, excess: float, took: float) -> bool:
        """After a drain. True: the SMSC takes still less."""
        self._judging = False
        if excess <= self._excess_s / 2:
            return False
        if 0 < took < 0.8 * DRAIN * self._took_per_s:
            return True
        self._lowest.clear()  # this is the best there is now
        self.limit_per_s = self._before
        return False

    def _probe(self, now: float, tps: float) -> None:
        if self.limit_per_s == _NEVER:
            return
        steps = min(10, int((now - self._quiet_since) / QUIET_S))
        per_s = min(PROBE_PER_S * 2**steps * self._took_per_s, 0.05 * tps)
        self.limit_per_s += per_s * (now - self._probed_at)
        self._probed_at = now
        if self.limit_per_s >= tps:
            self._forget()

    def _forget(self) -> None:
        self.limit_per_s, self.raised, self._before = _NEVER, 1.0, _NEVER
        self._drained_at, self._judging = _NEVER, False

    def _remember(self, low: float, now: float) -> None:
        if not self._lowest or now - self._lowest[-1][0] >= BEST_EVERY_S:
            self._lowest.append((now, low))
            if len(self._lowest) > BEST_OF:
                self._lowest.popleft()
        elif low < self._lowest[-1][1]:
            self._lowest[-1] = (self._lowest[-1][0], low)
