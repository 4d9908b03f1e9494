"""This worker's part of every account: binds and TPS shares taken, kept and given back; orders to binds."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from engine.bus.postgres import ring
from engine.dispatch.schedule import tps_at
from engine.dispatch.shares import TPS_SHARES, Change, change, tps_shares
from engine.dispatch.worker import Worker
from engine.dispatch.working import Working
from engine.ledger import leases
from engine.ledger.leases import Kind, Share, Table
from engine.ledger.pool import AWAY, Pool
from engine.settings import EngineSettings

log = structlog.get_logger(__name__)


class Sharing:
    """`look` reads the shares, obeys, and commits this worker's change. Only `look` takes; nothing is used
    before the ledger says it is ours, nothing is given back that is still used."""

    def __init__(
        self, pool: Pool, settings: EngineSettings, worker: Worker, working: Mapping[int, Working]
    ) -> None:
        self.busy: set[int] = set()  # accounts whose sessions are being closed: their shares stay ours
        self._pool = pool
        self._settings = settings
        self._worker = worker
        self._working = working
        self._leaving: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._left: set[tuple[int, int]] = set()  # of these, done
        self._rebinds: dict[tuple[int, int], int] = {}

    async def look(self) -> None:
        if time.monotonic() >= self._worker.deadline:
            return  # the lease first
        for key in self._left:  # a table read before they were given back must not open them again
            self._leaving.pop(key, None)
        self._left.clear()
        table = await leases.look(self._pool, most_tps_shares=TPS_SHARES)
        for working in list(self._working.values()):
            self._obey(working, table)
        await self._change(table)

    async def stop(self) -> None:
        """The sessions are about to be closed by others."""
        for task in self._leaving.values():
            task.cancel()
        if self._leaving:
            await asyncio.wait(list(self._leaving.values()))

    async def forget(self, account_id: int) -> None:
        """The account's sessions are about to be closed, or were: begin anew with it."""
        for key, task in list(self._leaving.items()):
            if key[0] == account_id:
                task.cancel()
                await asyncio.wait({task})
        for key in [key for key in self._rebinds if key[0] == account_id]:
            del self._rebinds[key]

    # what the table says ------------------------------------------------------------------------------------

    def _obey(self, working: Working, table: Table) -> None:
        account, binds = working.account, working.binds
        held = {
            number
            for number in table.held(self._worker.worker_id, account.account_id, "bind")
            if number <= account.binds and (account.account_id, number) not in self._leaving
        }
        for number in held:
            asked = table.controls.rebinds.get((account.account_id, number), 0)
            if asked > self._rebinds.setdefault((account.account_id, number), asked):
                self._rebinds[account.account_id, number] = asked
                binds.rebind(number, self._settings.stop_timeout_s)
        if account.account_id in table.controls.drained_accounts:
            binds.drain(frozenset(range(1, account.binds + 1)))
        else:
            binds.drain(
                frozenset(number for owner, number in table.controls.drained if owner == account.account_id)
            )
        binds.hold(held)
        self._set_share(working, table.held(self._worker.worker_id, account.account_id, "tps"))

    def _set_share(self, working: Working, numbers: set[int]) -> None:
        account = working.account
        total = tps_shares(account.tps)
        part = sum(number <= total for number in numbers) / total
        working.binds.set_share(tps_at(account, datetime.now(UTC)) * part)

    # what is changed ----------------------------------------------------------------------------------------

    async def _change(self, table: Table) -> None:
        give: list[Share] = []
        take: list[Share] = []
        me = self._worker.worker_id
        for account_id, kind in table.holders:
            working = self._working.get(account_id)
            if working is None:
                if account_id not in self.busy:
                    give += [(account_id, kind, number) for number in table.held(me, account_id, kind)]
                continue
            wanted = self._wanted(working, table, kind)
            take += [(account_id, kind, number) for number in wanted.take]
            if kind == "bind":
                for number in wanted.give:
                    self._let_go(working, number)
                continue
            give += [(account_id, kind, number) for number in wanted.give]
            if wanted.give:  # not used any more before it is somebody else's
                table.holders[account_id, kind].update(dict.fromkeys(wanted.give))
                self._set_share(working, table.held(me, account_id, "tps"))
        if give:
            await leases.give(self._pool, me, give)
            await self._tell()
        taken = await leases.take(self._pool, me, take)
        for account_id, kind, number in taken:
            table.holders[account_id, kind][number] = me
        if any(kind == "bind" for _, kind, _ in taken):
            taken |= await self._take_tps(table)
        for account_id in sorted({account_id for account_id, _, _ in taken}):
            working = self._working.get(account_id)
            if working is not None:
                self._obey(working, table)
                held = sorted(working.binds.held)
                log.info("shares", account=working.account.name, binds=held, tps=working.binds.tps)

    async def _take_tps(self, table: Table) -> set[Share]:
        """Who has just got its first bind takes of the TPS at once."""
        me = self._worker.worker_id
        take: list[Share] = [
            (account_id, "tps", number)
            for account_id, working in self._working.items()
            for number in self._wanted(working, table, "tps").take
        ]
        taken = await leases.take(self._pool, me, take)
        for account_id, kind, number in taken:
            table.holders[account_id, kind][number] = me
        return taken

    def _wanted(self, working: Working, table: Table, kind: Kind) -> Change:
        """Binds are divided among all live workers, TPS among those that hold a bind."""
        account, me = working.account, self._worker.worker_id
        binds = table.of(account.account_id, "bind")
        if kind == "bind":
            return change(me, binds, table.workers, account.binds, account.account_id)
        holders = {
            holder for number, holder in binds.items() if holder is not None and number <= account.binds
        }
        return change(
            me, table.of(account.account_id, "tps"), holders, tps_shares(account.tps), account.account_id
        )

    def _let_go(self, working: Working, number: int) -> None:
        key = (working.account.account_id, number)
        if key in self._leaving:
            return

        async def leave() -> None:
            sessions = [bind.number for bind in working.binds.binds if working.binds.lease_of(bind) == number]
            try:
                await working.binds.let_go(number, self._settings.stop_timeout_s)
                await leases.give(self._pool, self._worker.worker_id, [(key[0], "bind", number)], sessions)
                await self._tell()
                log.info("bind given to another worker", account=working.account.name, bind=number)
            except AWAY as error:
                log.warning("a bind was not given back", account=working.account.name, error=repr(error))
            finally:
                self._rebinds.pop(key, None)
                self._left.add(key)

        self._leaving[key] = asyncio.create_task(leave(), name=f"let-go-{working.account.name}-{number}")

    async def _tell(self) -> None:
        """Others may take now."""
        async with self._pool.acquire() as connection:
            await ring(connection)
