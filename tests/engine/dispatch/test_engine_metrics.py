"""What the engine says of itself: at work, with receipts waiting, and with its database away."""

from array import array
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine._fast.columns import ReceiptBatch
from engine.core_api.server.app import application
from engine.core_api.server.metrics import METRICS
from engine.core_api.server.state import EngineState

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Callable[..., Any]


async def scrape(room: Room, engine: Any) -> dict[tuple[str, ...], float]:
    """Values by name and labels."""
    state = EngineState(
        room.settings, room.pool, room.secrets, engine.dispatcher, "w", 1, writer=engine.writer
    )
    transport = httpx.ASGITransport(application(state))
    async with httpx.AsyncClient(transport=transport, base_url="https://engine") as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        name = family.name.removeprefix("heliograph_engine_")
        assert name + "_total" * (family.type == "counter") in METRICS
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found[sample.name.removeprefix("heliograph_engine_"), *labels] = sample.value
    return found


async def test_binds_window_rates_and_rows_that_wait_are_told(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, window_size=5, tps=1000)
    await room.campaign(channel, await room.upload(500))
    engine = await room.engine()
    await until(lambda: smsc.held == 5, "a full window")
    found = await scrape(room, engine)
    assert found["binds", "Test", "bound"] == 1
    assert (found["window_used", "Test"], found["window_size", "Test"]) == (5, 5)
    assert found["tps_limit", "Test"] == 1000
    assert 0 < found["rows_unclaimed",] <= 495
    assert (found["ledger_away",], found["messages_in_doubt",]) == (0, 0)
    smsc.answer = lambda number, destination: 0
    smsc.release()

    async def sent() -> bool:
        return bool((await scrape(room, engine))["tps", "Test"])

    await until(sent, "a rate")


async def test_receipts_that_wait_for_the_database_are_told(room: Room, smsc: Smsc) -> None:
    await room.channel(smsc.port)
    engine = await room.engine()
    receipts = ReceiptBatch()
    for number in range(3):
        receipts.sequence.append(number)
        receipts.ids += b"id"
        receipts.id_end.append(len(receipts.ids))
        for name, value in {
            "command": 5,
            "msisdn": 447700000000,
            "verdict": 2,
            "stat": 2,
            "done_s": -1,
        }.items():
            getattr(receipts, name).append(value)
        for name in ("kind", "error_end"):
            getattr(receipts, name).append(0)
        receipts.count += 1
    acknowledged = array("i")
    engine.writer.receipts(1, receipts, acknowledged.append)
    found = await scrape(room, engine)
    assert found["receipts_unacknowledged",] == 3
    await engine.writer.stop()
    assert (await scrape(room, engine))["receipts_unacknowledged",] == 0
    assert len(acknowledged) == 1


async def test_with_the_database_away_it_still_answers(room: Room, smsc: Smsc) -> None:
    await room.channel(smsc.port)
    engine = await room.engine()

    class Away:
        async def fetchrow(self, _query: str) -> None:
            raise ConnectionRefusedError

    pool, room.pool = room.pool, Away()
    found = await scrape(room, engine)
    room.pool = pool
    assert found["ledger_away",] == 1
    assert ("rows_unclaimed",) not in found
    assert found["writer_lag_seconds",] >= 0  # it may just be committing
