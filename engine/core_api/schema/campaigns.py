"""Campaigns: sealed, commanded, counted, recounted."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from engine.core_api.schema.base import Struct
from engine.core_api.schema.doubts import DoubtPolicy
from engine.core_api.schema.options import NO_OPTIONS, MessageOptions

__all__ = [
    "Campaign",
    "CampaignChannel",
    "CampaignChannels",
    "CampaignCommand",
    "CampaignSpec",
    "CampaignState",
    "Campaigns",
    "Command",
    "Counts",
    "Equation",
    "ErrorContext",
    "Lane",
    "MessageError",
    "MessageErrors",
    "Recipient",
    "Recipients",
    "Series",
    "SeriesPoint",
]

CampaignState = Literal["Pending", "Sending", "Paused", "Done", "Cancelled", "Failed", "Expired", "Returned"]
Command = Literal["start", "pause", "resume", "cancel", "return"]
ErrorContext = Literal["response", "receipt", "encode"]
Lane = Literal["express", "bulk"]
Category = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_-]{0,40}$")]  # "": none


class CampaignSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Seals a manifest; the campaign waits in Pending for its approval. `channel` "": every message goes
    where the routes say when the campaign begins. `category` chooses routes and prices. `lane`: express
    goes out before bulk; it changes nothing of what is sent, and is not sealed."""

    decision_id: UUID
    campaign_id: UUID
    workspace_id: UUID
    name: str
    channel: str
    sender: str
    sender_revision_id: UUID
    text: str
    upload_id: UUID
    options: MessageOptions = NO_OPTIONS
    in_doubt: DoubtPolicy = "hold"
    lane: Lane = "bulk"
    category: Category = ""


class CampaignCommand(Struct, frozen=True, kw_only=True):
    """`start` needs the hash of the manifest that was approved; `return` gives a rejected one back."""

    decision_id: UUID
    command: Command
    manifest_hash: str | None = None


class Counts(Struct, frozen=True, kw_only=True):
    """One equation: accepted = delivered + undelivered + no_receipt + failed + blocked + expired +
    cancelled + in_doubt + waiting; `in_flight` is the part of `waiting` that the operator has accepted."""

    accepted: int = 0
    delivered: int = 0
    undelivered: int = 0
    no_receipt: int = 0
    failed: int = 0
    blocked: int = 0
    expired: int = 0
    cancelled: int = 0
    in_doubt: int = 0
    waiting: int = 0
    in_flight: int = 0
    submissions: int = 0
    parts: int = 0
    throttled: int = 0
    retried: int = 0
    receipts: int = 0
    charged: int = 0  # 1/10,000 of the wallet's unit; 0 where the workspace has none


class Campaign(Struct, frozen=True, kw_only=True):
    campaign_id: UUID
    workspace_id: UUID
    name: str
    channel: str  # "": by routes
    sender: str
    text: str
    upload_id: UUID
    options: MessageOptions = NO_OPTIONS
    in_doubt: DoubtPolicy = "hold"
    lane: Lane = "bulk"
    category: str = ""
    manifest_hash: str  # hex
    state: CampaignState
    reason: str
    settled: bool
    counts: Counts
    rate_per_s: float  # messages accepted by the operator, over the last seconds
    seconds_left: float | None
    created_at: datetime
    started_at: datetime | None
    done_at: datetime | None
    settled_at: datetime | None


class Campaigns(Struct, frozen=True, kw_only=True):
    campaigns: list[Campaign]


class CampaignChannel(Struct, frozen=True, kw_only=True):
    """Where a campaign's messages go: `rows` planned, `sent` those of them that were given out (claimed) over
    the channel, whatever became of them since. Channel "": no route."""

    channel: str
    rows: int
    sent: int = 0


class CampaignChannels(Struct, frozen=True, kw_only=True):
    """Of a campaign by routes, once its first messages are planned; one entry where it names its channel."""

    channels: list[CampaignChannel]


class SeriesPoint(Struct, frozen=True, kw_only=True):
    at: datetime  # start of a 10 s bucket
    sent: int
    delivered: int
    failed: int


class Series(Struct, frozen=True, kw_only=True):
    points: list[SeriesPoint]


class MessageError(Struct, frozen=True, kw_only=True):
    context: ErrorContext
    code: str
    name: str  # the field's term: ESME_RINVDSTADR, UNDELIV err:045
    meaning: str
    count: int
    last_at: datetime


class MessageErrors(Struct, frozen=True, kw_only=True):
    errors: list[MessageError]


class Recipient(Struct, frozen=True, kw_only=True):
    message_id: UUID
    msisdn: str  # E.164 digits; the control plane masks it before anyone sees it
    state: str
    parts: int
    attempts: int
    error: str
    sent_at: datetime | None
    done_at: datetime | None  # as its receipt dates it where that can be; else when the receipt came
    corrected: bool = False  # DELIVERED after it was said to be undelivered


class Recipients(Struct, frozen=True, kw_only=True):
    recipients: list[Recipient]
    next: str | None


class Equation(Struct, frozen=True, kw_only=True):
    """A recount from the ledger's rows beside the statistics; `first_difference` says what does not fit."""

    campaign_id: UUID
    rows: int
    duplicates: int
    job_errors: int
    counted: Counts
    statistics: Counts
    balanced: bool
    first_difference: str
