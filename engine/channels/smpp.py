"""The SMPP channel: an account's links, and encoders with the addresses and flags its operator wants."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from typing import Any, cast
from weakref import WeakSet

import msgspec

from engine._fast.columns import EncodedBatch, ReceiptBatch, ResultBatch
from engine.channels.account_settings import AccountSettings
from engine.channels.described import convert
from engine.channels.interface import Account, BadSettings, Bind, BindOwner, Encoder
from engine.channels.message_encoder import message_encoder
from engine.channels.result_split import split
from engine.core_api.schema import NO_OPTIONS, MessageOptions
from engine.smpp import status, tls
from engine.smpp.gate import AccountGate, Tries
from engine.smpp.link import Link, LinkConfig, LinkState, Tap
from engine.smpp.outbind import Caller, OutbindListener

TEST_CLAIM = -1
"""The claim handle of test messages: their results never reach the owner's book."""

OUTBIND_NUMBER = 0
"""Of receivers that an SMSC's outbind made: they are nobody's lease and come and go as the SMSC wants."""

TLV_SPLITTING = {"sar": "udh16", "payload": "udh8"}
"""Ways to split that are TLVs, and what an SMSC without TLVs gets instead."""

_SHOWN = {
    LinkState.CONNECTING: "connecting",
    LinkState.BINDING: "binding",
    LinkState.BOUND: "bound",
    LinkState.UNBINDING: "unbinding",
    LinkState.WAITING: "down",
    LinkState.REFUSED: "refused",
    LinkState.STOPPED: "down",
}

_LINK_SETTINGS = (
    "bind_timeout_s",
    "connect_timeout_s",
    "enquire_link_s",
    "enquire_misses",
    "enquire_timeout_s",
    "password_tries",
    "reconnect_max_s",
    "reconnect_min_s",
    "response_timeout_s",
    "straggler_s",
    "unbind_timeout_s",
)


def link_config(account: Account, settings: AccountSettings, *, number: int, mode: str) -> LinkConfig:
    """One bind of an account. Raises BadSettings, naming the field."""
    _check_host("host", account.host)
    _check_host("tls_server_name", settings.tls_server_name)
    try:
        context = _tls_context(settings, account.secrets)
        return LinkConfig(
            name=f"{account.name}/{number}",
            host=account.host,
            port=account.port,
            ssl=context,
            server_name=settings.tls_server_name,
            system_id=account.system_id,
            password=account.password,
            system_type=account.system_type,
            bind_mode=mode,
            interface_version=account.interface_version,
            window_size=account.window_size,
            prefer_text=settings.receipt_prefer == "text",
            already_bound_s=(settings.already_bound_min_s, settings.already_bound_max_s),
            **{name: getattr(settings, name) for name in _LINK_SETTINGS},
        )
    except tls.BadTls as error:
        raise BadSettings(str(error), error.field) from None
    except ValueError as error:
        raise BadSettings(str(error), str(error).split()[0]) from None


def _check_host(field: str, host: str) -> None:
    """What no resolver could be asked for: a connection to it ends in no error of the network."""
    try:
        host.encode("idna")
    except UnicodeError:
        raise BadSettings(f"{field}: is no name of a host", field) from None


def _tls_context(settings: AccountSettings, secrets: dict[str, str]) -> Any:
    context = tls.client_context(
        ca_pem=settings.tls_ca_pem,
        cert_pem=settings.tls_client_cert_pem,
        key_pem=secrets.get("tls_client_key", ""),
    )
    return context if settings.tls == "on" else None


