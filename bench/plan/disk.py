"""What a commit costs on the data folder's disk: fdatasync by itself, and PostgreSQL's commit."""

import os
import tempfile
import time
from array import array
from pathlib import Path

import asyncpg

from bench.plan.measured import Disk
from engine._fast import copyformat
from engine.ledger.pool import Connection

PAGE = bytes(8192)  # what PostgreSQL writes of its log at least
BATCH_ROWS = 1000
WARM_UP = 5
_TABLE = "CREATE TABLE plan_commits (id bigint, row_no int, msisdn bigint, at timestamptz)"


async def measure(folder: Path, dsn: str, seconds: float) -> Disk:
    """Each of the three kinds for a third of `seconds`. `dsn`: a database whose files are in `folder`, in
    which a table is made and dropped."""
    sync = _fdatasync_ms(folder, seconds / 3)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_TABLE)
        try:
            single = await _commits_ms(connection, 1, seconds / 3)
            batch = await _commits_ms(connection, BATCH_ROWS, seconds / 3)
        finally:
            await connection.execute("DROP TABLE plan_commits")
    finally:
        await connection.close()
    return Disk(
        folder=str(folder),
        file_system=file_system(folder),
        fdatasync_p50_ms=quantile(sync, 0.5),
        fdatasync_p99_ms=quantile(sync, 0.99),
        commit_p50_ms=quantile(single, 0.5),
        commit_p99_ms=quantile(single, 0.99),
        batch_rows=BATCH_ROWS,
        batch_commit_p50_ms=quantile(batch, 0.5),
        batch_commit_p99_ms=quantile(batch, 0.99),
    )


def quantile(values: list[float], share: float) -> float:
    """The nearest-rank quantile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def file_system(folder: Path) -> str:
    """Type of the mount that holds `folder`, from the kernel's table; "" where there is none."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return ""
    where = str(folder.resolve())
    held = [(len(at), kind) for _, at, kind, *_ in mounts if f"{where}/".startswith(f"{at.rstrip('/')}/")]
    return max(held)[1] if held else ""


def _fdatasync_ms(folder: Path, seconds: float) -> list[float]:
    """Appends a page and waits for the disk, as a write-ahead log does."""
    taken: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(taken) <= WARM_UP:
            began = time.perf_counter()
            os.write(file.fileno(), PAGE)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return taken[WARM_UP:]


async def _commits_ms(connection: Connection, rows: int, seconds: float) -> list[float]:
    numbers = array("q", range(rows))
    stream = copyformat.encode(
        [
            ("int8", numbers),
            ("int4", 1),
            ("int8", numbers),
            ("timestamptz", array("q", (time.time_ns() // 1000,)) * rows),
        ],
        rows,
    )
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) <= WARM_UP:
        began = time.perf_counter()
        await connection.copy_to_table("plan_commits", source=stream, format="binary")
        taken.append((time.perf_counter() - began) * 1000)
    return taken[WARM_UP:]
