"""Routes, and the answer to where a number goes, as pages show them."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from control_plane.routing.route_form import ROWS
from control_plane.web.translation import _
from control_plane.web.views import Look
from engine.core_api import schema

SPARE_ROWS = 3
CONSIDERED_SHOWN = 40

Names = Mapping[UUID, str]


def kinds() -> list[dict[str, str]]:
    return [
        {"value": "alphanumeric", "word": _("Names, such as Heliograph")},
        {"value": "international", "word": _("Phone numbers")},
        {"value": "short_code", "word": _("Short codes, up to six digits")},
    ]


def lane_words() -> list[dict[str, str]]:
    return [{"value": "bulk", "word": _("Bulk")}, {"value": "express", "word": _("Express")}]


def route_href(route_id: int) -> str:
    return f"/routes/{route_id}"


def route_view(route: schema.Route, names: Names) -> dict[str, Any]:
    return {
        "id": route.route_id,
        "href": route_href(route.route_id),
        "name": route.name,
        "prefix": prefix_word(route.prefix),
        "position": route.position,
        "conditions": conditions(route, names),
        "tiers": tiers(route.channels),
        "enabled": route.enabled,
        "look": Look("delivered", "delivered", _("On"))
        if route.enabled
        else Look("waiting", "slash", _("Off")),
        "version": route.version,
    }


def prefix_word(prefix: str) -> str:
    return f"+{prefix}" if prefix else _("Every number")


def conditions(route: schema.Route, names: Names) -> list[str]:
    """What a message must be besides its number, in words; none: any."""
    words = []
    if route.workspace_id is not None:
        name = names.get(route.workspace_id, str(route.workspace_id))
        words.append(_("of %(workspace)s") % {"workspace": name})
    if route.category is not None:
        words.append(
            _("category %(category)s") % {"category": route.category}
            if route.category
            else _("without a category")
        )
    if route.sender_kind is not None:
        senders = {
            "alphanumeric": _("from a name"),
            "international": _("from a phone number"),
            "short_code": _("from a short code"),
        }
        words.append(senders[route.sender_kind])
    if route.lane is not None:
        words.append(_("express only") if route.lane == "express" else _("bulk only"))
    return words


def tiers(channels: Iterable[schema.RouteChannel]) -> list[dict[str, Any]]:
    """Channels by tier; a share only where several take turns."""
    found: dict[int, list[schema.RouteChannel]] = {}
    for one in sorted(channels, key=lambda each: (each.tier, -each.weight)):
        found.setdefault(one.tier, []).append(one)
    listed = []
    for tier, ones in found.items():
        total = sum(one.weight for one in ones)
        each = [
            {"name": one.channel, "share": _share(one.weight / total) if len(ones) > 1 else ""}
            for one in ones
        ]
        listed.append({"tier": tier, "channels": each})
    return listed


def _share(part: float) -> str:
    return f"{part * 100:.0f} %" if part >= 0.01 else "< 1 %"


def form_of(route: schema.Route) -> dict[str, str]:
    """A route as its form's fields."""
    rows: dict[str, str] = {}
    for number, one in enumerate(route.channels):
        rows |= {
            f"c.{number}.channel": one.channel,
            f"c.{number}.tier": str(one.tier),
            f"c.{number}.weight": str(one.weight),
        }
    return {
        "name": route.name,
        "prefix": route.prefix,
        "position": str(route.position),
        "workspace": str(route.workspace_id or ""),
        "category": route.category or "",
        "without_category": "1" if route.category == "" else "",
        "sender_kind": route.sender_kind or "",
        "lane": route.lane or "",
        "enabled": "1" if route.enabled else "0",
        **rows,
    }


def channel_rows(form: Mapping[str, str], known: list[str]) -> list[dict[str, Any]]:
    """The form's lines: those filled and some to fill."""
    filled = [number for number in range(ROWS) if form.get(f"c.{number}.channel")]
    count = min(ROWS, max(filled, default=-1) + 1 + SPARE_ROWS)
    rows = []
    for number in range(count):
        chosen = form.get(f"c.{number}.channel", "")
        rows.append(
            {
                "name": f"c.{number}",
                "channel": chosen,
                "tier": form.get(f"c.{number}.tier", "1"),
                "weight": form.get(f"c.{number}.weight", "1"),
                "offered": known if not chosen or chosen in known else [*known, chosen],
            }
        )
    return rows


def answer_view(question: schema.RouteQuestion, found: schema.RouteExplanation) -> dict[str, Any]:
    """One sentence, the order of trying, and every route with its reason: those that come near first."""
    if found.channel:
        look, title = (
            Look("delivered", "right", ""),
            _("It goes over %(channel)s.") % {"channel": found.channel},
        )
    elif found.route:
        look, title = Look("held", "held", ""), _("No channel can take it now.")
    else:
        look, title = Look("failed", "slash", ""), _("It goes nowhere.")
    digits = question.msisdn.removeprefix("+")
    near = sorted(found.considered, key=lambda one: (not one.matches, not digits.startswith(one.prefix)))
    return {
        "look": look,
        "title": title,
        "why": found.why[:1].upper() + found.why[1:] + ".",
        "route": found.route,
        "channel": found.channel,
        "order": found.order,
        "considered": [
            {
                "name": one.route,
                "prefix": prefix_word(one.prefix),
                "look": Look("delivered", "check", _("Taken"))
                if one.matches
                else Look("waiting", "close", _("No")),
                "why": found.why if one.matches else one.why,
            }
            for one in near[:CONSIDERED_SHOWN]
        ],
        "more": max(0, len(near) - CONSIDERED_SHOWN),
    }