class SmppChannel:
    """See `engine.channels.interface.Channel`. The defaults are for accounts that say nothing themselves."""

    def __init__(
        self,
        *,
        response_timeout_s: float = 30.0,
        enquire_link_s: float = 30.0,
        tries: Callable[[Account], Tries] | None = None,
    ) -> None:
        """`tries`: of an account, where several engines bind it."""
        self._tries = tries
        self._defaults = {"response_timeout_s": response_timeout_s, "enquire_link_s": enquire_link_s}
        self._binds: WeakSet[SmppBind] = WeakSet()
        self._tlv: dict[int, str] = {}  # by account
        self._callers: dict[int, Caller] = {}  # by account: who may say outbind
        self._listener = OutbindListener(self._expected)

    def binds(self, account: Account, owner: BindOwner) -> list[Bind]:
        """`pair` gives a receiver (numbers above `account.binds`) before each transmitter, which waits until
        its receiver is bound."""
        settings = convert(self._defaults | account.settings, AccountSettings)
        gate = AccountGate(
            tries=settings.password_tries,
            stagger_s=settings.bind_stagger_s,
            shared=self._tries(account) if self._tries is not None else None,
        )
        self._tlv[account.account_id] = settings.tlv
        binds: dict[int, SmppBind] = {}
        for number, mode in bind_modes(account).items():
            config = link_config(account, settings, number=number, mode=mode)
            receiver = binds.get(number + account.binds)
            binds[number] = SmppBind(
                owner, account.account_id, number, config, gate, receiver.link if receiver else None
            )
            binds[number].on_stopped = self._bind_stopped
        self._binds.update(binds.values())
        self._expect_outbind(account, settings, owner)
        return list(binds.values())

    async def listen(self, host: str, port: int) -> int:
        """Takes outbinds for accounts that allow them; gives the port (of 0: a free one)."""
        await self._listener.start(host, port)
        return self._listener.port

    async def stop_listening(self) -> None:
        """No more outbinds; receivers made by them unbind."""
        self._listener.stop()
        links = [caller.link for caller in self._callers.values()]
        self._callers.clear()
        await asyncio.gather(*(link.stop(timeout_s=1.0) for link in links))

    def _expected(self) -> list[Caller]:
        """Only an account that is at work takes outbinds."""
        working = {bind.account_id for bind in self.running()}
        return [caller for account_id, caller in self._callers.items() if account_id in working]

    def _bind_stopped(self, account_id: int) -> None:
        caller = self._callers.get(account_id)
        if caller is not None and not any(bind.account_id == account_id for bind in self.running()):
            caller.link.stop_soon()

    def _expect_outbind(self, account: Account, settings: AccountSettings, owner: BindOwner) -> None:
        known = self._callers.pop(account.account_id, None)
        if known is not None:
            known.link.stop_soon()
        if not settings.outbind:
            return
        config = link_config(account, settings, number=OUTBIND_NUMBER, mode="receiver")
        self._callers[account.account_id] = Caller(
            allow=tuple(settings.outbind_allow),
            system_id=settings.outbind_system_id,
            password=account.secrets.get("outbind_password", ""),
            link=OutbindReceiver(owner, config).link,
        )

    def running(self) -> list[SmppBind]:
        """Binds made here that are connected or trying to be, by account and number."""
        found = [bind for bind in self._binds if bind.link.state is not LinkState.STOPPED]
        return sorted(found, key=lambda bind: (bind.account_id, bind.number))

    def takes_tlvs(self, account_id: int) -> bool:
        """Whether TLVs may be sent on this account now: by its setting and, where that is `negotiated`, by
        what the SMSC said when it was bound."""
        policy = self._tlv.get(account_id, "always")
        if policy != "negotiated":
            return policy == "always"
        bound = [
            bind for bind in self._binds if bind.account_id == account_id and bind.bound and bind.submits
        ]
        return bool(bound) and all(bind.link.session.takes_tlvs for bind in bound)

    def encoder(
        self,
        settings: dict[str, Any],
        *,
        text: str,
        sender: str,
        columns: Sequence[str],
        options: MessageOptions = NO_OPTIONS,
        account_id: int | None = None,
    ) -> Encoder:
        """With `account_id`, as that account's `tlv` setting wants it."""

        def make(settings: dict[str, Any], options: MessageOptions) -> Encoder:
            return message_encoder(settings, text=text, sender=sender, columns=columns, options=options)

        policy = self._tlv.get(account_id, "always") if account_id is not None else "always"
        if policy == "always":
            return make(settings, options)
        plain = make(*without_tlvs(settings, options))
        if policy == "never" or account_id is None:
            return plain
        return _NegotiatedEncoder(make(settings, options), plain, lambda: self.takes_tlvs(account_id))

    def classify(self, code: int) -> status.Class:
        return status.classify(code)


class OutbindReceiver:
    """A receiver on an SMSC's own connection: its receipts are the account's, its state is only logged."""

    number = OUTBIND_NUMBER
    submits = False

    def __init__(self, owner: BindOwner, config: LinkConfig) -> None:
        self.link = Link(config, self)
        self._owner = owner

    def acknowledge(self, batch: ReceiptBatch, status: int = 0) -> None:
        self.link.acknowledge(batch, status)

    def on_receipts(self, _link: Link, batch: ReceiptBatch) -> None:
        self._owner.on_receipts(cast(Bind, self), batch)  # a receiver: nobody submits on it

    def on_bound(self, _link: Link) -> None: ...
    def on_results(self, _link: Link, batch: ResultBatch) -> None: ...
    def on_down(self, _link: Link, reason: str) -> None: ...
    def on_state(self, _link: Link, state: LinkState, reason: str) -> None: ...
    def on_congestion(self, _link: Link, level: int) -> None: ...


