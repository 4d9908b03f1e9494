"""A route, and the question where a number goes, read from a form: one sentence for each wrong field."""

import re
from collections.abc import Mapping
from typing import Any, get_args
from uuid import UUID

from control_plane.errors import Invalid
from engine.core_api import schema

ROWS = 20  # channels of a route, at most
NAME_LIMIT = 100
POSITIONS = range(1_000_001)
TIERS = range(1, 10)
WEIGHTS = range(1, 1001)
PREFIX = re.compile(r"[0-9]{0,15}")
CATEGORY = re.compile(r"[a-z0-9_-]{0,40}")
MSISDN = re.compile(r"[0-9]{3,15}")
LANES = get_args(schema.Lane)
KINDS = get_args(schema.SenderKind)
CATEGORY_SAYS = "Up to 40 small letters, digits, - and _."
_SEPARATORS = re.compile(r"[\s().+-]")


def read_route(form: Mapping[str, str], decision_id: UUID, version: int | None = None) -> schema.RouteSpec:
    """What the form says. Invalid names fields as the form does: `c.0.tier` is the first channel's tier."""
    problems: dict[str, str] = {}
    name = form.get("name", "").strip()
    if not 1 <= len(name) <= NAME_LIMIT:
        problems["name"] = f"1 to {NAME_LIMIT} characters."
    prefix = _SEPARATORS.sub("", form.get("prefix", ""))
    if not PREFIX.fullmatch(prefix):
        problems["prefix"] = "Up to 15 digits with the country code, such as 91. Empty: every number."
    fields = {
        "position": _whole(form.get("position", "100"), POSITIONS, "position", problems),
        "workspace_id": _workspace(form, problems),
        "category": _category(form.get("category", ""), problems)
        or ("" if form.get("without_category") == "1" else None),
        "sender_kind": _choice(form.get("sender_kind", ""), KINDS, "sender_kind", problems),
        "lane": _choice(form.get("lane", ""), LANES, "lane", problems),
        "enabled": form.get("enabled", "1") in ("1", "true", "on", "yes"),
    }
    channels = _channels(form, problems)
    if problems:
        raise Invalid(problems)
    return schema.RouteSpec(
        decision_id=decision_id, name=name, prefix=prefix, channels=channels, version=version, **fields
    )


def read_question(form: Mapping[str, str]) -> schema.RouteQuestion:
    """Invalid names the field."""
    problems: dict[str, str] = {}
    msisdn = _SEPARATORS.sub("", form.get("msisdn", ""))
    if not MSISDN.fullmatch(msisdn):
        problems["msisdn"] = "A number with its country code, such as +91 98765 43210, or its beginning."
    lane = _choice(form.get("lane", "bulk"), LANES, "lane", problems)
    category = _category(form.get("category", ""), problems)
    workspace_id = _workspace(form, problems)
    if problems:
        raise Invalid(problems)
    return schema.RouteQuestion(
        msisdn=msisdn,
        sender=form.get("sender", "").strip()[:20],
        workspace_id=workspace_id,
        category=category,
        lane=lane or "bulk",
    )


def read_category(text: str) -> str:
    """A category as it is kept; ValueError with a sentence."""
    category = text.strip().lower()
    if not CATEGORY.fullmatch(category):
        raise ValueError(CATEGORY_SAYS)
    return category


def _channels(form: Mapping[str, str], problems: dict[str, str]) -> list[schema.RouteChannel]:
    chosen, seen = [], set()
    for row in range(ROWS):
        channel = form.get(f"c.{row}.channel", "")
        if not channel:
            continue
        if channel in seen:
            problems[f"c.{row}.channel"] = f"{channel} stands above already: each channel once."
        seen.add(channel)
        tier = _whole(form.get(f"c.{row}.tier") or "1", TIERS, f"c.{row}.tier", problems)
        weight = _whole(form.get(f"c.{row}.weight") or "1", WEIGHTS, f"c.{row}.weight", problems)
        chosen.append(schema.RouteChannel(channel=channel, tier=tier, weight=weight))
    if not chosen:
        problems["channels"] = "Choose at least one channel."
    return chosen


def _whole(text: str, allowed: range, field: str, problems: dict[str, str]) -> int:
    text = text.strip()
    if not text.isascii() or not text.isdigit() or int(text[:9]) not in allowed:
        problems[field] = f"A whole number from {allowed[0]:,} to {allowed[-1]:,}."
        return allowed[0]
    return int(text[:9])


def _workspace(form: Mapping[str, str], problems: dict[str, str]) -> UUID | None:
    text = form.get("workspace", "").strip()
    try:
        return UUID(text) if text else None
    except ValueError:
        problems["workspace"] = "Choose one of those offered."
        return None


def _category(text: str, problems: dict[str, str]) -> str:
    try:
        return read_category(text)
    except ValueError as error:
        problems["category"] = str(error)
        return ""


def _choice(text: str, offered: tuple[Any, ...], field: str, problems: dict[str, str]) -> Any:
    """None where nothing is chosen: any."""
    if text and text not in offered:
        problems[field] = "Choose one of those offered."
    return text if text in offered else None
