"""Feeds one account from the ledger: gives back, releases slices, claims. One task; every await of dispatch's
work on claims is here, so nothing of it needs a lock."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

import structlog

from engine import faults
from engine.dispatch import claims as ledger
from engine.dispatch.account import AccountBinds
from engine.dispatch.aftercare import Aftercare
from engine.dispatch.book import Budget
from engine.dispatch.campaign import MOST_ROWS, CampaignRun, Chunks, OpenSlice, Unsendable, open_slices
from engine.dispatch.claims import Claim, Order
from engine.dispatch.offers import Offers
from engine.dispatch.planner import EXPRESS, LegKey, Pace, Planned, plan
from engine.dispatch.prepared import Prepared, prepare, results
from engine.dispatch.pricing import TooDear, choose
from engine.dispatch.release import release
from engine.dispatch.retry import Delays
from engine.dispatch.schedule import express_share
from engine.dispatch.sender import Sender
from engine.dispatch.worker import Worker
from engine.ledger.pool import AWAY, Pool
from engine.ledger.sql import load
from engine.settings import EngineSettings

log = structlog.get_logger(__name__)

_PAUSE_S = 0.25  # after the database did not answer
_BLOCKED_S = 0.01  # until the next look when `max_claimed` is reached
_LOST_S = 0.02  # after a lost claim: most often a pause that was not heard of yet
_ADOPT_EVERY_S = 1.0
_EXPRESS_AT_ONCE = 64  # slices of one commit
_TURNS_AT_ONCE = 8  # slices that a bind claims in one commit
_LEAST_TPS = 1000  # what an account is planned for before its real rate is known


class Feeder:
    """`on_failed(run, reason)` is called for a campaign that cannot go out."""

    def __init__(
        self,
        pool: Pool,
        settings: EngineSettings,
        worker: Worker,
        budget: Budget,
        chunks: Chunks,
        on_failed: Callable[[CampaignRun, str], None],
    ) -> None:
        self.offers: Offers[Sender] = Offers()
        self.away = False  # the database did not answer the last time
        self._pool = pool
        self._settings = settings
        self._worker = worker
        self._budget = budget
        self._chunks = chunks
        self._on_failed = on_failed
        self._binds: AccountBinds | None = None
        self._wake = asyncio.Event()
        self._returns: dict[int, tuple[OpenSlice, int]] = {}  # slice id -> first row not begun
        self._ending: list[Claim] = []  # their rows are among `_returns`
        self._waiters: list[asyncio.Future[None]] = []
        self._unsure: list[tuple[Sender, Order]] = []  # claims whose answer was lost
        self._adopt_at = 0.0
        self._stale: set[CampaignRun] = set()  # slices may have come to them
        self._aftercare = Aftercare(pool, worker)
        self._again: dict[int, OpenSlice] = {}  # retry slices with pairs to claim
        self._task: asyncio.Task[None] | None = None

    def start(self, binds: AccountBinds) -> None:
        self._binds = binds
        binds.book.delays = Delays(self._settings.retry_temporary_s, self._settings.retry_queue_full_s)
        binds.book.on_tripped = self.wake
        self._task = asyncio.create_task(self._run(), name=f"feed-{binds.account.name}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def wake(self) -> None:
        self._wake.set()

    def add(self, run: CampaignRun, slices: Iterable[OpenSlice]) -> None:
        self.offers.add_campaign(run)
        for each in slices:
            self.offers.add(each)
        self.wake()

    def remove(self, run: CampaignRun) -> None:
        """No claim of it is made any more; one that is just being made is given back."""
        run.running = False
        self.offers.remove_campaign(run)
        self.wake()

    def refresh(self, run: CampaignRun) -> None:
        """Slices may be its that it does not know: they moved here from another channel."""
        self._stale.add(run)
        self.wake()

    def give_back(self, claim: Claim, from_row: int) -> None:
        """Rows of the claim's slice from `from_row` on were not begun."""
        if claim.returning:
            self._ending.append(claim)
            self._return(claim.slice, from_row)

    async def returned(self) -> None:
        """Waits until the database has all that is given back, also of a claim that is just being made."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.wake()
        await waiter

    def waits_for(self, run: CampaignRun) -> bool:
        """Whether something of the campaign is on its way to the database, or left to claim."""
        return (
            bool(self.offers.unclaimed(run))
            or any(each.run is run for each, _ in self._returns.values())
            or any(order.slice.run is run for _, order in self._unsure)
        )

    # the loop -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiters, self._waiters = self._waiters, []
            try:
                await self._settle_unsure()
                await self._give_back()
                await self._express()
                await self._adopt()
                await self._look_after()
                await self._release()
                await self._express()
                await self._claim(self._orders())
                self.away = False
                if not self._returns and not self._unsure:
                    for waiter in waiters:
                        if not waiter.done():
                            waiter.set_result(None)
                    waiters = []
            except AWAY as error:
                if not self.away:
                    log.warning("feeding stopped: the ledger is away", error=repr(error))
                self.away = True
                await self._pause()
            except Exception:
                log.exception("feeding failed")
                await self._pause()
            self._waiters += waiters

    async def _look_after(self) -> None:
        """Breakers that tripped, classes of errors, retry slices that are due, claims nobody remembers."""
        assert self._binds is not None
        book, now = self._binds.book, time.monotonic()
        for run in await self._aftercare.trip(book):
            self.remove(run)
        await self._aftercare.classes(book, now)
        await self._aftercare.stranded(book, self._binds.account.account_id, self._ending, now)
        runs = {run.leg: run for run in self.offers if run.running}
        self._again = {id_: each for id_, each in self._again.items() if each.left and each.run.running}
        for each in await self._aftercare.due(runs, self._again, now):
            self._again[each.slice_id] = each
            self.offers.add_unknown(each.run, [each])

    async def _pause(self) -> None:
        await asyncio.sleep(_PAUSE_S)
        self._wake.set()

    # giving back --------------------------------------------------------------------------------------------

    def _return(self, each: OpenSlice, from_row: int) -> None:
        known = self._returns.get(each.slice_id)
        self._returns[each.slice_id] = (each, min(from_row, known[1]) if known else from_row)
        each.busy = True
        self.wake()

    async def _give_back(self) -> None:
        if not self._returns:
            return
        returns, ending = dict(self._returns), self._ending[:]
        charged = {each.run.key.workspace_id for each, _ in returns.values() if each.run.pricing}
        from_rows = {id_: row for id_, (_, row) in returns.items()}
        await ledger.give_back(self._pool, self._worker, from_rows, charged)
        del self._ending[: len(ending)]
        assert self._binds is not None
        for claim in ending:
            self._binds.book.given_back(claim)
        for id_, (each, row) in returns.items():
            if self._returns.get(id_) != (each, row):
                continue  # still more was given back meanwhile
            del self._returns[id_]
            each.claimed_to, each.busy = row, False
            self.offers.put_back(each)

    # releasing ----------------------------------------------------------------------------------------------

    async def _express(self) -> None:
        """Nothing of express waits behind more than one step of bulk."""
        assert self._binds is not None
        fresh = [run for run in self.offers if run.lane == EXPRESS and run.running and not run.exhausted]
        if fresh:
            early = asyncio.gather(
                *(self._chunks.get(run, run.next_chunk) for run in fresh[:_EXPRESS_AT_ONCE] if run.fresh),
                return_exceptions=True,  # comes again at its claim
            )
            try:
                await self._release({run.leg: run for run in fresh})
            except BaseException:
                early.cancel()  # at a stop the database may not answer these either
                raise
            await early
        if any(run.lane == EXPRESS for run in self.offers):
            await self._claim(self._express_orders())

    async def _release(self, runs: Mapping[LegKey, CampaignRun] | None = None) -> None:
        """Of these legs, or of all."""
        if runs is None:
            runs = {run.leg: run for run in self.offers if run.running and not run.exhausted}
        assert self._binds is not None
        if not runs or not self._binds.ready or self._worker.lost:
            return
        planned = [
            Planned(
                run.leg,
                run.chunk_rows,
                run.next_chunk,
                run.next_row,
                self.offers.unclaimed(run),
                run.key.workspace_id,
                run.weight,
                run.lane,
            )
            for run in runs.values()
        ]
        others = sum(self.offers.unclaimed(run) for run in self.offers if run.leg not in runs)
        pace, ahead_s = self._pace(), self._settings.plan_ahead_ms / 1000
        unclaimed = others + sum(each.unclaimed for each in planned)
        enough = 2 * unclaimed > pace.tps * ahead_s and all(each.unclaimed for each in planned)
        if enough and not self._hungry():
            return
        releases = plan(planned, pace, ahead_s=ahead_s, most=self._settings.slice_rows, others=others)
        if not releases:
            return
        done = await release(self._pool, releases, runs, self._worker.worker_id)
        for leg, position in done.positions.items():
            runs[leg].next_chunk, runs[leg].next_row = position
        for slice_id, each in done.slices.items():
            run = runs[each.leg]
            if run.running:
                start = run.place(each.chunk_no, each.row_start)
                self.offers.add(OpenSlice(slice_id, run, each.chunk_no, start, each.row_count))
        for leg in done.stale:
            await self._reload(runs[leg])
            self.wake()

    def _pace(self) -> Pace:
        """Our part of the account's TPS, or twice what it really does where that is far less."""
        assert self._binds is not None
        binds = self._binds
        real = max(int(2 * binds.sent.per_s(time.monotonic())), _LEAST_TPS)
        return Pace(min(binds.tps, real), binds.ready, binds.account.window_size)

    def _hungry(self) -> bool:
        """A bind has nothing to write and no slice to claim from."""
        assert self._binds is not None
        return any(
            sender.takes and sender.low and not self.offers.has(sender) for sender in self._binds.senders
        )

    async def _reload(self, run: CampaignRun) -> None:
        """The plan stands elsewhere than thought: read it, and the slices that are not known."""
        position, slices = await open_slices(self._pool, run, self._worker.worker_id)
        if position is not None and run.running:
            run.next_chunk, run.next_row = position
            # what is given back comes to the offers by itself
            fresh = [each for each in slices if each.slice_id not in self._returns]
            if self.offers.add_unknown(run, fresh):
                self.wake()

    async def _adopt(self) -> None:
        """Slices that another worker released and cannot claim any more, when we have nothing else."""
        assert self._binds is not None
        stale, self._stale = self._stale, set()
        for run in stale:
            if run.running:
                await self._reload(run)
        now = time.monotonic()
        if now < self._adopt_at or self._worker.lost or not self._binds.ready or not self._hungry():
            return
        self._adopt_at = now + _ADOPT_EVERY_S
        for run in [run for run in self.offers if run.running and run.exhausted]:
            await self._reload(run)

    # claiming -----------------------------------------------------------------------------------------------

    def _orders(self) -> list[tuple[Sender, Order]]:
        assert self._binds is not None
        now, room, most = time.monotonic(), self._budget.room, self._most()
        if not most:
            return []
        reserved = int(self._budget.max_claimed * express_share(self._binds.account))
        orders: list[tuple[Sender, Order]] = []
        for sender in self._binds.senders:
            want = sender.wanted(now, self._settings.claim_ahead_ms / 1000, most)
            for _ in range(_TURNS_AT_ONCE if want else 0):
                if room < 1:
                    asyncio.get_running_loop().call_later(_BLOCKED_S, self.wake)
                    return orders
                each = self.offers.take(sender, bulk=room > reserved)
                if each is None:
                    if room <= reserved:
                        asyncio.get_running_loop().call_later(_BLOCKED_S, self.wake)
                    break
                each.busy = True
                open_to_it = room if each.run.lane == EXPRESS else room - reserved
                count = min(want, open_to_it, each.left, each.run.affordable)
                order = Order(each, self.offers.turn_rows(each, count))
                self.offers.charge(each, order.count)
                orders.append((sender, order))
                room -= order.count
                want -= order.count
                if want < 1:
                    break
        return orders

    def _most(self) -> int:
        """Rows that one bind may claim at once: of a second of TPS, and of half the bound, so that no bind
        keeps the others from claiming. 0: nothing may be claimed."""
        assert self._binds is not None
        if time.monotonic() >= self._worker.deadline or self._binds.pacer.closed:
            return 0
        return max(1, min(self._binds.tps, self._budget.max_claimed // 2) // max(1, self._binds.ready))

    def _express_orders(self) -> list[tuple[Sender, Order]]:
        """Several slices at once, over the binds with the least express work: one has a single row where
        somebody waits for it."""
        assert self._binds is not None
        room, most, ahead_s = self._budget.room, self._most(), self._settings.claim_ahead_ms / 1000
        wanted = {sender: sender.wanted_express(ahead_s, most) for sender in self._binds.senders}
        orders: list[tuple[Sender, Order]] = []
        while room > 0 and len(orders) < _EXPRESS_AT_ONCE:
            able = sorted((one for one in wanted if wanted[one] > 0), key=lambda one: -wanted[one])
            asked = ((sender, self.offers.take(sender, bulk=False)) for sender in able)
            found = next(((sender, each) for sender, each in asked if each is not None), None)
            if found is None:
                break
            sender, each = found
            each.busy = True
            order = Order(each, min(wanted[sender], room, each.left, each.run.affordable))
            self.offers.charge(each, order.count)
            orders.append((sender, order))
            wanted[sender] -= order.count
            room -= order.count
        return orders

    async def _claim(self, orders: list[tuple[Sender, Order]]) -> None:
        if not orders:
            return
        prepared: list[Prepared] = []
        try:
            for sender, order in orders:
                ready = await self._prepare(sender, order)
                if ready is not None:
                    prepared.append(ready)
        except BaseException:
            for _, order in orders:
                order.slice.busy = order.slice.slice_id in self._returns
            raise
        claimed = {each.order.slice.slice_id for each in prepared}
        for _, order in orders:
            order.slice.busy = order.slice.slice_id in claimed or order.slice.slice_id in self._returns
        if not prepared:
            return
        assert self._binds is not None
        try:
            committed = await ledger.commit(
                self._pool,
                self._worker,
                [each.order for each in prepared],
                self._binds.account.account_id,
                [each.sender.bind.number for each in prepared],
                [each.price for each in prepared],
            )
        except BaseException:
            # whether it is committed is asked first when the database is back
            self._unsure = [(each.sender, each.order) for each in prepared]
            raise
        faults.point("after_claim")
        paid = [each for each in prepared if each.order.slice.slice_id not in committed.unpaid]
        await self._claimed(paid, committed.ids)
        if committed.unpaid:
            await self._unpaid([each for each in prepared if each.order.slice.slice_id in committed.unpaid])

    async def _unpaid(self, prepared: list[Prepared]) -> None:
        """The wallet cannot pay these: half as many rows are tried next, and the campaign is paused where it
        cannot pay one."""
        for ready in prepared:
            run = ready.order.slice.run
            ready.order.slice.busy = False
            if ready.order.count > 1:
                run.affordable = min(run.affordable, ready.order.count // 2)
            elif run.running and ready.price is not None and await self._aftercare.unpaid(run, ready.price):
                self.remove(run)
        await asyncio.sleep(_LOST_S)
        self.wake()

    async def _prepare(self, sender: Sender, order: Order) -> Prepared | None:
        """The order with its PDUs; None where its campaign or its bind is no more."""
        run = order.slice.run
        try:
            chunk = await self._chunks.get(run, order.slice.chunk_no)
            known = await results(self._pool, order)
            if not (run.running and sender.takes):
                return None
            return prepare(sender, order, chunk, known)
        except (Unsendable, TooDear) as error:
            reason = str(error)
        except (ValueError, IndexError) as error:
            reason = f"a text cannot be encoded: {error}"
        if run.running:
            self.remove(run)
            self._on_failed(run, reason)
        return None

    async def _settle_unsure(self) -> None:
        if not self._unsure:
            return
        ids = await ledger.answered(self._pool, self._worker, [order for _, order in self._unsure])
        unsure, self._unsure = self._unsure, []
        for _, order in unsure:
            each = order.slice
            each.busy = False
            if each.slice_id in ids:  # nothing of it was written: simplest is to give it back
                start = each.claimed_to
                each.claimed_to += order.count
                self._return(each, start)
        self.wake()

    async def _claimed(self, prepared: list[Prepared], ids: Mapping[int, int]) -> None:
        """The answer of a claim's commit: queue what was won, look again at what was lost."""
        assert self._binds is not None
        lost, binds = [], self._binds
        for ready in prepared:
            each = ready.order.slice
            each.busy = each.slice_id in self._returns  # earlier rows of it, meanwhile
            claim_id = ids.get(each.slice_id)
            if claim_id is None:
                lost.append(each)
                continue
            row_start = each.claimed_to
            each.claimed_to += ready.order.count
            each.run.affordable = min(2 * each.run.affordable, MOST_ROWS)
            if not each.left:
                self.offers.drop(each)
                self._again.pop(each.slice_id, None)
            takes = ready.sender.takes and not binds.pacer.closed
            if each.run.running and takes and not each.busy:
                claim = ready.claim(claim_id, binds.book.next_handle(), binds.account.account_id)
                binds.book.open(claim)
                ready.sender.push(claim)
            else:
                self._return(each, row_start)
        binds.pump()
        for each in lost:
            await self._look_again(each)
        if lost:
            await asyncio.sleep(_LOST_S)

    async def _look_again(self, each: OpenSlice) -> None:
        """Lost: another worker claimed of it, or the campaign is not Sending, or the lease is gone."""
        row = await self._pool.fetchrow(load("dispatch")["slice"], each.slice_id)
        if row is not None and row["rate_version"] is not None and each.run.pricing is None:
            async with self._pool.acquire() as connection:  # another worker chose that it is charged
                each.run.pricing = await choose(connection, each.run.campaign_id, each.run.key.channel_id)
        if row is not None:
            each.row_count = row["row_count"]  # less, where the rest of it went over to another channel
        gone = row is None or row["state"] != "open" or row["channel_id"] != each.run.key.channel_id
        if gone or row["claimed_to"] >= each.row_count:
            self.offers.drop(each)
            self._again.pop(each.slice_id, None)
        elif row["claimed_to"] != each.claimed_to:
            each.claimed_to = row["claimed_to"]
            self.offers.put_back(each)
