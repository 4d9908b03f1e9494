"""Audit events travel inside the document they tell of, in the same replace; a sweeper moves them on."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec

from control_plane.documents.records import Collection, Index, Record

SECRET = re.compile(r"pass(word|wd)|secret|token|api_?key|credential", re.IGNORECASE)
# A UUID is no number, and its digits are stepped over; nor are the digits within a word or a hash.
NUMBER = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?<![^\W_])\+?\d[\d ().-]{5,}\d(?![^\W_])",
    re.IGNORECASE,
)
TEXT_LIMIT = 500


class Event(Record, frozen=True, kw_only=True):
    """Who did what to which thing, when, from where. Never holds a secret or a whole phone number."""

    at: datetime
    action: str  # thing.verb: campaign.approve
    actor_id: UUID | None = None  # None: Heliograph itself, or somebody not logged in
    actor: str = ""
    address: str = ""
    workspace_id: UUID | None = None
    target_kind: str = ""
    target_id: UUID | None = None
    target_name: str = ""
    details: dict[str, str] = msgspec.field(default_factory=dict)


class Audited(Record, frozen=True, kw_only=True):
    """A record whose changes are audited."""

    outbox: tuple[Event, ...] = ()
    unswept: bool | None = None  # True while the outbox holds something: what the sweeper looks for


A = TypeVar("A", bound=Audited)

AUDIT = Collection(
    "audit",
    Event,
    indexes=(Index(("workspace_id", "at")), Index(("target_id", "at")), Index(("at",))),
    kind="audit event",
)
UNSWEPT = Index(("unswept",))


def event(
    action: str,
    at: datetime,
    *,
    actor_id: UUID | None = None,
    actor: str = "",
    address: str = "",
    workspace_id: UUID | None = None,
    target: Record | None = None,
    target_kind: str = "",
    target_name: str = "",
    details: Mapping[str, object] | None = None,
) -> Event:
    """A new event with its details masked."""
    return Event(
        id=uuid4(),
        at=at,
        action=action,
        actor_id=actor_id,
        actor=actor,
        address=address,
        workspace_id=workspace_id,
        target_kind=target_kind or action.partition(".")[0],
        target_id=target.id if target is not None else None,
        target_name=mask_numbers(target_name),
        details={name: masked(name, value) for name, value in (details or {}).items()},
    )


def with_event(record: A, happened: Event) -> A:
    """The record with the event in its outbox: replace it together with the change."""
    return msgspec.structs.replace(record, outbox=(*record.outbox, happened), unswept=True)


def masked(name: str, value: object) -> str:
    if SECRET.search(name):
        return "***"
    return mask_numbers(str(value))[:TEXT_LIMIT]


def mask_numbers(text: str) -> str:
    """Every run of seven or more digits (as numbers are written) keeps its last three."""

    def hide(match: re.Match[str]) -> str:
        if match["uuid"]:
            return match.group()
        digits = re.sub(r"\D", "", match.group())
        return f"…{digits[-3:]}" if len(digits) >= 7 else match.group()

    return NUMBER.sub(hide, text)
