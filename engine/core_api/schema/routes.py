"""Routes: which channels a number's messages go over, and why."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from engine.core_api.schema.base import Struct

__all__ = [
    "Route",
    "RouteChannel",
    "RouteChoice",
    "RouteExplanation",
    "RouteQuestion",
    "RouteSpec",
    "SenderKind",
]

SenderKind = Literal["alphanumeric", "international", "short_code"]


class RouteChannel(Struct, frozen=True, kw_only=True):
    channel: str
    tier: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1  # the first tier with a channel that can send is taken
    weight: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1  # share within the tier


class RouteSpec(Struct, frozen=True, kw_only=True):
    """The longest prefix counts, then the route that says most, then the lower position. None is any."""

    decision_id: UUID
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    channels: Annotated[list[RouteChannel], msgspec.Meta(min_length=1, max_length=20)]
    position: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 100
    prefix: Annotated[str, msgspec.Meta(pattern="^[0-9]{0,15}$")] = ""
    workspace_id: UUID | None = None
    category: str | None = None
    sender_kind: SenderKind | None = None
    lane: Literal["express", "bulk"] | None = None
    enabled: bool = True
    version: int | None = None  # of the route as it was read, for a change


class Route(Struct, frozen=True, kw_only=True):
    route_id: int
    name: str
    position: int
    prefix: str
    workspace_id: UUID | None
    category: str | None
    sender_kind: SenderKind | None
    lane: Literal["express", "bulk"] | None
    enabled: bool
    version: int
    channels: list[RouteChannel]


class RouteQuestion(Struct, frozen=True, kw_only=True):
    """Where does this number go?"""

    msisdn: Annotated[str, msgspec.Meta(pattern="^\\+?[0-9]{3,15}$")]
    sender: str = ""
    workspace_id: UUID | None = None
    category: str = ""
    lane: Literal["express", "bulk"] = "bulk"


class RouteChoice(Struct, frozen=True, kw_only=True):
    """A route that was looked at, in order; `why` says what made it count or not."""

    route: str
    prefix: str
    matches: bool
    why: str


class RouteExplanation(Struct, frozen=True, kw_only=True):
    """`channel` is where the message goes now ("": nowhere); `order` all channels in the order of trying."""

    channel: str
    route: str
    why: str
    order: list[RouteChannel]
    considered: list[RouteChoice]
