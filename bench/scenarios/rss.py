"""Peak memory of engine and control plane while a large recipient file is uploaded, against a small one."""

import shutil
import tempfile
import time
from pathlib import Path

from bench.demo import TEXT
from bench.measure import InvalidRun, Size, Spread
from bench.people import Person
from bench.report import Result
from bench.scenarios.large_file import LINE_BYTES, blocks
from bench.stack import MEASURED, Stack

SMALL_BYTES = 1_000_000


def run(size: Size) -> Result:
    """`count` is the size of the large file in bytes."""
    large_bytes = size.units(default=1_000_000_000, quick=20_000_000)
    repeats = 1 if size.quick else size.repeats
    rates, peaks = [], []
    for _ in range(repeats):
        small, _ = peak_of_upload(SMALL_BYTES)
        large, seconds = peak_of_upload(large_bytes)
        peaks.append((small, large))
        rates.append(large_bytes // LINE_BYTES / seconds)
    growth = {
        program: Spread.of([large[program] - small[program] for small, large in peaks])
        for program in MEASURED
    }
    small, large = peaks[-1]
    return Result(
        scenario="rss",
        unit="row",
        parameters={"large_bytes": large_bytes, "small_bytes": SMALL_BYTES, "repeats": repeats},
        rate_per_s=Spread.of(rates),
        cpu_s=0.0,
        rss_bytes=max(large.values()),
        ratios={
            f"{program} large/small": Spread.of([large[program] / small[program] for small, large in peaks])
            for program in MEASURED
        },
        extra={
            **{f"{program}_growth_mib": round(growth[program].max / 2**20, 1) for program in MEASURED},
            **{f"{program}_small_mib": round(small[program] / 2**20, 1) for program in MEASURED},
            **{f"{program}_large_mib": round(large[program] / 2**20, 1) for program in MEASURED},
        },
    )


def peak_of_upload(size_bytes: int) -> tuple[dict[str, int], float]:
    """Peak RSS of each program of a fresh Heliograph after an upload through the console; its seconds."""
    folder = Path(tempfile.mkdtemp(prefix="heliograph-bench-"))
    lines = size_bytes // LINE_BYTES
    try:
        stack = Stack(folder / "data", [])
        try:
            with Person(stack.ready["ui"], *stack.login_of("author")) as author:
                campaign = author.create_campaign("Memory", TEXT)
                began = time.monotonic()
                upload = author.upload(campaign, "large.csv", lines * LINE_BYTES, blocks(lines))
                seconds = time.monotonic() - began
            if upload["accepted"] != lines:
                raise InvalidRun(f"{upload['accepted']} of {lines} lines accepted")
            return stack.peak_rss_bytes(), seconds
        finally:
            stack.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
