"""Sender revisions as documents: one document a revision, never changed after its decision."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from control_plane.audit.outbox import UNSWEPT
from control_plane.documents.records import Collection, Index
from control_plane.documents.scope import Owned

SenderState = Literal["Pending", "Approved", "Rejected"]


class SenderRevision(Owned, frozen=True, kw_only=True):
    sender: str  # the source address: up to 11 alphanumeric characters, or digits
    revision: int  # 1, 2, ... of this sender
    purpose: str = ""
    state: SenderState = "Pending"
    author_id: UUID | None = None  # None: made with the workspace
    author: str
    created_at: datetime
    decided_by: str = ""
    decided_at: datetime | None = None
    note: str = ""


SENDERS = Collection(
    "sender_revisions",
    SenderRevision,
    indexes=(
        Index(("workspace_id", "sender", "revision"), unique=True),
        Index(("workspace_id", "state")),
        UNSWEPT,
    ),
    kind="sender ID",
)
