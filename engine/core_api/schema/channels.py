"""SMPP accounts, their binds, and the channels over them."""

from datetime import datetime
from typing import Literal

import msgspec

from engine.core_api.schema.base import Struct

__all__ = ["AccountSpec", "Bind", "Channel", "ChannelSpec"]


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
    settings: dict[str, int | str | bool] = msgspec.field(default_factory=dict)


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
