"""What a worker's binds do beside campaigns: test messages, and traces of their PDUs."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from engine._fast.columns import EncodedBatch, ResultBatch
from engine.channels.interface import BadSettings, Channel
from engine.channels.smpp import TEST_CLAIM, SmppBind, SmppChannel
from engine.dispatch.waiting import within
from engine.ledger import traces, trial_messages
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.ledger.traces import ActiveTrace
from engine.ledger.trial_messages import Claimed, PartResult
from engine.smpp.trace import Filter, Recorder, local_digits, show

if TYPE_CHECKING:
    from engine.dispatch.pacer import Pacer
    from engine.dispatch.worker import Worker
    from engine.settings import EngineSettings

log = structlog.get_logger(__name__)


LINK_WORK_EVERY_S = 1.0
LONGEST_WAIT_S = 1.0  # of a test message for its tokens; later ones are owed
Pace = Callable[[int], "Pacer | None"]


class LinkWork:
    """`step` about once a second, and when the database rings. A channel that is none of SMPP has none.

    `pace`: the pacer of an account that is at work, by its id.
    """

    def __init__(
        self,
        pool: Pool,
        worker: Worker,
        channel: Channel,
        settings: EngineSettings | None = None,
        *,
        pace: Pace = lambda _account_id: None,
    ) -> None:
        self._settings = settings
        self._channel = channel if isinstance(channel, SmppChannel) else None
        self._listening = False
        if self._channel is not None:
            self._trials = Trials(pool, worker, self._channel, pace)
            self._tracer = Tracer(pool, self._channel)

    async def step(self) -> None:
        """Raises what the database raises; what was not written then is written by a later step."""
        if self._channel is None:
            return
        await self._listen(self._channel)
        await self._trials.step()
        await self._tracer.step()

    async def stop(self) -> None:
        """Writes what has come meanwhile, and takes no more outbinds."""
        if self._channel is None:
            return
        await self._channel.stop_listening()
        await within(self._trials.write(), 1.0)

    async def _listen(self, channel: SmppChannel) -> None:
        """Once, at the first step: a port in use is logged and left."""
        if self._listening or self._settings is None or self._settings.outbind_port is None:
            return
        self._listening = True
        try:
            await channel.listen(self._settings.outbind_host, self._settings.outbind_port)
        except OSError as error:
            log.error("outbind port cannot be used", port=self._settings.outbind_port, reason=str(error))


class Trials:
    """Sends what is queued in test_messages: claimed in a commit, then written, never again. Its parts take
    tokens of their account as those of campaigns do."""

    def __init__(self, pool: Pool, worker: Worker, channel: SmppChannel, pace: Pace) -> None:
        self._pool = pool
        self._pace = pace
        self._worker = worker
        self._channel = channel
        self._waiting: dict[int, tuple[UUID, set[int]]] = {}  # by slice id as sent: parts without a result
        self._results: list[PartResult] = []

    async def step(self) -> None:
        """Results and receipts first; then at most one message a bind."""
        await self.write()
        queries = load("trials")
        row = await self._pool.fetchrow(queries["queued"])
        if row is None or not row["recent"]:
            return
        if row["open"]:
            await self._pool.execute(queries["expire"])
            await self._pool.execute(queries["doubt"])
        for account_id in row["accounts"] or ():
            for bind in self._channel.running():
                pacer = self._pace(account_id)
                if pacer is not None and pacer.closed:
                    continue  # who holds a share of the TPS sends it
                if bind.account_id == account_id and bind.submits and bind.bound and bind.writable:
                    await self._send(bind)
        await self._pool.execute(queries["receipts"])

    async def write(self) -> None:
        """Results that have come."""
        if self._results:
            writing = self._results[:]
            await trial_messages.write_results(self._pool, writing)
            del self._results[: len(writing)]

    async def _send(self, bind: SmppBind) -> None:
        await self._due(bind.account_id)  # before the claim: what a stop forbids meanwhile is not claimed
        async with self._pool.acquire() as connection, connection.transaction():
            claimed = await trial_messages.claim(
                connection, self._worker.worker_id, bind.account_id, bind.number
            )
            if claimed is None:
                return
            batch = await self._encode(connection, bind, claimed)
        if batch is None:
            return
        if (pacer := self._pace(bind.account_id)) is not None:
            pacer.take(batch.count if batch.billed is None else sum(batch.billed), time.monotonic())
        if not self._write(bind, claimed.test_id, batch):
            await self._pool.execute(load("trials")["give_back"], claimed.test_id, self._worker.worker_id)

    async def _due(self, account_id: int) -> None:
        """Waits for the account's next token."""
        pacer, now = self._pace(account_id), time.monotonic()
        due = now if pacer is None else pacer.next_at()
        if now < due < float("inf"):
            await asyncio.sleep(min(due - now, LONGEST_WAIT_S))

    async def _encode(self, connection: Connection, bind: SmppBind, claimed: Claimed) -> EncodedBatch | None:
        """The PDUs, their parts recorded; None: it cannot be sent, which is recorded instead."""
        queries = load("trials")
        batch, refusal = encode(self._channel, bind, claimed)
        if refusal:
            await connection.execute(queries["refuse"], claimed.test_id, refusal)
            return None
        await connection.execute(queries["parts"], claimed.test_id, claimed.account_id, list(batch.part))
        return batch

    def _write(self, bind: SmppBind, test_id: UUID, batch: EncodedBatch) -> bool:
        """False: not one octet was written."""
        usable = bind.bound and bind.writable and bind.free >= batch.count
        if not usable or time.monotonic() >= self._worker.deadline:
            return False
        slice_id = _slice_of(test_id)
        bind.on_test_results = self._on_results
        self._waiting[slice_id] = (test_id, set(batch.part))
        bind.submit(batch, 0, batch.count, slice_id, 0, TEST_CLAIM)
        log.info("test message written", account=bind.account_id, bind=bind.number, test=str(test_id))
        return True

    def _on_results(self, batch: ResultBatch) -> None:
        for position in range(batch.count):
            known = self._waiting.get(batch.slice_id[position])
            if known is None:
                continue
            test_id, parts = known
            start = batch.id_end[position - 1] if position else 0
            smsc_id = bytes(batch.ids[start : batch.id_end[position]]).decode("latin-1")
            part, status = batch.part[position], batch.status[position]
            self._results.append(
                PartResult(test_id, part, status, smsc_id, batch.sent_us[position], batch.done_us[position])
            )
            if status != -1:  # a response that is late still comes
                parts.discard(part)
        for slice_id in [each for each, (_, parts) in self._waiting.items() if not parts]:
            del self._waiting[slice_id]


