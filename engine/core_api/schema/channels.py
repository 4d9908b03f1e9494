"""SMPP accounts, their binds, the channels over them; tests and traces of them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from engine.core_api.schema.base import Struct

__all__ = [
    "Account",
    "AccountChange",
    "AccountCommand",
    "AccountSpec",
    "Accounts",
    "Bind",
    "BindMode",
    "BindReport",
    "Channel",
    "ChannelChange",
    "ChannelCommand",
    "ChannelSpec",
    "CloneCommand",
    "Done",
    "Order",
    "Preset",
    "Setting",
    "Settings",
    "TestMessage",
    "TestMessageSpec",
    "TestMessages",
    "TestPart",
    "Trace",
    "TracePdus",
    "TraceSpec",
    "TracedPdu",
    "Traces",
]

BindMode = Literal["transceiver", "transmitter", "receiver", "pair"]
_INSIDE = r"[^/?#%\\\x00-\x1f]"  # what can stand in a path
_EDGE = r"[^\s/?#%\\\x00-\x1f]"
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=rf"^(?!\.\.?$){_EDGE}({_INSIDE}*{_EDGE})?$")]
Settings = dict[str, Any]
"""Values by name; GET /settings/account and /settings/message say which there are. Absent: the default."""


class Order(Struct, frozen=True, kw_only=True):
    """A command: done once, however often it comes with this id."""

    decision_id: UUID


class Done(Struct, frozen=True, kw_only=True):
    """The stored answer of an order whose outcome is read anew."""


class AccountSpec(Struct, frozen=True, kw_only=True):
    """A system_id at an SMSC. `password` and `secrets` are write-only: they never come back."""

    name: Name
    host: Annotated[str, Meta(min_length=1, max_length=255)]
    port: Annotated[int, Meta(ge=1, le=65535)]
    system_id: str
    password: str
    system_type: str = ""
    bind_mode: BindMode = "transceiver"
    interface_version: Annotated[int, Meta(ge=0, le=255)] = 0x34  # 0x33, 0x34 or 0x50
    tps: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    binds: Annotated[int, Meta(ge=1, le=1000)] = 1
    window_size: Annotated[int, Meta(ge=1, le=100_000)] = 10
    settings: Settings = msgspec.field(default_factory=dict)
    secrets: dict[str, str] = msgspec.field(default_factory=dict)  # tls_client_key, outbind_password


class AccountCommand(Order, frozen=True, kw_only=True):
    """Create an account, once a decision id."""

    account: AccountSpec


class AccountChange(Order, frozen=True, kw_only=True):
    """Change what is given of an account whose version is still `version` (else 409 `changed`). `settings`
    replaces all settings; an empty password keeps the stored one, which is refused (422, field `password`)
    with another host or port, less TLS or other outbind callers; of `secrets` those named change, "" removes
    one. Works without a restart."""

    version: int
    host: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET
    port: Annotated[int, Meta(ge=1, le=65535)] | UnsetType = UNSET
    system_id: str | UnsetType = UNSET
    password: str | UnsetType = UNSET
    system_type: str | UnsetType = UNSET
    bind_mode: BindMode | UnsetType = UNSET
    interface_version: Annotated[int, Meta(ge=0, le=255)] | UnsetType = UNSET
    tps: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET
    binds: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    window_size: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType = UNSET
    settings: Settings | UnsetType = UNSET
    secrets: dict[str, str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class CloneCommand(Order, frozen=True, kw_only=True):
    """A copy under another name, secrets included. A cloned account is disabled until it is enabled."""

    name: Name


class Bind(Struct, frozen=True, kw_only=True):
    """A session as its worker last wrote it."""

    account: str
    number: int
    state: Literal["down", "connecting", "binding", "bound", "unbinding", "refused"]
    reason: str
    in_flight: int
    window_size: int
    changed_at: datetime
    mode: str = ""  # transceiver, transmitter, receiver
    interface_version: int = 0  # the SMSC's, 0: not said
    worker_id: int | None = None  # that holds it; None: none does
    worker: str = ""
    drained: bool = False
    tps_now: float = 0.0  # submit_sm a second
    tps_limit: float = 0.0  # what this bind may send now (schedule, throttling, response time)
    tps_set: float = 0.0  # what it might, were it not slowed
    slowed_by: str = ""  # why it is slowed: "throttles", "response time 3.1 x its best"
    response_ms: float | None = None  # the best response time of the account's last minutes; None: not known
    last_error: str = ""
    last_error_at: datetime | None = None


class Account(Struct, frozen=True, kw_only=True):
    account_id: int
    name: str
    host: str
    port: int
    system_id: str
    password_set: bool
    system_type: str
    bind_mode: BindMode
    interface_version: int
    tps: int
    binds: int
    window_size: int
    settings: Settings  # what differs from the defaults
    secrets_set: list[str]
    enabled: bool
    drained: bool
    version: int
    created_at: datetime
    updated_at: datetime
    warnings: list[str]  # longer than the specification allows, and the like
    learned: dict[str, Any]  # what the receipts have taught: bases of message ids, zone of the dates
    live: list[Bind]
    channels: list[str]


class Accounts(Struct, frozen=True, kw_only=True):
    accounts: list[Account]


class ChannelSpec(Struct, frozen=True, kw_only=True):
    """What campaigns choose: an account and the defaults of its messages (GET /settings/message)."""

    name: Name
    account: str
    settings: Settings = msgspec.field(default_factory=dict)


class ChannelCommand(Order, frozen=True, kw_only=True):
    """Create a channel, once a decision id."""

    channel: ChannelSpec


class ChannelChange(Order, frozen=True, kw_only=True):
    """Change what is given of a channel whose version is still `version` (else 409 `changed`)."""

    version: int
    account: str | UnsetType = UNSET
    settings: Settings | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Channel(Struct, frozen=True, kw_only=True):
    channel_id: int
    name: str
    kind: str
    account: str
    tps: int
    binds: list[Bind]
    settings: Settings = msgspec.field(default_factory=dict)
    enabled: bool = True
    account_enabled: bool = True
    version: int = 1


class Setting(Struct, frozen=True, kw_only=True):
    """One setting, ready for a form. `table`: a list of rows with these `columns`."""

    name: str
    group: str
    kind: Literal["flag", "whole", "number", "text", "choice", "pem", "zone", "lines", "table"]
    description: str
    unit: str = ""
    default: Any = None
    choices: list[str] = msgspec.field(default_factory=list)
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    secret: bool = False  # write-only: goes into `secrets`, not `settings`
    columns: list["Setting"] = msgspec.field(default_factory=list)


class Preset(Struct, frozen=True, kw_only=True):
    """A starting point for a new account and its channel: not a promise about any operator."""

    name: str
    title: str
    description: str
    account: Settings  # fields of AccountSpec
    settings: Settings  # of the account
    message_settings: Settings


class BindReport(Struct, frozen=True, kw_only=True):
    """What a test bind met. Each step that was reached has its time; nothing is submitted."""

    bound: bool
    mode: str
    detail: str  # what went wrong, or ""
    status: int | None  # command_status of the bind response, None: none came
    status_name: str
    peer_system_id: str
    interface_version: int | None  # sc_interface_version, None: not said
    tlvs: dict[str, str]  # of the bind response
    connect_ms: float | None
    tls: str  # version and cipher, "" without TLS
    tls_peer: str  # subject of the SMSC's certificate
    bind_ms: float | None
    enquire_link_ms: float | None
    unbound: bool  # the SMSC answered our unbind
    warnings: list[str]


class TestMessageSpec(Order, frozen=True, kw_only=True):
    """A message outside any campaign. `alphabet`: the test alphabet instead of a text."""

    msisdn: Annotated[str, Meta(pattern=r"^\+?[1-9]\d{6,14}$")]
    sender: str
    text: str = ""
    alphabet: bool = False


class TestPart(Struct, frozen=True, kw_only=True):
    part: int
    status: int | None  # command_status; None: no response yet, or never
    status_name: str
    smsc_id: str
    stat: str  # of its receipt, "" none yet
    error: str
    sent_at: datetime | None
    responded_at: datetime | None
    receipt_at: datetime | None


class TestMessage(Struct, frozen=True, kw_only=True):
    """`queued`: recorded, not sent. `claimed`: recorded that it is being sent, no result yet. `in_doubt`: the
    worker or the response was lost after that; it is never sent again."""

    test_id: UUID
    channel: str
    msisdn: str
    sender: str
    text: str
    state: Literal["queued", "claimed", "answered", "in_doubt", "refused", "expired"]
    detail: str
    requested_at: datetime
    parts: list[TestPart]


class TestMessages(Struct, frozen=True, kw_only=True):
    messages: list[TestMessage]


class TraceSpec(Order, frozen=True, kw_only=True):
    """`bind`: everything of an account's bind (of all its binds without `number`). `number`: PDUs from or to
    `msisdn`. `message`: PDUs of a message id, from now on. At most 15 minutes."""

    scope: Literal["bind", "message", "number"]
    account: str = ""  # for bind; narrows the others
    number: int | None = None
    msisdn: Annotated[str, Meta(pattern=r"^(\+?[1-9]\d{6,14})?$")] = ""
    message_id: UUID | None = None
    seconds: Annotated[int, Meta(ge=1, le=900)] = 300


class Trace(Struct, frozen=True, kw_only=True):
    trace_id: int
    scope: Literal["bind", "message", "number"]
    target: str  # masked
    started_at: datetime
    ends_at: datetime
    ended: bool
    pdus: int  # kept
    skipped: int  # seen and not kept: a trace keeps the newest


class TracedPdu(Struct, frozen=True, kw_only=True):
    """A PDU, decoded. Numbers and texts are masked, passwords left out."""

    at: datetime
    account: str
    bind: int
    direction: Literal["in", "out"]
    command: str
    sequence: int
    status: int
    status_name: str
    length: int
    fields: dict[str, str]
    fault: str


class TracePdus(Struct, frozen=True, kw_only=True):
    """One trace and its PDUs, oldest first; `next` goes into `after`."""

    trace: Trace
    pdus: list[TracedPdu]
    next: int


class Traces(Struct, frozen=True, kw_only=True):
    traces: list[Trace]
