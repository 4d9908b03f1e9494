"""Domain values as a page shows them: a tone, a shape and a word for each state; shares for each bar."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from control_plane.campaigns.model import Campaign, Live
from control_plane.web import format as show
from control_plane.web.options import option_facts
from control_plane.web.translation import _
from engine.core_api import schema

UNPAID = ("no balance", "no price list")  # the engine's reasons for a pause that the wallet's page explains
BAR = 1000.0  # units of a proportion's width


@dataclass(frozen=True)
class Look:
    """Colour, shape and word: always together."""

    tone: str
    icon: str
    word: str


def campaign_look(state: str, *, returned: bool = False, approved: bool = False) -> Look:
    if state == "New":
        return Look("held", "back", _("Sent back")) if returned else Look("waiting", "draft", _("Draft"))
    if state == "Pending":
        if approved:
            return Look("flight", "clock", _("Starting"))
        return Look("held", "clock", _("Pending"))
    return {
        "Building": Look("flight", "clock", _("Building")),
        "Sending": Look("flight", "flight", _("Sending")),
        "Paused": Look("held", "held", _("Paused")),
        "Done": Look("delivered", "delivered", _("Done")),
        "Cancelled": Look("waiting", "slash", _("Cancelled")),
        "Failed": Look("failed", "failed", _("Failed")),
        "Expired": Look("waiting", "slash", _("Expired")),
        "Unknown": Look("held", "warn", _("Unknown")),
    }.get(state, Look("waiting", "waiting", state))


def live_look(live: Live) -> Look:
    campaign = live.campaign
    return campaign_look(
        live.state, returned=campaign.note is not None, approved=campaign.state == "Approved"
    )


def message_look(state: str) -> Look:
    """States of one message, by the names the field uses."""
    return {
        "SUBMITTED": Look("waiting", "waiting", _("Waiting")),
        "SUBMITTED_OPERATOR": Look("flight", "flight", _("In flight")),
        "DELIVERED": Look("delivered", "delivered", _("Delivered")),
        "UNDELIVERED": Look("failed", "failed", _("Undelivered")),
        "FAILED": Look("failed", "failed", _("Failed")),
        "RETRYING": Look("held", "clock", _("Retrying")),
        "IN_DOUBT": Look("doubt", "doubt", _("In doubt")),
        "NO_RECEIPT": Look("held", "held", _("No receipt")),
        "BLOCKED": Look("failed", "slash", _("Blocked")),
        "EXPIRED": Look("waiting", "slash", _("Expired")),
        "CANCELLED": Look("waiting", "slash", _("Cancelled")),
    }.get(state.upper(), Look("waiting", "waiting", state))


def bind_look(state: str) -> Look:
    return {
        "bound": Look("delivered", "delivered", _("Bound")),
        "connecting": Look("flight", "clock", _("Connecting")),
        "binding": Look("flight", "clock", _("Binding")),
        "unbinding": Look("held", "clock", _("Unbinding")),
        "waiting": Look("held", "held", _("Waiting to reconnect")),
        "refused": Look("failed", "failed", _("Refused")),
        "down": Look("failed", "failed", _("Down")),
    }.get(state, Look("waiting", "waiting", state))


@dataclass(frozen=True)
class Share:
    key: str
    tone: str
    x: float
    width: float


def stack_shares(parts: Iterable[tuple[str, str, float]], total: float) -> list[Share]:
    """Segments of a bar, side by side: (key, tone, amount) of `total`."""
    shares, x = [], 0.0
    for key, tone, amount in parts:
        width = BAR * amount / total if total else 0.0
        shares.append(Share(key, tone, round(x, 2), round(width, 2)))
        x += width
    return shares


def outcome(counts: schema.Counts) -> dict[str, int]:
    """The equation's terms as the tiles group them; their sum is `accepted`."""
    return {
        "delivered": counts.delivered,
        "in_flight": counts.in_flight,
        "failed": counts.failed + counts.undelivered + counts.blocked + counts.expired,
        "in_doubt": counts.in_doubt,
        "no_receipt": counts.no_receipt,
        "cancelled": counts.cancelled,
        "unsent": counts.waiting - counts.in_flight,
    }


TONES = {
    "delivered": "delivered",
    "in_flight": "flight",
    "failed": "failed",
    "in_doubt": "doubt",
    "no_receipt": "held",
    "cancelled": "waiting",
    "unsent": "gap",
}


def outcome_shares(counts: schema.Counts) -> list[Share]:
    terms = outcome(counts)
    return stack_shares(((key, TONES[key], terms[key]) for key in TONES), counts.accepted)


def sent(counts: schema.Counts) -> int:
    """Recipients with which nothing more has to be done by us."""
    return counts.accepted - (counts.waiting - counts.in_flight)


def share(amount: float, total: float) -> float:
    return amount / total if total else 0.0


