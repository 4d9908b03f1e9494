"""Rates over the last seconds, from counts."""

WINDOW_S = 5


class Rate:
    """Events a second over the last five whole seconds; `now` is monotonic seconds."""

    __slots__ = ("_counts", "_newest")

    def __init__(self) -> None:
        self._counts = [0] * (WINDOW_S + 1)
        self._newest = 0

    def add(self, count: int, now: float) -> None:
        second = int(now)
        self._forget(second)
        self._counts[second % len(self._counts)] += count

    def per_s(self, now: float) -> float:
        """The mean of the whole seconds; the running one counts by what has passed of it."""
        second = int(now)
        self._forget(second)
        return sum(self._counts) / (WINDOW_S + now - second)

    def _forget(self, second: int) -> None:
        for stale in range(max(self._newest + 1, second - WINDOW_S), second + 1):
            self._counts[stale % len(self._counts)] = 0
        self._newest = max(self._newest, second)
