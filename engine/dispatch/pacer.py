"""The pace of one account: tokens for parts, evenly spaced, slowed by throttles and probing back up.

Every function is pure in (state, now): `now` is monotonic seconds and passed in.
"""

from dataclasses import dataclass, field
from math import ceil

WRITE_S = 0.010  # at most this much worth of parts a write, or even spacing is lost
BANK_S = 0.200  # what late wake-ups may make up for, within the second's limit
TICKS_PER_S = 100  # how finely the last second is remembered
FLOOR = 0.10  # of the set TPS
CUT = 0.8  # the rate after a throttle, once per CUT_EVERY_S
CUT_EVERY_S = 1.0
PROBE_AFTER_S = 5.0  # quiet time before the rate grows again
PROBE_PER_S = 0.05  # of the set TPS


@dataclass(slots=True)
class Pacer:
    """Tokens at `tps` parts/s, shared by the binds of an account.

    `rate_per_s` is the rate now: `tps`, cut by throttles (never under 10 %), growing back by 5 % of `tps` a
    second once five seconds went without one. A late wake-up is made up for, but no second holds more than
    the rate, 1 % and one.
    """

    tps: float
    rate_per_s: float = 0.0
    _due: float = float("-inf")  # when the next token is due
    _cut_at: float = float("-inf")
    _probed_at: float = float("-inf")
    _ticks: list[int] = field(default_factory=lambda: [0] * TICKS_PER_S)  # tokens taken, by hundredth
    _tick: int = 0  # the newest of them
    _taken: int = 0  # their sum: tokens of the last second

    def __post_init__(self) -> None:
        if self.tps <= 0:
            raise ValueError("tps must be positive")
        self.rate_per_s = self.rate_per_s or self.tps

    def tokens(self, now: float) -> int:
        """Parts that may be written now: at most 10 ms worth, at least 1 when one is due."""
        self._probe(now)
        behind = now - self._start(now)
        if behind < 0:
            return 0
        self._forget(now)
        due = int(min(self.rate_per_s * behind + 1, max(1.0, self.rate_per_s * WRITE_S)))
        return max(0, min(due, ceil(self.rate_per_s) - self._taken))

    def take(self, count: int, now: float) -> None:
        """Spend `count` tokens, whether or not they were there (a message's parts go together)."""
        assert count >= 0
        self._due = self._start(now) + count / self.rate_per_s
        self._forget(now)
        self._ticks[self._tick % TICKS_PER_S] += count
        self._taken += count

    def next_at(self) -> float:
        """When the next token is due; may be past."""
        return self._due

    def throttled(self, now: float) -> bool:
        """The SMSC says: too fast. True if that cut the rate (once a second, whatever the number of
        responses)."""
        self._probed_at = now
        if now - self._cut_at < CUT_EVERY_S:
            return False
        self._cut_at = now
        self.rate_per_s = max(self.tps * FLOOR, self.rate_per_s * CUT)
        return True

    def set_tps(self, tps: float, now: float) -> None:
        """The account's TPS was changed: the cut keeps its proportion."""
        if tps <= 0:
            raise ValueError("tps must be positive")
        self.rate_per_s *= tps / self.tps
        self.tps = tps
        self._due = min(self._due, now + 1 / self.rate_per_s)

    def _start(self, now: float) -> float:
        """When the next token was due; a long wait had no work, and has nothing to make up for."""
        return self._due if now - self._due <= BANK_S else now - WRITE_S

    def _forget(self, now: float) -> None:
        """Ticks that are a second old."""
        tick = int(now * TICKS_PER_S)
        for stale in range(max(self._tick + 1, tick - TICKS_PER_S + 1), tick + 1):
            self._taken -= self._ticks[stale % TICKS_PER_S]
            self._ticks[stale % TICKS_PER_S] = 0
        self._tick = max(self._tick, tick)

    def _probe(self, now: float) -> None:
        if self.rate_per_s >= self.tps or now - self._cut_at < PROBE_AFTER_S:
            return
        since = now - max(self._probed_at, self._cut_at + PROBE_AFTER_S)
        if since > 0:
            self.rate_per_s = min(self.tps, self.rate_per_s + since * PROBE_PER_S * self.tps)
            self._probed_at = now
