"""What is kept for how long, and the erasure of a person's number."""

from datetime import datetime
from uuid import UUID

from engine.core_api.schema.base import Struct

__all__ = ["Erasure", "ErasureSpec", "Erasures", "WorkspaceRetention"]


class WorkspaceRetention(Struct, frozen=True, kw_only=True):
    """After how many days a workspace's recipients' numbers go. None: not before everything else goes."""

    decision_id: UUID
    days: int | None


class ErasureSpec(Struct, frozen=True, kw_only=True):
    """`msisdn`: with its country code. `reason` is kept as given, so it must not name the person."""

    decision_id: UUID
    msisdn: str
    reason: str = ""


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
