"""Breakers: one permanent error on nearly every submit says that sending on is pointless. Pure, no clock."""

from collections import Counter, deque
from dataclasses import dataclass, field
from uuid import UUID

from engine.ledger import error_codes

WINDOW = 500  # submits
SHARE = 0.9


@dataclass(slots=True)
class Breaker:
    """The last `window` submits of a campaign or a channel. Throttles are none: they go again.

    Trips when one status is the end of `share` of them, of `campaigns_needed` campaigns at least: a
    campaign's own fault is no fault of its channel.
    """

    window: int = WINDOW
    share: float = SHARE
    campaigns_needed: int = 1
    seen: int = 0
    _failures: deque[tuple[int, int, UUID]] = field(default_factory=deque)  # position, status, campaign
    _counts: Counter[int] = field(default_factory=Counter)

    def passed(self, count: int) -> None:
        """Submits that did not fail for good."""
        self.seen += count
        self._forget()

    def failed(self, status: int, campaign_id: UUID) -> str:
        """A submit that did. The reason where that trips the breaker, else ""."""
        self._failures.append((self.seen, status, campaign_id))
        self._counts[status] += 1
        self.seen += 1
        self._forget()
        count = self._counts[status]
        if self.seen < self.window or count < self.share * self.window:
            return ""
        if self.campaigns_needed > 1:
            campaigns = {campaign for _, code, campaign in self._failures if code == status}
            if len(campaigns) < self.campaigns_needed:
                return ""
        return f"breaker: {short_code(status)} on {count * 100 // self.window} %"

    def reset(self) -> None:
        self.seen = 0
        self._failures.clear()
        self._counts.clear()

    def _forget(self) -> None:
        first = self.seen - self.window
        while self._failures and self._failures[0][0] < first:
            _, status, _ = self._failures.popleft()
            self._counts[status] -= 1


def short_code(status: int) -> str:
    """0x0A, as people write it."""
    return f"0x{status:02X}" if status >= 0 else error_codes.status_name(status)
