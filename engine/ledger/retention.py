"""What is kept, and for how long: partitions go behind a seal, recipient files after their campaigns, numbers
when their workspace says so."""

import asyncio
import hashlib
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec
import structlog

from engine.core_api import schema
from engine.ledger import fold, partitions, reconcile
from engine.ledger.pool import AWAY, Connection, Pool, session_locks
from engine.ledger.sql import load

log = structlog.get_logger(__name__)

LOCK_TRIES = 10
SHOWN_RUNS = 14  # of a report
SHOWN_DROPPED = 60
COUNTS = (
    "planned", "claimed", "sent", "delivered", "undelivered", "no_receipt", "failed", "in_doubt",
    "submissions", "parts", "retried", "receipts", "charged",
)  # fmt: skip
_PAUSE_S = 0.5  # between two tries for the lock: writers go first
_TIMEOUT_S = 600


@dataclass(slots=True)
class Round:
    """What a round did: names of tables, ids of uploads, slices whose numbers went."""

    folded: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    uploads: list[UUID] = field(default_factory=list)
    slices: int = 0


class NotFolded(Exception):
    """What is folded does not add up to the rows: nothing is dropped."""


async def run(pool: Pool, *, retention_days: int, uploads_keep_days: int) -> Round | None:
    """Fold, drop, and forget what is over. None where another process does, or a verification runs."""
    queries, done = load("retention"), Round()
    started_at, began = datetime.now(UTC), time.monotonic()
    folded = await fold.fold_due(pool)
    if folded is None:
        return None
    done.folded = folded
    async with session_locks(pool, queries["lock"]) as connection:
        if connection is None:
            return None
        done.dropped = await drop_old(connection, partitions.today() - retention_days)
        done.uploads = await end_uploads(connection, uploads_keep_days)
        done.slices = await forget_numbers(connection)
        body = msgspec.json.encode(asdict(done)).decode()
        await connection.execute(queries["record"], started_at, time.monotonic() - began, body)
        await connection.execute(queries["forget_runs"])
    log.info(
        "retention", folded=done.folded, dropped=done.dropped, uploads=len(done.uploads), slices=done.slices
    )
    return done


async def keep(
    pool: Pool, at: str, *, retention_days: int, uploads_keep_days: int, look_s: float = 60.0
) -> None:
    """The engine's daily round at `at` (HH:MM, UTC), until cancelled. An empty `at` is never. `look_s`: how
    often it is looked at whether the round is due."""
    while at:
        await asyncio.sleep(look_s)
        try:
            if await pool.fetchval(load("retention")["due"], datetime.strptime(at, "%H:%M").time()):
                await run(pool, retention_days=retention_days, uploads_keep_days=uploads_keep_days)
        except AWAY as error:
            log.warning("the ledger is away", error=repr(error), doing="retention")
        except Exception:
            log.exception("retention failed")


# dropping ---------------------------------------------------------------------------------------------------


async def drop_old(connection: Connection, before_day: int) -> list[str]:
    """Seal and drop folded partitions of days before this one, oldest first; stops at the first that cannot
    go. Returns the names of the tables of submissions."""
    queries, dropped = load("retention"), []
    while (row := await connection.fetchrow(queries["oldest"])) is not None and row["day"] < before_day:
        low, high = partitions.bounds(row["day"], row["partition_no"])
        if row["folded_at"] is None or row["holds_money"]:
            log.warning("a partition is kept beyond its time", name=row["name"], money=row["holds_money"])
            break
        try:
            if not await _drop(connection, row, low, high):
                break
        except asyncpg.LockNotAvailableError:
            log.warning("a partition is in use: it is dropped later", name=row["name"])
            break
        except NotFolded as error:
            log.error("a partition is kept", name=row["name"], reason=str(error))
            break
        if row["receipts"] is None:
            await connection.execute(queries["vacuum"], timeout=_TIMEOUT_S)
        log.info("partition dropped", name=row["name"])
        dropped.append(row["name"])
    return dropped


async def _drop(connection: Connection, row: asyncpg.Record, low: int, high: int) -> bool:
    queries = load("retention")
    async with connection.transaction():
        ids = [each["campaign_id"] for each in await connection.fetch(queries["campaigns"], low, high)]
        await reconcile.lock(connection, (), ids)  # nothing of them changes from here on
        if await connection.fetchval(queries["unsettled"], low, high):
            return False
        for campaign_id in ids:
            await _seal(connection, row["day"], row["partition_no"], campaign_id, low, high)
        await connection.execute(queries["forget_doubts"], low, high, timeout=_TIMEOUT_S)
        if row["receipts"] is None:
            await connection.execute(queries["forget_past_receipts"], low, high, timeout=_TIMEOUT_S)
        await _lock_out(connection)
        for name in (row["name"], row["receipts"], f"messages_done_{row['day']}_{row['partition_no']}"):
            if name is not None:
                await connection.execute(queries["drop"].format(name=name))
        if row["receipts"] is not None:
            await connection.execute(queries["lower_past"])
            await connection.execute(queries["raise_past"].format(high=high))
        await connection.execute(queries["dropped"], row["day"], row["partition_no"])
    return True


