"""The set TPS against what goes out: a campaign over one bind for some seconds, seen by the SMSC's witness.

Error is that of the rate between the first and the last message of ten seconds. What the SMSC reads at once
came in one write or several, so the largest read is an upper limit of the largest write.
"""

import itertools
import resource
import statistics
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop

from bench.dispatch_lab import accepted, lab, room, seen
from bench.measure import InvalidRun, Size, Spread, peak_rss_bytes
from bench.report import Result
from bench.scenarios.smsc_process import smsc

RATES = (10, 100, 1_000, 10_000, 50_000)
SECONDS = 10.0
LEAD_S = 1.5  # before the ten seconds: the first claims
MOST_ERROR = 0.01
MOST_WRITE_MS = 10.0
_US = 1_000_000


def run(size: Size) -> Result:
    rates = RATES[2:3] if size.quick else RATES[: size.units(default=len(RATES), quick=1)]
    seconds = 2.0 if size.quick else SECONDS
    found = {}
    with room() as (dsn, folder):
        for tps in rates:
            witness = folder / f"witness-{tps}.log"
            with smsc("--witness", str(witness), "--receipt-share", "0") as port:
                found[tps] = uvloop.run(_one(dsn, folder, port, witness, tps, seconds))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Result(
        scenario="pace",
        unit="message",
        parameters={"tps": list(rates), "seconds": seconds},
        rate_per_s=Spread.of([each["rate_per_s"] for each in found.values()]),
        cpu_s=used.ru_utime + used.ru_stime,
        rss_bytes=peak_rss_bytes(),
        extra={
            "by_tps": {str(tps): each for tps, each in found.items()},
            "met": all(each["met"] for each in found.values()),
        },
    )


async def _one(dsn: str, folder: Path, port: int, witness: Path, tps: int, seconds: float) -> dict[str, Any]:
    workspace, rows = uuid4(), int(tps * (seconds + LEAD_S + 1)) + 10
    async with lab(dsn, folder / "engine", max_claimed=100_000) as at:
        channel = await at.channel(f"{tps} TPS", port, tps=tps, window_size=max(10, tps // 10))
        sealed = await at.seal(channel, await at.upload(workspace, rows), workspace)
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        await at.begin(sealed)
        await accepted(witness, int(tps * (seconds + LEAD_S)))
        used = resource.getrusage(resource.RUSAGE_SELF)
        await at.command(sealed, "cancel")
    return measure([each.time_us for each in seen(witness)], tps, seconds) | {
        "cpu_s": round(used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime, 2)
    }


def measure(times_us: list[int], tps: int, seconds: float) -> dict[str, Any]:
    """What the SMSC saw in `seconds` after the lead, in the order it came. Raises InvalidRun."""
    begin = times_us[0] + LEAD_S * _US
    inside = [at for at in times_us if begin <= at <= begin + seconds * _US]
    if len(inside) < 3:
        raise InvalidRun(f"at {tps} TPS nothing went out after the first {LEAD_S} s")
    rate = (len(inside) - 1) * _US / (inside[-1] - inside[0])
    gaps_ms = sorted((after - before) / 1000 for before, after in itertools.pairwise(inside))
    reads = [len(list(group)) for _, group in itertools.groupby(inside)]
    # where 10 ms are worth less than a message, a write of one is what there is
    largest_ms = max(0.0, max(reads) - 1) * 1000 / tps if tps < 100 else max(reads) * 1000 / tps
    error = rate / tps - 1
    return {
        "rate_per_s": round(rate, 2),
        "error_percent": round(100 * error, 3),
        "largest_read_ms_worth": round(largest_ms, 2),
        "p99_read_ms_worth": round(sorted(reads)[len(reads) * 99 // 100] * 1000 / tps, 2),
        "gap_ms": {
            "median": round(statistics.median(gaps_ms), 3),
            "p99": round(gaps_ms[len(gaps_ms) * 99 // 100], 3),
            "max": round(gaps_ms[-1], 3),
        },
        "met": abs(error) < MOST_ERROR,
    }
