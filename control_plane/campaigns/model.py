"""A campaign as a document: the draft, its decision, and what the engine has still to be told.

States here end with the decision; from then on the engine's state is the campaign's (`Live.state`).

    New ──submit──> Building ──sealed by the engine──> Pending ──approve──> Approved (engine: Sending ...)
     ^                 └──────── refused ─────────────────┤
     └──────────────── reject (note pinned), withdraw ────┘
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from control_plane.audit.outbox import UNSWEPT
from control_plane.documents.records import Collection, Index
from control_plane.documents.scope import Owned
from control_plane.senders.model import SenderRevision
from engine.core_api import schema

State = Literal["New", "Building", "Pending", "Approved"]
Verdict = Literal["approved", "rejected"]
OrderKind = Literal["seal", "start", "pause", "resume", "cancel", "return", "discard"]
Control = Literal["pause", "resume", "cancel"]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Pinned to a campaign that came back: a moderator's note, or the engine's reason."""

    text: str
    by: str
    at: datetime


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    decision_id: UUID
    verdict: Verdict
    by_id: UUID
    by: str  # a name
    at: datetime
    note: str = ""
    manifest_hash: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A pause, resume or cancel in the campaign's own history."""

    decision_id: UUID
    control: Control
    by: str
    at: datetime


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Something the engine is told, stored before it is told: issued again until the engine answers."""

    decision_id: UUID
    kind: OrderKind
    target_id: UUID  # the engine's campaign; discard: the upload
    by: str
    at: datetime
    manifest_hash: str | None = None  # start: what was approved
    spec: schema.CampaignSpec | None = None  # seal: the whole content, as it was submitted


class Campaign(Owned, frozen=True, kw_only=True):
    name: str
    state: State = "New"
    revision: int = 1  # raised by each change a person or the engine makes: what a moderator's form carries
    sender_revision_id: UUID | None = None
    sender: str = ""
    text: str = ""  # of a template: its version's, word for word
    template_version_id: UUID | None = None
    template: str = ""  # its name and version, to be shown
    channel: str = ""  # empty: the engine's first, or by routes
    by_routes: bool = False
    category: str = ""
    lane: schema.Lane = "bulk"
    options: schema.MessageOptions = schema.NO_OPTIONS
    in_doubt: schema.DoubtPolicy = "hold"
    upload_id: UUID | None = None
    file_name: str = ""
    author_id: UUID
    author: str
    contributors: tuple[UUID, ...] = ()  # all who wrote any of it: none of them decides it
    created_at: datetime
    changed_at: datetime
    submitted_at: datetime | None = None
    submitted_by: str = ""
    submissions: int = 0
    engine_id: UUID | None = None  # in the engine: the campaign's own id, then another with each submission
    manifest_hash: str = ""
    recipients: int = 0  # accepted rows, known when sealed
    decision: Decision | None = None
    rejections: tuple[Decision, ...] = ()  # all so far, oldest first: its activity keeps their notes
    note: Note | None = None
    told: tuple[Told, ...] = ()  # oldest first; what the engine refused is taken out
    orders: tuple[Order, ...] = ()  # not yet acknowledged by the engine, oldest first
    outstanding: bool | None = None  # True while there are orders: what the reconciler looks for
    archived: bool | None = None  # True: in no list but the archive's
    archived_at: datetime | None = None
    archived_by: str = ""

    @property
    def editable(self) -> bool:
        return self.state == "New" and not self.archived


CAMPAIGNS = Collection(
    "campaigns",
    Campaign,
    indexes=(
        Index(("workspace_id", "changed_at")),
        Index(("workspace_id", "author_id", "changed_at")),
        Index(("workspace_id", "state", "submitted_at")),
        Index(("workspace_id", "author_id", "submitted_at")),
        Index(("outstanding",)),
        Index(("workspace_id", "engine_id")),
        Index(("workspace_id", "archived", "changed_at")),
        UNSWEPT,
    ),
)


@dataclass(frozen=True)
class Review:
    """All that has to be seen before submitting. `problems` maps a field to one sentence; empty: ready."""

    campaign: Campaign
    sender: SenderRevision | None
    upload: schema.Upload | None
    count: schema.TextCount | None  # samples hold masked numbers
    channels: list[str]
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class Live:
    """A campaign as it stands: the document, and the engine's half where there is one.

    `engine` is None before submitting, or while the engine does not answer (`reachable` tells which).
    """

    campaign: Campaign
    engine: schema.Campaign | None
    upload: schema.Upload | None  # of a New or Building campaign with a file
    reachable: bool = True

    @property
    def state(self) -> str:
        """The state to show: the engine's from the approval on, Unknown while it does not answer."""
        if self.campaign.state != "Approved":
            return self.campaign.state
        if not self.reachable:
            return "Unknown"
        if self.engine is None or self.engine.state in ("Pending", "Returned"):
            return "Pending"
        return self.engine.state

    @property
    def reason(self) -> str:
        if not self.reachable:
            return "the engine does not answer"
        campaign = self.campaign
        if campaign.state == "Approved":
            if self.state == "Pending":
                return "approved, starting"
            return self.engine.reason if self.engine is not None else ""
        if campaign.state == "Pending":
            return "waiting for a moderator"
        if campaign.state == "Building":
            return "being prepared"
        return "sent back with a note" if campaign.note is not None else "draft"

    @property
    def controls(self) -> tuple[Control, ...]:
        """What can be told to it now."""
        if self.campaign.state != "Approved":
            return ()
        by_state: dict[str, tuple[Control, ...]] = {
            "Sending": ("pause", "cancel"),
            "Paused": ("resume", "cancel"),
            "Unknown": ("pause", "cancel"),  # stored, and done as soon as the engine is back
        }
        return by_state.get(self.state, ())


@dataclass(frozen=True)
class MaskedRecipient:
    message_id: UUID
    ctn_hash: str
    last_digits: str
    state: str
    parts: int
    attempts: int
    error: str
    sent_at: datetime | None
    done_at: datetime | None
    corrected: bool = False
    number: str = ""  # the whole one, only where it was asked for by who may view it


@dataclass(frozen=True)
class MaskedRecipients:
    recipients: list[MaskedRecipient]
    next: str | None
