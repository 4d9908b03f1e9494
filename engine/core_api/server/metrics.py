"""The engine's metrics, read off its parts when asked for. No number, message or campaign is a label."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core_api.server.state import EngineState, engine
from engine.ledger.pool import AWAY, Pool
from engine.ledger.sql import load

if TYPE_CHECKING:
    from engine.core_api import schema
    from engine.ledger.writer import LedgerWriter

LEDGER_PATIENCE_S = 2.0
_P = "heliograph_engine_"

_hanging: dict[Pool, asyncio.Future[Any]] = {}  # questions without an answer

Family = GaugeMetricFamily | CounterMetricFamily

# name -> (what it counts, labels); one that ends in _total is a counter
METRICS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "binds": ("Sessions that this worker holds, by account and state.", ("account", "state")),
    "tps": ("Responses to submit_sm a second over the last seconds, by account.", ("account",)),
    "tps_limit": (
        "Parts a second that this worker may send now (its share, schedule, throttling, response "
        "times), by account.",
        ("account",),
    ),
    "tps_set": (
        "Parts a second that this worker might send (its share, schedule), were it not slowed, by account.",
        ("account",),
    ),
    "slowed": (
        "1 where this worker sends less than it might, by account and reason: throttles, response_time.",
        ("account", "reason"),
    ),
    "response_best_seconds": (
        "Shortest response time of a submit_sm in the last ten minutes, by account.",
        ("account",),
    ),
    "window_used": ("submit_sm without a response, by account.", ("account",)),
    "window_size": ("submit_sm that bound sessions may have without a response, by account.", ("account",)),
    "writer_pending_rows": ("Results and receipts that are not committed yet.", ()),
    "writer_lag_seconds": ("Age of the oldest result or receipt that is not committed yet.", ()),
    "writer_commit_seconds": ("Duration of the last commit.", ()),
    "ledger_away": ("1 while the database does not answer.", ()),
    "receipts_unacknowledged": ("Receipts that were read and not acknowledged yet.", ()),
    "journal_receipts": ("Receipts in the local journal that are not in the ledger yet.", ()),
    "journal_bytes": ("Size of the local journal.", ()),
    "journal_refused_total": ("Receipts refused since the start because the journal was full.", ()),
    "rows_unclaimed": ("Of all workers: released rows of campaigns in Sending that nobody has claimed.", ()),
    "messages_in_doubt": ("Of all workers: messages in doubt that nobody has decided about.", ()),
}  # fmt: skip


class EngineMetrics(Collector):
    """One look at an engine."""

    def __init__(
        self, binds: list[schema.Bind], writer: LedgerWriter | None, ledger: Mapping[str, int] | None
    ):
        self._binds = binds
        self._writer = writer
        self._ledger = ledger  # None: it does not answer

    def collect(self) -> Iterable[Family]:
        found: dict[str, Family] = {}
        for name, (text, labels) in METRICS.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            found[name] = kind(_P + name, text, labels=labels)
        self._add_binds(found)
        if self._writer is not None:
            self._add_writer(found, self._writer)
        away = self._ledger is None or (self._writer is not None and self._writer.away)
        found["ledger_away"].add_metric((), away)
        if self._ledger is not None:
            found["rows_unclaimed"].add_metric((), self._ledger["unclaimed"])
            found["messages_in_doubt"].add_metric((), self._ledger["in_doubt"])
        return found.values()

    def _add_binds(self, found: Mapping[str, Family]) -> None:
        states = Counter((bind.account, bind.state) for bind in self._binds)
        for labels, number in sorted(states.items()):
            found["binds"].add_metric(labels, number)
        for account in sorted({bind.account for bind in self._binds}):
            binds = [bind for bind in self._binds if bind.account == account]
            bound = [bind for bind in binds if bind.state == "bound" and bind.mode != "receiver"]
            for name, value in (
                ("tps", sum(bind.tps_now for bind in binds)),
                ("tps_limit", sum(bind.tps_limit for bind in binds)),
                ("tps_set", sum(bind.tps_set for bind in binds)),
                ("window_used", sum(bind.in_flight for bind in binds)),
                ("window_size", sum(bind.window_size for bind in bound)),
            ):
                found[name].add_metric((account,), value)
            for reason, word in (("throttles", "throttles"), ("response_time", "response time")):
                slowed = any(bind.slowed_by.startswith(word) for bind in binds)
                found["slowed"].add_metric((account, reason), slowed)
            best = [bind.response_ms / 1000 for bind in binds if bind.response_ms is not None]
            if best:
                found["response_best_seconds"].add_metric((account,), min(best))

    @staticmethod
    def _add_writer(found: Mapping[str, Family], writer: LedgerWriter) -> None:
        journal = writer.journal
        for name, value in (
            ("writer_pending_rows", writer.pending),
            ("writer_lag_seconds", writer.lag_s),
            ("writer_commit_seconds", writer.commit_s),
            ("receipts_unacknowledged", writer.unacknowledged),
            ("journal_receipts", journal.waiting),
            ("journal_bytes", journal.bytes),
            ("journal_refused_total", journal.refused),
        ):
            found[name].add_metric((), value)


async def metrics(request: Request) -> Response:
    """Prometheus text format, of this worker. Answers with the database away, too."""
    state = engine(request)
    mine = [bind for bind in state.dispatcher.binds() if bind.worker_id == state.dispatcher.worker_id]
    registry = CollectorRegistry()
    registry.register(EngineMetrics(mine, state.writer, await _ledger(state)))
    content = prometheus_client.generate_latest(registry)
    return Response(content, media_type=prometheus_client.CONTENT_TYPE_LATEST)


async def _ledger(state: EngineState) -> Mapping[str, int] | None:
    """None: it does not answer. Nothing is asked while an earlier question hangs; waiting for its
    cancellation would be waiting for the same server."""
    if state.pool in _hanging:
        return None
    asked = asyncio.ensure_future(state.pool.fetchrow(load("metrics")["ledger"]))
    done, _ = await asyncio.wait({asked}, timeout=LEDGER_PATIENCE_S)
    if not done:
        _hanging[state.pool] = asked
        asked.add_done_callback(partial(_answered, state.pool))
        return None
    try:
        row = asked.result()
    except AWAY:
        return None
    return None if row is None else dict(row)


def _answered(pool: Pool, asked: asyncio.Future[Any]) -> None:
    _hanging.pop(pool, None)
    if not asked.cancelled():
        asked.exception()


routes = [Route("/metrics", metrics, methods=["GET"])]
