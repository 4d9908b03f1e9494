"""Slice ids, and the partitions of `submissions` and `receipts` they fall into.

A slice id is `day << 40 | partition << 28 | number` (day: days since 2020-01-01, UTC). The hot partition of
submissions has only its key; a closed one gets its (account, smsc id) and msisdn indexes in bulk.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import structlog

from engine import faults
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load

log = structlog.get_logger(__name__)

EPOCH = date(2020, 1, 1)
ROTATE_ROWS = 2_000_000  # planned rows of a partition before the next one starts
_NUMBERS = 1 << 28
_PARTITIONS = 1 << 12
_LOCK = 0x50415254  # one process at a time makes a partition


def today() -> int:
    """Days since 2020-01-01, UTC."""
    return (datetime.now(UTC).date() - EPOCH).days


def slice_id(day: int, partition_no: int, number: int) -> int:
    return day << 40 | partition_no << 28 | number


def bounds(day: int, partition_no: int) -> tuple[int, int]:
    """The first slice id of a partition, and the first after it."""
    return slice_id(day, partition_no, 0), slice_id(day, partition_no + 1, 0)


def day_of(slice_id: int) -> int:
    return slice_id >> 40


async def allot(
    connection: Connection,
    row_counts: Sequence[int],
    *,
    day: int | None = None,
    rotate_rows: int = ROTATE_ROWS,
) -> list[int]:
    """Slice ids for new slices of these row counts, in the caller's transaction.

    Their partition is made and attached first where it is missing (ATTACH does not lock out writers).
    """
    assert connection.is_in_transaction()
    day = today() if day is None else day
    wanted = (load("partitions")["advance"], day, len(row_counts), sum(row_counts), rotate_rows, _NUMBERS)
    hot = await connection.fetchrow(*wanted)
    while hot is None:
        await _rotate(connection, day, rotate_rows)
        hot = await connection.fetchrow(*wanted)
    return [slice_id(day, hot["partition_no"], hot["first"] + i) for i in range(len(row_counts))]


async def ensure(pool: Pool, *, day: int | None = None) -> None:
    """Make the day's first partition ahead of need (idempotent)."""
    async with pool.acquire() as connection, connection.transaction():
        day = today() if day is None else day
        if await connection.fetchrow(load("partitions")["hot"], day) is None:
            await _rotate(connection, day, ROTATE_ROWS)


async def _rotate(connection: Connection, day: int, rotate_rows: int) -> None:
    """A fresh partition, where the day's hot one is full or there is none."""
    queries = load("partitions")
    await connection.execute(queries["lock"], _LOCK)
    hot = await connection.fetchrow(queries["hot"], day)  # another process may have been faster
    if hot is not None and hot["planned_rows"] < rotate_rows and hot["next_number"] < _NUMBERS // 2:
        return
    partition_no = 0 if hot is None else hot["partition_no"] + 1
    assert partition_no < _PARTITIONS, "out of partitions for one day"
    name, receipts = (f"{parent}_{day}_{partition_no}" for parent in ("submissions", "receipts"))
    low, high = bounds(day, partition_no)
    for parent, partition in (("submissions", name), ("receipts", receipts)):
        # identifiers and bounds are integers made above: nothing of a caller gets into the statement
        await connection.execute(queries["create"].format(parent=parent, name=partition))
        faults.point("during_rotation")
        await attach(connection, parent=parent, name=partition, low=low, high=high)
    await connection.execute(queries["insert"], day, partition_no, name, receipts)
    log.info("partition attached", name=name)


async def attach(connection: Connection, *, parent: str, name: str, low: int, high: int) -> None:
    """Make a table a partition, in the caller's transaction, without a scan at the end."""
    queries = load("partitions")
    for statement in ("check", "attach", "uncheck"):
        await connection.execute(
            queries[statement].format(parent=parent, name=name, low=low, high=high), timeout=600
        )


async def index_closed(pool: Pool) -> list[str]:
    """Index every partition that takes no new slices and has no open one; returns their names."""
    queries = load("partitions")
    done = []
    async with pool.acquire() as connection:
        for row in await connection.fetch(queries["closed"], today()):
            for statement in ("index_smsc_id", "index_msisdn"):
                await connection.execute(queries[statement].format(name=row["name"]), timeout=600)
            await connection.execute(queries["indexed"], row["name"])
            log.info("partition indexed", name=row["name"], planned_rows=row["planned_rows"])
            done.append(row["name"])
    return done
