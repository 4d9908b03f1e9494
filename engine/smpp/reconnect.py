"""How long to wait before the next connection, from what became of the last ones; no clock of its own."""

import random
from collections.abc import Callable

RALYBND = 0x05
WRONG_CREDENTIALS = (0x0E, 0x0F)
ALREADY_BOUND_S = (30.0, 60.0)
STABLE_S = 30.0


class Backoff:
    """Doubles from `min_s` to `max_s` with jitter; stops after `tries` refused passwords in a row.

    A bind that held STABLE_S counts as success: the next wait is the shortest again. One that is dropped at
    once does not, or an SMSC that accepts and drops would be stormed.
    """

    def __init__(
        self,
        min_s: float,
        max_s: float,
        tries: int,
        uniform: Callable[[float, float], float] = random.uniform,
        already_bound_s: tuple[float, float] = ALREADY_BOUND_S,
    ) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._tries = tries
        self._uniform = uniform
        self._already_bound_s = already_bound_s
        self._failures = 0
        self._refusals = 0

    def next_delay_s(self, bound_s: float, refused: int = 0) -> float | None:
        """Seconds to wait, or None: give up. `bound_s`: how long the last bind held, 0 if it was not bound;
        `refused`: the command_status of a refused bind.

        A refused password is asked again at most `tries` times: addresses get banned. After ESME_RALYBND the
        old session lives on at the SMSC for minutes, so hurrying is useless.
        """
        if bound_s > 0:
            self._refusals = 0
        if bound_s >= STABLE_S:
            self._failures = 0
        if refused in WRONG_CREDENTIALS:
            self._refusals += 1
            if self._refusals >= self._tries:
                return None
        longest = min(self._max_s, self._min_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        if refused == RALYBND:
            return self._uniform(*self._already_bound_s)
        return self._uniform(longest / 2, longest)
