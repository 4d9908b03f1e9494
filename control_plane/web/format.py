"""Numbers and times as people read them: the templates' filters. `ui/static/js/format.js` says the same."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from control_plane.web.translation import _, ngettext

UNITS = ("B", "kB", "MB", "GB", "TB")


def number(value: float | None) -> str:
    """12,345; a dash for nothing."""
    return "–" if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Per second: one decimal below 100."""
    if value is None:
        return "–"
    return f"{value:,.1f}" if 0 < value < 100 else f"{value:,.0f}"


def money(amount: int | None) -> str:
    """Of 1/10,000 of a unit: 1,234.50; four decimals only where two do not say it."""
    if amount is None:
        return "–"
    units = Decimal(amount) / 10_000
    return f"{units:,.2f}" if amount % 100 == 0 else f"{units:,.4f}"


def percent(share: float) -> str:
    """Of 1. Never says 100 % before all is there, nor 0 % when something is."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "99.9 %"
    return f"{share * 100:.1f} %" if 0 < share < 1 else f"{share * 100:.0f} %"


def size(value: int | None) -> str:
    """Bytes in SI units."""
    if value is None:
        return "–"
    amount, unit = float(value), 0
    while amount >= 999.5 and unit < len(UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.0f} {UNITS[unit]}" if unit == 0 or amount >= 100 else f"{amount:.1f} {UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """Two leading units: 1 h 20 min."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return _("%(n)d s") % {"n": whole}
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return _("%(m)d min %(s)d s") % {"m": minutes, "s": rest}
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return _("%(h)d h %(m)d min") % {"h": hours, "m": minutes}
    days, hours = divmod(hours, 24)
    return _("%(d)d d %(h)d h") % {"d": days, "h": hours}


def ago(at: datetime, now: datetime | None = None) -> str:
    """How long ago, in one unit."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < 45:
        return _("just now")
    if seconds < 3_600:
        count = max(1, round(seconds / 60))
        return ngettext("%d minute ago", "%d minutes ago", count) % count
    if seconds < 86_400:
        count = round(seconds / 3_600)
        return ngettext("%d hour ago", "%d hours ago", count) % count
    if seconds < 30 * 86_400:
        count = round(seconds / 86_400)
        return ngettext("%d day ago", "%d days ago", count) % count
    return f"{at:%d %b %Y}"


def exact(at: datetime, zone: str = "UTC") -> str:
    """With the zone, to the second."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %Z}"


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
