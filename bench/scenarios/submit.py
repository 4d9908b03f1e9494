"""Messages over TCP, a receipt each, no ledger: our link, the limit client, Python libraries; a bind each."""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import uvloop

from bench.limit.programs import limit_round, sink
from bench.measure import (
    Comparison,
    InvalidRun,
    Round,
    Size,
    a_core_each,
    peak_rss_bytes,
    side_by_side,
)
from bench.report import Result, Target, compared
from bench.scenarios.libraries import smpp34_round, smpplib_round
from bench.scenarios.messages import Messages, encoder, messages
from bench.scenarios.smsc_process import smsc_process
from bench.scenarios.syscalls import syscalls_a_unit
from engine._fast import PURE
from engine._fast.columns import EncodedBatch, ReceiptBatch, ResultBatch
from engine.smpp.link import Link, LinkConfig, LinkState

WINDOW = 1000
RTT_WINDOWS = (10, 100, 1_000, 10_000)
BATCH_ROWS = 4096
DEADLINE_S = 300.0
SLICES = 12  # of a repeat
SMALL_WINDOW = 100  # up to here wake-ups bound the rate: another target

OVER_LIBRARIES = 30.0
OF_LIMIT = 1 / 12
OF_LIMIT_SMALL_WINDOW = 0.85
OF_LIMIT_WITH_RTT = 0.9

SinkKind = Literal["c", "simulator"]


class LinkDown(InvalidRun):
    """The bind was lost or refused while the scenario ran."""


