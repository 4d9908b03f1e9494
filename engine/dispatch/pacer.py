"""The pace of one account: tokens for parts, evenly spaced, slowed by throttles and by response times that
say that the SMSC queues, and probing back up.

Every function is pure in (state, now): `now` is monotonic seconds and passed in.
"""

from dataclasses import dataclass, field
from math import ceil

from engine.dispatch.response_time import ResponseTime

WRITE_S = 0.010  # at most this much worth of parts a write, or even spacing is lost
BANK_S = 0.200  # what late wake-ups may make up for, within the second's limit
PAY_BACK = 0.99  # of it, while what a write after a pause had in advance is paid back
TICKS_PER_S = 200  # how finely the last second is remembered
EXPRESS_MORE = (
    0.005  # of the second's limit, at least one: a second that is full of bulk lets express through
)
FLOOR = 0.10  # of the set TPS, however many throttles
LEAST = 0.01  # of it, whatever the response times say
CUT = 0.8  # the rate after a second of throttles, once per CUT_EVERY_S
CUT_EVERY_S = 1.0
CUT_PER_SHARE = 2.0  # a share of throttles cuts this much of it, down to CUT
NOISE = 0.02  # a smaller share is no sign of too much: the bind goes on, and the rate may grow meanwhile
PROBE_AFTER_S = 5.0  # quiet time before the rate grows again
PROBE_PER_S = 0.05  # of the set TPS