def encode(channel: SmppChannel, bind: SmppBind, claimed: Claimed) -> tuple[EncodedBatch, str]:
    """(PDUs, why it cannot be sent or "")."""
    try:
        encoder = channel.encoder(
            claimed.settings,
            text="{{text}}",
            sender=claimed.sender,
            columns=["text"],
            account_id=claimed.account_id,
        )
    except (BadSettings, ValueError) as error:
        return EncodedBatch(), str(error)
    text = claimed.text.encode()
    column: Any = (array("i", [0, len(text)]), text)
    numbers = array("q", [claimed.msisdn])
    slice_id = _slice_of(claimed.test_id)
    batch = encoder.encode(numbers, [column], array("i", [0]), 0, slice_id, bind.reserve_sequences(255))
    if not batch.count:
        return batch, "the text gives no message: empty, or of too many parts"
    if batch.count > bind.link.config.window_size:
        return batch, f"{batch.count} parts do not fit into the window of {bind.link.config.window_size}"
    return batch, ""


class Tracer:
    """Puts recorders on the binds that active traces cover, and writes what they saw."""

    def __init__(self, pool: Pool, channel: SmppChannel) -> None:
        self._pool = pool
        self._channel = channel
        self._recorders: dict[tuple[int, SmppBind], Recorder] = {}

    async def step(self) -> None:
        async with self._pool.acquire() as connection:
            wanted = {each.trace_id: each for each in await traces.active(connection)}
        running = self._channel.running()
        for trace_id, bind in list(self._recorders):
            await self._collect(trace_id, bind)
            if trace_id not in wanted or bind not in running:
                del self._recorders[trace_id, bind]
        for trace in wanted.values():
            for bind in running:
                if (
                    trace.covers(bind.account_id, bind.number)
                    and (trace.trace_id, bind) not in self._recorders
                ):
                    self._recorders[trace.trace_id, bind] = Recorder(_filter(trace))
        for bind in running:
            self._connect(bind)

    def _connect(self, bind: SmppBind) -> None:
        taps = [each.tap for (_, tapped), each in self._recorders.items() if tapped is bind]
        if len(taps) < 2:
            bind.tap = taps[0] if taps else None
            return

        def all_of_them(out: bool, octets: bytes, now_us: int) -> None:
            for tap in taps:
                tap(out, octets, now_us)

        bind.tap = all_of_them

    async def _collect(self, trace_id: int, bind: SmppBind) -> None:
        recorder = self._recorders[trace_id, bind]
        seen = [(at_us, out, show(octets)) for at_us, out, octets in recorder.collect()]
        skipped, recorder.skipped = recorder.skipped, 0
        if seen or skipped:
            await traces.add(self._pool, trace_id, bind.account_id, bind.number, seen, skipped)


def _filter(trace: ActiveTrace) -> Filter:
    if trace.scope == "bind":
        return Filter()
    digits = local_digits(trace.msisdn) if trace.msisdn is not None else b""
    return Filter(digits, tuple(each.encode("latin-1", "replace") for each in trace.smsc_ids if each))


def _slice_of(test_id: UUID) -> int:
    """A number of its own for the window and the reference of its parts; no slice has it."""
    return test_id.int >> 66
