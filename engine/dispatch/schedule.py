"""The TPS of an account by hour, and its other settings of pace."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from engine.channels.account_settings import TpsWindow, zone

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Scheduled(Protocol):
    """An account; `engine.ledger.accounts.Account` is one."""

    @property
    def tps(self) -> int: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...


def tps_at(account: Scheduled, now: datetime) -> int:
    """Parts a second that `account` may take at `now` (with a zone): that of the first window of
    `tps_schedule` that holds it, read in the account's `tz`; outside of them the account's own. May be 0."""
    windows = account.settings.get("tps_schedule")
    if not windows:
        return account.tps
    local = now.astimezone(zone(account.settings.get("tz", "UTC")))
    for window in msgspec.convert(windows, list[TpsWindow]):
        if _holds(window, local):
            return window.tps
    return account.tps


def _holds(window: TpsWindow, local: datetime) -> bool:
    """A window over midnight belongs to the day it begins on."""
    start, end = _minutes(window.start), _minutes(window.end)
    at = local.hour * 60 + local.minute
    if start < end:
        return start <= at < end and local.weekday() in days(window.days)
    if at >= start:
        return local.weekday() in days(window.days)
    return at < end and (local - timedelta(days=1)).weekday() in days(window.days)


def days(text: str) -> frozenset[int]:
    """`mon-fri,sun` as weekdays from Monday = 0; a range may go over Sunday. Raises ValueError."""
    found: set[int] = set()
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(f"{piece!r} is no day of the week")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found.update(day % 7 for day in range(begin, end + 1 + 7 * (end < begin)))
    return frozenset(found)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def express_share(account: Scheduled) -> float:
    """Part of what may be claimed that bulk campaigns leave to express ones."""
    return float(account.settings.get("express_share", 0.1))


def heeds_response_time(account: Scheduled) -> bool:
    """Whether response times far over their best slow it down."""
    return bool(account.settings.get("slow_on_response_time", True))
