"""Live figures: this worker's written to the ledger about once a second, the others' read from it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from engine.channels.interface import Account, Bind
from engine.core_api import schema
from engine.dispatch.worker import Worker
from engine.dispatch.working import Working
from engine.ledger import leases
from engine.ledger.pool import Pool
from engine.ledger.sql import load

WRITE_EVERY_S = 1.0
FRESH_S = 5.0  # older figures of another worker count for nothing
_WRITTEN = (
    "number", "state", "reason", "changed_at", "in_flight", "tps_now", "tps_limit", "mode",
    "interface_version", "last_error", "last_error_at", "tps_set", "slowed_by", "response_ms",
)  # fmt: skip
_FAULTY = ("down", "refused")


@dataclass(frozen=True, slots=True)
class _State:
    state: str
    reason: str
    changed_at: datetime
    error: str = ""
    error_at: datetime | None = None


_UNKNOWN = _State("down", "", datetime.fromtimestamp(0, UTC))


class Live:
    """What pulse, binds and rates are, of this worker as it is now, of the others as they last wrote."""

    def __init__(self, pool: Pool, worker: Worker, working: Mapping[int, Working]) -> None:
        self.first = False  # this worker is the oldest that lives: it does what one must do
        self._pool = pool
        self._worker = worker
        self._working = working
        self._states: dict[tuple[int, int], _State] = {}
        self._refused: list[tuple[int, str]] = []  # account, reason: not said yet
        self._others: list[Mapping[str, float]] = []
        self._other_binds: dict[tuple[int, int], schema.Bind] = {}
        self._other_rates: dict[UUID, float] = {}

    # what is asked ------------------------------------------------------------------------------------------

    def pulse(self, status: str) -> schema.Pulse:
        """Of all workers; `status` is this one's."""
        now, others = time.monotonic(), self._others
        own = [bind for each in self._working.values() for bind in each.binds.binds]
        return schema.Pulse(
            status=status,
            in_flight=sum(bind.in_flight for bind in own) + sum(int(each["in_flight"]) for each in others),
            sent_per_s=sum(each.binds.sent.per_s(now) for each in self._working.values())
            + sum(each["sent_per_s"] for each in others),
            delivered_per_s=sum(each.binds.delivered.per_s(now) for each in self._working.values())
            + sum(each["delivered_per_s"] for each in others),
            binds_bound=sum(bind.bound for bind in own)
            + sum(each.state == "bound" for each in self._other_binds.values()),
            binds_total=len(own),
        )

    def binds(self) -> list[schema.Bind]:
        """Every bind of every account at work."""
        found = []
        for account_id, each in self._working.items():
            held = {bind.number for bind in each.binds.held_binds}
            for bind in sorted(each.binds.binds, key=lambda bind: bind.number):
                other = self._other_binds.get((account_id, bind.number))
                mine = self._bind(each, bind)
                found.append(mine if bind.number in held or other is None else other)
        return found

    def rate_per_s(self, campaign_id: UUID) -> float:
        """Messages of a campaign accepted by the operator, over the last seconds."""
        rate = self._other_rates.get(campaign_id, 0.0)
        for each in self._working.values():
            for run in each.runs.values():
                if run.campaign_id == campaign_id:
                    rate += run.accepted.per_s(time.monotonic())
        return rate

    def bound_elsewhere(self, account_id: int) -> bool:
        """Whether another worker has a session of the account."""
        return any(
            bind.state == "bound" for (owner, _), bind in self._other_binds.items() if owner == account_id
        )

    # what happens -------------------------------------------------------------------------------------------

    def bind_changed(self, account: Account, bind: Bind, state: str, reason: str) -> None:
        key, now = (account.account_id, bind.number), datetime.now(UTC)
        before = self._states.get(key, _UNKNOWN)
        fault = state in _FAULTY and bool(reason)
        self._states[key] = _State(
            state, reason, now, reason if fault else before.error, now if fault else before.error_at
        )
        if state == "refused":
            self._refused.append((account.account_id, reason))

    async def write(self, status: str) -> None:
        """This worker's figures, and then what the others wrote."""
        await self._write(status)
        await self._say_refusals()
        await self._read()

    async def _write(self, status: str) -> None:
        queries, me, now = load("workers"), self._worker.worker_id, time.monotonic()
        own = [
            (account_id, self._bind(each, bind))
            for account_id, each in self._working.items()
            for bind in each.binds.held_binds
        ]
        rates: dict[UUID, float] = {}
        for each in self._working.values():
            for run in each.runs.values():
                rates[run.campaign_id] = rates.get(run.campaign_id, 0.0) + run.accepted.per_s(now)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                queries["write_pulse"],
                me,
                status,
                sum(bind.in_flight for _, bind in own),
                sum(each.binds.sent.per_s(now) for each in self._working.values()),
                sum(each.binds.delivered.per_s(now) for each in self._working.values()),
            )
            columns = [[getattr(bind, name) for _, bind in own] for name in _WRITTEN]
            await connection.execute(
                queries["write_binds"], me, [account_id for account_id, _ in own], *columns
            )
            await connection.execute(queries["write_rates"], me, list(rates), list(rates.values()))
            await connection.execute(queries["drop_rates"], me, list(rates))

    async def _say_refusals(self) -> None:
        """A refused bind is a job error of the campaigns that wait for it."""
        while self._refused:
            account_id, reason = self._refused[0]
            working = self._working.get(account_id)
            for campaign_id in {leg.campaign_id for leg in working.runs} if working else ():
                await self._pool.execute(load("dispatch")["job_error"], campaign_id, "bind_refused", reason)
            self._refused.pop(0)

    async def _read(self) -> None:
        queries, me = load("workers"), self._worker.worker_id
        async with self._pool.acquire() as connection:
            workers = await connection.fetch(queries["live"], FRESH_S)
            binds = await leases.binds(connection)
            rates = await connection.fetch(queries["rates"], me, FRESH_S)
        self.first = me == min((row["worker_id"] for row in workers), default=me)
        self._others = [row for row in workers if row["worker_id"] != me and row["fresh"]]
        self._other_binds = {
            (account_id, bind.number): bind
            for account_id, bind in binds
            if bind.worker_id is not None and bind.worker_id != me
        }
        self._other_rates = {row["campaign_id"]: row["accepted_per_s"] for row in rates}

    def _bind(self, each: Working, bind: Bind) -> schema.Bind:
        account, binds, now = each.account, each.binds, time.monotonic()
        known = self._states.get((account.account_id, bind.number), _UNKNOWN)
        held = binds.lease_of(bind) in binds.held
        responses = binds.responses.get(bind.number)
        senders, pacer = max(1, binds.ready), binds.pacer
        paced = bind.submits and binds.tps > 0
        best_s = pacer.response_time.best_s
        mode = account.bind_mode
        if mode == "pair":
            mode = "transmitter" if bind.submits else "receiver"
        return schema.Bind(
            account=account.name,
            number=bind.number,
            state=known.state if held else "down",  # type: ignore[arg-type]
            reason=known.reason if held else "",
            in_flight=bind.in_flight,
            window_size=account.window_size,
            changed_at=known.changed_at,
            mode=mode,
            interface_version=getattr(bind, "interface_version", 0),
            worker_id=self._worker.worker_id if held else None,
            worker=self._worker.name if held else "",
            drained=binds.is_drained(bind),
            tps_now=responses.per_s(now) if responses else 0.0,
            tps_limit=pacer.rate_per_s / senders if paced else 0.0,
            tps_set=pacer.tps / senders if paced else 0.0,
            slowed_by=pacer.slowed_by if paced else "",
            response_ms=best_s * 1000 if paced and best_s < float("inf") else None,
            last_error=known.error,
            last_error_at=known.error_at,
        )
