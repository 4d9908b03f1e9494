"""Dispatch of one engine process: accounts and campaigns as the database says, kept so until `stop`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import structlog

from engine.bus.postgres import PostgresBus
from engine.channels.interface import Account, BadSettings, Bind, Channel
from engine.channels.smpp import SmppChannel
from engine.core_api import schema
from engine.dispatch.account import AccountBinds
from engine.dispatch.book import Budget
from engine.dispatch.campaign import CampaignRun, Chunks, Unsendable, load_campaign, open_slices
from engine.dispatch.claims import Claim
from engine.dispatch.feeder import Feeder
from engine.dispatch.sender import Sender
from engine.dispatch.waiting import within
from engine.dispatch.worker import Worker
from engine.ledger import campaigns, partitions
from engine.ledger.accounts import accounts
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


@dataclass(slots=True)
class _Working:
    """One account at work."""

    account: Account
    binds: AccountBinds
    feeder: Feeder
    runs: dict[UUID, CampaignRun] = field(default_factory=dict)

    def cut(self, run: CampaignRun | None) -> None:
        """Begin nothing more of a campaign (or of all): queued claims end and their rows go back."""
        for each in [run] if run else list(self.runs.values()):
            self.feeder.remove(each)
        for sender in self.binds.senders:
            self.release(sender.drop(run))
        self.binds.pump()

    def lost(self, sender: Sender, dropped: list[Claim]) -> None:
        self.feeder.offers.disown(sender)
        self.release(dropped)

    def release(self, dropped: list[Claim]) -> None:
        now = time.monotonic()
        for claim in dropped:
            self.feeder.give_back(claim, self.binds.book.release(claim, now))


class Dispatcher:
    """`start` recovers, binds and sends; `wake` after a change in the database; `stop` leaves nothing half
    done.

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
        self._pool = pool
        self._settings = settings
        self._worker = worker
        self._writer = writer
        self._secrets = secrets
        self._channel = channel or SmppChannel(
            response_timeout_s=settings.response_timeout_s, enquire_link_s=settings.enquire_link_s
        )
        self._budget = Budget(settings.max_claimed, writer)
        self._chunks = Chunks(pool, settings.chunk_cache)
        self._working: dict[int, _Working] = {}
        self._bind_states: dict[tuple[int, int], tuple[str, str, datetime]] = {}
        self._unwritten_states: set[tuple[int, int]] = set()
        self._failed: list[tuple[UUID, str]] = []
        self._cancelled: set[UUID] = set()  # counted already
        self._looked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._bus = PostgresBus(settings.ledger_dsn.get_secret_value(), self.wake)
        self._status = "starting"
        self._away = False

    # what the programs call ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Recover what dead workers left, bind every enabled account, go on with every campaign in Sending.

        Raises what the database raises: without it there is no start.
        """
        await self._recover()
        await self._writer.rebuild()
        await self._look()
        self._status = "ok"
        self._bus.start()
        every_s = self._settings.poll_interval_ms / 1000
        self._tasks = [
            asyncio.create_task(self._keep(self._renew, self._worker.renew_every_s), name="dispatch-lease"),
            asyncio.create_task(self._keep(self._look, every_s, self._looked), name="dispatch-look"),
            asyncio.create_task(self._keep(self._settle, _SETTLE_EVERY_S), name="dispatch-settle"),
            asyncio.create_task(self._keep(self._index, _INDEX_EVERY_S), name="dispatch-index"),
        ]

    async def stop(self, timeout_s: float) -> None:
        """No feeding; unwritten rows given back, responses awaited, results flushed, unbound: in
        `timeout_s`."""
        self._status = "stopping"
        until = time.monotonic() + timeout_s
        await self._bus.stop()
        await _cancel(*self._tasks[1:])
        await asyncio.gather(
            *(self._stop_working(each, until - time.monotonic()) for each in self._working.values())
        )
        if not await within(self._writer.flush(), max(0.5, until - time.monotonic())):
            log.error("results not written at stop", rows=self._writer.pending)
        await _cancel(*self._tasks[:1])  # the lease is kept to the end
        await within(self._write_bind_states(), 0.5)
        self._working.clear()

    def wake(self) -> None:
        """Campaigns, accounts or channels changed: look again now."""
        self._looked.set()

    def pulse(self) -> schema.Pulse:
        now = time.monotonic()
        binds = [bind for each in self._working.values() for bind in each.binds.binds]
        degraded = self._away or self._writer.away or self._worker.lost or now >= self._worker.deadline
        return schema.Pulse(
            status="degraded" if degraded and self._status == "ok" else self._status,
            in_flight=sum(bind.in_flight for bind in binds),
            sent_per_s=sum(each.binds.sent.per_s(now) for each in self._working.values()),
            delivered_per_s=sum(each.binds.delivered.per_s(now) for each in self._working.values()),
            binds_bound=sum(bind.bound for bind in binds),
            binds_total=len(binds),
        )

    def binds(self) -> list[schema.Bind]:
        """Every bind of this process, live."""
        found = []
        for account_id, each in self._working.items():
            for bind in sorted(each.binds.binds, key=lambda bind: bind.number):
                state, reason, changed_at = self._bind_states.get(
                    (account_id, bind.number), ("down", "", datetime.now(UTC))
                )
                found.append(
                    schema.Bind(
                        account=each.account.name,
                        number=bind.number,
                        state=state,  # type: ignore[arg-type]
                        reason=reason,
                        in_flight=bind.in_flight,
                        window_size=each.account.window_size,
                        changed_at=changed_at,
                    )
                )
        return found

    def rate_per_s(self, campaign_id: UUID) -> float:
        """Messages accepted by the operator, over the last seconds; 0 for a campaign that is not Sending."""
        for each in self._working.values():
            run = each.runs.get(campaign_id)
            if run is not None:
                return run.accepted.per_s(time.monotonic())
        return 0.0

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
        for each in self._working.values():
            each.binds.pump()  # goes on where the deadline had passed

    async def _recover(self) -> None:
        margin_s = self._settings.lease_margin_s
        await self._pool.execute(load("dispatch")["fence"], self._worker.worker_id, margin_s)
        recovered = await recover(self._pool, self._worker.worker_id, lease_margin_s=margin_s)
        if recovered.claims:
            self.wake()

    async def _settle(self) -> None:
        await self._recover()
        await settle_due(self._pool, self._worker.worker_id, self._settings.receipt_horizon_s)

    async def _index(self) -> None:
        await partitions.index_closed(self._pool)

    async def _look(self) -> None:
        """Bring accounts and campaigns to what the database says."""
        await self._look_at_accounts()
        await self._look_at_campaigns()
        await self._finish()
        await self._write_bind_states()
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
            if account is not None and account.enabled and _only_tps(working.account, account):
                working.account = working.binds.account = account
                working.binds.set_tps(account.tps)
                continue
            working.cut(None)
            await working.feeder.returned()
            del self._working[account_id]
            await self._stop_working(working, self._settings.stop_timeout_s)
        for account_id, account in stored.items():
            if account.enabled and account_id not in self._working:
                await self._start_working(account)

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
        working = self._working[account.account_id] = _Working(account, binds, feeder)
        numbers = [bind.number for bind in binds.binds]
        await self._pool.execute(load("dispatch")["drop_binds"], account.account_id, numbers)
        feeder.start(binds)
        binds.start()

    async def _stop_working(self, working: _Working, timeout_s: float) -> None:
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
        sending = {
            row["campaign_id"]: row["account_id"] for row in await self._pool.fetch(queries["sending"])
        }
        for account_id, working in self._working.items():
            for run in list(working.runs.values()):
                if sending.get(run.campaign_id) != account_id or not run.running:
                    working.cut(run)
                    await working.feeder.returned()
                    del working.runs[run.campaign_id]
        await self._write_failed()
        for campaign_id, account_id in sending.items():
            at = self._working.get(account_id)
            if at is not None and campaign_id not in at.runs:
                await self._add_campaign(at, campaign_id)
        for row in await self._pool.fetch(queries["cancelled"]):
            if row["campaign_id"] not in self._cancelled:
                await self._count_cancelled(row["campaign_id"])
        await self._write_reasons()

    async def _add_campaign(self, working: _Working, campaign_id: UUID) -> None:
        try:
            run = await load_campaign(self._pool, self._channel, campaign_id)
        except Unsendable as error:
            self._failed.append((campaign_id, str(error)))
            await self._write_failed()
            return
        if run is None:
            return
        run.handle = self._writer.handle(run.key)
        position, slices = await open_slices(self._pool, run)
        if position is None:
            return
        run.next_chunk, run.next_row = position
        working.runs[campaign_id] = run
        working.feeder.add(run, slices)
        log.info("campaign sending", campaign=str(campaign_id), account=working.account.name)

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
        for working in self._working.values():
            idle = [
                run
                for run in working.runs.values()
                if run.exhausted and not run.open_claims and not working.feeder.waits_for(run)
            ]
            if not idle:
                continue
            await self._writer.flush()
            for run in idle:
                async with self._pool.acquire() as connection:
                    if not await campaigns.finish_if_done(connection, run.campaign_id):
                        continue
                working.feeder.remove(run)
                del working.runs[run.campaign_id]
                log.info("campaign done", campaign=str(run.campaign_id))

    async def _write_reasons(self) -> None:
        """What a campaign waits for stands beside its state."""
        for working in self._working.values():
            reason = "" if working.binds.ready else f"waiting for a bind of {working.account.name}"
            changed = [run for run in working.runs.values() if run.reason != reason]
            for run in changed:
                async with self._pool.acquire() as connection:
                    await campaigns.set_reason(connection, run.campaign_id, reason)
                run.reason = reason

    # binds --------------------------------------------------------------------------------------------------

    def _bind_changed(self, account: Account, bind: Bind, state: str, reason: str) -> None:
        key = (account.account_id, bind.number)
        self._bind_states[key] = (state, reason, datetime.now(UTC))
        self._unwritten_states.add(key)
        self.wake()

    async def _write_bind_states(self) -> None:
        if not self._unwritten_states:
            return
        keys, self._unwritten_states = sorted(self._unwritten_states), set()
        states = [self._bind_states[key] for key in keys]
        try:
            await self._pool.execute(
                load("dispatch")["put_bind"],
                [account_id for account_id, _ in keys],
                [number for _, number in keys],
                [state for state, _, _ in states],
                [reason for _, reason, _ in states],
                self._worker.worker_id,
            )
        except AWAY:
            self._unwritten_states.update(keys)
            raise
        for (account_id, _), (state, reason, _) in zip(keys, states, strict=True):
            if state == "refused" and account_id in self._working:
                for campaign_id in self._working[account_id].runs:
                    await self._pool.execute(
                        load("dispatch")["job_error"], campaign_id, "bind_refused", reason
                    )


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _only_tps(old: Account, new: Account) -> bool:
    """Whether the change can be made without leaving the binds."""
    return all(
        getattr(old, name) == getattr(new, name)
        for name in Account.__slots__
        if name not in ("tps", "version")
    )
