"""What is kept for how long, and the erasure of a person's number."""

from datetime import date, datetime
from uuid import UUID

from engine.core_api.schema.base import Struct

__all__ = [
    "DroppedPartition",
    "Erasure",
    "ErasureSpec",
    "Erasures",
    "RetentionReport",
    "RetentionRun",
    "WorkspaceRetention",
]


class WorkspaceRetention(Struct, frozen=True, kw_only=True):
    """After how many days a workspace's recipients' numbers go. None: not before everything else goes."""

    decision_id: UUID
    days: int | None


class ErasureSpec(Struct, frozen=True, kw_only=True):
    """`msisdn`: with its country code. `reason` is kept as given, so it must not name the person.

    `workspace_id`: only from what belongs to it; None: from everything, also what belongs to no workspace.
    """

    decision_id: UUID
    msisdn: str
    reason: str = ""
    workspace_id: UUID | None = None


class Erasure(Struct, frozen=True, kw_only=True):
    """`number_hash`: HMAC-SHA256 of the digits under the engine's key, hex. `erased`: rows by table."""

    erasure_id: UUID
    number_hash: str
    reason: str
    requested_at: datetime
    done_at: datetime
    erased: dict[str, int]


class Erasures(Struct, frozen=True, kw_only=True):
    """The latest, newest first."""

    erasures: list[Erasure]


class RetentionRun(Struct, frozen=True, kw_only=True):
    """A daily round: partitions folded and dropped, files ended, slices that lost their numbers."""

    started_at: datetime
    took_s: float
    folded: int
    dropped: int
    uploads: int
    slices: int


class DroppedPartition(Struct, frozen=True, kw_only=True):
    """Messages of a day that are gone; `messages`: of the workspace, by its seals."""

    day: date
    name: str
    dropped_at: datetime
    messages: int


class RetentionReport(Struct, frozen=True, kw_only=True):
    """What is kept how long, and what has gone. `at`: of the daily round, HH:MM UTC; empty: never.

    `numbers_days`: the workspace's own, None without. `files_kept`, `files_gone`: its recipient files with
    their numbers, and without. `oldest_day`: of the messages that are still there.
    """

    at: str
    messages_days: int
    files_days: int
    numbers_days: int | None
    files_kept: int
    files_gone: int
    oldest_day: date | None
    runs: list[RetentionRun]
    dropped: list[DroppedPartition]
