"""Accounts, binds and channels as pages show them."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from control_plane.audit.outbox import Event
from control_plane.web.translation import _, ngettext
from control_plane.web.views import Look, bind_look
from engine.core_api import schema

VERSIONS = {0x33: "3.3", 0x34: "3.4", 0x50: "5.0"}


def account_href(name: str) -> str:
    return f"/accounts/{quote(name, safe='')}"


def channel_href(name: str) -> str:
    return f"/channels/{quote(name, safe='')}"


def bind_view(bind: schema.Bind) -> dict[str, Any]:
    look = bind_look(bind.state)
    if bind.drained and bind.state == "bound":
        look = Look("held", "held", _("Draining"))
    notes = [bind.mode, VERSIONS.get(bind.interface_version, ""), bind.worker]
    return {
        "number": bind.number,
        "view": look,
        "reason": bind.reason,
        "notes": " · ".join(note for note in notes if note),
        "in_flight": bind.in_flight,
        "window_size": bind.window_size,
        "tps_now": bind.tps_now,
        "tps_limit": bind.tps_limit,
        "tps_set": bind.tps_set,
        "slowed_by": slowed_sentence(bind.slowed_by),
        "last_error": bind.last_error,
        "last_error_at": bind.last_error_at,
        "drained": bind.drained,
        "changed_at": bind.changed_at,
    }


def slowed_sentence(slowed_by: str) -> str:
    """The engine's word for why a bind sends less than it might."""
    if slowed_by.startswith("response time "):
        return _("slowed: responses took %(times)s times their best") % {"times": slowed_by.split()[2]}
    return _("slowed: throttles of the SMSC") if slowed_by else ""


def account_look(account: schema.Account) -> Look:
    """One word for all of its binds."""
    if not account.enabled:
        return Look("waiting", "slash", _("Disabled"))
    if account.drained:
        return Look("held", "held", _("Draining"))
    return binds_look(account.live, account.binds)


def binds_look(binds: Iterable[schema.Bind], wanted: int = 0) -> Look:
    listed = [*binds]
    bound = sum(bind.state == "bound" for bind in listed)
    total = max(len(listed), wanted)
    if any(bind.state == "refused" for bind in listed):
        return Look("failed", "failed", _("Refused"))
    if bound == 0:
        return Look("failed", "failed", _("No bind"))
    if bound < total:
        return Look("held", "held", _("%(bound)d of %(total)d bound") % {"bound": bound, "total": total})
    return Look("delivered", "delivered", _("Bound"))


def account_view(account: schema.Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "href": account_href(account.name),
        "look": account_look(account),
        "address": f"{account.host}:{account.port}",
        "system_id": account.system_id,
        "tps": account.tps,
        "tls": account.settings.get("tls", "off") == "on",
        "enabled": account.enabled,
        "drained": account.drained,
        "version": account.version,
        "updated_at": account.updated_at,
        "warnings": account.warnings,
        "binds": [bind_view(bind) for bind in account.live],
        "channels": [{"name": name, "href": channel_href(name)} for name in account.channels],
    }


def grouped(channels: Iterable[schema.Channel]) -> list[dict[str, Any]]:
    """For those who only look: the same shape, from what everybody may know."""
    accounts: dict[str, dict[str, Any]] = {}
    for channel in channels:
        entry = accounts.setdefault(
            channel.account,
            {
                "name": channel.account,
                "href": "",
                "look": binds_look(channel.binds)
                if channel.account_enabled
                else Look("waiting", "slash", _("Disabled")),
                "address": "",
                "system_id": "",
                "tps": channel.tps,
                "enabled": channel.account_enabled,
                "drained": False,
                "binds": [bind_view(bind) for bind in channel.binds],
                "channels": [],
            },
        )
        entry["channels"].append({"name": channel.name, "href": ""})
    return [*accounts.values()]


