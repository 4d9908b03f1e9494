"""An export as a document.

queued ──> running ──> ready ──> removed (by hand, at its time, or because a number in it was erased)
   ^          │  └───> failed
   └──────────┘ the control plane was started again, or a number was erased meanwhile: from the beginning
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from control_plane.audit.outbox import UNSWEPT
from control_plane.documents.records import Collection, Index
from control_plane.documents.scope import Owned

State = Literal["queued", "running", "ready", "failed", "removed"]
Format = Literal["csv", "txt"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign whose records are in it, as it was when somebody asked."""

    campaign_id: UUID
    engine_id: UUID
    name: str
    sender: str
    recipients: int


class Export(Owned, frozen=True, kw_only=True):
    title: str  # of the file, without its ending
    state: State = "queued"
    format: Format = "csv"
    numbers: bool = False  # whole ones; else the last digits and ctn_hash
    texts: bool = False
    bom: bool = False  # a byte order mark, by which Excel knows UTF-8
    sources: tuple[Source, ...]
    asked_at: datetime
    asked_by_id: UUID
    asked_by: str  # an address
    session_id: UUID  # in which it was asked for: the file leaves in no other
    attempt: int = 0  # raised whenever it begins, and to make whoever writes it stop
    rows_done: int = 0
    rows_all: int = 0  # expected: rows that were never planned do not come
    started_at: datetime | None = None
    finished_at: datetime | None = None
    size_bytes: int = 0
    digest: str = ""  # SHA-256 of the file, hex
    reason: str = ""  # one sentence: what it waits for, or why it failed or is gone
    remove_at: datetime | None = None  # of the file
    open: bool | None = None  # True while queued or running: what the writer looks for
    kept: bool | None = None  # True while there is a file
    expires_at: datetime  # of the record

    @property
    def file_name(self) -> str:
        return f"{self.title}.{self.format}"


EXPORTS = Collection(
    "exports",
    Export,
    indexes=(
        Index(("workspace_id", "asked_by_id", "asked_at")),
        Index(("open",)),
        Index(("kept",)),
        Index(("expires_at",)),
        UNSWEPT,
    ),
    expires=True,
)
