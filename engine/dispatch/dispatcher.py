"""Dispatch of one engine process: accounts and campaigns as the database says, kept so until `stop`."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from uuid import UUID

import structlog

from engine.bus.postgres import PostgresBus, ring
from engine.channels.interface import Account, BadSettings, Bind, Channel
from engine.channels.smpp import SmppChannel
from engine.core_api import schema
from engine.dispatch.account import AccountBinds
from engine.dispatch.book import Budget
from engine.dispatch.campaign import (
    CampaignRun,
    Chunks,
    OpenSlice,
    Unfit,
    Unsendable,
    load_campaign,
    open_slices,
)
from engine.dispatch.feeder import Feeder
from engine.dispatch.legs import fail_over, plan_due
from engine.dispatch.link_work import LINK_WORK_EVERY_S, LinkWork
from engine.dispatch.live import WRITE_EVERY_S, Live
from engine.dispatch.pacer import Pacer
from engine.dispatch.planner import EXPRESS, LegKey
from engine.dispatch.pricing import NO_PRICE_LIST, NoPriceList
from engine.dispatch.sharing import Sharing
from engine.dispatch.stops import LOOK_EVERY_S, Halt
from engine.dispatch.waiting import within
from engine.dispatch.worker import Worker
from engine.dispatch.working import Working
from engine.ledger import campaigns, doubts, holds, leases, partitions, routing, stops, wallets
from engine.ledger.accounts import accounts
from engine.ledger.bind_tries import AccountTries
from engine.ledger.pool import AWAY, Pool
from engine.ledger.recovery import recover
from engine.ledger.secrets import SecretBox
from engine.ledger.settle import settle_due
from engine.ledger.sql import load
from engine.ledger.writer import LedgerWriter
from engine.settings import EngineSettings

log = structlog.get_logger(__name__)

_AWAY_PAUSE_S = 0.5
_SETTLE_EVERY_S = 2.0
_INDEX_EVERY_S = 60.0
_FENCED_ONLY_S = 1e9
_UNFIT_AGAIN_S = 10.0
_EXPRESS_FIRST_S = 0.02  # what else may have changed is looked at that much later


class Dispatcher:
    """`start` recovers, binds and sends; `wake` after a change in the database; `stop` leaves nothing half
    done. `lost` is set when another worker took over this one's claims: stop then, and end the process.

    `writer.run()` and the worker's end (`worker.leave()`, after the writer's stop) are the caller's.
    """

    def __init__(
        self,
        pool: Pool,
        settings: EngineSettings,
        worker: Worker,
        writer: LedgerWriter,
        secrets: SecretBox,
        *,
        channel: Channel | None = None,
    ) -> None:
        self.lost = asyncio.Event()
        self._pool = pool
        self._settings = settings
        self._worker = worker
        self._writer = writer
        self._secrets = secrets
        self._channel = channel or SmppChannel(
            response_timeout_s=settings.response_timeout_s,
            enquire_link_s=settings.enquire_link_s,
            tries=self._tries_of,
        )
        self._budget = Budget(settings.max_claimed, writer)
        self._chunks = Chunks(pool, settings.chunk_cache)
        self._working: dict[int, Working] = {}
        self._tries: dict[int, AccountTries] = {}  # by account
        self._sharing = Sharing(pool, settings, worker, self._working)
        self._halt = Halt(pool, self._working)
        self._live = Live(pool, worker, self._working)
        self._link_work = LinkWork(pool, worker, self._channel, settings, pace=self._pacer)
        self._failed: list[tuple[UUID, str]] = []
        self._cancelled: set[UUID] = set()  # counted already
        self._reasons: dict[UUID, str] = {}  # of campaigns, as this worker last wrote them
        self._unfit: dict[LegKey, tuple[float, str]] = {}  # when to try again, and what is wrong
        self._any_closed = False  # a channel, at the last look
        self._adding: set[LegKey] = set()
        self._looked = asyncio.Event()
        self._urgent = asyncio.Event()
        self._wake: asyncio.TimerHandle | None = None
        self._shared = asyncio.Event()
        self._halted = asyncio.Event()
        self._asked = asyncio.Event()
        self._moved = asyncio.Event()
        self._begun = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._bus = PostgresBus(settings.ledger_dsn.get_secret_value(), self.wake, self._halted.set)
        self._status = "starting"
        self._away = False

    # what the programs call ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Recover what dead workers left, bind what is ours of every enabled account, go on with every
        campaign in Sending.

        Raises what the database raises: without it there is no start.
        """
        self._tasks = [
            asyncio.create_task(self._keep(self._renew, self._worker.renew_every_s), name="dispatch-lease")
        ]
        try:
            await self._begin()
        except BaseException:
            await _cancel(*self._tasks)
            raise

    async def _begin(self) -> None:
        await self._recover()
        await self._writer.rebuild()
        await self._halt.look()
        await self._live.write(self._status)
        await self._look()
        await self._sharing.look()
        await self._live.write(self._status)
        self._status = "ok"
        self._bus.start()
        every_s = self._settings.poll_interval_ms / 1000
        self._tasks += [
            asyncio.create_task(self._keep(self._look, every_s, self._looked), name="dispatch-look"),
            asyncio.create_task(
                self._keep(self._look_for_express, every_s, self._urgent), name="dispatch-express"
            ),
            asyncio.create_task(
                self._keep(self._sharing.look, every_s, self._shared), name="dispatch-shares"
            ),
            asyncio.create_task(self._keep(self._stops, LOOK_EVERY_S, self._halted), name="dispatch-stops"),
            asyncio.create_task(self._keep(self._figures, WRITE_EVERY_S, self._moved), name="dispatch-live"),
            asyncio.create_task(
                self._keep(self._link_work.step, LINK_WORK_EVERY_S, self._asked), name="dispatch-link-work"
            ),
            asyncio.create_task(self._keep(self._settle, _SETTLE_EVERY_S), name="dispatch-settle"),
            asyncio.create_task(self._keep(self._index, _INDEX_EVERY_S), name="dispatch-index"),
            asyncio.create_task(self._keep(self._plan, every_s, self._begun), name="dispatch-plan"),
        ]

    async def stop(self, timeout_s: float) -> None:
        """No feeding; unwritten rows given back, responses awaited, results flushed, unbound: in
        `timeout_s`."""
        self._status = "stopping"
        if self._wake is not None:
            self._wake.cancel()
        until = time.monotonic() + timeout_s
        await self._bus.stop()
        await _cancel(*self._tasks[1:])
        await self._link_work.stop()
        await self._sharing.stop()
        await asyncio.gather(
            *(self._stop_working(each, until - time.monotonic()) for each in self._working.values())
        )
        if not await within(self._writer.flush(), max(0.5, until - time.monotonic())):
            log.error("results not written at stop", rows=self._writer.pending)
        await _cancel(*self._tasks[:1])  # the lease is kept to the end
        await within(self._last_figures(), 0.5)
        self._working.clear()

    @property
    def worker_id(self) -> int:
        """Whose commits these are in the ledger."""
        return self._worker.worker_id

    def wake(self) -> None:
        """Campaigns, accounts, channels or shares changed: look again now."""
        self._urgent.set()
        if self._wake is None:
            self._wake = asyncio.get_running_loop().call_later(_EXPRESS_FIRST_S, self._awake)

    def _awake(self) -> None:
        self._wake = None
        self._looked.set()
        self._shared.set()
        self._asked.set()
        self._begun.set()

    async def changed(self) -> None:
        """What was committed concerns all workers: they look again now, this one too. A worker that does not
        hear looks by itself soon."""
        self.wake()
        try:
            async with self._pool.acquire() as connection:
                await ring(connection)
        except AWAY as error:
            log.warning("workers not told", error=repr(error))

    def halted(self) -> None:
        """Sending was stopped or let go on: look now."""
        self._halted.set()

    def pulse(self) -> schema.Pulse:
        """Of all workers; the status is this one's."""
        return self._live.pulse(self._condition())

    def binds(self) -> list[schema.Bind]:
        """Every bind of every enabled account; another worker's as it wrote it within the last seconds."""
        return self._live.binds()

    def rate_per_s(self, campaign_id: UUID) -> float:
        """Messages accepted by the operator, over the last seconds; 0 for a campaign that is not Sending."""
        return self._live.rate_per_s(campaign_id)

    def _pacer(self, account_id: int) -> Pacer | None:
        working = self._working.get(account_id)
        return None if working is None else working.binds.pacer

    def _condition(self) -> str:
        now = time.monotonic()
        degraded = self._away or self._writer.away or self._worker.lost or now >= self._worker.deadline
        return "degraded" if degraded and self._status == "ok" else self._status

    # loops --------------------------------------------------------------------------------------------------

    async def _keep(
        self, act: Callable[[], Awaitable[None]], every_s: float, sooner: asyncio.Event | None = None
    ) -> None:
        while True:
            await within((sooner or asyncio.Event()).wait(), every_s)
            if sooner is not None:
                sooner.clear()
            try:
                await act()
                self._away = False
            except AWAY as error:
                if not self._away:
                    log.warning("the ledger is away", error=repr(error))
                self._away = True
                await asyncio.sleep(_AWAY_PAUSE_S)
                if sooner is not None:
                    sooner.set()
            except Exception:
                log.exception("dispatch failed", doing=act.__name__)
                await asyncio.sleep(_AWAY_PAUSE_S)

    async def _renew(self) -> None:
        if self._worker.lost:
            return
        if not await self._worker.renew():
            log.error("lease lost: this worker sends nothing more", worker=self._worker.name)
            self.lost.set()
        for each in self._working.values():
            each.binds.pump()  # goes on where the deadline had passed

    async def _recover(self) -> None:
        if self._worker.lost:
            return
        if self._worker.may_fence(time.monotonic()):
            await leases.fence(self._pool, self._worker.worker_id, self._settings.lease_margin_s)
        # the claims of ended and of fenced workers: one that is only late may come back
        recovered = await recover(self._pool, self._worker.worker_id, lease_margin_s=_FENCED_ONLY_S)
        if recovered.claims:
            self.wake()

    async def _settle(self) -> None:
        await self._recover()
        if await doubts.resend_by_policy(self._pool, self._worker.worker_id):
            self.wake()
        await doubts.answer_by_receipts(self._pool, self._worker.worker_id)
        await holds.refund_decided(self._pool, self._worker.worker_id)
        async with self._pool.acquire() as connection:
            payable = await wallets.go_on(connection)
        if payable:
            log.info("campaigns go on: what they waited for is paid or priced", campaigns=len(payable))
            await self.changed()
        await settle_due(self._pool, self._worker.worker_id, self._settings.receipt_horizon_s)

    async def _index(self) -> None:
        if self._live.first:  # two would build the same indexes
            await partitions.index_closed(self._pool)

    async def _plan(self) -> None:
        planned, unsendable = await plan_due(self._pool, self._worker.worker_id)
        self._failed += unsendable
        if planned:
            await self.changed()
        elif unsendable:
            self.wake()

    async def _stops(self) -> None:
        if await self._halt.look():
            self.wake()

    async def _figures(self) -> None:
        await self._live.write(self._condition())

    async def _last_figures(self) -> None:
        try:
            await self._figures()
        except AWAY as error:
            log.warning("the last figures are not written", error=repr(error))

    async def _look(self) -> None:
        """Bring accounts and campaigns to what the database says."""
        await self._look_at_accounts()
        await self._look_at_campaigns()
        await self._finish()
        for each in self._working.values():
            each.feeder.wake()

    # accounts -----------------------------------------------------------------------------------------------

    async def _look_at_accounts(self) -> None:
        async with self._pool.acquire() as connection:
            stored = {each.account_id: each for each in await accounts(connection, self._secrets)}
        for account_id, working in list(self._working.items()):
            account = stored.get(account_id)
            if account is not None and account.enabled and account.version == working.account.version:
                continue
            if account is not None and account.enabled and _only_rates(working.account, account):
                working.account = working.binds.account = account
                if (tries := self._tries.get(account_id)) is not None:
                    tries.version = account.version
                self._shared.set()
                continue
            await self._leave(account_id, working)
        for account_id, account in stored.items():
            if account.enabled and account_id not in self._working:
                await self._start_working(account)

    def _tries_of(self, account: Account) -> AccountTries:
        """For binds that are made from `account` as it is now."""
        tries = AccountTries(self._pool, self._worker.worker_id, account.account_id, account.version)
        self._tries[account.account_id] = tries
        return tries

    async def _leave(self, account_id: int, working: Working) -> None:
        """Its shares stay ours until its sessions are closed."""
        self._sharing.busy.add(account_id)
        try:
            await self._sharing.forget(account_id)
            working.cut(None)
            await working.feeder.returned()
            del self._working[account_id]
            await self._stop_working(working, self._settings.stop_timeout_s)
        finally:
            self._sharing.busy.discard(account_id)
            self._shared.set()

    async def _start_working(self, account: Account) -> None:
        feeder = Feeder(
            self._pool, self._settings, self._worker, self._budget, self._chunks, self._campaign_failed
        )
        try:
            binds = AccountBinds(
                account,
                self._channel,
                fence=self._worker,
                writer=self._writer,
                budget=self._budget,
                on_idle=self._campaign_idle,
                on_low=feeder.wake,
                on_down=lambda sender, dropped: working.lost(sender, dropped),
                on_bind=self._bind_changed,
            )
        except BadSettings as error:
            log.error("account cannot be used", account=account.name, reason=str(error))
            return
        working = self._working[account.account_id] = Working(account, binds, feeder)
        numbers = [bind.number for bind in binds.binds]
        await self._pool.execute(load("dispatch")["drop_binds"], account.account_id, numbers)
        feeder.start(binds)
        self._shared.set()

    async def _stop_working(self, working: Working, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        working.cut(None)
        await within(working.feeder.returned(), timeout_s / 2)
        await working.binds.stop(max(0.1, until - time.monotonic()))
        await within(working.feeder.returned(), max(0.1, until - time.monotonic()))
        await working.feeder.stop()
        working.runs.clear()

    # campaigns ----------------------------------------------------------------------------------------------

    async def _look_at_campaigns(self) -> None:
        queries = load("dispatch")
        async with self._pool.acquire() as connection:
            closed = await routing.unusable(connection)
        if self._live.first and await fail_over(self._pool, closed):
            await self.changed()
        before = [*self._runs()]  # what comes meanwhile may not be among the rows
        rows = await self._pool.fetch(queries["sending"], list(closed))
        sending = {
            LegKey(row["campaign_id"], row["leg_no"], row["channel_id"]): (row["account_id"], row["releases"])
            for row in rows
        }
        for account_id, working, run in before:
            if sending.get(run.leg) != (account_id, run.releases) or not run.running:
                working.cut(run)
                await working.feeder.returned()
                working.runs.pop(run.leg, None)
        await self._write_failed()
        for row, leg in zip(rows, sending, strict=True):
            at = self._working.get(row["account_id"])
            if at is None:
                continue
            if leg not in at.runs:
                await self._add_campaign(at, leg, releases=row["releases"])
            elif at.runs[leg].chunk_starts is not None and (closed or self._any_closed):
                # of a campaign by routes: rows of another channel may be its now
                at.feeder.refresh(at.runs[leg])
            if leg in at.runs:
                at.runs[leg].weight = row["weight"]
        self._unfit = {leg: known for leg, known in self._unfit.items() if leg in sending}
        self._any_closed = bool(closed)
        for row in await self._pool.fetch(queries["cancelled"]):
            if row["campaign_id"] not in self._cancelled:
                await self._count_cancelled(row["campaign_id"])
        await self._write_reasons()

    def _runs(self) -> Iterator[tuple[int, Working, CampaignRun]]:
        """By account."""
        for account_id, working in self._working.items():
            for run in working.runs.values():
                yield account_id, working, run

    async def _look_for_express(self) -> None:
        """Express campaigns that have just begun: nothing else that `_look` does is waited for. What is wrong
        with one is its to say."""
        known = [run.campaign_id for _, _, run in self._runs() if run.lane == EXPRESS]
        for row in await self._pool.fetch(load("dispatch")["express"], known):
            working = self._working.get(row["account_id"])
            leg = LegKey(row["campaign_id"], row["leg_no"], row["channel_id"])
            if working is None or leg in working.runs or leg in self._unfit:
                continue
            with contextlib.suppress(Unsendable, Unfit, NoPriceList):
                await self._load_campaign(working, leg, releases=True, weight=row["weight"])

    async def _add_campaign(self, working: Working, leg: LegKey, *, releases: bool) -> None:
        campaign_id, (try_at, _) = leg.campaign_id, self._unfit.get(leg, (0.0, ""))
        if time.monotonic() < try_at:
            return
        try:
            await self._load_campaign(working, leg, releases=releases)
        except Unsendable as error:
            self._failed.append((campaign_id, str(error)))
            await self._write_failed()
        except Unfit as error:
            if leg not in self._unfit:
                log.error("channel unfit", campaign=str(campaign_id), leg=leg.leg_no, reason=str(error))
                await self._pool.execute(load("dispatch")["job_error"], campaign_id, "unfit", str(error))
                await self._pool.execute(load("legs")["unfit"], campaign_id, leg.channel_id)
                self.wake()
            self._unfit[leg] = (time.monotonic() + _UNFIT_AGAIN_S, str(error))
        except NoPriceList:
            if await self._pool.fetchval(load("money")["pause"], campaign_id, NO_PRICE_LIST) is not None:
                log.warning("campaign paused: no price list", campaign=str(campaign_id))

    async def _load_campaign(
        self, working: Working, leg: LegKey, *, releases: bool, weight: float = 1.0
    ) -> None:
        """Raises what `load_campaign` does. Two loops may find the same campaign at once: one adds it."""
        if leg in self._adding:
            return
        self._adding.add(leg)
        try:
            run = await load_campaign(self._pool, self._channel, leg, releases=releases)
            if run is None:
                return
            run.handle, run.weight = self._writer.handle(run.key), weight
            slices: list[OpenSlice] = []
            if not run.fresh:
                position, slices = await open_slices(self._pool, run, self._worker.worker_id)
                if position is None:
                    return
                run.next_chunk, run.next_row = position
            if self._working.get(working.account.account_id) is not working or leg in working.runs:
                return  # its account is being left
            working.runs[leg] = run
            self._unfit.pop(leg, None)
            self._reasons.pop(leg.campaign_id, None)  # what stood there may be over
            working.feeder.add(run, slices)
        finally:
            self._adding.discard(leg)
        log.info(
            "campaign sending", campaign=str(leg.campaign_id), account=working.account.name, leg=leg.leg_no
        )

    async def _count_cancelled(self, campaign_id: UUID) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await campaigns.count_cancelled(connection, campaign_id, self._worker.worker_id)
        self._cancelled.add(campaign_id)
        log.info("campaign cancelled", campaign=str(campaign_id), rows=rows)

    def _campaign_failed(self, run: CampaignRun, reason: str) -> None:
        self._failed.append((run.campaign_id, reason))
        self.wake()

    async def _write_failed(self) -> None:
        while self._failed:
            campaign_id, reason = self._failed[0]
            async with self._pool.acquire() as connection, connection.transaction():
                if await campaigns.fail(connection, campaign_id, reason):
                    await connection.execute(load("dispatch")["job_error"], campaign_id, "unsendable", reason)
            log.error("campaign failed", campaign=str(campaign_id), reason=reason)
            self._failed.pop(0)

    def _campaign_idle(self, run: CampaignRun) -> None:
        if run.exhausted:
            self.wake()

    async def _finish(self) -> None:
        """Campaigns of which nothing is left to send or to wait for are Done."""
        idle: dict[UUID, list[tuple[Working, CampaignRun]]] = {}
        busy = set()
        for working in self._working.values():
            for run in working.runs.values():
                if run.exhausted and not run.open_claims and not working.feeder.waits_for(run):
                    idle.setdefault(run.campaign_id, []).append((working, run))
                else:
                    busy.add(run.campaign_id)
        over = {campaign_id: runs for campaign_id, runs in idle.items() if campaign_id not in busy}
        if not over:
            return
        await self._writer.flush()
        for campaign_id, runs in over.items():
            async with self._pool.acquire() as connection:
                if not await campaigns.finish_if_done(connection, campaign_id):
                    continue
            for working, run in runs:
                working.feeder.remove(run)
                working.runs.pop(run.leg, None)
            log.info("campaign done", campaign=str(campaign_id))

    async def _write_reasons(self) -> None:
        """What a campaign waits for stands beside its state."""
        if self._halt.covered:
            await stops.write_reasons(self._pool)
        if self._live.first:
            await self._pool.execute(load("dispatch")["closed_reasons"])
        waiting: dict[UUID, set[str]] = {}
        for leg, (_, reason) in self._unfit.items():
            waiting.setdefault(leg.campaign_id, set()).add(reason)
        for account_id, working in list(self._working.items()):
            reason = ""
            if working.binds.all_drained:
                reason = f"{working.account.name} is drained"
            elif not (working.binds.ready or self._live.bound_elsewhere(account_id)):
                reason = f"waiting for a bind of {working.account.name}"
            for leg in working.runs:
                waiting.setdefault(leg.campaign_id, set()).update({reason} - {""})
        for campaign_id, reasons in waiting.items():
            reason = "; ".join(sorted(reasons))
            if self._reasons.get(campaign_id) != reason:
                await self._pool.execute(load("dispatch")["reason"], campaign_id, reason)
                self._reasons[campaign_id] = reason
        self._reasons = {id_: reason for id_, reason in self._reasons.items() if id_ in waiting}

    def _bind_changed(self, account: Account, bind: Bind, state: str, reason: str) -> None:
        self._live.bind_changed(account, bind, state, reason)
        self._moved.set()
        self._looked.set()


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _only_rates(old: Account, new: Account) -> bool:
    """Whether the change can be made without leaving the binds."""
    rates = {"tps_schedule", "tz", "express_share", "slow_on_response_time"}
    settings = [
        {name: value for name, value in each.settings.items() if name not in rates} for each in (old, new)
    ]
    if settings[0] != settings[1]:
        return False
    return all(
        getattr(old, name) == getattr(new, name)
        for name in Account.__slots__
        if name not in ("tps", "version", "settings")
    )
