"""One message of a workspace of its own, bulk as well, beside tenants that fill the channel with a million
rows each: how long it waits, and whether that grows with their number."""

import asyncio
import resource
import statistics
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop

from bench.dispatch_lab import FIRST_NUMBER, accepted, lab, room, seen
from bench.measure import InvalidRun, Size, Spread, peak_rss_bytes
from bench.report import Result
from bench.scenarios.smsc_process import smsc

TPS, WINDOW = 1000, 100
ROWS = 1_000_000  # of each tenant
SINGLES = 20
EVERY_S = 0.5
PATIENCE_S = 30.0
_SINGLE_FROM = FIRST_NUMBER + 90_000_000


def run(size: Size) -> Result:
    tenants = size.units(default=50, quick=5)
    rows = 100_000 if size.quick else ROWS
    found = {}
    with room() as (dsn, folder):
        for count in (1, tenants):
            witness = folder / f"witness-{count}.log"
            with smsc("--latency-ms", "20", "--receipt-share", "0", "--witness", str(witness)) as port:
                found[count] = uvloop.run(_one(dsn, folder, port, witness, count, rows))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Result(
        scenario="fairness",
        unit="message",
        parameters={"tenants": tenants, "rows_each": rows, "tps": TPS, "window": WINDOW, "singles": SINGLES},
        rate_per_s=Spread.of([each["bulk_per_s"] for each in found.values()]),
        cpu_s=used.ru_utime + used.ru_stime,
        rss_bytes=peak_rss_bytes(),
        extra={"wait_ms_by_tenants": {str(count): each for count, each in found.items()}},
    )


async def _one(dsn: str, folder: Path, port: int, witness: Path, tenants: int, rows: int) -> dict[str, Any]:
    async with lab(dsn, folder / "engine") as at:
        channel = await at.channel(f"{tenants} tenants", port, tps=TPS, window_size=WINDOW)
        bulk = []
        for _ in range(tenants):
            workspace = uuid4()
            bulk.append(await at.seal(channel, await at.upload(workspace, rows), workspace))
        singles = []
        for number in range(SINGLES):
            workspace = uuid4()
            upload = await at.upload(workspace, 1, _SINGLE_FROM + number)
            singles.append(await at.seal(channel, upload, workspace))
        for sealed in bulk:
            await at.begin(sealed)
        await accepted(witness, 2 * TPS)
        at_us = []
        for sealed in singles:
            await asyncio.sleep(EVERY_S)
            await at.begin(sealed)
            at_us.append(time.time_ns() // 1000)
        numbers = {str(_SINGLE_FROM + number): number for number in range(SINGLES)}
        until = time.monotonic() + PATIENCE_S
        while True:
            all_seen = seen(witness)
            wire = {numbers[one.destination]: one.time_us for one in all_seen if one.destination in numbers}
            if len(wire) == SINGLES:
                break
            if time.monotonic() > until:
                raise InvalidRun(f"{SINGLES - len(wire)} single messages did not go out in {PATIENCE_S} s")
            await asyncio.sleep(0.2)
        for sealed in bulk:
            await at.command(sealed, "cancel")
    took = sorted(max(0.0, (wire[number] - at_us[number]) / 1000) for number in range(SINGLES))
    passed_s = (all_seen[-1].time_us - all_seen[0].time_us) / 1e6
    return {
        "p50": round(statistics.median(took), 1),
        "max": round(took[-1], 1),
        "bulk_per_s": round(len(all_seen) / passed_s, 1),
    }
