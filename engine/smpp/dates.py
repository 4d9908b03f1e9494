"""Dates of receipts have no zone, validity periods are relative or absolute: what they mean.

SMPP 3.4 §7.1.1 (time formats) and appendix B (dates of receipts).
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from statistics import median
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

QUARTER_S = 900
MOST_OFFSET_S = 14 * 3600  # UTC+14:00, Kiribati

_FIXED = re.compile(r"([+-])(\d\d):(\d\d)")
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d)(\d\d)([R+-])")


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """An IANA zone, or a fixed offset such as +05:30. Raises ValueError."""
    if name in ("UTC", "Etc/UTC"):
        return UTC  # the usual one need not be asked for each date
    if match := _FIXED.fullmatch(name):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone") from None


def offset_s(where: tzinfo, local_s: int) -> int:
    """Seconds the zone is ahead of UTC at a local time, given as epoch seconds as if it were UTC. Of a time
    that is there twice, the first."""
    try:
        local = datetime.fromtimestamp(local_s, UTC).replace(tzinfo=where)
    except (ValueError, OverflowError, OSError):
        return 0
    offset = local.utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def is_epoch(text: str) -> bool:
    """Is a receipt's date seconds or milliseconds since 1970: ten digits that begin with 16 to 19, or
    thirteen? Such a date has no zone."""
    return len(text) == 13 or (len(text) == 10 and "16" <= text[:2] <= "19")


def offset_name(seconds: int) -> str:
    """+05:30 of 19800."""
    sign, minutes = "-" if seconds < 0 else "+", abs(seconds) // 60
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"


def proposed_offset_s(differences_s: Iterable[int]) -> tuple[int, int] | None:
    """(zone's offset rounded to 15 minutes, median) of submit dates minus our submit times, in seconds.

    None without any, or where the median is no zone's.
    """
    given = list(differences_s)
    if not given:
        return None
    middle = round(median(given))
    offset = QUARTER_S * round(middle / QUARTER_S)
    return (offset, middle) if abs(offset) <= MOST_OFFSET_S else None


def validity_s(period: str, now: datetime | None = None) -> int | None:
    """Seconds of a validity_period: relative `000001020000000R`, or absolute `YYMMDDhhmmsstnnp` from `now`.

    None where it is empty or malformed: the SMSC's own default counts. SMPP 3.4 §7.1.1.
    """
    match = _TIME.fullmatch(period)
    if match is None:
        return None
    years, months, days, hours, minutes, seconds, tenths, quarters = (int(match[i]) for i in range(1, 9))
    if match[9] == "R":
        return years * 31_536_000 + months * 2_592_000 + days * 86_400 + hours * 3600 + minutes * 60 + seconds
    try:
        written = datetime(2000 + years, months, days, hours, minutes, seconds)
    except ValueError:
        return None
    ahead_s = quarters * QUARTER_S * (-1 if match[9] == "-" else 1)
    from_s = (now or datetime.now(UTC)).timestamp()
    return max(0, round(timegm(written.timetuple()) + tenths / 10 - ahead_s - from_s))
