"""One SMPP session as an ESME, sans-IO: octets and times in, events and octets out.

Rules of the machine:

1. states.TRANSITIONS is all of it. A session ends in CLOSED, with output still to be taken; what the peer
   sends after that is not read. `open` starts the next one: sequence numbers go on, the window is empty.
2. Only BOUND accepts submits. BOUND and UNBINDING read responses and receipts.
3. In one read the answer to the bind comes first, then responses, receipts, and the rest in order: what
   follows a bind response in the same segment belongs to the bound session.
4. A slot is registered before its octets exist outside, so no response can be faster than its slot.
5. Nothing is an answer to a response or a generic_nack. A peer's sequence number is echoed, whatever it is.
6. Times are arguments: `now` monotonic seconds, `now_us` unix microseconds that never step (link.WallClock).
   A tick that comes late does nothing yet: what waits in the socket is read before anything expires.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from engine._fast import pdu, receipts, window
from engine._fast.columns import EncodedBatch, ParsedBatch, ReceiptBatch
from engine.smpp import codec
from engine.smpp.codec import Pdu, SmppError
from engine.smpp.events import (
    BindRefused,
    Bound,
    Closed,
    Congestion,
    Event,
    Receipts,
    Results,
    Unbound,
)
from engine.smpp.states import TRANSITIONS, State, Step
from engine.smpp.tables import (
    ALERT_NOTIFICATION,
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    ENQUIRE_LINK,
    GENERIC_NACK,
    MAX_SEQUENCE,
    OUTBIND,
    PDUS,
    RESPONSE,
    SUBMIT_SM,
    UNBIND,
)

RINVCMDLEN = 0x02
RINVCMDID = 0x03
RINVBNDSTS = 0x04
RX_T_APPN = 0x64
RUNKNOWNERR = 0xFF

BIND_COMMANDS = {
    "transceiver": BIND_TRANSCEIVER,
    "transmitter": BIND_TRANSMITTER,
    "receiver": BIND_RECEIVER,
}
_BIND_RESPONSES = frozenset(command | RESPONSE for command in BIND_COMMANDS.values())

EXPIRY_PERIOD_S = 1.0
STALL_S = 2.0
CONGESTION_EVERY_S = 0.1
V5 = 0x50

# A member looked up on its class costs ten times a global, and a wake-up asks often.
_BOUND: Final = State.BOUND
_CLOSED: Final = State.CLOSED


class NotBound(SmppError):
    """Submitted or unbound while the session is not BOUND: keep the batch, try after the next Bound."""


class WindowFull(SmppError):
    """More PDUs than `window.free`: nothing was registered or written."""


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """What a bind needs, and its timers (SMPP 3.4 §7.2)."""

    system_id: str
    password: str = field(repr=False)
    system_type: str = ""
    bind_mode: str = "transceiver"
    interface_version: int = 0x34
    window_size: int = 10
    bind_timeout_s: float = 30.0
    unbind_timeout_s: float = 5.0
    response_timeout_s: float = 30.0
    straggler_s: float = 300.0
    """A slot whose response never came is freed after this long; a later response is not known any more."""
    enquire_link_s: float = 30.0
    """Silence of the peer before an enquire_link."""
    enquire_timeout_s: float = 10.0
    enquire_misses: int = 2
    prefer_text: bool = False
    """A receipt's text counts before its TLVs."""

    def __post_init__(self) -> None:
        if self.bind_mode not in BIND_COMMANDS:
            raise ValueError(f"bind_mode {self.bind_mode!r}: one of {', '.join(BIND_COMMANDS)}")
        if self.window_size < 1:
            raise ValueError("window_size must be at least 1")
        for name in ("system_id", "password", "system_type"):
            value: str = getattr(self, name)
            if "\0" in value or any(character > "\xff" for character in value):
                raise ValueError(f"{name} must be Latin-1 without a NUL")


