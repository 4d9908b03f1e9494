"""How long the SMSC tries: validity_period, relative or absolute (SMPP 3.4 §7.1.1)."""

from datetime import UTC, datetime
from typing import Literal

Mode = Literal["relative", "absolute", "none"]

LEAST_S = 60  # an SMSC's clock and queue need a minute
_DAY_S = 86_400
_MONTH_DAYS = 30
_YEAR_DAYS = 365


def relative(seconds: int) -> bytes:
    """`YYMMDDhhmmss000R`: 26 h are `000001020000000R`. A month is 30 days, a year 365.

    Raises ValueError for less than a second or a hundred years.
    """
    days, rest = divmod(seconds, _DAY_S)
    years, days = divmod(days, _YEAR_DAYS)
    months, days = divmod(days, _MONTH_DAYS)
    if seconds < 1 or years > 99:
        raise ValueError("a validity is from a second to a hundred years")
    hours, rest = divmod(rest, 3600)
    return b"%02d%02d%02d%02d%02d%02d000R" % (years, months, days, hours, *divmod(rest, 60))


def absolute(at: datetime) -> bytes:
    """`YYMMDDhhmmsstnnp` of a moment, in UTC. Raises ValueError for one without a zone."""
    if at.tzinfo is None:
        raise ValueError("a moment needs its zone")
    at = at.astimezone(UTC)
    return f"{at:%y%m%d%H%M%S}{at.microsecond // 100_000}00+".encode()


def capped(validity_s: int | None, now: datetime, window_end: datetime | None) -> int | None:
    """Seconds the SMSC may try, so that nothing is delivered after the sending window; at least a minute.

    None stays None (the SMSC's own default) only where there is no window.
    """
    if window_end is None:
        return validity_s
    left = max(LEAST_S, int((window_end - now).total_seconds()))
    return left if validity_s is None else min(validity_s, left)


def validity_period(mode: Mode, validity_s: int | None, now: datetime) -> bytes:
    """The field of a message that is submitted `now`; empty leaves it to the SMSC."""
    if validity_s is None or mode == "none":
        return b""
    if mode == "relative":
        return relative(validity_s)
    return absolute(datetime.fromtimestamp(now.timestamp() + validity_s, UTC))
