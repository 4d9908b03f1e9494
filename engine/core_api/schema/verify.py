"""The proof that the ledger's books are right: `heliograph verify`."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from engine.core_api.schema.base import Struct

__all__ = ["DayCounts", "Misfit", "Verification", "Verifications", "VerifySpec", "VerifyTrigger"]

VerifyTrigger = Literal["command", "core_api", "daily"]


class VerifySpec(Struct, frozen=True, kw_only=True):
    """What to verify: everything, or one campaign, or what was sliced on one day (UTC), or both."""

    campaign_id: UUID | None = None
    day: date | None = None


class Misfit(Struct, frozen=True, kw_only=True):
    """A row that does not fit. `check` is stable; `key` names the row; the other two are for a person."""

    check: str
    table: str
    key: str
    expected: str
    found: str


class DayCounts(Struct, frozen=True, kw_only=True):
    """The equation of the rows sliced on one day, over all verified campaigns; messages."""

    day: date
    planned: int
    sent: int
    failed: int
    in_doubt: int
    cancelled: int
    waiting: int


class Verification(Struct, frozen=True, kw_only=True):
    """`misfits` holds at most the first hundred; `first` is the one to look at."""

    run_id: int
    trigger: VerifyTrigger
    started_at: datetime
    took_s: float
    schema_version: int
    campaigns: int
    slices: int
    messages: int
    submissions: int
    receipts: int
    holds: bool
    first: Misfit | None
    misfits: list[Misfit]
    days: list[DayCounts]


class Verifications(Struct, frozen=True, kw_only=True):
    """The latest runs, newest first."""

    verifications: list[Verification]
