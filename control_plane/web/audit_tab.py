"""What happened to one thing: a list for the page of a campaign, a sender, a template or a member.

Who may see the thing may see what was done to it and by whom; from where, only who may read the audit.
"""

from typing import Any
from uuid import UUID

from control_plane.access import Action
from control_plane.audit.outbox import Event
from control_plane.web.session import Visit
from control_plane.web.translation import _
from control_plane.web.views import Look

TAB_ROWS = 50


async def audit_rows(visit: Visit, target_id: UUID, limit: int = TAB_ROWS) -> list[dict[str, Any]]:
    """Rows of `audit/tab.html`, newest first; of the member's own workspace. The caller has asked whether the
    thing may be seen."""
    events = await visit.services.audit.about(target_id, limit, visit.member.workspace_id)
    return [audit_row(event, whole=visit.may(Action.VIEW_AUDIT)) for event in events]


async def audit_tab(visit: Visit, target_id: UUID) -> dict[str, Any]:
    """What `audit/tab.html` needs."""
    url = f"/audit?target={target_id}" if visit.may(Action.VIEW_AUDIT) else ""
    return {"audit": await audit_rows(visit, target_id), "audit_url": url}


def audit_row(event: Event, *, whole: bool = True) -> dict[str, Any]:
    """One event as templates show it. Not `whole`: without address, browser and request."""
    facts = [*event.details.items()]
    if whole:
        facts += [
            (_("Address"), event.address),
            (_("Browser"), event.user_agent),
            (_("Request id"), event.request_id),
            (_("Entry"), f"{event.seq} · {event.hash[:16]}…" if event.seq and event.hash else ""),
        ]
    return {
        "id": event.id,
        "at": event.at,
        "action": event.action,
        "what": _words(event.action),
        "look": _look(event.action),
        "actor": event.actor,
        "role": event.role,
        "address": event.address if whole else "",
        "kind": event.target_kind,
        "target_id": event.target_id,
        "target": event.target_name,
        "href": _href(event),
        "by": None,
        "facts": [{"term": name, "value": value} for name, value in facts if value],
        "changes": [
            {"field": field.replace("_", " "), "before": before, "after": after}
            for field, (before, after) in event.changes.items()
        ],
    }


def _words(action: str) -> str:
    """`campaign.discard_recipients` as `Campaign: discard recipients`."""
    thing, dot, verb = action.partition(".")
    return f"{thing.replace('_', ' ').capitalize()}: {verb.replace('_', ' ')}" if dot else action


def _look(action: str) -> Look:
    verb = action.rpartition(".")[2]
    if verb.endswith(("refused", "failed", "gap", "unanswered")):
        return Look("failed", "failed", _words(action))
    if verb in ("delete", "cancel", "remove", "order", "reject", "rejected", "erase"):
        return Look("held", "slash", _words(action))
    if verb in ("approve", "approved", "submit", "create", "lift"):
        return Look("delivered", "delivered", _words(action))
    return Look("waiting", "waiting", _words(action))


def _href(event: Event) -> str:
    if event.target_id is None or event.action.endswith(".delete"):
        return ""
    return {"campaign": f"/campaigns/{event.target_id}"}.get(event.target_kind, "")