class Session:
    """The state of one bind over its connections."""

    def __init__(self, config: SessionConfig) -> None:
        self.config = config
        self.state = State.CLOSED
        self.window = window.Window(config.window_size)
        self.peer: Bound | None = None
        self.stray = 0  # responses and nacks that answer nothing of ours
        self.malformed = 0  # PDUs whose body did not parse
        self._next_sequence = 1
        self._output: list[bytes | bytearray] = []
        self.urgent = False  # the output has more than answers to receipts
        self._start_connection()

    def _start_connection(self) -> None:
        self._parser = pdu.StreamParser()
        self._output.clear()
        self._unanswered: dict[int, ReceiptBatch] = {}  # by id(): answers must not cross connections
        self._bind_sequence = 0
        self._deadline = 0.0  # of the bind or unbind under way
        self._probe_at = 0.0
        self._probes = 0
        self._expiry_at = 0.0
        self._stuck_since: float | None = None  # the window is full of parts that were given up
        self._promised = 0.0  # when the next tick was asked for
        self._congestion_at = 0.0
        self._congestion = -1

    @property
    def takes_tlvs(self) -> bool:
        """The peer said that it speaks 3.4 or above. Many that do not say so take TLVs all the same."""
        return self.peer is not None and self.peer.interface_version >= 0x34

    @property
    def _speaks_v5(self) -> bool:
        return self.peer is not None and self.peer.interface_version >= V5

    @property
    def closed(self) -> bool:
        """No session: nothing is read or accepted, output may still wait."""
        return self.state is _CLOSED

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state, step]

    # -- out ---------------------------------------------------------------

    def open(self, now: float) -> None:
        """The connection stands: queues the bind. Only from CLOSED, with `connection_lost` called."""
        self._move(Step.CONNECTED)
        assert self.window.in_flight == 0, "connection_lost was not called"
        self._start_connection()
        self.peer = None
        config = self.config
        self._bind_sequence = self.reserve_sequences(1)
        self._queue(
            BIND_COMMANDS[config.bind_mode],
            self._bind_sequence,
            fields={
                "system_id": config.system_id.encode("latin-1"),
                "password": config.password.encode("latin-1"),
                "system_type": config.system_type.encode("latin-1"),
                "interface_version": config.interface_version,
            },
        )
        self._deadline = now + config.bind_timeout_s
        self._move(Step.BIND_SENT)
        self._promised = self._deadline

    def reserve_sequences(self, count: int) -> int:
        """The first of `count` sequence numbers; they wrap from 0x7FFFFFFF to 1."""
        assert 0 < count < MAX_SEQUENCE, "count out of range"
        first = self._next_sequence
        self._next_sequence = (first - 1 + count) % MAX_SEQUENCE + 1
        return first

    def submit(
        self,
        batch: EncodedBatch,
        start: int,
        stop: int,
        slice_id: int,
        attempt: int,
        claim: int,
        now_us: int,
        index: array[int] | None = None,
    ) -> memoryview:
        """Registers PDUs start..stop of the batch in the window and gives their octets, to write at once.

        Raises NotBound or WindowFull, with nothing registered. `index` maps a batch of `pdu.take` to the
        claim's original one.
        """
        if self.state is not _BOUND:
            raise NotBound(f"submit while {self.state}")
        assert 0 <= start < stop <= batch.count, "empty or foreign range"
        if stop - start > self.window.free:
            raise WindowFull(f"{stop - start} PDUs, {self.window.free} free")
        self.window.register(batch, start, stop, slice_id, attempt, claim, now_us, index)
        return memoryview(batch.pdus)[batch.end[start - 1] if start else 0 : batch.end[stop - 1]]

    def acknowledge(self, batch: ReceiptBatch, status: int = 0) -> None:
        """Queues the responses of a Receipts event. A batch of an earlier connection is dropped: the SMSC
        sends those again."""
        if self._unanswered.pop(id(batch), None) is None:
            return
        if self.state is not _BOUND and self.state is not State.UNBINDING:
            return
        self._output.append(pdu.deliver_responses(batch.sequence, batch.command, status))

    def unbind(self, now: float) -> None:
        """Queues an unbind. Raises NotBound; from any other state just close the connection."""
        if self.state is not State.BOUND:
            raise NotBound(f"unbind while {self.state}")
        self._queue(UNBIND, self.reserve_sequences(1))
        self._deadline = now + self.config.unbind_timeout_s
        self._move(Step.UNBIND_SENT)

    def take_output(self) -> bytes:
        """The octets to write, once."""
        self.urgent = False
        if not self._output:
            return b""
        output = b"".join(self._output)
        self._output.clear()
        return output

    @property
    def unacknowledged(self) -> int:
        """Receipts handed out and not yet answered."""
        return sum(batch.count for batch in self._unanswered.values())

    def _queue(
        self, command_id: int, sequence: int, status: int = 0, fields: dict[str, codec.Value] | None = None
    ) -> None:
        self.urgent = True
        self._output.append(codec.encode(command_id, sequence, status=status, fields=fields))

    # -- in ----------------------------------------------------------------

    def receive(self, data: bytes, now: float, now_us: int) -> list[Event]:
        """What the peer's octets mean. Never raises for anything a peer can send."""
        return list(self.read(data, now, now_us))

    def read(self, data: bytes, now: float, now_us: int) -> Iterator[Event]:
        """`receive`, an event at a time: what an event leads to may be written while the rest is still to be
        read. It must be read to its end.

        Where the session begins or ends in this read, all of it is read before the first event is told: no
        response stands for what was not written yet, and what would be submitted on the responses of a peer
        that takes its leave is lost.
        """
        if self.closed:
            return iter(())
        self._probe_at = now + self.config.enquire_link_s
        self._probes = 0
        parsed = self._parser.feed(data)
        others: list[Pdu] = []
        if parsed.other_start:
            others = [
                codec.decode(parsed.data[start:end])
                for start, end in zip(parsed.other_start, parsed.other_end, strict=True)
            ]
        moves = (
            self.state is not _BOUND
            or parsed.fatal is not None
            or any(each.command_id == UNBIND for each in others)
        )
        events = self._read_parsed(parsed, others, now, now_us)
        return iter(list(events)) if moves else events

    def _read_parsed(
        self, parsed: ParsedBatch, others: list[Pdu], now: float, now_us: int
    ) -> Iterator[Event]:
        if self.state is not _BOUND and self.state is State.BINDING:
            events: list[Event] = []
            others = self._read_bind_answer(others, events)
            yield from events
        if parsed.resp_sequence and not self.closed:
            results = self.window.resolve(parsed, now_us)
            if results.count:
                yield Results(results)
        if parsed.deliver_start and not self.closed:
            yield from self._read_deliveries(parsed)
        if others or parsed.fatal is not None or self._speaks_v5:
            yield from self._read_rest(parsed, others, now, now_us)
        self._promise()

    def _read_rest(self, parsed: ParsedBatch, others: list[Pdu], now: float, now_us: int) -> list[Event]:
        events: list[Event] = []
        if self._speaks_v5 and parsed.resp_sequence:
            self._read_congestion(parsed.data, now, events)
        for each in others:
            if self.closed:
                break
            self._read_control(each, now_us, events)
        if parsed.fatal is not None and not self.closed:
            self._queue(GENERIC_NACK, parsed.fatal_sequence, RINVCMDLEN)
            self._break(parsed.fatal, events)
        return events

    def _read_bind_answer(self, others: list[Pdu], events: list[Event]) -> list[Pdu]:
        for position, each in enumerate(others):
            nacked = each.command_id == GENERIC_NACK and each.sequence == self._bind_sequence
            if each.command_id not in _BIND_RESPONSES and not nacked:
                continue
            if each.fault:
                self.malformed += 1
            if each.status or nacked:
                self._move(Step.BIND_REFUSED)
                events.append(BindRefused(each.status or RUNKNOWNERR))
            else:
                version = each.tlv("sc_interface_version")
                self.peer = Bound(
                    each.octets("system_id").decode("latin-1"), version if isinstance(version, int) else 0
                )
                self._move(Step.BIND_ACCEPTED)
                events.append(self.peer)
            return others[:position] + others[position + 1 :]
        return others

    def _read_deliveries(self, parsed: ParsedBatch) -> list[Event]:
        if self.state is not _BOUND and self.state is State.BINDING:
            for start in parsed.deliver_start:
                header = codec.read_header(parsed.data, start)
                self._queue(header.command_id | RESPONSE, header.sequence, RX_T_APPN)
            return []
        batch = receipts.parse(parsed.data, parsed.deliver_start, parsed.deliver_end, self.config.prefer_text)
        assert batch.count == len(parsed.deliver_start), "every deliver_sm must get an answer"
        self._unanswered[id(batch)] = batch
        return [Receipts(batch)]

    def _read_congestion(self, data: bytes, now: float, events: list[Event]) -> None:
        """The last response of a read speaks for all of it, a few times a second: the pacer needs no more."""
        if now < self._congestion_at:
            return
        self._congestion_at = now + CONGESTION_EVERY_S
        start, last = 0, -1
        while start < len(data):
            header = codec.read_header(data, start)
            if header.command_id == SUBMIT_SM | RESPONSE:
                last = start
            start += header.command_length
        if last < 0:
            return
        end = last + codec.read_header(data, last).command_length
        level = codec.decode(data[last:end]).tlv("congestion_state")
        if isinstance(level, int) and level != self._congestion and level <= 100:
            self._congestion = level
            events.append(Congestion(level))

    def _read_control(self, each: Pdu, now_us: int, events: list[Event]) -> None:
        if each.fault:
            self.malformed += 1
        handler = self._CONTROL.get(each.command_id)
        if handler:
            handler(self, each, now_us, events)
        elif each.is_response:
            self.stray += 1
        elif each.command_id in PDUS:
            self._queue(each.command_id | RESPONSE, each.sequence, RINVBNDSTS)
        else:
            self._queue(GENERIC_NACK, each.sequence, RINVCMDID)

    def _on_enquire_link(self, each: Pdu, now_us: int, events: list[Event]) -> None:
        self._queue(ENQUIRE_LINK | RESPONSE, each.sequence)

    def _on_unbind(self, each: Pdu, now_us: int, events: list[Event]) -> None:
        self._queue(UNBIND | RESPONSE, each.sequence)
        self._move(Step.UNBIND_RECEIVED)
        events.append(Unbound(by_peer=True))

    def _on_unbind_resp(self, each: Pdu, now_us: int, events: list[Event]) -> None:
        if self.state is not State.UNBINDING:
            self.stray += 1
            return
        self._move(Step.UNBIND_ANSWERED)
        events.append(Unbound(by_peer=False))

    def _on_nack(self, each: Pdu, now_us: int, events: list[Event]) -> None:
        # A nack with status 0 contradicts itself; it must not count as an acceptance.
        results = self.window.resolve_one(each.sequence, each.status or RUNKNOWNERR, now_us)
        if results.count:
            events.append(Results(results))
        else:
            self.stray += 1

    def _ignore(self, each: Pdu, now_us: int, events: list[Event]) -> None:
        """It needs no answer: enquire_link_resp has done its work by being heard."""

    _CONTROL: dict[int, Callable[[Session, Pdu, int, list[Event]], None]] = {  # noqa: RUF012
        ENQUIRE_LINK: _on_enquire_link,
        ENQUIRE_LINK | RESPONSE: _ignore,
        UNBIND: _on_unbind,
        UNBIND | RESPONSE: _on_unbind_resp,
        GENERIC_NACK: _on_nack,
        OUTBIND: _ignore,
        ALERT_NOTIFICATION: _ignore,
    }

    # -- time --------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When the next `tick` is due, monotonic seconds; None while CLOSED."""
        state = self.state
        if state is _CLOSED:
            return None
        due = self._probe_at if state is _BOUND else self._deadline
        if self._expiry_at < due and self.window.in_flight:
            return self._expiry_at
        return due

    def tick(self, now: float, now_us: int) -> list[Event]:
        """Runs the timers that are due; calling it early does nothing."""
        events: list[Event] = []
        if self.closed:
            return events
        if now - self._promised > STALL_S:
            self._postpone(now + EXPIRY_PERIOD_S)
            return events
        if self.window.in_flight and now >= self._expiry_at:
            self._expire(now, now_us, events)
        if self.closed:
            return events
        if self.state is State.BOUND:
            self._probe(now, events)
        elif now >= self._deadline:
            self._break(f"no answer to the {'bind' if self.state is State.BINDING else 'unbind'}", events)
        self._promise()
        return events

    def _postpone(self, until: float) -> None:
        self._probe_at = max(self._probe_at, until)
        self._deadline = max(self._deadline, until)
        self._expiry_at = max(self._expiry_at, until)
        self._promised = until

    def _promise(self) -> None:
        self._promised = self.next_deadline() or 0.0

    def _expire(self, now: float, now_us: int, events: list[Event]) -> None:
        self._expiry_at = now + EXPIRY_PERIOD_S
        results = self.window.expire(now_us - round(self.config.response_timeout_s * 1e6), now_us)
        self.window.forget_before(now_us - round(self.config.straggler_s * 1e6))
        if results.count:
            events.append(Results(results))
        self._leave_if_stuck(now, events)

    def _leave_if_stuck(self, now: float, events: list[Event]) -> None:
        """A window full of parts that were given up sends nothing: after one more response timeout for the
        late ones the session is left, and the next begins with an empty window."""
        if self.state is not State.BOUND or self.window.free or self.window.oldest_us >= 0:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since >= self.config.response_timeout_s:
            self._break("a whole window got no response", events)

    def _probe(self, now: float, events: list[Event]) -> None:
        if now < self._probe_at:
            return
        if self._probes >= self.config.enquire_misses:
            self._break("no answer to enquire_link", events)
            return
        self._probes += 1
        self._probe_at = now + self.config.enquire_timeout_s
        self._queue(ENQUIRE_LINK, self.reserve_sequences(1))

    # -- end ---------------------------------------------------------------

    def _break(self, reason: str, events: list[Event]) -> None:
        self._move(Step.BROKEN)
        events.append(Closed(reason))

    def connection_lost(self, now_us: int) -> list[Event]:
        """The connection is gone: what was in flight is lost (status -2). Ends every connection."""
        events: list[Event] = []
        if self.state is State.UNBINDING:  # many SMSCs just close
            self._move(Step.UNBIND_ANSWERED)
            events.append(Unbound(by_peer=False))
        elif not self.closed:
            self._break("connection lost", events)
        results = self.window.drain(now_us)
        if results.count:
            events.insert(0, Results(results))
        self._unanswered.clear()
        self._output.clear()
        return events