async def _lock_out(connection: Connection) -> None:
    """The tables for this transaction alone, for its last moments. Raises LockNotAvailableError."""
    queries = load("retention")
    await connection.execute(queries["timeout"])
    for left in reversed(range(LOCK_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(queries["exclusive"])
        except asyncpg.LockNotAvailableError:
            if not left:
                raise
            await asyncio.sleep(_PAUSE_S)
        else:
            return


async def _seal(
    connection: Connection, day: int, partition_no: int, campaign_id: UUID, low: int, high: int
) -> None:
    """Count the campaign's rows as `verify` does, and chain the seal to the one before."""
    queries, of_rows = load("retention"), load("equation")
    slices = await connection.fetch(queries["slices"], campaign_id, low, high)
    counts = dict.fromkeys(COUNTS, 0)
    content, folded = hashlib.sha256(), 0
    for each in slices:
        counts["planned"] += each["row_count"]
        counts["claimed"] += each["claimed_to"]
        ids = [each["slice_id"]]
        (messages,) = await connection.fetch(of_rows["messages"], campaign_id, ids, timeout=_TIMEOUT_S)
        evidence = await connection.fetchrow(of_rows["evidence"], ids, timeout=_TIMEOUT_S)
        assert evidence is not None
        for name in ("sent", "delivered", "undelivered", "no_receipt", "failed", "in_doubt"):
            counts[name] += messages[name]
        for name in ("submissions", "parts", "retried", "receipts"):
            counts[name] += evidence[name]
        counts["charged"] += await connection.fetchval(queries["charged"], ids, timeout=_TIMEOUT_S)
        done = await connection.fetchrow(queries["content"], each["slice_id"], timeout=_TIMEOUT_S)
        assert done is not None
        folded += done["rows"]
        content.update(done["digest"])
    of_states = counts["sent"] + counts["failed"] + counts["in_doubt"]
    if of_states != folded:
        raise NotFolded(f"campaign {campaign_id}: {of_states} messages by rows, {folded} folded")
    before = await connection.fetchval(queries["last_seal"])
    sealed = seal_hash(before, day, partition_no, campaign_id, counts, content.digest())
    await connection.execute(
        queries["seal"], day, partition_no, campaign_id, *counts.values(), content.digest(), sealed
    )


def seal_hash(
    before: bytes | None,
    day: int,
    partition_no: int,
    campaign_id: UUID,
    counts: dict[str, int],
    content: bytes,
) -> bytes:
    """SHA-256 of the seal before (nothing for the first) and this one's fields as a line of text."""
    line = "|".join(map(str, (day, partition_no, campaign_id, *(counts[name] for name in COUNTS))))
    return hashlib.sha256(bytes(before or b"") + line.encode() + bytes(content)).digest()


async def broken_seal(connection: Connection) -> asyncpg.Record | None:
    """The first seal that is not what was sealed, or does not follow the one before."""
    before: bytes | None = None
    for row in await connection.fetch(load("retention")["seals"]):
        place = (row["day"], row["partition_no"], row["campaign_id"])
        counts = {name: row[name] for name in COUNTS}
        if seal_hash(before, *place, counts, row["content"]) != bytes(row["hash"]):
            return row
        before = row["hash"]
    return None


# forgetting -------------------------------------------------------------------------------------------------


async def end_uploads(connection: Connection, keep_days: int) -> list[UUID]:
    """Recipient files whose campaigns are long over: their rows and the details of their errors go; counts
    and digests stay."""
    queries, ended = load("retention"), []
    for row in await connection.fetch(queries["uploads_over"], keep_days):
        async with connection.transaction():
            upload_id = row["upload_id"]
            if await connection.fetchval(queries["lock_upload"], upload_id) is None:
                continue
            if upload_id not in {each["upload_id"] for each in await connection.fetch(
                queries["uploads_over"], keep_days
            )}:  # fmt: skip
                continue
            for statement in ("forget_chunks", "forget_plans", "forget_job_errors", "upload_over"):
                await connection.execute(queries[statement], upload_id, timeout=_TIMEOUT_S)
            ended.append(upload_id)
    return ended


async def forget_numbers(connection: Connection) -> int:
    """By the workspaces' own retention. Returns how many slices."""
    queries, count = load("retention"), 0
    while rows := await connection.fetch(queries["nameless_slices"], partitions.today()):
        ids = [row["slice_id"] for row in rows]
        async with connection.transaction():
            for table in ("submissions", "done", "doubts"):
                await connection.execute(queries[f"forget_{table}_numbers"], ids, timeout=_TIMEOUT_S)
            await connection.execute(queries["numbers_gone"], ids)
        count += len(ids)
    return count


async def set_workspace(connection: Connection, workspace_id: UUID, days: int | None) -> None:
    """A workspace's own retention of numbers; None: none of its own."""
    if days is None:
        await connection.execute(load("retention")["unset_workspace"], workspace_id)
    else:
        await connection.execute(load("retention")["set_workspace"], workspace_id, days)


async def report(
    pool: Pool, workspace_id: UUID, *, at: str, messages_days: int, files_days: int
) -> schema.RetentionReport:
    """What of a workspace is kept how long by the given settings, and what went."""
    queries = load("retention")
    async with pool.acquire() as connection:
        files = await connection.fetchrow(queries["workspace_files"], workspace_id)
        oldest = await connection.fetchval(queries["oldest_kept"], workspace_id)
        runs = await connection.fetch(queries["runs"], SHOWN_RUNS)
        dropped = await connection.fetch(queries["dropped_of"], workspace_id, SHOWN_DROPPED)
        days = await connection.fetchval(queries["workspace_days"], workspace_id)
    assert files is not None
    return schema.RetentionReport(
        at=at,
        messages_days=messages_days,
        files_days=files_days,
        numbers_days=days,
        files_kept=files["kept"],
        files_gone=files["gone"],
        oldest_day=_date(oldest) if oldest is not None else None,
        runs=[schema.RetentionRun(**dict(row)) for row in runs],
        dropped=[schema.DroppedPartition(**{**dict(row), "day": _date(row["day"])}) for row in dropped],
    )


def _date(day: int) -> date:
    return partitions.EPOCH + timedelta(days=day)
