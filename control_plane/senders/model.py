"""Sender revisions as documents: one document a revision, its content never changed after its decision."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from control_plane.audit.outbox import UNSWEPT
from control_plane.documents.records import Collection, Index
from control_plane.documents.scope import Owned
from control_plane.senders.address import NUMBERING, Content, Numbering, SenderKind, kind_of
from control_plane.senders.states import Act, SenderState, after


class SenderRevision(Owned, frozen=True, kw_only=True):
    sender: str  # the source address: up to 11 alphanumeric characters, or digits
    revision: int  # 1, 2, ... of this sender
    sender_id: UUID | None = None  # None: of the first release; `line` is always there
    kind: SenderKind | None = None  # None: of the first release
    pe_id: str = ""  # India DLT: the principal entity that owns it
    channels: tuple[str, ...] = ()  # names of those it may go over; empty: all
    purpose: str = ""
    state: SenderState = "Pending"
    archived_from: SenderState | None = None
    open: bool | None = None  # True while Draft or Pending: a sender has at most one such revision
    submissions: int = 0  # which submission a moderator looks at: it goes back with the decision
    author_id: UUID | None = None  # None: made with the workspace
    author: str
    contributors: tuple[UUID, ...] = ()  # all who wrote any of it: none of them decides it
    created_at: datetime
    submitted_at: datetime | None = None
    decided_by: str = ""
    decided_at: datetime | None = None
    note: str = ""

    @property
    def line(self) -> UUID:
        """The sender that this is a revision of."""
        return self.sender_id or uuid5(self.workspace_id, self.sender)

    @property
    def content(self) -> Content:
        kind = self.kind or kind_of(self.sender)
        return Content(self.sender, kind, self.pe_id, self.channels, self.purpose)

    @property
    def numbering(self) -> Numbering:
        return NUMBERING[self.content.kind]

    @property
    def was_approved(self) -> bool:
        return "Approved" in (self.state, self.archived_from)

    def owned_by(self, user_id: UUID) -> bool:
        """Whether this person wrote any of it."""
        return user_id == self.author_id or user_id in self.contributors


SENDERS = Collection(
    "sender_revisions",
    SenderRevision,
    indexes=(
        Index(("workspace_id", "sender", "revision"), unique=True),
        Index(("workspace_id", "sender_id", "revision"), unique=True),
        Index(("workspace_id", "sender_id", "open"), unique=True),
        Index(("workspace_id", "state")),
        UNSWEPT,
    ),
    kind="sender ID",
)


@dataclass(frozen=True)
class Sender:
    """A sender with its revisions, the newest first."""

    id: UUID
    revisions: tuple[SenderRevision, ...]

    @property
    def newest(self) -> SenderRevision:
        return self.revisions[0]

    @property
    def current(self) -> SenderRevision | None:
        """The newest that was approved. Archived, it hides the sender: no older one comes back for it."""
        return next((one for one in self.revisions if one.was_approved), None)

    @property
    def shown(self) -> SenderRevision:
        """What stands for the sender in a list."""
        return self.current or self.newest

    @property
    def open(self) -> SenderRevision | None:
        """The draft, or what waits for its decision."""
        return next((one for one in self.revisions if one.state in ("Draft", "Pending")), None)

    @property
    def usable(self) -> SenderRevision | None:
        """What a campaign may choose."""
        return self.current if self.current is not None and self.current.state == "Approved" else None


def senders_of(revisions: Iterable[SenderRevision]) -> list[Sender]:
    """Revisions put together, by name."""
    lines: dict[UUID, list[SenderRevision]] = {}
    for revision in revisions:
        lines.setdefault(revision.line, []).append(revision)
    found = [
        Sender(line, tuple(sorted(of_it, key=lambda one: -one.revision))) for line, of_it in lines.items()
    ]
    return sorted(found, key=lambda one: (one.shown.sender.casefold(), one.shown.sender))


def moved(revision: SenderRevision, act: Act) -> SenderRevision:
    """The revision after an act. Conflict where its state does not allow it."""
    state = after(revision.state, act, revision.archived_from)
    return msgspec.structs.replace(
        revision,
        state=state,
        archived_from=revision.state if state == "Archived" else None,
        open=True if state in ("Draft", "Pending") else None,
        submissions=revision.submissions + (act == "submit"),
    )


def differences(before: Content | None, now: Content) -> dict[str, tuple[object, object]]:
    """Field: (before, after), of those that differ; without anything before, of all that say something."""
    fields = ("sender", "kind", "pe_id", "channels", "purpose")
    told = {name: (getattr(before, name) if before else "", getattr(now, name)) for name in fields}
    return {name: (old, new) for name, (old, new) in told.items() if (old or "") != (new or "")}