@dataclass(frozen=True)
class LiveView:
    """A campaign's figures for a page and for its stream. `final`: they will not change again."""

    state: str
    view: Look
    reason: str
    unpaid: bool
    charged: str  # in units of the wallet; empty where nothing was
    reachable: bool
    settled: bool
    final: bool
    controls: tuple[str, ...]
    counts: schema.Counts
    outcome: dict[str, int]
    shares: list[Share]
    sent: int
    unsent: int
    progress: float
    rate_per_s: float
    seconds_left: float | None
    started_at: Any
    done_at: Any

    @property
    def unreachable(self) -> bool:
        return not self.reachable

    def to_json(self) -> dict[str, Any]:
        """What GET /campaigns/{id}/status answers and the stream sends."""
        return {
            name: msgspec.to_builtins(getattr(self, name))
            for name in self.__dataclass_fields__
            if name not in ("shares",)
        }


def live_view(live: Live) -> LiveView:
    engine = live.engine
    counts = engine.counts if engine is not None else schema.Counts(accepted=live.campaign.recipients)
    settled = engine is not None and engine.settled
    ended = live.state in ("Cancelled", "Failed", "Expired") and counts.in_flight == 0
    terms = outcome(counts) if engine is not None else {**outcome(counts), "unsent": counts.accepted}
    went_out = sent(counts) if engine is not None else 0
    return LiveView(
        state=live.state,
        view=live_look(live),
        reason=live.reason,
        charged=show.money(counts.charged) if counts.charged else "",
        unpaid=live.state == "Paused" and live.reason in UNPAID,
        reachable=live.reachable,
        settled=settled,
        final=live.reachable and ((settled and live.state != "Sending") or ended),
        controls=live.controls,
        counts=counts,
        outcome=terms,
        shares=outcome_shares(counts) if engine is not None else [],
        sent=went_out,
        unsent=terms["unsent"],
        progress=share(went_out, counts.accepted),
        rate_per_s=engine.rate_per_s if engine is not None else 0.0,
        seconds_left=engine.seconds_left if engine is not None else None,
        started_at=engine.started_at if engine is not None else None,
        done_at=engine.done_at if engine is not None else None,
    )


def campaign_row(live: Live) -> dict[str, Any]:
    """One line of a list of campaigns."""
    campaign, engine = live.campaign, live.engine
    shown = engine if engine is not None and campaign.state == "Approved" else None
    recipients = campaign.recipients or (live.upload.accepted if live.upload is not None else None)
    return {
        "id": campaign.id,
        "name": campaign.name,
        "sender": campaign.sender,
        "author": campaign.author,
        "text": campaign.text,
        "view": live_look(live),
        "recipients": shown.counts.accepted if shown else recipients,
        "shares": outcome_shares(shown.counts) if shown else [],
        "progress": share(sent(shown.counts), shown.counts.accepted) if shown else 0.0,
        "delivered": shown.counts.delivered if shown else None,
        "rate": shown.rate_per_s if shown else 0.0,
        "changed_at": campaign.changed_at,
    }


def campaign_facts(campaign: Campaign) -> dict[str, Any]:
    """The document's half of a campaign's pages."""
    decision = campaign.decision
    approved = decision is not None and decision.verdict == "approved"
    return {
        "id": campaign.id,
        "name": campaign.name,
        "state": campaign.state,
        "view": campaign_look(
            campaign.state if campaign.state != "Approved" else "Pending",
            returned=campaign.note is not None,
            approved=campaign.state == "Approved",
        ),
        "revision": campaign.revision,
        "archived_at": campaign.archived_at if campaign.archived else None,
        "archived_by": campaign.archived_by,
        "sender": campaign.sender,
        "text": campaign.text,
        "channel": campaign.channel,
        "by_routes": campaign.by_routes,
        "express": campaign.lane == "express",
        "options": option_facts(campaign),
        "file_name": campaign.file_name,
        "author": campaign.author,
        "submitted_at": campaign.submitted_at,
        "recipients": campaign.recipients,
        "manifest_hash": campaign.manifest_hash,
        "decided_by": decision.by if approved and decision is not None else "",
        "note": campaign.note.text if campaign.note is not None else "",
        "note_by": campaign.note.by if campaign.note is not None else "",
    }


def error_counts(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Job errors by code, most first, in words."""
    words = {
        "empty": _("lines without a number"),
        "not_a_number": _("not a number"),
        "too_short": _("numbers too short"),
        "too_long": _("numbers too long"),
        "unknown_country_code": _("unknown country codes"),
        "line_too_long": _("lines too long"),
        "invalid_utf8": _("lines that are not UTF-8"),
        "open_quote": _("lines with an open quote"),
        "nul": _("lines with a NUL byte"),
    }
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return [{"count": count, "word": words.get(code, code.replace("_", " "))} for code, count in ordered]
