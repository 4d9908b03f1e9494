"""The Core API's published types: what the control plane may know of the engine.

JSON over HTTP with mutual TLS under `/core/v1`. Field names are the wire names. Times are RFC 3339 `Z`,
numbers of messages are messages unless a name says parts, money is an integer of 1/10,000 of the unit.
Every type here is frozen; a new optional field is compatible, anything else is `/core/v2`.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

VERSION = 1
PREFIX = f"/core/v{VERSION}"

UploadState = Literal["open", "complete", "failed", "discarded"]
CampaignState = Literal["Pending", "Sending", "Paused", "Done", "Cancelled", "Failed", "Expired", "Returned"]
Command = Literal["start", "pause", "resume", "cancel", "return"]
ErrorContext = Literal["response", "receipt", "encode"]


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all wire types."""


class Health(Struct, frozen=True, kw_only=True):
    status: Literal["ok", "starting", "stopping", "degraded"]
    version: str
    schema_version: int
    implementation: Literal["c", "pure"]
    worker: str
    reason: str = ""


class AccountSpec(Struct, frozen=True, kw_only=True):
    """A system_id at an SMSC. `password` is write-only: it never comes back."""

    name: str
    host: str
    port: int
    system_id: str
    password: str
    system_type: str = ""
    bind_mode: Literal["transceiver", "transmitter", "receiver", "pair"] = "transceiver"
    tps: int = 10
    binds: int = 1
    window_size: int = 10


class ChannelSpec(Struct, frozen=True, kw_only=True):
    """What campaigns choose: an account and the defaults of its messages. Settings: engine.channels.smpp."""

    name: str
    account: str
    settings: dict[str, int | str | bool] = {}


class Bind(Struct, frozen=True, kw_only=True):
    account: str
    number: int
    state: Literal["down", "connecting", "binding", "bound", "unbinding", "refused"]
    reason: str
    in_flight: int
    window_size: int
    changed_at: datetime


class Channel(Struct, frozen=True, kw_only=True):
    channel_id: int
    name: str
    kind: str
    account: str
    tps: int
    binds: list[Bind]


class UploadSpec(Struct, frozen=True, kw_only=True):
    upload_id: UUID
    workspace_id: UUID
    file_name: str
    size_bytes: int | None = None
    default_country: str = ""  # ISO 3166 alpha-2, for numbers without a country code


class Upload(Struct, frozen=True, kw_only=True):
    """A recipient file. `rows = accepted + duplicates + job_errors`; `byte_offset` is where to go on."""

    upload_id: UUID
    workspace_id: UUID
    file_name: str
    size_bytes: int | None
    state: UploadState
    reason: str
    byte_offset: int
    lines: int
    rows: int
    accepted: int
    duplicates: int
    job_errors: int
    columns: list[str]  # of the file, besides the number's
    encoding: str
    separator: str
    has_header: bool
    msisdn_column: str


class JobError(Struct, frozen=True, kw_only=True):
    line_no: int | None
    code: str
    detail: str
    happened_at: datetime


class JobErrors(Struct, frozen=True, kw_only=True):
    total: int
    counts: dict[str, int]
    errors: list[JobError]
    next: str | None


class TextSpec(Struct, frozen=True, kw_only=True):
    """A text with `{{column}}` references, counted over an upload's recipients (all of them)."""

    text: str
    sender: str = ""
    upload_id: UUID | None = None
    samples: int = 5


class TextSample(Struct, frozen=True, kw_only=True):
    msisdn: str  # E.164 digits; the control plane masks it before anyone sees it
    text: str
    encoding: Literal["gsm", "ucs2"]
    characters: int
    parts: int


class TextCount(Struct, frozen=True, kw_only=True):
    """A dry run. `parts_histogram[i]` is the number of messages of i + 1 parts."""

    recipients: int
    parts: int
    gsm: int
    ucs2: int
    parts_histogram: list[int]
    unknown_columns: list[str]
    forced_ucs2: list[str]  # characters outside GSM 03.38, most frequent first, at most 10
    samples: list[TextSample]
    longest: TextSample | None = None


class CampaignSpec(Struct, frozen=True, kw_only=True):
    """Seals a manifest; the campaign waits in Pending for its approval."""

    decision_id: UUID
    campaign_id: UUID
    workspace_id: UUID
    name: str
    channel: str
    sender: str
    sender_revision_id: UUID
    text: str
    upload_id: UUID


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


class Campaign(Struct, frozen=True, kw_only=True):
    campaign_id: UUID
    workspace_id: UUID
    name: str
    channel: str
    sender: str
    text: str
    upload_id: UUID
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
    done_at: datetime | None


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


class Pulse(Struct, frozen=True, kw_only=True):
    """The top bar's live pulse, and what Diagnostics shows."""

    status: str
    in_flight: int
    sent_per_s: float
    delivered_per_s: float
    binds_bound: int
    binds_total: int


class Problem(Struct, frozen=True, kw_only=True):
    """RFC 9457. `type` is a stable URN `urn:heliograph:problem:<name>` (docs/errors.md)."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[dict[str, str]] = []
