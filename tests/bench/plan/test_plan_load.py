"""The paced stream against the simulator in a process of its own."""

import asyncio

import pytest

from bench.plan.load import Load, LoadLost
from bench.scenarios.smsc_process import smsc

RTT_MS = 20


async def steps(port: int, rates: list[float], *, binds: int = 1, window: int = 10, p99_ms: float = 60.0):  # type: ignore[no-untyped-def]
    async with Load(port, binds=binds, window=window, p99_ms=p99_ms) as load:
        return [await load.step(rate, 0.5) for rate in rates]


def test_a_window_holds_a_rate_below_window_by_rtt_and_none_well_above() -> None:
    with smsc("--latency-ms", str(RTT_MS), "--receipt-delay-ms", "0") as port:
        below, above = asyncio.run(steps(port, [150.0, 1500.0]))
    assert below.submits == 75
    assert below.unsent == 0
    assert below.response_p50_ms >= RTT_MS
    assert below.achieved_per_s == pytest.approx(150, rel=0.25)
    assert not above.holds(60.0)
    assert above.achieved_per_s < 10 / (RTT_MS / 1000) * 1.1, "Little's law"
    assert above.response_p99_ms > above.wire_p99_ms, "waiting for the window counts"


def test_several_binds_share_the_pace_and_their_windows_add_up() -> None:
    with smsc("--latency-ms", str(RTT_MS), "--receipt-delay-ms", "0") as port:
        [one] = asyncio.run(steps(port, [900.0], binds=4, p99_ms=500.0))
    assert one.submits == 450
    assert one.refused == one.unsent == 0


def test_refusals_are_counted_and_do_not_hold() -> None:
    with smsc("--tps", "100", "--receipt-delay-ms", "0") as port:
        [one] = asyncio.run(steps(port, [1000.0], window=100, p99_ms=500.0))
    assert one.refused > 100
    assert not one.holds(500.0)


def test_a_bind_that_is_lost_is_an_error_not_a_number() -> None:
    async def run(port: int, stop: asyncio.Event) -> None:
        async with Load(port, binds=1, window=10, p99_ms=1000.0) as load:
            stop.set()
            await load.step(100.0, 30.0)

    async def both() -> None:
        stop = asyncio.Event()
        server = await asyncio.start_server(lambda reader, writer: _closing(reader, writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            await run(port, stop)

    with pytest.raises(LoadLost, match="lost"):
        asyncio.run(both())


async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the bind, and hangs up at the first submit_sm."""
    bind = await reader.read(4096)
    writer.write(bytes.fromhex("00000011800000090000000000")[:12] + bind[12:16] + b"\0")
    await reader.read(4096)
    writer.close()
