"""Receipts that matched nothing, messages of people, and what an account's receipts taught."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from engine.core_api.schema.base import Struct

__all__ = [
    "AccountIds",
    "IdBase",
    "IdEvidence",
    "IdReset",
    "Inbound",
    "InboundKind",
    "InboundPage",
    "Orphan",
    "OrphanAge",
    "OrphanRetried",
    "OrphanRetry",
    "Orphans",
    "ReceiptJournal",
    "ZoneProposal",
]

IdBase = Literal["text", "hex", "dec"]
OrphanAge = Literal["waiting", "aged", "matched"]
InboundKind = Literal["message", "acknowledgement", "malformed"]


class Orphan(Struct, frozen=True, kw_only=True):
    """A receipt whose message is not known. `waiting` is tried again by itself, `aged` (over the horizon)
    only when asked to."""

    orphan_id: int
    account: str
    smsc_id: str
    msisdn: str  # E.164 digits, "" where it is no number; the control plane masks it before anyone sees it
    sender: str  # our address, as the receipt has it
    status: str  # DELIVRD, UNDELIV err:045
    verdict: Literal["not_final", "undelivered", "delivered"]
    done_raw: str
    arrived_at: datetime
    age_s: int
    age: OrphanAge
    why: str  # why it is not matched, a sentence


class Orphans(Struct, frozen=True, kw_only=True):
    """Newest first. `waiting` and `aged` count all open ones of the filter, to 10,000 each."""

    orphans: list[Orphan]
    waiting: int
    aged: int
    next: str | None


class OrphanRetry(Struct, frozen=True, kw_only=True):
    """Look once more for these orphans' messages; without ids for all open ones (of the account)."""

    decision_id: UUID
    orphan_ids: list[int] | None = None
    account: str | None = None


class OrphanRetried(Struct, frozen=True, kw_only=True):
    orphans: int  # open ones that are tried again within seconds


class Inbound(Struct, frozen=True, kw_only=True):
    """One deliver_sm or data_sm that is no receipt; a message in parts is a row a part."""

    inbound_id: UUID
    account: str
    kind: InboundKind
    msisdn: str  # who sent it; the control plane masks it before anyone sees it
    destination: str
    text: str
    part: int
    parts: int
    reference: int | None
    received_at: datetime
    receipt_at: datetime | None  # turned out to be a receipt without its flag


class InboundPage(Struct, frozen=True, kw_only=True):
    """Newest first."""

    messages: list[Inbound]
    next: str | None


class IdEvidence(Struct, frozen=True, kw_only=True):
    """Unambiguous matches that speak for a pair of bases."""

    response: IdBase
    receipt: IdBase
    matches: int


class ZoneProposal(Struct, frozen=True, kw_only=True):
    """Median of submit date minus our submit time, rounded to 15 minutes."""

    offset: str  # +05:30
    samples: int
    seconds: int  # the median before rounding
    at: datetime


class AccountIds(Struct, frozen=True, kw_only=True):
    """How an account's ids are matched: what is set, what was learned, what counts now."""

    account: str
    set_response: Literal["auto", "text", "hex", "dec"]
    set_receipt: Literal["auto", "text", "hex", "dec"]
    response: IdBase | None  # that counts now; None: still learning, every spelling is tried
    receipt: IdBase | None
    locked_at: datetime | None  # when the learned base was locked; never changed but by a reset
    needed: int  # unambiguous matches until it is locked
    evidence: list[IdEvidence]
    receipt_tz: str
    zone_proposal: ZoneProposal | None
    orphans_waiting: int
    orphans_aged: int


class IdReset(Struct, frozen=True, kw_only=True):
    """Forget what was learned of an account's ids, and learn anew."""

    decision_id: UUID


class ReceiptJournal(Struct, frozen=True, kw_only=True):
    """The local file that keeps receipts while the database is away."""

    bytes: int = 0
    most_bytes: int = 0
    waiting: int = 0  # receipts not replayed yet
    refused: int = 0  # answered with ESME_RX_T_APPN since the start: the journal was full
