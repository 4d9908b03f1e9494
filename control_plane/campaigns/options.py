"""What a campaign says of its messages besides text and sender: read from a form, one sentence a fault."""

import re
from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from control_plane.routing.route_form import read_category
from engine.core_api import schema

FIELDS = (
    "category",
    "lane",
    "in_doubt",
    "charset_rule",
    "flash",
    "validity_h",
    "dlt_pe_id",
    "dlt_template_id",
)
BY_ROUTES = "/routes"  # in place of a channel's name, which never has a slash
OF_THE_CAMPAIGN = ("in_doubt", "lane", "category")  # the others are of its messages
DLT_ID = re.compile(r"[0-9]{0,30}")
VALIDITY_H = range(1, 63 * 7 * 24 + 1)  # GSM 03.40 §9.2.3.12.1: at most 63 weeks


def read_options(
    form: Mapping[str, str], present: schema.MessageOptions, problems: dict[str, str]
) -> dict[str, Any]:
    """The campaign's fields that the form names: `options`, `in_doubt`, `lane`, `category`. Faults go into
    `problems` by field.

    `present`: the options before, of which the form may name some.
    """
    changed: dict[str, Any] = {}
    for name, kind in (
        ("in_doubt", schema.DoubtPolicy),
        ("charset_rule", schema.CharsetRule),
        ("lane", schema.Lane),
    ):
        if name in form:
            changed[name] = form[name]
            if form[name] not in get_args(kind):
                problems[name] = "Choose one of those offered."
    if "category" in form:
        try:
            changed["category"] = read_category(form["category"])
        except ValueError as error:
            problems["category"] = str(error)
    if "flash" in form:
        changed["flash"] = form["flash"].casefold() in ("1", "true", "on", "yes")
    for name in ("dlt_pe_id", "dlt_template_id"):
        if name in form:
            changed[name] = form[name].strip()
            if not DLT_ID.fullmatch(changed[name]):
                problems[name] = "Up to 30 digits, as the registry gave it."
    if "validity_h" in form:
        changed["validity_s"] = _seconds(form["validity_h"].strip(), problems)
    if problems:
        return {}
    own = {name: changed.pop(name) for name in OF_THE_CAMPAIGN if name in changed}
    return {"options": msgspec.structs.replace(present, **changed), **own}


def read_channel(channel: str) -> dict[str, Any]:
    """The campaign's fields for what a form chose: a channel's name, "" for the first, or BY_ROUTES."""
    by_routes = channel == BY_ROUTES
    return {"channel": "" if by_routes else channel, "by_routes": by_routes}


def _seconds(hours: str, problems: dict[str, str]) -> int | None:
    if not hours:
        return None
    if not hours.isascii() or not hours.isdigit() or int(hours[:9]) not in VALIDITY_H:
        problems["validity_h"] = f"Whole hours, {VALIDITY_H[0]} to {VALIDITY_H[-1]:,}, or nothing."
        return None
    return int(hours) * 3600
