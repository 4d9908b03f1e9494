"""One bind kept up over asyncio: connects, binds, reconnects, and gives the session's events to its owner.

One wake-up of the socket is one parse of all that was read, the owner's callbacks, and one write of all they
led to; what responses led to is written before the receipts that came with them are read. Backpressure stops
feeding (`writable`, `free`), never reading.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, cast

import structlog

from engine._fast.columns import EncodedBatch, ReceiptBatch, ResultBatch
from engine.smpp import status, tls
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
from engine.smpp.gate import AccountGate, Ticket
from engine.smpp.reconnect import ALREADY_BOUND_S, Backoff
from engine.smpp.session import NotBound, Session, SessionConfig
from engine.smpp.states import State

_log = structlog.get_logger(__name__)

WRITE_HIGH_WATER = 1 << 20
MAX_UNWRITTEN = 16 << 20  # of a peer that asks and does not read the answers
MAX_EARLY = 4096  # octets of a peer that speaks before it is bound to
TICK_S = 1.0
ANSWERS_S = 0.001  # that answers to receipts wait for octets to go with
_BOUND: Final = State.BOUND
REFUSED_BEFORE = "the password was refused too often: give it again, or rebind"

Tap = Callable[[bool, bytes, int], None]
"""Sees a connection's octets: (whether they go out, octets, unix microseconds). Must not block or raise."""


class LinkState(StrEnum):
    """What the owner shows of a bind."""

    CONNECTING = "connecting"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    WAITING = "waiting"  # before the next connection
    REFUSED = "refused"  # wrong password: it, or its account's gate, does not try again until `start`
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class LinkConfig(SessionConfig):
    """An SMSC's address and how to come back to it."""

    name: str  # for logs and pages
    host: str
    port: int
    ssl: ssl.SSLContext | None = None
    server_name: str = ""
    """What the SMSC's certificate must be for; "" for the host."""
    connect_timeout_s: float = 10.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0
    password_tries: int = 3
    already_bound_s: tuple[float, float] = ALREADY_BOUND_S
    """Least and longest wait after ESME_RALYBND."""


class LinkHandler(Protocol):
    """The owner of a link. Called in the event loop; must not block. Its exceptions are logged, no more."""

    def on_bound(self, link: Link) -> None: ...
    def on_results(self, link: Link, batch: ResultBatch) -> None: ...
    def on_receipts(self, link: Link, batch: ReceiptBatch) -> None: ...
    def on_down(self, link: Link, reason: str) -> None:
        """A bound session ended; the results of what was in flight (status -2) came before."""

    def on_state(self, link: Link, state: LinkState, reason: str) -> None: ...
    def on_congestion(self, link: Link, level: int) -> None:
        """An SMSC of SMPP 5.0 says how loaded it is: 0 idle to 100 congested."""


class WallClock:
    """Unix microseconds that never step: read once, then advanced by the monotonic clock."""

    def __init__(self, read_us: Callable[[], int], now: float) -> None:
        self._read_us = read_us
        self.set(now)

    def set(self, now: float) -> None:
        """Takes the system's time; only while nothing is in flight."""
        self._base_us = self._read_us() - round(now * 1e6)

    def us(self, now: float) -> int:
        return self._base_us + round(now * 1e6)


def _system_us() -> int:
    return time.time_ns() // 1000


