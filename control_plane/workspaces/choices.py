"""What a workspace's settings may be: read from a form, one sentence for each that is wrong."""

import re
from collections.abc import Mapping
from functools import cache
from zoneinfo import available_timezones

import phonenumbers

from control_plane.errors import Invalid
from control_plane.workspaces.model import QuietHours

NAME_LIMIT = 60
REASON_LIMIT = 200
# Days an audit is kept: PCI DSS asks for a year, the Sarbanes-Oxley Act for seven (two with a leap day).
RETENTIONS = (90, 180, 365, 1095, 2557)
SWITCHES = ("authors_may_request_senders", "own_approval", "moderate_free_templates", "require_totp")
TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


@cache
def time_zones() -> tuple[str, ...]:
    """IANA names, those with a place first and in order; UTC before all."""
    placed = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))
    return ("UTC", *placed)


@cache
def countries() -> tuple[str, ...]:
    """ISO 3166 alpha-2 codes that have a numbering plan."""
    return tuple(sorted(phonenumbers.SUPPORTED_REGIONS))


def read_name(text: str) -> str:
    """Invalid where it is no name."""
    name = " ".join(text.split())
    if not name:
        raise Invalid({"name": "Give it a name."})
    if len(name) > NAME_LIMIT or not name.isprintable():
        raise Invalid({"name": f"Use at most {NAME_LIMIT} letters, digits and signs."})
    return name


def read_place(form: Mapping[str, str], problems: dict[str, str]) -> dict[str, object]:
    """The time zone and the country, those that the form has."""
    wanted: dict[str, object] = {}
    if "time_zone" in form:
        wanted["time_zone"] = zone = form["time_zone"].strip()
        if zone not in time_zones():
            problems["time_zone"] = "That is no IANA time zone, such as Europe/Berlin."
    if "default_country" in form:
        wanted["default_country"] = country = form["default_country"].strip().upper()
        if country and country not in countries():
            problems["default_country"] = "Two letters of a country, such as DE, or nothing."
    return wanted


def read_settings(form: Mapping[str, str]) -> dict[str, object]:
    """The fields that the form has; a switch is on with "1". Invalid names what is wrong."""
    problems: dict[str, str] = {}
    wanted = read_place(form, problems)
    if "quiet_begin" in form or "quiet_end" in form:
        wanted["quiet_hours"] = _quiet(form, problems)
    if "retention_days" in form:
        days = form["retention_days"]
        wanted["retention_days"] = int(days) if days.isascii() and days.isdigit() and len(days) < 6 else 0
        if wanted["retention_days"] not in RETENTIONS:
            problems["retention_days"] = "Choose one of those offered."
    for name in SWITCHES:
        if name in form:
            wanted[name] = form[name].lower() in ("1", "true", "on")
    if problems:
        raise Invalid(problems)
    return wanted


def _quiet(form: Mapping[str, str], problems: dict[str, str]) -> QuietHours | None:
    begin, end = form.get("quiet_begin", "").strip(), form.get("quiet_end", "").strip()
    if not begin and not end:
        return None
    for name, text in (("quiet_begin", begin), ("quiet_end", end)):
        if not TIME_OF_DAY.fullmatch(text):
            problems[name] = "A time of day, such as 22:00."
    if begin and begin == end:
        problems["quiet_end"] = "Choose another time than the beginning."
    return QuietHours(begin=begin, end=end)
