"""One bind kept up over asyncio: connects, binds, reconnects, and gives the session's events to its owner.

One wake-up of the socket is one parse of all that was read, the owner's callbacks, and one write of all they
led to. Backpressure stops feeding (`writable`, `free`), never reading.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, cast

import structlog

from engine._fast.columns import EncodedBatch, ReceiptBatch, ResultBatch
from engine.smpp import status
from engine.smpp.events import BindRefused, Bound, Closed, Event, Receipts, Results, Unbound
from engine.smpp.reconnect import Backoff
from engine.smpp.session import NotBound, Session, SessionConfig
from engine.smpp.states import State

_log = structlog.get_logger(__name__)

WRITE_HIGH_WATER = 1 << 20
MAX_UNWRITTEN = 16 << 20  # of a peer that asks and does not read the answers
TICK_S = 1.0


class LinkState(StrEnum):
    """What the owner shows of a bind."""

    CONNECTING = "connecting"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    WAITING = "waiting"  # before the next connection
    REFUSED = "refused"  # wrong password: does not try again until `start`
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class LinkConfig(SessionConfig):
    """An SMSC's address and how to come back to it."""

    name: str  # for logs and pages
    host: str
    port: int
    ssl: ssl.SSLContext | None = None
    connect_timeout_s: float = 10.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0
    password_tries: int = 3


class LinkHandler(Protocol):
    """The owner of a link. Called in the event loop; must not block. Its exceptions are logged, no more."""

    def on_bound(self, link: Link) -> None: ...
    def on_results(self, link: Link, batch: ResultBatch) -> None: ...
    def on_receipts(self, link: Link, batch: ReceiptBatch) -> None: ...
    def on_down(self, link: Link, reason: str) -> None:
        """A bound session ended; the results of what was in flight (status -2) came before."""

    def on_state(self, link: Link, state: LinkState, reason: str) -> None: ...


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
    ) -> None:
        self.config = config
        self.handler = handler
        self.session = Session(config)
        self.state = LinkState.STOPPED
        self.reason = ""
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
        return self.session.window.free if self.bound else 0

    @property
    def in_flight(self) -> int:
        return self.session.window.in_flight

    @property
    def writable(self) -> bool:
        """False while not bound, or while the peer reads too slowly for what was written: do not feed."""
        return self.bound and self._connection is not None and self._connection.writable

    def start(self) -> None:
        """Connects, and keeps at it until `stop` or three refused passwords."""
        if self._task is not None and not self._task.done():
            return
        config = self.config
        self._stopping.clear()
        backoff = self._given_backoff or Backoff(
            config.reconnect_min_s, config.reconnect_max_s, config.password_tries
        )
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
                self.set_state(LinkState.CONNECTING, self.reason)
                reason, bound_s, refused = await self._connect()
                if self._stopping.is_set():
                    break
                delay_s = backoff.next_delay_s(bound_s, refused)
                if delay_s is None:
                    self.set_state(LinkState.REFUSED, reason)
                    return
                self.set_state(LinkState.WAITING, reason)
                await self._sleep(delay_s)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise

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
                await loop.create_connection(lambda: connection, config.host, config.port, ssl=config.ssl)
            await connection.ended.wait()
        except TimeoutError:
            return "connect timed out", 0.0, 0
        except OSError as error:
            return f"connect failed: {error.strerror or error}", 0.0, 0
        finally:
            connection.abort()
            self._connection = None
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

    def now_us(self) -> int:
        return self._clock.us(self._loop.time())

    # -- asyncio -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.link.attach(self)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self.session.open(self._loop.time())
        self.link.set_state(LinkState.BINDING)
        self._flush()

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        self._handle(self.session.receive(data, now, self._clock.us(now)))

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        events = self.session.connection_lost(self._clock.us(now))
        if not self.reason and error is not None:
            self.reason = f"connection lost: {error}"
        self._transport = None
        self._out.clear()
        self._handle(events)
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
        transport = self._transport
        if transport is None:
            return
        control = self.session.take_output()
        if control:
            self._out.append(control)
        if self._out:
            transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()
        if self.session.closed:
            transport.close()
        elif transport.get_write_buffer_size() > MAX_UNWRITTEN:
            self.reason = "the peer does not read"
            transport.abort()
        else:
            self._arm()

    def unbind(self) -> None:
        self.session.unbind(self._loop.time())
        self._flush()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- events and time ---------------------------------------------------

    def _handle(self, events: list[Event]) -> None:
        self._awake = True
        try:
            for event in events:
                self._tell(event)
        finally:
            self._awake = False
        self._flush()

    def _tell(self, event: Event) -> None:
        link, handler = self.link, self.link.handler
        match event:
            case Results(batch):
                link.notify(handler.on_results, link, batch)
            case Receipts(batch):
                link.notify(handler.on_receipts, link, batch)
            case Bound():
                self._bound_at = self._loop.time()
                link.set_state(LinkState.BOUND)
                link.notify(handler.on_bound, link)
            case BindRefused(code):
                self.refused = code
                self.reason = f"bind refused: {status.name(code)} {status.meaning(code)}"
            case Unbound(by_peer):
                self.reason = "unbound by the SMSC" if by_peer else "unbound"
            case Closed(reason):
                self.reason = self.reason or reason

    def _arm(self) -> None:
        due = self.session.next_deadline()
        if due is None:
            return
        due = min(due, self._loop.time() + TICK_S)
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if not self.session.window.in_flight:
            self._clock.set(now)
        self._handle(self.session.tick(now, self._clock.us(now)))