@dataclass(slots=True)
class Pacer:
    """Tokens at `tps` parts/s, shared by the binds of an account.

    `rate_per_s` is the rate now: `tps`, cut by throttles (never under 10 %), growing back by 5 % of `tps` a
    second once five seconds went without more than a few; and no more than the response times allow. A late
    wake-up is made up for, but no second holds more than the rate, 1 % and one. `closed`: no tokens, nothing
    of the account's TPS is ours.
    """

    tps: float
    rate_per_s: float = 0.0
    closed: bool = False
    heeds_response_time: bool = True
    response_time: ResponseTime = field(default_factory=ResponseTime)
    _allowed: float = 0.0  # by the throttles
    _parts_of_pdu: float = 1.0
    _due: float = float("-inf")  # when the next token is due
    _advance: float = 0.0  # tokens of the write after a pause that are not paid back yet
    _cut_at: float = float("-inf")
    _probed_at: float = float("-inf")
    _grows_at: float = float("-inf")  # not before
    _responses: list[int] = field(default_factory=lambda: [0, 0])  # of the running second and the one before
    _throttles: list[int] = field(default_factory=lambda: [0, 0])
    _second: int = 0
    _ticks: list[int] = field(default_factory=lambda: [0] * TICKS_PER_S)  # tokens taken, by hundredth
    _tick: int = 0  # the newest of them
    _taken: int = 0  # their sum: tokens of the last second

    def __post_init__(self) -> None:
        if self.tps <= 0:
            raise ValueError("tps must be positive")
        self._allowed = self.rate_per_s = self.rate_per_s or self.tps

    def tokens(self, now: float, *, express: bool = False) -> int:
        """Parts that may be written now: at most 10 ms worth, at least 1 when one is due. `express`: of
        express work, which does not wait where the second is full.

        After a pause that was made up for, the second is full when the pause comes by again.
        """
        self._probe(now)
        if self.closed:
            return 0
        behind = now - self._start(now)
        if behind < 0:
            return 0
        self._forget(now)
        due = int(min(self.rate_per_s * behind + 1, max(1.0, self.rate_per_s * WRITE_S)))
        limit = ceil(self.rate_per_s) + (max(1, int(self.rate_per_s * EXPRESS_MORE)) if express else 0)
        return max(0, min(due, limit - self._taken))

    def take(self, count: int, now: float, pdus: int = 0) -> None:
        """Spend `count` tokens, whether or not they were there (a message's parts go together); `pdus`: in so
        many submit_sm, 0: one each."""
        assert count >= 0
        if count:
            self._parts_of_pdu += (count / (pdus or count) - self._parts_of_pdu) / 8
        if count and now - self._due > BANK_S:
            self._advance = self.rate_per_s * WRITE_S
        self._due = self._start(now) + count / (self.rate_per_s * self._speed(count))
        self._forget(now)
        self._ticks[self._tick % TICKS_PER_S] += count
        self._taken += count

    def next_at(self) -> float:
        """When the next token is due; may be past. Infinite while closed."""
        return float("inf") if self.closed else self._due

    def responded(self, count: int, now: float) -> None:
        """Responses of the SMSC, throttles among them: what a share of throttles is a share of."""
        self._turn_to(now)
        self._responses[0] += count

    def throttled(self, count: int, now: float) -> bool:
        """The SMSC says of `count` responses: too fast. The rate is cut in proportion to their share, once a
        second. True if that share is more than noise: then the bind rests, too."""
        self._turn_to(now)
        self._throttles[0] += count
        share = self.throttle_share(now)
        serious = share >= NOISE
        if serious:
            self._probed_at = now
            self._grows_at = now + PROBE_AFTER_S
        if now - self._cut_at >= CUT_EVERY_S:
            self._cut_at = now
            self._cut(share)
        return serious

    def accepted(self, pdus: int, response_s: float | None, now: float) -> None:
        """The SMSC took so many submit_sm; `response_s`: how long the newest of them waited for its response,
        None where it is not known."""
        if self.heeds_response_time:
            self.response_time.responded(pdus, response_s, now)

    def late(self, late_s: float) -> None:
        """Our own event loop came so much too late: response times were read late, too."""
        self.response_time.late(late_s)

    def look(self, now: float, in_flight: int) -> bool:
        """What the response times say, some times a second; `in_flight`: submit_sm without a response. True:
        the rate is cut now."""
        cut = False
        if self.heeds_response_time:
            cut = self.response_time.look(now, self.tps / self._parts_of_pdu, in_flight)
        else:
            self.response_time.forget()
        self._settle(now)
        return cut

    @property
    def _queue_limit(self) -> float:
        return self.response_time.limit_per_s * self._parts_of_pdu

    @property
    def slowed_by(self) -> str:
        """Why the rate is under the set one; "" where it is not."""
        if self.rate_per_s >= self.tps:
            return ""
        if self._queue_limit < self._allowed:
            return f"response time {self.response_time.raised:.1f} x its best"
        return "throttles"

    def _settle(self, now: float) -> None:
        rate = max(min(self._allowed, self._queue_limit), self.tps * LEAST)
        if rate > self.rate_per_s and self._due > now:  # the next token was reckoned at the slower rate
            self._due = min(self._due, now + 1 / rate)
        self.rate_per_s = rate

    def congested(self, level: int, now: float) -> None:
        """SMPP 5.0 congestion_state (§4.8.4.18): from 90 on the rate does not grow, at 100 it is cut."""
        if level < 90:
            return
        self._probed_at = now
        self._grows_at = now + PROBE_AFTER_S
        if level >= 100 and now - self._cut_at >= CUT_EVERY_S:
            self._cut_at = now
            self._cut(1.0)

    def throttle_share(self, now: float) -> float:
        """Throttles among the responses of this second and the one before."""
        self._turn_to(now)
        throttles = sum(self._throttles)
        return throttles / max(sum(self._responses), throttles, 1)

    def _cut(self, share: float) -> None:
        factor = max(CUT, 1 - CUT_PER_SHARE * share)
        self._allowed = max(self.tps * FLOOR, min(self._allowed, self.rate_per_s) * factor)
        self.rate_per_s = min(self.rate_per_s, self._allowed)

    def _turn_to(self, now: float) -> None:
        second = int(now)
        if second == self._second:
            return
        for counts in (self._responses, self._throttles):
            counts[1] = counts[0] if second == self._second + 1 else 0
            counts[0] = 0
        self._second = second

    def set_tps(self, tps: float, now: float) -> None:
        """The account's TPS was changed: the cut keeps its proportion."""
        if tps <= 0:
            raise ValueError("tps must be positive")
        self._allowed *= tps / self.tps
        self.tps = tps
        self._settle(now)
        self._due = min(self._due, now + 1 / self.rate_per_s)

    def _start(self, now: float) -> float:
        """When the next token was due; a long wait had no work, and has nothing to make up for."""
        return self._due if now - self._due <= BANK_S else now - WRITE_S

    def _speed(self, count: int) -> float:
        """Of the rate: a little less until the advance is paid back, or the first full second would pay all
        of it at once, with a gap that comes back each second."""
        if self._advance <= 0:
            return 1.0
        self._advance -= count * (1 - PAY_BACK)
        return PAY_BACK

    def _forget(self, now: float) -> None:
        """Ticks that are a second old."""
        tick = int(now * TICKS_PER_S)
        for stale in range(max(self._tick + 1, tick - TICKS_PER_S + 1), tick + 1):
            self._taken -= self._ticks[stale % TICKS_PER_S]
            self._ticks[stale % TICKS_PER_S] = 0
        self._tick = max(self._tick, tick)

    def _probe(self, now: float) -> None:
        if self._allowed >= self.tps or now < self._grows_at:
            return
        since = now - max(self._probed_at, self._grows_at)
        if since > 0:
            if since < float("inf"):
                self._allowed = min(self.tps, self._allowed + since * PROBE_PER_S * self.tps)
                self._settle(now)
            self._probed_at = now