class Link:
    """One bind. `start`, then submit while `bound` and `free`; `stop` unbinds. All in one event loop."""

    def __init__(
        self,
        config: LinkConfig,
        handler: LinkHandler,
        *,
        wall_us: Callable[[], int] = _system_us,
        backoff: Backoff | None = None,
        gate: AccountGate | None = None,
        after: Link | None = None,
    ) -> None:
        """`gate`: shared by the links of an account. `after`: binds only while that link is bound."""
        self.config = config
        self.handler = handler
        self.session = Session(config)
        self.state = LinkState.STOPPED
        self.reason = ""
        self.tap: Tap | None = None
        self.is_bound = asyncio.Event()
        self.ticket: Ticket | None = None
        self._was_refused = False
        self._gate = gate
        self._after = after
        self._given_backoff = backoff
        self._wall_us = wall_us
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    # -- the owner's side --------------------------------------------------

    @property
    def bound(self) -> bool:
        return self.session.state is State.BOUND

    @property
    def free(self) -> int:
        """PDUs the window takes now; 0 while not bound."""
        session = self.session
        return session.window.free if session.state is _BOUND else 0

    @property
    def in_flight(self) -> int:
        return self.session.window.in_flight

    @property
    def writable(self) -> bool:
        """False while not bound, or while the peer reads too slowly for what was written: do not feed."""
        connection = self._connection
        return connection is not None and connection.writable and self.session.state is _BOUND

    def start(self) -> None:
        """Connects, and keeps at it until `stop` or three refused passwords."""
        if self._task is not None and not self._task.done():
            return
        config = self.config
        self._stopping.clear()
        backoff = self._given_backoff or Backoff(
            config.reconnect_min_s,
            config.reconnect_max_s,
            config.password_tries,
            already_bound_s=config.already_bound_s,
        )
        if self._gate is not None and self._was_refused:
            self._gate.reset()
        self._was_refused = False
        self._task = asyncio.create_task(self._run(backoff), name=f"smpp-link-{config.name}")

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Unbinds and closes; what is still in flight then is reported as lost."""
        self._stopping.set()
        if self._task is None:
            return
        if self._connection is None:
            self._task.cancel()
        elif self.bound:
            self.set_state(LinkState.UNBINDING)
            self._connection.unbind()
        else:
            self._connection.abort()
        _, pending = await asyncio.wait({self._task}, timeout=timeout_s)
        if pending:
            if self._connection is not None:
                self._connection.abort()
            await asyncio.wait({self._task})
        self.set_state(LinkState.STOPPED)

    def stop_soon(self) -> None:
        """Ends the session without waiting; `stop` is kinder."""
        self._stopping.set()
        if self._connection is not None:
            self._connection.leave()

    def adopt(self, transport: asyncio.Transport, read: bytes) -> bool:
        """Binds on a connection that the SMSC made (outbind); `read`: octets after its outbind. Once it ends
        the link is stopped. False while the link has a connection or runs: nothing was taken."""
        running = self._task is not None and not self._task.done()
        if running or self._connection is not None:
            return False
        loop = asyncio.get_running_loop()
        connection = _Connection(self, loop, WallClock(self._wall_us, loop.time()))
        self._stopping.clear()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.open()
        if read:
            connection.data_received(read)
        self._task = asyncio.create_task(self._adopted(connection), name=f"smpp-outbind-{self.config.name}")
        return True

    async def _adopted(self, connection: _Connection) -> None:
        try:
            await connection.ended.wait()
        finally:
            connection.abort()
            self._connection = None
        self.set_state(LinkState.STOPPED, connection.reason)

    def reserve_sequences(self, count: int) -> int:
        """See `Session.reserve_sequences`; they stay good over reconnects."""
        return self.session.reserve_sequences(count)

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
        """Registers PDUs start..stop in the window and writes them, together with all else of this wake-up.

        Raises NotBound or WindowFull, with nothing registered.
        """
        connection = self._connection
        if connection is None:
            raise NotBound("submit without a connection")
        now_us = connection.now_us()
        connection.write(self.session.submit(batch, start, stop, slice_id, attempt, claim, now_us, index))

    def acknowledge(self, batch: ReceiptBatch, status: int = 0) -> None:
        """Answers the deliver_sm of an `on_receipts`; nothing happens if their connection is gone."""
        self.session.acknowledge(batch, status)
        if self._connection is not None:
            self._connection.flush_soon()

    # -- the connection's side ---------------------------------------------

    def attach(self, connection: _Connection) -> None:
        self._connection = connection

    def answered(self, code: int | None) -> None:
        """The bind's command_status, or None: the connection ended."""
        if self.ticket is None:
            return
        if code is None:
            self.ticket.close()
        else:
            self.ticket.answered(code)
        self.ticket = None

    def set_state(self, state: LinkState, reason: str = "") -> None:
        if state is self.state and reason == self.reason:
            return
        self.state, self.reason = state, reason
        _log.info("smpp_link", link=self.config.name, state=state.value, reason=reason)
        self.notify(self.handler.on_state, self, state, reason)

    def notify(self, call: Callable[..., None], *arguments: object) -> None:
        """Calls the owner; its bug must cost neither the other events of this read nor the connection."""
        try:
            call(*arguments)
        except Exception:
            _log.exception("smpp_handler_failed", link=self.config.name, callback=call.__name__)

    async def _run(self, backoff: Backoff) -> None:
        try:
            while not self._stopping.is_set():
                if not await self._admitted():
                    self._give_up(self.reason)
                    return
                self.set_state(LinkState.CONNECTING, self.reason)
                reason, bound_s, refused = await self._connect()
                if self._stopping.is_set():
                    break
                delay_s = backoff.next_delay_s(bound_s, refused)
                if delay_s is None or (self._gate is not None and self._gate.exhausted):
                    self._give_up(reason)
                    return
                self.set_state(LinkState.WAITING, reason)
                await self._sleep(delay_s)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise

    def _give_up(self, reason: str) -> None:
        self._was_refused = True
        self.set_state(LinkState.REFUSED, reason or "another bind of the account was refused")

    async def _may_bind(self, connection: _Connection) -> bool:
        """Waits for a try of the account as long as the connection stands; False: there is none."""
        if self.ticket is None:
            return True
        asking = asyncio.create_task(self.ticket.may_bind(), name=f"smpp-try-{self.config.name}")
        ended = asyncio.create_task(connection.ended.wait())
        try:
            await asyncio.wait({asking, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            asking.cancel()
            await asyncio.wait({asking, ended})
        return not asking.cancelled() and asking.result()

    async def _admitted(self) -> bool:
        """Waits for the link that binds first and for the account's gate; False: credentials refused."""
        if self._after is not None and not self._after.is_bound.is_set():
            self.set_state(LinkState.WAITING, "waiting for its receiver to be bound")
            await self._after.is_bound.wait()
        if self._gate is None:
            return True
        self.ticket = await self._gate.admit()
        return self.ticket is not None

    async def _sleep(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _connect(self) -> tuple[str, float, int]:
        """One connection from beginning to end: (why it ended, seconds bound, status of a refused bind)."""
        loop = asyncio.get_running_loop()
        connection = _Connection(self, loop, WallClock(self._wall_us, loop.time()))
        config = self.config
        try:
            async with asyncio.timeout(config.connect_timeout_s):
                await loop.create_connection(
                    lambda: connection,
                    config.host,
                    config.port,
                    ssl=config.ssl,
                    server_hostname=(config.server_name or config.host) if config.ssl else None,
                )
            if await self._may_bind(connection):
                connection.open()
            elif not connection.ended.is_set():
                return REFUSED_BEFORE, 0.0, 0
            await connection.ended.wait()
        except TimeoutError:
            return "connect timed out", 0.0, 0
        except ssl.SSLError as error:
            return tls.failure(error), 0.0, 0
        except OSError as error:
            return f"connect failed: {error.strerror or error}", 0.0, 0
        finally:
            connection.abort()
            self._connection = None
            self.answered(None)
        return connection.reason, connection.bound_s, connection.refused


class _Connection(asyncio.Protocol):
    """One TCP connection of a link. It owns its timer, so none outlives it."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, clock: WallClock) -> None:
        self.link = link
        self.session = link.session
        self.ended = asyncio.Event()
        self.reason = ""
        self.refused = 0
        self.bound_s = 0.0
        self.writable = True
        self._loop = loop
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._bound_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._out: list[bytes | memoryview] = []
        self._awake = False  # inside a callback that ends with a flush
        self._flush_due = False
        self._answers_due: asyncio.TimerHandle | None = None
        self._direct = False  # what is written goes to the socket at once
        self._pushing = self._pushed = False
        self._paused = False  # the transport holds octets, maybe fewer than WRITE_HIGH_WATER
        self._opened = False
        self._early = b""

    def now_us(self) -> int:
        return self._clock.us(self._loop.time())

    # -- asyncio -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.link.attach(self)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._direct = transport.get_extra_info("sslcontext") is None

    def open(self) -> None:
        """Sends the bind."""
        if self._transport is None:
            return
        self._opened = True
        self.session.open(self._loop.time())
        self.link.set_state(LinkState.BINDING)
        self._flush()
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        if not self._opened:
            self._early += data
            if len(self._early) > MAX_EARLY:
                self.reason = "the peer speaks before the bind"
                self.abort()
            return
        now = self._loop.time()
        now_us = self._clock.us(now)
        if self.link.tap is not None:
            self.link.tap(False, data, now_us)
        self._handle(self.session.read(data, now, now_us))

    def pause_writing(self) -> None:
        if self._pushing:
            self._paused = True
        else:
            self.writable = False

    def resume_writing(self) -> None:
        self._paused = False
        self.writable = True

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._answers_due is not None:
            self._answers_due.cancel()
            self._answers_due = None
        now = self._loop.time()
        events = self.session.connection_lost(self._clock.us(now))
        if not self.reason and error is not None:
            self.reason = f"connection lost: {error}"
        elif not self.reason and not self._opened:
            self.reason = "the SMSC closed the connection before the bind"
        self._transport = None
        self._out.clear()
        self._handle(events)
        self.link.is_bound.clear()
        if self._bound_at is not None:
            self.bound_s = max(now - self._bound_at, 1e-6)
            self.link.notify(self.link.handler.on_down, self.link, self.reason)
        self.ended.set()

    # -- out ---------------------------------------------------------------

    def write(self, octets: memoryview) -> None:
        self._out.append(octets)
        self.flush_soon()

    def flush_soon(self) -> None:
        if not self._awake and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        transport, session = self._transport, self.session
        if transport is None or not self._opened:
            return
        if self._pushed and not (self._out or session.urgent or session.closed):
            self._answer_soon()
        else:
            self._write_out(transport)
        self._pushed = False
        if session.closed:
            transport.close()
            return
        unwritten = transport.get_write_buffer_size()
        if unwritten > MAX_UNWRITTEN:
            self.reason = "the peer does not read"
            transport.abort()
            return
        if self._paused and unwritten > WRITE_HIGH_WATER:
            self.writable = False
        self._arm()

    def _write_out(self, transport: asyncio.Transport) -> None:
        """One write of all that waits."""
        control = self.session.take_output()
        if control:
            self._out.append(control)
        if self._out:
            octets = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            if self.link.tap is not None:
                self.link.tap(True, bytes(octets), self.now_us())
            transport.write(octets)
            self._out.clear()

    def _push(self) -> None:
        """Writes what the responses of a read led to before its receipts are read: the SMSC works meanwhile.

        A transport that may hold nothing back writes at once; its pause then says that the socket is full.
        """
        transport = self._transport
        if transport is None or not self._opened:
            return
        self._pushing = self._pushed = True
        try:
            transport.set_write_buffer_limits(high=0)
            self._write_out(transport)
        finally:
            transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
            self._pushing = False

    def _answer_soon(self) -> None:
        """The answers to the receipts of this read go out with the next write: that of the responses under
        way, or after ANSWERS_S."""
        if self._answers_due is None:
            self._answers_due = self._loop.call_later(ANSWERS_S, self._answer)

    def _answer(self) -> None:
        self._answers_due = None
        self._flush()

    def unbind(self) -> None:
        self.session.unbind(self._loop.time())
        self._flush()

    def leave(self) -> None:
        """Unbinds if it can, without waiting longer than the session's own timer."""
        if self.session.state is State.BOUND:
            self.unbind()
        else:
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- events and time ---------------------------------------------------

    def _handle(self, events: Iterable[Event]) -> None:
        link, handler = self.link, self.link.handler
        self._awake = True
        try:
            for event in events:
                if isinstance(event, Results):
                    link.notify(handler.on_results, link, event.batch)
                    if self._out and self._direct:
                        self._push()
                elif isinstance(event, Receipts):
                    link.notify(handler.on_receipts, link, event.batch)
                else:
                    self._tell(event)
        finally:
            self._awake = False
        self._flush()

    def _tell(self, event: Event) -> None:
        link, handler = self.link, self.link.handler
        match event:
            case Bound():
                self._bound_at = self._loop.time()
                link.answered(0)
                link.is_bound.set()
                link.set_state(LinkState.BOUND)
                link.notify(handler.on_bound, link)
            case Congestion(level):
                link.notify(handler.on_congestion, link, level)
            case BindRefused(code):
                self.refused = code
                link.answered(code)
                self.reason = f"bind refused: {status.name(code)} {status.meaning(code)}"
            case Unbound(by_peer):
                self.reason = "unbound by the SMSC" if by_peer else "unbound"
            case Closed(reason):
                self.reason = self.reason or reason

    def _arm(self) -> None:
        due = self.session.next_deadline()
        if due is None:
            return
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due = min(due, self._loop.time() + TICK_S)
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if not self.session.window.in_flight:
            self._clock.set(now)
        self._handle(self.session.tick(now, self._clock.us(now)))
