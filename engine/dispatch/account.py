"""One account at work: its binds, their pace, and the pump that every event ends in. Callbacks only, no
I/O."""

import asyncio
import time
from collections.abc import Callable

import structlog

from engine._fast.columns import ReceiptBatch, ResultBatch
from engine.channels.interface import Account, Bind, Channel
from engine.dispatch.book import Budget, ClaimBook
from engine.dispatch.campaign import CampaignRun
from engine.dispatch.claims import Claim
from engine.dispatch.pacer import Pacer
from engine.dispatch.rates import Rate
from engine.dispatch.retry import THROTTLE_PAUSE_S
from engine.dispatch.sender import Fence, Sender
from engine.dispatch.waiting import within
from engine.ledger.writer import LedgerWriter
from engine.smpp.status import Class

log = structlog.get_logger(__name__)

_SHORTEST_TIMER_S = 0.001
_FAULTY_PAUSE_S = 5.0  # before a bind that answered with a session error comes back
_UNBIND_S = 0.5


class AccountBinds:
    """The binds of one account and the claims they send.

    `on_low` is called when a bind could use a claim, `on_down` with the claims a lost bind had not begun or
    finished, `on_bind` when a bind's state changed.
    """

    def __init__(
        self,
        account: Account,
        channel: Channel,
        *,
        fence: Fence,
        writer: LedgerWriter,
        budget: Budget,
        on_idle: Callable[[CampaignRun], None],
        on_low: Callable[[], None],
        on_down: Callable[[Sender, list[Claim]], None],
        on_bind: Callable[[Account, Bind, str, str], None],
    ) -> None:
        self.account = account
        self.fence = fence
        self.pacer = Pacer(account.tps)
        self.book = ClaimBook(account.account_id, writer, budget, channel.classify, on_idle)
        self.claims = self.book.claims
        self.retries = self.book.retries
        self.sent = Rate()
        self.delivered = Rate()
        self._writer = writer
        self._on_low = on_low
        self._on_down = on_down
        self._on_bind = on_bind
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._restarts: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._binds = channel.binds(account, self)
        self._by_number = {
            bind.number: Sender(bind, account.window_size, self, self.book.written) for bind in self._binds
        }
        self.senders = [sender for sender in self._by_number.values() if sender.bind.submits]

    def start(self) -> None:
        for bind in self._binds:
            bind.start()

    @property
    def binds(self) -> list[Bind]:
        return self._binds

    @property
    def ready(self) -> int:
        """Binds that take claims."""
        return sum(sender.ready for sender in self.senders)

    @property
    def in_flight(self) -> int:
        return sum(bind.in_flight for bind in self._binds)

    def set_tps(self, tps: int) -> None:
        self.pacer.set_tps(tps, time.monotonic())
        self.pump()

    async def stop(self, timeout_s: float) -> None:
        """Wait for the open claims (nothing new is pushed by now) and unbind, in `timeout_s` altogether; what
        has no response then is in doubt."""
        until = time.monotonic() + timeout_s
        self.pump()
        await within(self.book.quiet.wait(), timeout_s - min(_UNBIND_S, timeout_s / 4))
        self._stopped = True
        for task in self._restarts:
            task.cancel()
        left_s = max(0.05, until - time.monotonic())
        await asyncio.gather(*(bind.stop(left_s) for bind in self._binds))
        self.book.abandon(time.monotonic(), time.time_ns() // 1000)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # events of the binds ------------------------------------------------------------------------------------

    def on_state(self, bind: Bind, state: str, reason: str) -> None:
        self._on_bind(self.account, bind, state, reason)

    def on_bound(self, bind: Bind) -> None:
        self.pump()

    def on_down(self, bind: Bind, reason: str) -> None:
        sender = self._by_number[bind.number]
        self._on_down(sender, sender.drop())
        self.pump()

    def on_receipts(self, bind: Bind, batch: ReceiptBatch) -> None:
        self.delivered.add(batch.verdict.count(2), time.monotonic())
        self._writer.receipts(self.account.account_id, batch, lambda: bind.acknowledge(batch))

    def on_results(self, bind: Bind, batch: ResultBatch) -> None:
        """Book outcomes, note retries, and write on: one wake-up, whatever the number of results."""
        now = time.monotonic()
        booked = self.book.results(bind.number, batch, now)
        self.sent.add(booked.sent, now)
        if booked.classes:
            self._slow_down(self._by_number[bind.number], booked.classes, now)
        self.pump(now)

    def _slow_down(self, sender: Sender, classes: set[Class], now: float) -> None:
        if Class.SESSION in classes:
            self._restart(sender)
        if Class.THROTTLE in classes:
            sender.paused_until = now + THROTTLE_PAUSE_S
            if self.pacer.throttled(now):
                log.info("throttled", account=self.account.name, rate_per_s=round(self.pacer.rate_per_s, 1))

    def _restart(self, sender: Sender) -> None:
        """The SMSC says that this session is none: leave it, and come back later."""
        if sender.stopping or self._stopped:
            return
        sender.stopping = True

        async def restart() -> None:
            await sender.bind.stop(_UNBIND_S)
            await asyncio.sleep(_FAULTY_PAUSE_S)
            sender.stopping = False
            sender.bind.start()

        log.warning("session error: bind restarted", account=self.account.name, bind=sender.bind.number)
        task = asyncio.create_task(restart(), name=f"restart-{self.account.name}-{sender.bind.number}")
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    # writing ------------------------------------------------------------------------------------------------

    def pump(self, now: float | None = None) -> None:
        """Write what can be written now; ask for claims where they run low; wake again when more can be
        written."""
        now = time.monotonic() if now is None else now
        low = False
        for sender in self.senders:
            sender.pump(now)
            low = low or (sender.ready and sender.low)
        if low:
            self._on_low()
        self._arm(now)

    def _arm(self, now: float) -> None:
        """One timer: the next token, due retry or end of a pause, whichever lets a bind write first."""
        retry_at = self.retries.next_at()
        at = float("inf")
        for sender in self.senders:
            if not (sender.ready and sender.bind.free):
                continue
            work_at = now if sender.queue else retry_at
            if work_at is not None:
                at = min(at, max(work_at, sender.paused_until))
        if at == float("inf") or now >= self.fence.deadline:
            return  # a response, a claim or the renewed lease goes on
        at = max(at, self.pacer.next_at(), now + _SHORTEST_TIMER_S)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at  # kept here: under uvloop the handle of a time already due knows none
        self._timer = asyncio.get_running_loop().call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if len(self.senders) > 1:
            self.senders.append(self.senders.pop(0))  # none is always first at the tokens
        self.pump()
