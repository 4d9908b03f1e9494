"""Stop all sending, and orders to accounts and their binds."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from engine.core_api.schema.base import Struct

__all__ = ["BindOrder", "ControlSpec", "LiftSpec", "Stop", "StopScope", "StopSpec", "Stops", "WeightSpec"]

StopScope = Literal["everything", "workspace", "channel"]
BindOrder = Literal["rebind", "drain", "undrain"]


class StopSpec(Struct, frozen=True, kw_only=True):
    """Stops sending at once, on all workers. `channel` is a channel's name; `reason` is shown beside the
    campaigns it holds. `made_by` says who may lift it, in the caller's words: kept, not read."""

    decision_id: UUID
    scope: StopScope
    workspace_id: UUID | None = None
    channel: str | None = None
    reason: str = ""
    made_by: Annotated[str, Meta(max_length=32)] = ""


class LiftSpec(Struct, frozen=True, kw_only=True):
    decision_id: UUID


class Stop(Struct, frozen=True, kw_only=True):
    stop_id: UUID
    scope: StopScope
    workspace_id: UUID | None
    channel: str | None
    reason: str
    stopped_at: datetime
    lifted_at: datetime | None
    made_by: str = ""  # as it was given; "": nobody said


class Stops(Struct, frozen=True, kw_only=True):
    """The open ones first, then the last that were lifted."""

    stops: list[Stop]


class ControlSpec(Struct, frozen=True, kw_only=True):
    """Body of drain, undrain and rebind; the path says what."""

    decision_id: UUID


class WeightSpec(Struct, frozen=True, kw_only=True):
    """A workspace's share of a busy channel, against 1 of the others; above 0, at most 1000."""

    decision_id: UUID
    weight: float
