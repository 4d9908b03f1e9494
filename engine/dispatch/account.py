"""One account at work: the binds this worker leased, their pace, and the pump that every event ends in."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any

import structlog

from engine._fast.columns import ReceiptBatch, ResultBatch
from engine.channels.interface import Account, Bind, Channel
from engine.dispatch.book import Booked, Budget, ClaimBook
from engine.dispatch.campaign import CampaignRun
from engine.dispatch.claims import Claim
from engine.dispatch.pacer import Pacer
from engine.dispatch.rates import Rate
from engine.dispatch.retry import THROTTLE_PAUSE_S
from engine.dispatch.schedule import heeds_response_time
from engine.dispatch.sender import Fence, Sender
from engine.dispatch.waiting import within
from engine.ledger.claims import ClaimInfo
from engine.ledger.writer import LedgerWriter
from engine.smpp.status import Class

log = structlog.get_logger(__name__)

_SHORTEST_TIMER_S = 0.001
_FAULTY_PAUSE_S = 5.0  # before a bind that answered with a session error comes back
_UNBIND_S = 0.5
_LOOK_EVERY_S = 0.1  # at the response times


class AccountBinds:
    """The binds of one account and the claims they send. Nothing is bound before `hold`, nothing sent before
    `set_share`.

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
        self.pacer = Pacer(account.tps, closed=True)
        self.book = ClaimBook(account.account_id, writer, budget, channel.classify, on_idle)
        self.claims = self.book.claims
        self.retries = self.book.retries
        self.sent = Rate()
        self.delivered = Rate()
        self.responses: dict[int, Rate] = {}  # by bind
        self.senders: list[Sender] = []  # of the binds held
        self.held: set[int] = set()  # leased numbers whose sessions may be open
        self._writer = writer
        self._on_low = on_low
        self._on_down = on_down
        self._on_bind = on_bind
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._look_at = 0.0
        self._first = 0  # of the senders, at the last tokens
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered = asyncio.Event()  # a bind that is being emptied has no response outstanding
        self._emptying: set[int] = set()
        self._drained: frozenset[int] = frozenset()
        self._stopped = False
        self._binds = channel.binds(account, self)
        self._by_number = {
            bind.number: Sender(bind, account.window_size, self, self.book.written) for bind in self._binds
        }

    @property
    def binds(self) -> list[Bind]:
        """All of the account, also those that other workers hold."""
        return self._binds

    @property
    def held_binds(self) -> list[Bind]:
        return [bind for bind in self._binds if self.lease_of(bind) in self.held]

    @property
    def ready(self) -> int:
        """Binds that take claims."""
        return 0 if self.pacer.closed else sum(sender.takes for sender in self.senders)

    @property
    def tps(self) -> int:
        """Parts a second that this worker may send; 0 while it may not."""
        return 0 if self.pacer.closed else max(1, int(self.pacer.tps))

    @property
    def in_flight(self) -> int:
        return sum(bind.in_flight for bind in self._binds)

    def lease_of(self, bind: Bind) -> int:
        """The leased number a session belongs to: in `pair` mode a transmitter and its receiver are one."""
        return (bind.number - 1) % self.account.binds + 1

    # what this worker holds ---------------------------------------------------------------------------------

    def hold(self, numbers: Collection[int]) -> None:
        """Open the sessions of these leased numbers, receivers first, and keep them open."""
        added = set(numbers) - self.held
        if not added or self._stopped:
            return
        self.held |= added
        if self._look is None:
            self._look_again()
        for bind in self._binds:
            if self.lease_of(bind) not in added:
                continue
            if bind.submits:
                sender = self._by_number[bind.number]
                sender.drained = self.lease_of(bind) in self._drained
                self.senders.append(sender)
            bind.start()

    async def let_go(self, number: int, timeout_s: float) -> None:
        """Close a leased number's sessions for good: unwritten claims go back, responses are awaited for
        `timeout_s`. When this returns another worker may bind."""
        last = self.held == {number}
        senders = [
            self._by_number[bind.number]
            for bind in self.held_binds
            if bind.submits and self.lease_of(bind) == number
        ]
        await self._empty(senders, timeout_s, all_claims=last)
        for sender in senders:
            self.senders.remove(sender)
        await self._close(number)
        self.held.discard(number)
        if last:
            self.book.abandon(time.monotonic(), time.time_ns() // 1000)

    def rebind(self, number: int, timeout_s: float) -> None:
        """Leave a leased number's sessions and bind anew."""

        async def leave_and_come_back() -> None:
            senders = [sender for sender in self.senders if self.lease_of(sender.bind) == number]
            await self._empty(senders, timeout_s)
            await self._close(number)
            for sender in senders:
                sender.drained = number in self._drained
            for bind in self.held_binds:
                if self.lease_of(bind) == number and not self._stopped:
                    bind.start()

        log.info("rebind", account=self.account.name, bind=number)
        self._spawn(leave_and_come_back(), f"rebind-{self.account.name}-{number}")

    def drain(self, numbers: frozenset[int]) -> None:
        """Exactly these leased numbers take no new claims; what they had not begun goes back."""
        if numbers == self._drained:
            return
        self._drained = numbers
        for sender in self.senders:
            if self.lease_of(sender.bind) in self._emptying:
                continue
            sender.drained = self.lease_of(sender.bind) in numbers
            if sender.drained:
                self._on_down(sender, sender.drop())
        self.pump()

    @property
    def all_drained(self) -> bool:
        return self._drained >= set(range(1, self.account.binds + 1))

    def is_drained(self, bind: Bind) -> bool:
        return self.lease_of(bind) in self._drained

    def defer(self, covered: Callable[[ClaimInfo], bool]) -> None:
        """What waits for its next try in these claims goes into retry slices: nothing goes out now."""
        claims = {handle for handle, claim in self.claims.items() if covered(claim.info)}
        if claims:
            self.book.abandon(time.monotonic(), time.time_ns() // 1000, claims)

    def set_share(self, tps: float) -> None:
        """What this worker may send of the account's TPS; 0: nothing, and others do what it has begun."""
        if tps <= 0:
            if not self.pacer.closed:
                self.pacer.closed = True
                for sender in self.senders:
                    self._on_down(sender, sender.drop())
                self.book.abandon(time.monotonic(), time.time_ns() // 1000)
            return
        opened, self.pacer.closed = self.pacer.closed, False
        if opened or tps != self.pacer.tps:
            self.pacer.set_tps(tps, time.monotonic())
            self.pump()

    async def stop(self, timeout_s: float) -> None:
        """Wait for the open claims (nothing new is pushed by now) and unbind, in `timeout_s` altogether; what
        has no response then is in doubt."""
        until = time.monotonic() + timeout_s
        self.pump()
        await within(self.book.quiet.wait(), timeout_s - min(_UNBIND_S, timeout_s / 4))
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        left_s = max(0.05, until - time.monotonic())
        await asyncio.gather(*(bind.stop(left_s) for bind in self.held_binds))
        self.book.abandon(time.monotonic(), time.time_ns() // 1000)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._look is not None:
            self._look.cancel()
            self._look = None

    async def _empty(self, senders: list[Sender], timeout_s: float, *, all_claims: bool = False) -> None:
        """No new claims, what was not begun goes back, responses are awaited. With `all_claims` until no
        claim is open: nobody else here could send what goes again."""
        numbers = {self.lease_of(sender.bind) for sender in senders}
        self._emptying |= numbers
        try:
            for sender in senders:
                sender.drained = True
                self._on_down(sender, sender.drop())
            self.pump()
            until = time.monotonic() + timeout_s
            if all_claims:
                await within(self.book.quiet.wait(), timeout_s)
            while any(sender.bind.in_flight for sender in senders):
                self._answered.clear()
                if not await within(self._answered.wait(), until - time.monotonic()):
                    break
        finally:
            self._emptying -= numbers

    async def _close(self, number: int) -> None:
        await asyncio.gather(
            *(bind.stop(_UNBIND_S) for bind in self.held_binds if self.lease_of(bind) == number)
        )

    # events of the binds ------------------------------------------------------------------------------------

    def on_state(self, bind: Bind, state: str, reason: str) -> None:
        self._on_bind(self.account, bind, state, reason)

    def on_bound(self, bind: Bind) -> None:
        self.pump()

    def on_down(self, bind: Bind, reason: str) -> None:
        sender = self._by_number[bind.number]
        self._on_down(sender, sender.drop())
        self._answered.set()
        self.pump()

    def on_receipts(self, bind: Bind, batch: ReceiptBatch) -> None:
        self.delivered.add(batch.verdict.tobytes().count(2), time.monotonic())
        self._writer.receipts(self.account.account_id, batch, partial(bind.acknowledge, batch))

    def on_results(self, bind: Bind, batch: ResultBatch) -> None:
        """Book outcomes, note retries, and write on: one wake-up, whatever the number of results."""
        now = time.monotonic()
        booked = self.book.results(bind.number, batch, now)
        self.sent.add(booked.sent, now)
        self.responses.setdefault(bind.number, Rate()).add(batch.count, now)
        self.pacer.responded(batch.count, now)
        self._time(batch, booked, now)
        if booked.classes:
            self._slow_down(self._by_number[bind.number], booked, now)
        if self._emptying and not bind.in_flight:
            self._answered.set()
        self.pump(now)

    def _time(self, batch: ResultBatch, booked: Booked, now: float) -> None:
        """The newest of a read says how long responses take now: they come in the order of the submit_sm, or
        it is a sample like any other. One that was refused was answered before the queue."""
        response_s = None
        if batch.count and batch.status[-1] == 0 and not batch.late[-1]:
            response_s = max(0, batch.done_us[-1] - batch.sent_us[-1]) / 1e6
        self.pacer.accepted(max(0, batch.count - booked.throttled), response_s, now)

    def on_congestion(self, bind: Bind, level: int) -> None:
        """The SMSC's congestion_state (SMPP 5.0), 0 to 100."""
        self.pacer.congested(level, time.monotonic())

    def _slow_down(self, sender: Sender, booked: Booked, now: float) -> None:
        if Class.SESSION in booked.classes:
            self._restart(sender)
        if booked.throttled and self.pacer.throttled(booked.throttled, now):
            sender.paused_until = now + THROTTLE_PAUSE_S
            log.info("throttled", account=self.account.name, rate_per_s=round(self.pacer.rate_per_s, 1))

    def _look_again(self) -> None:
        if self._stopped:
            return
        self._look_at = time.monotonic() + _LOOK_EVERY_S
        self._look = asyncio.get_running_loop().call_at(self._look_at, self._look_at_responses)

    def _look_at_responses(self) -> None:
        now, before = time.monotonic(), self.pacer.rate_per_s
        self.pacer.late(now - self._look_at)
        self.pacer.heeds_response_time = heeds_response_time(self.account)
        self._look_again()
        if self.pacer.look(now, self.in_flight):
            rate = round(self.pacer.rate_per_s, 1)
            log.info("slowed", account=self.account.name, reason=self.pacer.slowed_by, rate_per_s=rate)
        if self.pacer.rate_per_s > before:
            self.pump(now)

    def _restart(self, sender: Sender) -> None:
        """The SMSC says that this session is none: leave it, and come back later."""
        if sender.stopping or self._stopped:
            return
        sender.stopping = True

        async def restart() -> None:
            try:
                await sender.bind.stop(_UNBIND_S)
                await asyncio.sleep(_FAULTY_PAUSE_S)
            finally:
                sender.stopping = False
            if self.lease_of(sender.bind) in self.held:
                sender.bind.start()

        log.warning("session error: bind restarted", account=self.account.name, bind=sender.bind.number)
        self._spawn(restart(), f"restart-{self.account.name}-{sender.bind.number}")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # writing ------------------------------------------------------------------------------------------------

    def pump(self, now: float | None = None) -> None:
        """Write what can be written now; ask for claims where they run low; wake again when more can be
        written."""
        now = time.monotonic() if now is None else now
        low = False
        # the next tokens are of the bind that has express; else of each in turn: an SMSC may count by bind
        self._first = (self._first + 1) % max(1, len(self.senders))
        in_turn = [*self.senders[self._first :], *self.senders[: self._first]]
        for sender in sorted(in_turn, key=lambda one: not one.express):
            express = sender.express
            sender.pump(now)
            low_on_express = sender.express < express and sender.low_on_express
            low = low or (sender.takes and (sender.low or low_on_express))
        if low and not self.pacer.closed:
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
        if at == float("inf") or self.pacer.closed or now >= self.fence.deadline:
            return  # a response, a claim, a share or the renewed lease goes on
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