def bind_modes(account: Account) -> dict[int, str]:
    """Mode by bind number, in the order of binding: in pairs the receivers come first."""
    numbers = range(1, account.binds + 1)
    if account.bind_mode != "pair":
        return dict.fromkeys(numbers, account.bind_mode)
    receivers = range(account.binds + 1, 2 * account.binds + 1)
    return dict.fromkeys(receivers, "receiver") | dict.fromkeys(numbers, "transmitter")


def without_tlvs(settings: dict[str, Any], options: MessageOptions) -> tuple[dict[str, Any], MessageOptions]:
    """What to encode for an SMSC that takes no TLVs. Raises BadSettings where the message needs them."""
    if settings.get("dlt_required"):
        raise BadSettings("tlv: the ids of DLT are TLVs, and the channel requires them", "tlv")
    splitting = settings.get("splitting", "")
    settings = settings | {"splitting": TLV_SPLITTING[splitting]} if splitting in TLV_SPLITTING else settings
    return settings, msgspec.structs.replace(options, dlt_pe_id="", dlt_template_id="")


class _NegotiatedEncoder:
    """Chooses at each claim, by what the SMSC said at its last bind."""

    def __init__(self, full: Encoder, plain: Encoder, takes_tlvs: Callable[[], bool]) -> None:
        self._full = full
        self._plain = plain
        self._takes_tlvs = takes_tlvs

    def encode(
        self,
        msisdn: Any,
        columns: Sequence[Any],
        rows: array[int],
        row_base: int,
        slice_id: int,
        first_sequence: int,
        row_ids: array[int] | None = None,
    ) -> EncodedBatch:
        encoder = self._full if self._takes_tlvs() else self._plain
        return encoder.encode(msisdn, columns, rows, row_base, slice_id, first_sequence, row_ids)


class SmppBind:
    """A Link as a Bind: same batches, the owner sees the bind and states that the console knows."""

    def __init__(
        self,
        owner: BindOwner,
        account_id: int,
        number: int,
        config: LinkConfig,
        gate: AccountGate,
        receiver: Link | None,
    ) -> None:
        self.account_id = account_id
        self.number = number
        self.mode = config.bind_mode
        self.submits = config.bind_mode != "receiver"
        self.on_test_results: Callable[[ResultBatch], None] | None = None
        self.on_stopped: Callable[[int], None] = lambda account_id: None
        self.link = Link(config, self, gate=gate, after=receiver)
        self._owner = owner
        self.start = self.link.start
        self.stop = self.link.stop
        self.reserve_sequences = self.link.reserve_sequences

    @property
    def interface_version(self) -> int:
        """The SMSC's, 0 where it does not say or is not bound."""
        peer = self.link.session.peer
        return peer.interface_version if peer is not None and self.bound else 0

    @property
    def tap(self) -> Tap | None:
        return self.link.tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self.link.tap = tap

    @property
    def bound(self) -> bool:
        return self.link.bound

    @property
    def free(self) -> int:
        return self.link.free

    @property
    def in_flight(self) -> int:
        return self.link.in_flight

    @property
    def writable(self) -> bool:
        return self.link.writable

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
        self.link.submit(batch, start, stop, slice_id, attempt, claim, index)

    def acknowledge(self, batch: ReceiptBatch, status: int = 0) -> None:
        self.link.acknowledge(batch, status)

    def on_bound(self, _link: Link) -> None:
        self._owner.on_bound(self)

    def on_results(self, _link: Link, batch: ResultBatch) -> None:
        if self.on_test_results is not None and TEST_CLAIM in batch.claim:
            tests, batch = split(batch, TEST_CLAIM)
            self.on_test_results(tests)
            if not batch.count:
                return
        self._owner.on_results(self, batch)

    def on_receipts(self, _link: Link, batch: ReceiptBatch) -> None:
        self._owner.on_receipts(self, batch)

    def on_down(self, _link: Link, reason: str) -> None:
        self._owner.on_down(self, reason)

    def on_state(self, _link: Link, state: LinkState, reason: str) -> None:
        if state is LinkState.STOPPED:
            self.on_stopped(self.account_id)
        self._owner.on_state(self, _SHOWN[state], reason)

    def on_congestion(self, _link: Link, level: int) -> None:
        self._owner.on_congestion(self, level)
