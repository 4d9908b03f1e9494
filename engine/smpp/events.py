"""What a session tells its owner."""

from dataclasses import dataclass

from engine._fast.columns import ReceiptBatch, ResultBatch


@dataclass(frozen=True, slots=True)
class Bound:
    """The SMSC accepted the bind. `interface_version` is 0 if it did not say."""

    peer_system_id: str
    interface_version: int


@dataclass(frozen=True, slots=True)
class BindRefused:
    """The SMSC refused the bind; the session is CLOSED."""

    status: int


@dataclass(frozen=True, slots=True)
class Results:
    """Outcomes of submitted parts."""

    batch: ResultBatch


@dataclass(frozen=True, slots=True)
class Receipts:
    """Receipts and mobile-originated messages; unanswered until `Session.acknowledge`."""

    batch: ReceiptBatch


@dataclass(frozen=True, slots=True)
class Unbound:
    """The session ended by unbind; `by_peer` says whose. Close the connection after the output."""

    by_peer: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """The session broke; close the connection after the output."""

    reason: str


@dataclass(frozen=True, slots=True)
class Congestion:
    """The SMSC's congestion_state, SMPP 5.0 §4.8.4.18: 0 idle to 100 congested; 80-89 is its best load."""

    level: int


Event = Bound | BindRefused | Results | Receipts | Congestion | Unbound | Closed