class Sender:
    """Owns a link: keeps its window full and acknowledges every receipt at once."""

    def __init__(self, port: int, count: int, rows: Messages, window: int) -> None:
        self._encoder = encoder(pure=PURE, text=rows.text)
        self._rows = rows
        self._batch: EncodedBatch | None = None
        self._next = 0  # PDU of the batch
        self._encoded = 0  # messages
        self.count = count
        self.submitted = 0  # PDUs
        self.answered = self.accepted = self.receipts = 0
        self.began = self.began_cpu = 0.0  # at the bind
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        config = LinkConfig(
            name="bench", host="127.0.0.1", port=port, system_id="bench", password="", window_size=window
        )
        self.link = Link(config, self)

    def on_bound(self, link: Link) -> None:
        self.began, self.began_cpu = time.perf_counter(), time.process_time()
        self._pump(link)

    def on_results(self, link: Link, batch: ResultBatch) -> None:
        self.answered += batch.count
        self.accepted += batch.status.count(0)
        self._pump(link)

    def on_receipts(self, link: Link, batch: ReceiptBatch) -> None:
        self.receipts += batch.count
        link.acknowledge(batch)
        self._check()

    def on_down(self, link: Link, reason: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(LinkDown(reason))

    def on_state(self, link: Link, state: LinkState, reason: str) -> None:
        if state is LinkState.REFUSED:
            self.on_down(link, reason)

    def on_congestion(self, link: Link, level: int) -> None:
        """The bench sends as fast as it can."""

    def _pump(self, link: Link) -> None:
        while (free := link.free) and link.writable:
            batch = self._batch or self._encode(link)
            if batch is None:
                break
            stop = min(self._next + free, batch.count)
            link.submit(batch, self._next, stop, 1, 1, 1)
            self.submitted += stop - self._next
            self._next = stop
            if stop == batch.count:
                self._batch = None
        self._check()

    def _encode(self, link: Link) -> EncodedBatch | None:
        left = self.count - self._encoded
        if not left:
            return None
        rows = self._rows.rows[: min(left, len(self._rows.rows))]
        first = link.reserve_sequences(len(rows) * self._rows.most_parts)
        self._batch = self._encoder.encode(
            self._rows.msisdn, self._rows.columns, rows, self._encoded, 1, first
        )
        self._encoded += len(rows)
        self._next = 0
        return self._batch

    def _check(self) -> None:
        all_answered = self._encoded == self.count and self._batch is None and self.answered == self.submitted
        if all_answered and self.receipts >= self.accepted and not self.finished.done():
            self.finished.set_result(None)


def our_round(port: int, count: int, rows: Messages, window: int = WINDOW) -> Round:
    """Sends `count` messages; from the bind until each PDU has its response and receipt. Unit: PDUs."""

    async def send() -> Round:
        sender = Sender(port, count, rows, window)
        sender.link.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await sender.finished
            took, cpu_s = time.perf_counter() - sender.began, time.process_time() - sender.began_cpu
        finally:
            await sender.link.stop()
        if sender.accepted != sender.submitted:
            raise LinkDown(f"{sender.accepted} of {sender.submitted} PDUs accepted")
        return Round(sender.submitted, took, cpu_s)

    done: Round = uvloop.run(send())
    return done


def run(size: Size, window: int | None = None, rtt_ms: float = 0.0, sink_kind: SinkKind = "c") -> Result:
    """Without `window`: 1,000, or with a round trip each of RTT_WINDOWS in turn."""
    windows = [window] if window else list(RTT_WINDOWS) if rtt_ms else [WINDOW]
    rows = messages(BATCH_ROWS)
    comparisons: dict[int, Comparison] = {}
    with smsc_of(sink_kind, rtt_ms) as port, pdu_file(max(windows)) as pdus:
        for each in windows:
            comparisons[each] = _compare(port, rows, each, size, rtt_ms, pdus)
        cost = {"cpu_us": comparisons[windows[-1]].cpu_us}
        if not size.quick:
            cost |= syscalls_a_unit("bench.scenarios.submit", port, windows[-1], rtt_ms)
    parameters = {
        "messages": {each: _messages(size, each, rtt_ms) for each in windows},
        "window": windows if rtt_ms and not window else windows[0],
        "rtt_ms": rtt_ms,
        "sink": sink_kind,
        "receipts": "one a message, acknowledged at once",
        "repeats": size.repeats,
        "slices": 1 if size.quick else SLICES,
    }
    return compared(
        "submit",
        "message",
        parameters,
        _joined(comparisons),
        peak_rss_bytes(),
        cost=cost,
        targets=[target for each in windows for target in _targets(comparisons[each], each, rtt_ms)],
        void="; ".join(filter(None, (one.void("limit") for one in comparisons.values()))),
    )


@contextmanager
def smsc_of(kind: SinkKind, rtt_ms: float) -> Iterator[int]:
    """The port of a C sink, or of the simulator, in a process of its own and on a core of its own."""
    if kind == "c":
        with sink(rtt_us=round(rtt_ms * 1000)) as one, a_core_each(one.pid):
            yield one.port
        return
    with (
        smsc_process("--receipt-delay-ms", "0", "--latency-ms", str(rtt_ms)) as (port, pid),
        a_core_each(pid),
    ):
        yield port


@contextmanager
def pdu_file(window: int) -> Iterator[Path]:
    """What the limit client sends: the messages of the others, more of them than the window."""
    rows = messages(max(4 * window, BATCH_ROWS))
    batch = encoder(pure=PURE).encode(rows.msisdn, rows.columns, rows.rows, 0, 1, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pdus"
        path.write_bytes(batch.pdus)
        yield path


def _messages(size: Size, window: int, rtt_ms: float) -> int:
    """How many: where a round trip bounds the rate, about a third of a second of them."""
    if rtt_ms:
        round_trips = max(2, round((100 if size.quick else 300) / rtt_ms))
        return min(size.units(1_000_000, 1_000_000), round_trips * window)
    return size.units(1_200_000 if window > SMALL_WINDOW else 50 * WINDOW, 10_000)


def _compare(port: int, rows: Messages, window: int, size: Size, rtt_ms: float, pdus: Path) -> Comparison:
    count = _messages(size, window, rtt_ms)
    longer = count if rtt_ms or window <= SMALL_WINDOW else count * 3  # it is faster: as long a round
    contenders = {
        "link": lambda: our_round(port, count, rows, window),
        "limit": lambda: limit_round(port, longer, window, pdus)[0],
    }
    if not rtt_ms:
        few = max(100, min(count, 1_500))
        contenders["smpplib"] = lambda: smpplib_round(port, few, window)
        contenders["smpp34"] = lambda: smpp34_round(port, few, window)
    return side_by_side(contenders, size.repeats, warm=not size.quick, slices=1 if size.quick else SLICES)


def _joined(comparisons: dict[int, Comparison]) -> Comparison:
    """One comparison of all windows; names say the window where there are several. Ours: the widest."""
    if len(comparisons) == 1:
        return next(iter(comparisons.values()))
    widest = max(comparisons)
    order = sorted(comparisons, key=lambda each: each != widest)
    return Comparison(
        rates={f"{name}@{each}": s for each in order for name, s in comparisons[each].rates.items()},
        ratios={
            "/".join(f"{name}@{each}" for name in key.split("/")): spread
            for each in order
            for key, spread in comparisons[each].ratios.items()
        },
        cpu_s=comparisons[widest].cpu_s,
    )


def _targets(comparison: Comparison, window: int, rtt_ms: float) -> Sequence[Target]:
    of_limit = comparison.ratios["link/limit"].median
    if rtt_ms:
        return [
            Target(
                name=f"limit client, window {window}, {rtt_ms:g} ms", ratio=of_limit, target=OF_LIMIT_WITH_RTT
            )
        ]
    if window <= SMALL_WINDOW:
        return [Target(name=f"limit client, window {window}", ratio=of_limit, target=OF_LIMIT_SMALL_WINDOW)]
    fastest = max(("smpplib", "smpp34"), key=lambda name: comparison.rates[name].median)
    over = comparison.ratios[f"link/{fastest}"].median
    return [
        Target(name=f"fastest Python library ({fastest})", ratio=over, target=OVER_LIBRARIES),
        Target(name="limit client, with receipts", ratio=of_limit, target=OF_LIMIT),
    ]
