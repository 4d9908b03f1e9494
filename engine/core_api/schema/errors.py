"""Operators' error codes by channel: what is done about each, how often each came, what nobody mapped."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from engine.core_api.schema.base import Struct

__all__ = [
    "ChannelErrors",
    "ChannelReset",
    "ErrorClass",
    "ErrorCode",
    "ErrorCodeImport",
    "ErrorCodeImported",
    "ErrorCodeSpec",
    "MappedContext",
]

ErrorClass = Literal["session", "throttle", "queue_full", "temporary", "channel", "permanent"]
MappedContext = Literal["response", "receipt"]


class ErrorCode(Struct, frozen=True, kw_only=True):
    """One code on a channel: the built-in table under the channel's map."""

    context: MappedContext
    code: str  # response: 0x00000400; receipt: the err text
    name: str
    error_class: ErrorClass
    effect: str  # what the class does, one sentence
    meaning: str
    note: str
    mapped: bool  # by this channel's map
    built_in: bool  # the specification names it
    count: int  # in the last 7 days
    last_at: datetime | None
    version: int  # of the map's entry, 0 without one


class ChannelErrors(Struct, frozen=True, kw_only=True):
    """`unmapped`: codes seen in the last 7 days that neither the specification nor the map names.
    `accepted_without_id`: parts of the last 7 days that the operator accepted without a message id; they are
    not sent again, and no receipt can be matched to them."""

    channel: str
    tripped: str  # why the breaker stopped the channel; "" while it works
    tripped_at: datetime | None
    codes: list[ErrorCode]
    unmapped: list[ErrorCode]
    accepted_without_id: int = 0


class ErrorCodeSpec(Struct, frozen=True, kw_only=True):
    """Classify a code. A `response` code may be given as 1024, 0x400 or 0x00000400."""

    decision_id: UUID
    context: MappedContext
    code: str
    error_class: ErrorClass
    meaning: str = ""
    note: str = ""


class ErrorCodeImport(Struct, frozen=True, kw_only=True):
    """A table of codes as CSV: code, class, meaning, note; a header line is optional, class defaults to
    permanent."""

    decision_id: UUID
    context: MappedContext
    csv: str


class ErrorCodeImported(Struct, frozen=True, kw_only=True):
    """Nothing is stored where a line is wrong."""

    added: int
    changed: int
    unchanged: int


class ChannelReset(Struct, frozen=True, kw_only=True):
    """An operator lets a tripped channel send again."""

    decision_id: UUID
