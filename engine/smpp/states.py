"""The states of a session and every transition between them."""

from enum import Enum, StrEnum, auto
from types import MappingProxyType


class State(StrEnum):
    """SMPP 3.4 §2.2, with the ways between."""

    CLOSED = "closed"
    OPEN = "open"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"


class Step(Enum):
    """What moves the machine."""

    CONNECTED = auto()
    BIND_SENT = auto()
    BIND_ACCEPTED = auto()
    BIND_REFUSED = auto()
    UNBIND_SENT = auto()
    UNBIND_RECEIVED = auto()
    UNBIND_ANSWERED = auto()
    BROKEN = auto()  # connection lost, a timer, a length that cannot be framed


TRANSITIONS = MappingProxyType(
    {
        (State.CLOSED, Step.CONNECTED): State.OPEN,
        (State.OPEN, Step.BIND_SENT): State.BINDING,
        (State.OPEN, Step.BROKEN): State.CLOSED,
        (State.BINDING, Step.BIND_ACCEPTED): State.BOUND,
        (State.BINDING, Step.BIND_REFUSED): State.CLOSED,
        (State.BINDING, Step.UNBIND_RECEIVED): State.CLOSED,
        (State.BINDING, Step.BROKEN): State.CLOSED,
        (State.BOUND, Step.UNBIND_SENT): State.UNBINDING,
        (State.BOUND, Step.UNBIND_RECEIVED): State.CLOSED,
        (State.BOUND, Step.BROKEN): State.CLOSED,
        (State.UNBINDING, Step.UNBIND_RECEIVED): State.CLOSED,
        (State.UNBINDING, Step.UNBIND_ANSWERED): State.CLOSED,
        (State.UNBINDING, Step.BROKEN): State.CLOSED,
    }
)
