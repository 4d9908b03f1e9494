"""Single express messages while bulk fills the link: from accepted to the wire.

Each message is a campaign of lane express with one row. It is accepted when the transaction that makes it
go out is committed, by another process than the engine's; it is on the wire when the simulated SMSC has it.
The bound: 20 ms, a token of the TPS (1/TPS), and a round trip for the place in a full window.
"""

import asyncio
import json
import resource
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import uvloop

from bench.dispatch_lab import FIRST_NUMBER, Lab, accepted, lab, room, seen
from bench.measure import InvalidRun, Size, Spread, peak_rss_bytes
from bench.report import Result
from bench.scenarios.smsc_process import smsc

OWN_MS = 20.0
EVERY_S = 0.08
BULK_ROWS = 10_000_000
_EXPRESS_FROM = FIRST_NUMBER + 90_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """What the link is like; bulk always has more than it takes."""

    name: str
    tps: int
    window: int
    rtt_ms: float

    @property
    def bound_ms(self) -> float:
        return OWN_MS + 1000 / self.tps + self.rtt_ms


CASES = (
    Case("paced", tps=1000, window=100, rtt_ms=20.0),
    Case("slow", tps=50, window=10, rtt_ms=20.0),
    Case("window full", tps=10_000, window=10, rtt_ms=50.0),
)


def run(size: Size) -> Result:
    count = size.units(default=300, quick=20)
    cases = CASES[:1] if size.quick else CASES
    rows = 200_000 if size.quick else BULK_ROWS
    found = {}
    with room() as (dsn, folder):
        for number, case in enumerate(cases):
            witness = folder / f"witness-{number}.log"
            with smsc("--latency-ms", str(case.rtt_ms), "--witness", str(witness)) as port:
                found[case.name] = uvloop.run(_one(dsn, folder, port, witness, case, count, rows))
    used = resource.getrusage(resource.RUSAGE_SELF)
    first = found[cases[0].name]
    return Result(
        scenario="express",
        unit="message",
        parameters={"messages": count, "bulk_rows": rows, "cases": [case.name for case in cases]},
        rate_per_s=Spread.of([each["bulk_per_s"] for each in found.values()]),
        cpu_s=used.ru_utime + used.ru_stime,
        rss_bytes=peak_rss_bytes(),
        extra={
            "latency_ms": found,
            "met": all(each["met"] for each in found.values()),
            "first": first["p99"],
        },
    )


async def _one(
    dsn: str, folder: Path, port: int, witness: Path, case: Case, count: int, rows: int
) -> dict[str, Any]:
    bulk_workspace, workspace = uuid4(), uuid4()
    async with lab(dsn, folder / "engine") as at:
        channel = await at.channel(case.name, port, tps=case.tps, window_size=case.window)
        bulk = await at.seal(channel, await at.upload(bulk_workspace, rows), bulk_workspace)
        sealed = [await _express(at, channel, workspace, number) for number in range(count)]
        await at.begin(bulk)
        await accepted(witness, max(10, min(case.tps, 1000)))
        at_us = await _accept(dsn, sealed)
        numbers = {str(_EXPRESS_FROM + number): number for number in range(count)}
        until = asyncio.get_running_loop().time() + 10.0
        while True:
            all_seen = seen(witness)
            wire = {
                numbers[each.destination]: each.time_us for each in all_seen if each.destination in numbers
            }
            if len(wire) == count:
                break
            if asyncio.get_running_loop().time() > until:
                raise InvalidRun(f"{count - len(wire)} express messages did not go out")
            await asyncio.sleep(0.2)
        await at.command(bulk, "cancel")
    passed_s = (all_seen[-1].time_us - all_seen[0].time_us) / 1e6
    # what was read off the wire before the answer of the commit was read counts as at once
    took = sorted(max(0.0, (wire[number] - at_us[number]) / 1000) for number in range(count))
    p99 = took[min(count - 1, -(-99 * count // 100) - 1)]
    return {
        "p50": round(statistics.median(took), 2),
        "p90": round(took[count * 9 // 10], 2),
        "p99": round(p99, 2),
        "max": round(took[-1], 2),
        "bound": round(case.bound_ms, 2),
        "met": p99 <= case.bound_ms,
        "tps": case.tps,
        "window": case.window,
        "rtt": case.rtt_ms,
        "bulk_per_s": (len(all_seen) - count) / passed_s,
    }


async def _express(at: Lab, channel: str, workspace: UUID, number: int) -> tuple[str, str]:
    upload = await at.upload(workspace, 1, _EXPRESS_FROM + number)
    sealed = await at.seal(channel, upload, workspace, lane="express")
    return str(sealed.campaign_id), sealed.manifest_hash


async def _accept(dsn: str, sealed: list[tuple[str, str]]) -> list[int]:
    """When each was accepted, unix microseconds."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.scenarios.express_client",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    asked = {"dsn": dsn, "every_s": EVERY_S, "campaigns": sealed}
    said, _ = await process.communicate(json.dumps(asked).encode())
    if process.returncode:
        raise InvalidRun("the process that accepts express messages failed: see its error above")
    accepted_us: list[int] = json.loads(said)
    return accepted_us
