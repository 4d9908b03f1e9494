"""A paced stream over real binds: the engine's Link and Pacer, against the simulated SMSC.

Messages are due evenly at the offered rate, whatever becomes of the ones before (an open loop): a window that
is full makes later ones late, and their response times say so. Nothing is kept by message but two columns.
"""

import asyncio
import math
import time
from array import array
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from bench.measure import InvalidRun
from bench.plan.measured import Step
from bench.scenarios.messages import Messages, encoder, messages
from engine._fast import PURE
from engine._fast.columns import ReceiptBatch, ResultBatch
from engine.dispatch.pacer import Pacer
from engine.smpp.link import Link, LinkConfig, LinkState

BATCH_ROWS = 1024
BIND_S = 20.0
LATE_LIMITS = 4  # behind by so many limits, a step is over
SHORTEST_TIMER_S = 0.0005
_QUANTILES = (0.5, 0.99)


class LoadLost(InvalidRun):
    """A bind ended, or responses did not come."""


class Load:
    """`binds` links with one window each and one pace; `step` after `step` on the same connections."""

    def __init__(self, port: int, *, binds: int, window: int, p99_ms: float) -> None:
        self._limit_s = p99_ms / 1000
        self._encoder = encoder(pure=PURE)
        self._rows: Messages = messages(BATCH_ROWS)
        self._links = [
            Link(
                LinkConfig(
                    name=f"plan-{number}",
                    host="127.0.0.1",
                    port=port,
                    system_id="plan",
                    password="",
                    window_size=window,
                ),
                self,
            )
            for number in range(binds)
        ]
        self._lost: str | None = None
        self._receipts = self._accepted = 0
        self._missing = asyncio.Event()  # set when no receipt is missing any more
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] | None = None
        self._begin(1.0, 0)

    async def __aenter__(self) -> Self:
        for link in self._links:
            link.start()
        try:
            async with asyncio.timeout(BIND_S):
                for link in self._links:
                    await link.is_bound.wait()
        except TimeoutError as error:
            raise LoadLost(f"not bound within {BIND_S:.0f} s: {self._lost or ''}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disarm()
        await asyncio.gather(*(link.stop() for link in self._links))

    async def step(self, rate_per_s: float, seconds: float) -> Step:
        """Holds `rate_per_s` for `seconds` and waits for what is in flight. Raises LoadLost."""
        self._begin(rate_per_s, max(1, round(rate_per_s * seconds)))
        self._ended = asyncio.get_running_loop().create_future()
        cpu_s, self._began = time.process_time(), time.monotonic()
        self._pump()
        try:
            async with asyncio.timeout(seconds + LATE_LIMITS * self._limit_s + BIND_S):
                await self._ended
                await self._all_received()
        except TimeoutError as error:
            raise LoadLost(
                f"{self._answered} of {self._written} responses, {self._receipts} receipts"
            ) from error
        finally:
            self._ended = None
            self._disarm()
        if self._lost is not None:
            raise LoadLost(self._lost)
        return self._measured(rate_per_s, time.process_time() - cpu_s)

    async def _all_received(self) -> None:
        """Receipts of a step must not come into the next one."""
        self._missing.clear()
        if self._receipts < self._accepted and self._lost is None:
            await self._missing.wait()

    # the links' side --------------------------------------------------------------------------------------

    def on_bound(self, link: Link) -> None:
        """`__aenter__` waits for it."""

    def on_results(self, link: Link, batch: ResultBatch) -> None:
        now_us = time.monotonic_ns() // 1000
        self._answered += batch.count
        self._accepted += batch.status.count(0)
        self._refused += batch.count - batch.status.count(0)
        self._row.extend(batch.row)
        self._done_us.extend(array("q", (now_us,)) * batch.count)
        self._pump()

    def on_receipts(self, link: Link, batch: ReceiptBatch) -> None:
        self._receipts += batch.count
        link.acknowledge(batch)
        if self._receipts >= self._accepted:
            self._missing.set()

    def on_down(self, link: Link, reason: str) -> None:
        self._lost = f"bind lost: {reason}"
        self._missing.set()
        self._finish()

    def on_state(self, link: Link, state: LinkState, reason: str) -> None:
        if state is LinkState.REFUSED:
            self._lost = reason
            self._finish()

    def on_congestion(self, link: Link, level: int) -> None:
        """The simulator of a plan never says it."""

    # sending ----------------------------------------------------------------------------------------------

    def _begin(self, rate_per_s: float, count: int) -> None:
        self._pacer = Pacer(rate_per_s)
        self._count = count
        self._written = self._answered = self._refused = 0
        self._began = time.monotonic()
        self._stopped_at = 0.0
        self._row, self._sent_us, self._done_us = array("i"), array("q"), array("q")

    def _pump(self) -> None:
        now = time.monotonic()
        if self._ended is None or self._ended.done():
            return
        if not self._stopped_at:
            self._write(now)
            late_s = now - self._began - self._written / self._pacer.tps
            if self._written == self._count or late_s > LATE_LIMITS * self._limit_s:
                self._stopped_at = now
        if self._stopped_at and self._answered == self._written:
            self._finish()
        elif not self._stopped_at:
            self._arm(now)

    def _write(self, now: float) -> None:
        self._links.append(self._links.pop(0))  # none is always first at the tokens
        tokens = self._pacer.tokens(now)
        fair = math.ceil(tokens / len(self._links))
        for link in self._links:
            left = min(tokens, fair, link.free, self._count - self._written)
            while left > 0 and link.writable:
                rows = self._rows.rows[: min(left, BATCH_ROWS)]
                first = link.reserve_sequences(len(rows))
                batch = self._encoder.encode(
                    self._rows.msisdn, self._rows.columns, rows, self._written, 1, first
                )
                link.submit(batch, 0, batch.count, 1, 1, 1)
                self._sent_us.extend(array("q", (time.monotonic_ns() // 1000,)) * batch.count)
                self._pacer.take(batch.count, now)
                self._written += batch.count
                tokens -= batch.count
                left -= batch.count

    def _arm(self, now: float) -> None:
        if self._timer is None and any(link.free and link.writable for link in self._links):
            at = max(self._pacer.next_at(), now + SHORTEST_TIMER_S)
            self._timer = asyncio.get_running_loop().call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._pump()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finish(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    # reckoning --------------------------------------------------------------------------------------------

    def _measured(self, rate_per_s: float, cpu_s: float) -> Step:
        began_us = round(self._began * 1e6)
        stopped_s = max(self._stopped_at - self._began, 1e-6)
        due = min(self._count, math.ceil(stopped_s * rate_per_s))
        row, done, sent = (_column(each) for each in (self._row, self._done_us, self._sent_us))
        sent = sent.take(row)
        due_us = _micros(pc.add(pc.multiply(row.cast(pa.float64()), 1e6 / rate_per_s), float(began_us)))
        response = pc.subtract(done, pc.min_element_wise(due_us, sent))
        unsent = max(0, due - self._written)
        if unsent:  # they waited at least until the step ended
            waits = [stopped_s * 1e6 - ordinal * 1e6 / rate_per_s for ordinal in range(self._written, due)]
            response = pa.concat_arrays([response, _micros(pa.array(waits, pa.float64()))])
        p50, p99 = (value / 1000 for value in pc.quantile(response, q=list(_QUANTILES)).to_pylist())
        wire = pc.quantile(pc.subtract(done, sent), q=[0.99]).to_pylist()[0] / 1000
        last_s = max((pc.max(done).as_py() - began_us) / 1e6, 1e-6)
        return Step(
            offered_per_s=rate_per_s,
            achieved_per_s=self._answered / max(last_s - p50 / 1000, stopped_s, 1e-6),
            response_p50_ms=p50,
            response_p99_ms=p99,
            wire_p99_ms=wire,
            seconds=last_s,
            submits=self._written,
            refused=self._refused,
            unsent=unsent,
            cpu_us=cpu_s * 1e6 / max(self._written, 1),
        )


def _column(values: "array[int]") -> pa.Array:
    kind = pa.int32() if values.typecode == "i" else pa.int64()
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _micros(values: pa.Array) -> pa.Array:
    return values.cast(pa.int64(), safe=False)
