"""What is held about one person's number."""

from datetime import datetime
from uuid import UUID

from engine.core_api.schema.base import Struct

__all__ = ["PersonFound", "PersonQuestion", "PersonRecord"]


class PersonQuestion(Struct, frozen=True, kw_only=True):
    """`msisdn`: with its country code. `workspace_id`: in what belongs to it; None: everywhere."""

    msisdn: str
    workspace_id: UUID | None = None


class PersonRecord(Struct, frozen=True, kw_only=True):
    """One thing that holds the number. `store`: a table of the ledger; `held`: what else stands there."""

    store: str
    campaign_id: UUID | None
    at: datetime | None
    held: dict[str, str]


class PersonFound(Struct, frozen=True, kw_only=True):
    """`counts`: by store. `records`: the first of each, `cut` where a store has more. `in_use`: what still
    needs the number, so that it cannot be erased yet."""

    counts: dict[str, int]
    records: list[PersonRecord]
    cut: bool
    in_use: list[str]
