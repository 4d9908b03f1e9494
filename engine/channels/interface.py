"""What dispatch needs of a channel: binds that take batches, an encoder for a campaign's text, classes of
errors."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from engine._fast.columns import EncodedBatch, ReceiptBatch, ResultBatch
from engine.core_api.schema import NO_OPTIONS, MessageOptions
from engine.ledger.accounts import Account
from engine.smpp.status import Class

if TYPE_CHECKING:
    from engine._fast.text import Column

__all__ = ["Account", "BadSettings", "Bind", "BindOwner", "Channel", "Encoder"]


class BadSettings(ValueError):
    """Settings, sender or text that this kind of channel cannot work with; the message is for a person.

    `field`: the setting that is wrong, where it is one.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Encoder(Protocol):
    """Encodes rows of a chunk; see `engine._fast.pdu.SubmitEncoder`."""

    def encode(
        self,
        msisdn: Any,
        columns: Sequence[Column],
        rows: array[int],
        row_base: int,
        slice_id: int,
        first_sequence: int,
        row_ids: array[int] | None = None,
    ) -> EncodedBatch: ...


class Bind(Protocol):
    """One session of an account. Its state belongs to the channel; batches go in, events come out at the
    owner."""

    @property
    def number(self) -> int:
        """From 1, unique within the account."""

    @property
    def submits(self) -> bool:
        """False for a receiver: it takes no batches."""

    @property
    def bound(self) -> bool: ...

    @property
    def free(self) -> int:
        """PDUs the window takes now; 0 while not bound."""

    @property
    def in_flight(self) -> int: ...

    @property
    def writable(self) -> bool:
        """False while not bound or while the peer reads too slowly."""

    def start(self) -> None: ...

    async def stop(self, timeout_s: float) -> None:
        """Ends the session; what has no response then comes as results with status -2, before this
        returns."""

    def reserve_sequences(self, count: int) -> int:
        """The first of `count` sequence numbers of this bind."""

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
        """Write PDUs start..stop, at most `free`; see `engine.smpp.link.Link.submit`."""

    def acknowledge(self, batch: ReceiptBatch, status: int = 0) -> None:
        """Answers the receipts: 0, or ESME_RX_T_APPN (0x64) to get them again later."""


class BindOwner(Protocol):
    """Who started the binds. Called in the event loop; must not block."""

    def on_bound(self, bind: Bind) -> None: ...
    def on_results(self, bind: Bind, batch: ResultBatch) -> None: ...
    def on_receipts(self, bind: Bind, batch: ReceiptBatch) -> None: ...
    def on_down(self, bind: Bind, reason: str) -> None: ...
    def on_state(self, bind: Bind, state: str, reason: str) -> None:
        """`state` is one of `engine.core_api.schema.Bind.state`."""

    def on_congestion(self, bind: Bind, level: int) -> None:
        """The SMSC says how loaded it is (SMPP 5.0 congestion_state): 0 idle to 100 congested."""


class Channel(Protocol):
    """A kind of channel."""

    def binds(self, account: Account, owner: BindOwner) -> list[Bind]:
        """The account's binds, not started. Raises BadSettings."""

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
        """For a campaign's text over chunks with these columns; `account_id`: what is sent over, where it is
        known. Raises BadSettings."""

    def classify(self, status: int) -> Class:
        """What to do about a response's status (>= 0)."""
