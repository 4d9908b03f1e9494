"""Audit events travel inside the document they tell of, in the same replace; a sweeper moves them on."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec
import structlog

from control_plane.access import MASTER_ID, Actor, Member
from control_plane.documents.records import Collection, Index, Record

SECRET = re.compile(r"pass(word|wd)|secret|token|api_?key|credential", re.IGNORECASE)
# A UUID is no number, and its digits are stepped over; nor are the digits within a word or a hash.
NUMBER = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?<![^\W_])\+?\d[\d ().-]{5,}\d(?![^\W_])",
    re.IGNORECASE,
)
TEXT_LIMIT = 500
WITHOUT_STORE = "written without the documents"  # a detail of the events that no store confirmed


class Event(Record, frozen=True, kw_only=True):
    """Who did what to which thing, when, from where. Never holds a secret or a whole phone number."""

    at: datetime
    action: str  # thing.verb: campaign.approve
    actor_id: UUID | None = None  # None: Heliograph itself, or somebody not logged in
    actor: str = ""
    role: str = ""  # of the actor in the workspace, as it was then
    address: str = ""
    user_agent: str = ""
    request_id: str = ""
    workspace_id: UUID | None = None
    target_kind: str = ""
    target_id: UUID | None = None
    target_name: str = ""
    details: dict[str, str] = msgspec.field(default_factory=dict)
    changes: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)  # field: (before, after)
    # Given when it is stored (audit/chain.py); an event without them is of a time before there were chains.
    chain: UUID | None = None
    seq: int | None = None
    previous: str | None = None  # hash of the entry before
    hash: str | None = None  # SHA-256 over the entry's canonical form, hex
    expires_at: datetime | None = None


class Audited(Record, frozen=True, kw_only=True):
    """A record whose changes are audited."""

    outbox: tuple[Event, ...] = ()
    unswept: bool | None = None  # True while the outbox holds something: what the sweeper looks for


A = TypeVar("A", bound=Audited)

AUDIT = Collection(
    "audit",
    Event,
    indexes=(
        Index(("chain", "seq"), unique=True),
        Index(("workspace_id", "at")),
        Index(("workspace_id", "actor", "at")),
        Index(("workspace_id", "action", "at")),
        Index(("workspace_id", "target_kind", "at")),
        Index(("workspace_id", "address", "at")),
        Index(("target_id", "at")),
        Index(("at",)),
    ),
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
    changes: Mapping[str, tuple[object, object]] | None = None,
) -> Event:
    """A new event with its details masked; of a request, with the request's id."""
    return Event(
        id=uuid4(),
        at=at,
        action=action,
        actor_id=actor_id,
        actor=clean(actor),
        address=clean(address),
        request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
        workspace_id=workspace_id,
        target_kind=target_kind or action.partition(".")[0],
        target_id=target.id if target is not None else None,
        target_name=mask_numbers(target_name),
        details={name: masked(name, value) for name, value in (details or {}).items()},
        changes={
            name: (masked(name, before), masked(name, after))
            for name, (before, after) in (changes or {}).items()
            if before != after
        },
    )


def acted(
    who: Actor | Member,
    action: str,
    at: datetime,
    *,
    workspace_id: UUID | None = None,
    target: Record | None = None,
    target_kind: str = "",
    target_name: str = "",
    details: Mapping[str, object] | None = None,
    changes: Mapping[str, tuple[object, object]] | None = None,
) -> Event:
    """What somebody who is logged in did: who, in which role, from where, and what changed.

    workspace_id: the member's own without it; an actor outside of a workspace acts in none.
    """
    actor, member = (who.actor, who) if isinstance(who, Member) else (who, None)
    happened = event(
        action,
        at,
        actor_id=actor.user_id,
        actor=actor.email,
        address=actor.address,
        workspace_id=workspace_id or (member.workspace_id if member else None),
        target=target,
        target_kind=target_kind,
        target_name=target_name,
        details=details,
        changes=changes,
    )
    membership = member.membership if member else actor.memberships.get(workspace_id or MASTER_ID)
    role = "super admin" if actor.super_admin else str(membership.role) if membership else ""
    return msgspec.structs.replace(
        happened,
        role=role,
        user_agent=clean(actor.user_agent),
        request_id=actor.request_id or happened.request_id,
    )


def with_event(record: A, happened: Event) -> A:
    """The record with the event in its outbox: replace it together with the change."""
    return msgspec.structs.replace(record, outbox=(*record.outbox, happened), unswept=True)


def masked(name: str, value: object) -> str:
    if SECRET.search(name):
        return "***"
    return "" if value is None else mask_numbers(str(value))[:TEXT_LIMIT]


def mask_numbers(text: str) -> str:
    """Every run of seven or more digits (as numbers are written) keeps its last three; see also `clean`."""

    def hide(match: re.Match[str]) -> str:
        if match["uuid"]:
            return match.group()
        digits = re.sub(r"\D", "", match.group())
        return f"…{digits[-3:]}" if len(digits) >= 7 else match.group()

    return NUMBER.sub(hide, clean(text))


def clean(text: str) -> str:
    """Without what no store takes (NUL, halves of surrogate pairs): an event must never be refused for it."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