def ids_view(ids: schema.AccountIds) -> dict[str, Any]:
    """What the receipts taught, and how far the learning is."""
    best = max((evidence.matches for evidence in ids.evidence), default=0)
    words = {"text": _("text"), "hex": _("hexadecimal"), "dec": _("decimal")}
    proposal = ids.zone_proposal
    return {
        "response": words.get(ids.response or "", _("every spelling is tried")),
        "receipt": words.get(ids.receipt or "", _("every spelling is tried")),
        "locked_at": ids.locked_at,
        "learning": ids.set_response == "auto" and ids.set_receipt == "auto" and ids.locked_at is None,
        "matches": best,
        "needed": ids.needed,
        "zone": ids.receipt_tz,
        "proposal": proposal.offset if proposal is not None and proposal.offset != ids.receipt_tz else "",
        "samples": proposal.samples if proposal is not None else 0,
        "orphans": ids.orphans_waiting + ids.orphans_aged,
    }


def report_view(report: schema.BindReport) -> dict[str, Any]:
    """A test bind, step by step."""
    steps = [
        (_("Connected"), report.connect_ms, report.tls and f"{report.tls} · {report.tls_peer}"),
        (_("Bound"), report.bind_ms, report.status_name if report.bound else ""),
        (_("enquire_link answered"), report.enquire_link_ms, ""),
    ]
    version = report.interface_version
    return {
        "bound": report.bound,
        "detail": report.detail,
        "status": f"{report.status_name} (0x{report.status:08X})" if report.status else "",
        "steps": [{"word": word, "ms": ms, "note": note} for word, ms, note in steps if ms is not None],
        "peer": report.peer_system_id,
        "mode": report.mode,
        "version": VERSIONS.get(version, f"0x{version:02X}") if version is not None else _("not said"),
        "tlvs": [{"term": name, "value": value} for name, value in report.tlvs.items()],
        "unbound": report.unbound,
        "warnings": report.warnings,
    }


def test_view(message: schema.TestMessage, to: str) -> dict[str, Any]:
    looks = {
        "queued": Look("waiting", "clock", _("Waiting for a bind")),
        "claimed": Look("flight", "flight", _("Being sent")),
        "answered": Look("flight", "flight", _("Answered")),
        "in_doubt": Look("doubt", "doubt", _("In doubt")),
        "refused": Look("failed", "failed", _("Not sent")),
        "expired": Look("waiting", "slash", _("Not sent in time")),
    }
    look = looks[message.state]
    stats = [part.stat for part in message.parts]
    if message.state == "answered":
        if any(part.status for part in message.parts):
            look = Look("failed", "failed", _("Refused"))
        elif stats and all(stat == "DELIVRD" for stat in stats):
            look = Look("delivered", "delivered", _("Delivered"))
        elif any(stat and stat not in ("DELIVRD", "ACCEPTD", "ENROUTE") for stat in stats):
            look = Look("failed", "failed", _("Undelivered"))
        else:
            look = Look("flight", "flight", _("Accepted, no receipt yet"))
    return {
        "to": to,
        "sender": message.sender,
        "text": message.text,
        "look": look,
        "detail": message.detail,
        "at": message.requested_at,
        "open": message.state in ("queued", "claimed") or (message.state == "answered" and not all(stats)),
        "parts": [
            {
                "part": part.part,
                "status": part.status_name or "–",
                "smsc_id": part.smsc_id,
                "stat": part.stat,
                "error": part.error,
                "took_ms": (part.responded_at - part.sent_at).total_seconds() * 1000
                if part.responded_at and part.sent_at
                else None,
            }
            for part in message.parts
        ],
    }


def history_view(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Who did what to it; secrets are in no event."""
    return [
        {
            "at": event.at,
            "icon": "failed" if event.action.endswith("_refused") else "draft",
            "what": _what(event.action),
            "by": event.actor,
            "note": "; ".join(f"{name}: {value}" for name, value in event.details.items() if value),
        }
        for event in events
    ]


def _what(action: str) -> str:
    """account.test_bind: Test bind; trace.start: Trace start."""
    kind, _dot, verb = action.partition(".")
    words = verb if kind in ("account", "channel", "route") else f"{kind} {verb}"
    return words.replace("_", " ").capitalize()


def stop_sentence(channels: list[str]) -> str:
    """What disabling or draining an account means, with its size."""
    if not channels:
        return _("No channel uses it.")
    one, many = "%(n)d channel uses it: %(names)s.", "%(n)d channels use it: %(names)s."
    return ngettext(one, many, len(channels)) % {"n": len(channels), "names": ", ".join(channels)}
