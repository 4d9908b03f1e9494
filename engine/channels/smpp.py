"""The SMPP channel: an account's links, and encoders with the addresses and flags its operator wants."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from engine._fast import pdu, text
from engine._fast.columns import EncodedBatch, ReceiptBatch, ResultBatch
from engine.channels.interface import Account, BadSettings, Bind, BindOwner, Encoder
from engine.smpp import status
from engine.smpp.link import Link, LinkConfig, LinkState
from engine.smpp.text import DEFAULT_MAX_PARTS, MalformedTemplate, UnknownColumn, compile_template

_SHORT_CODE_DIGITS = 6
_ALPHANUMERIC_MAX = 11

_SHOWN = {
    LinkState.CONNECTING: "connecting",
    LinkState.BINDING: "binding",
    LinkState.BOUND: "bound",
    LinkState.UNBINDING: "unbinding",
    LinkState.WAITING: "down",
    LinkState.REFUSED: "refused",
    LinkState.STOPPED: "down",
}


class AccountSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Timers of an account's links (`accounts.settings`)."""

    response_timeout_s: float = 30.0
    enquire_link_s: float = 30.0
    bind_timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0


class ChannelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults of a channel's messages (`channels.settings`), SMPP 3.4 §5.2."""

    service_type: str = ""
    alphanumeric_ton: int = 5
    alphanumeric_npi: int = 0
    international_ton: int = 1
    international_npi: int = 1
    short_code_ton: int = 3
    short_code_npi: int = 0
    dest_ton: int = 1
    dest_npi: int = 1
    protocol_id: int = 0
    priority: int = 0
    registered_delivery: int = 1
    validity_period: str = ""  # YYMMDDhhmmss000R relative, YYMMDDhhmmsstnnp absolute
    max_parts: int = DEFAULT_MAX_PARTS
    gsm_data_coding: Literal[0, 0xF1] = 0


def source_address(sender: str, settings: ChannelSettings) -> tuple[bytes, int, int]:
    """(address, TON, NPI) of a sender: international number, short code, or up to 11 characters.

    Raises BadSettings for one that no submit_sm can carry.
    """
    digits = sender.removeprefix("+")
    if digits.isascii() and digits.isdigit():
        if len(digits) <= _SHORT_CODE_DIGITS and digits == sender:
            return digits.encode(), settings.short_code_ton, settings.short_code_npi
        if len(digits) > 15:
            raise BadSettings(f"sender {sender!r} has more than 15 digits")
        return digits.encode(), settings.international_ton, settings.international_npi
    if not sender or len(sender) > _ALPHANUMERIC_MAX or not (sender.isascii() and sender.isprintable()):
        raise BadSettings(f"sender {sender!r} is not 1 to {_ALPHANUMERIC_MAX} plain characters")
    return sender.encode(), settings.alphanumeric_ton, settings.alphanumeric_npi


class SmppChannel:
    """See `engine.channels.interface.Channel`. The defaults are for accounts that say nothing themselves."""

    def __init__(self, *, response_timeout_s: float = 30.0, enquire_link_s: float = 30.0) -> None:
        self._defaults = {"response_timeout_s": response_timeout_s, "enquire_link_s": enquire_link_s}

    def binds(self, account: Account, owner: BindOwner) -> list[Bind]:
        """`pair` gives a receiver (numbers above `account.binds`) before each transmitter."""
        timers: AccountSettings = _convert(self._defaults | account.settings, AccountSettings)
        pair = account.bind_mode == "pair"
        modes = dict.fromkeys(range(1, account.binds + 1), "transmitter" if pair else account.bind_mode)
        if pair:
            receivers = range(account.binds + 1, 2 * account.binds + 1)
            modes = dict.fromkeys(receivers, "receiver") | modes
        return [
            _SmppBind(
                owner,
                number,
                LinkConfig(
                    name=f"{account.name}/{number}",
                    host=account.host,
                    port=account.port,
                    system_id=account.system_id,
                    password=account.password,
                    system_type=account.system_type,
                    bind_mode=mode,
                    interface_version=account.interface_version,
                    window_size=account.window_size,
                    **msgspec.structs.asdict(timers),
                ),
            )
            for number, mode in modes.items()
        ]

    def encoder(self, settings: dict[str, Any], *, text: str, sender: str, columns: Sequence[str]) -> Encoder:
        chosen: ChannelSettings = _convert(settings, ChannelSettings)
        source, ton, npi = source_address(sender, chosen)
        return pdu.SubmitEncoder(
            template=_template(text, columns),
            source=source,
            source_ton=ton,
            source_npi=npi,
            dest_ton=chosen.dest_ton,
            dest_npi=chosen.dest_npi,
            service_type=chosen.service_type.encode("ascii"),
            protocol_id=chosen.protocol_id,
            priority=chosen.priority,
            registered_delivery=chosen.registered_delivery,
            validity_period=chosen.validity_period.encode("ascii"),
            max_parts=chosen.max_parts,
            gsm_data_coding=chosen.gsm_data_coding,
        )

    def classify(self, code: int) -> status.Class:
        return status.classify(code)


class _SmppBind:
    """A Link as a Bind: same batches, the owner sees the bind and states that the console knows."""

    def __init__(self, owner: BindOwner, number: int, config: LinkConfig) -> None:
        self.number = number
        self.submits = config.bind_mode != "receiver"
        self._owner = owner
        self._link = Link(config, self)
        self.start = self._link.start
        self.stop = self._link.stop
        self.reserve_sequences = self._link.reserve_sequences

    @property
    def bound(self) -> bool:
        return self._link.bound

    @property
    def free(self) -> int:
        return self._link.free

    @property
    def in_flight(self) -> int:
        return self._link.in_flight

    @property
    def writable(self) -> bool:
        return self._link.writable

    def submit(
        self,
        batch: EncodedBatch,
        start: int,
        stop: int,
        slice_id: int,
        attempt: int,
        claim: int,
        index: array[int] | None = None,
    ) -> None:
        self._link.submit(batch, start, stop, slice_id, attempt, claim, index)

    def acknowledge(self, batch: ReceiptBatch) -> None:
        self._link.acknowledge(batch)

    def on_bound(self, _link: Link) -> None:
        self._owner.on_bound(self)

    def on_results(self, _link: Link, batch: ResultBatch) -> None:
        self._owner.on_results(self, batch)

    def on_receipts(self, _link: Link, batch: ReceiptBatch) -> None:
        self._owner.on_receipts(self, batch)

    def on_down(self, _link: Link, reason: str) -> None:
        self._owner.on_down(self, reason)

    def on_state(self, _link: Link, state: LinkState, reason: str) -> None:
        self._owner.on_state(self, _SHOWN[state], reason)


def _template(template: str, columns: Sequence[str]) -> text.Template:
    try:
        return text.Template(compile_template(template, columns))
    except (UnknownColumn, MalformedTemplate) as error:
        raise BadSettings(str(error)) from error


def _convert(values: dict[str, Any], to: type[Any]) -> Any:
    try:
        return msgspec.convert(values, to)
    except msgspec.ValidationError as error:
        raise BadSettings(str(error)) from error
