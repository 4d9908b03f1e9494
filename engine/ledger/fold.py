"""Folding: a closed partition whose campaigns are settled gets one row a message in `messages_done`.

The rows are filled a slice at a time by the server and become a partition in one transaction, so a kill
leaves nothing. What changes meanwhile is found by counters that move with every change, and folded again,
before the partition counts as folded.
"""

from collections.abc import Collection, Iterable
from uuid import UUID

import structlog

from engine import faults
from engine.ledger import partitions, reconcile
from engine.ledger.batch import MessageKey
from engine.ledger.errors import NotFound
from engine.ledger.numbers import numbers
from engine.ledger.pool import Connection, Pool, session_locks
from engine.ledger.sql import load
from engine.ledger.states import MessageState

log = structlog.get_logger(__name__)

_TIMEOUT_S = 600
_OPEN = frozenset({MessageState.OPEN, MessageState.SENT})  # states no settled campaign has


async def fold_due(pool: Pool) -> list[str] | None:
    """Fold every partition that is closed, indexed and only of settled campaigns, oldest first. Returns the
    names of their tables; None, with nothing done, where another process folds."""
    queries, folded = load("fold"), list[str]()
    async with session_locks(pool, queries["lock"]) as connection:
        if connection is None:
            return None
        for row in await connection.fetch(queries["due"]):
            if await fold(connection, row["day"], row["partition_no"]):
                folded.append(_name(row["day"], row["partition_no"]))
    return folded


async def fold(connection: Connection, day: int, partition_no: int) -> bool:
    """Fold one partition. False where a campaign of it is not settled any more: it is folded later."""
    queries, bounds = load("fold"), partitions.bounds(day, partition_no)
    before = await connection.fetchrow(queries["counters"], *bounds)
    assert before is not None
    oldest = await connection.fetchval(queries["oldest_transaction"])
    await _fill(connection, day, partition_no)
    faults.point("before_folded")
    async with connection.transaction():
        ids = [row["campaign_id"] for row in await connection.fetch(queries["campaigns"], *bounds)]
        await reconcile.lock(connection, (), ids)
        after = await connection.fetchrow(queries["counters"], *bounds)
        assert after is not None
        if after["unsettled"]:
            return False
        await connection.execute(queries["folded"], day, partition_no)
        if tuple(after) != tuple(before):
            late = await connection.fetch(queries["changed"], *bounds, oldest, timeout=_TIMEOUT_S)
            await _again(connection, [(row["slice_id"], row["row_no"]) for row in late])
    log.info("partition folded", name=_name(day, partition_no))
    return True


async def _fill(connection: Connection, day: int, partition_no: int) -> None:
    queries, (low, high) = load("fold"), partitions.bounds(day, partition_no)
    name = _name(day, partition_no)
    async with connection.transaction():
        await connection.execute(queries["timeout"])
        # an earlier fold, if there was one, is not true any more
        await connection.execute(queries["remove"].format(name=name))
        await connection.execute(queries["create"].format(name=name))
        slices = [row["slice_id"] for row in await connection.fetch(queries["slices"], low, high)]
        for place, slice_id in enumerate(slices):
            if place == len(slices) // 2:
                faults.point("during_fold")
            await connection.execute(queries["fill"].format(name=name), slice_id, timeout=_TIMEOUT_S)
            await _name_the_doubtful(connection, name, slice_id)
        for statement in ("key", "index"):
            await connection.execute(queries[statement].format(name=name), timeout=_TIMEOUT_S)
        await partitions.attach(connection, parent="messages_done", name=name, low=low, high=high)


async def _name_the_doubtful(connection: Connection, table: str, slice_id: int) -> None:
    """What has no submission has its number only in the chunk."""
    queries = load("fold")
    rows = [row["row_no"] for row in await connection.fetch(queries["nameless"].format(name=table), slice_id)]
    try:
        known = {row: number for row, number in (await numbers(connection, slice_id, rows)).items() if number}
    except NotFound:
        return
    if known:
        query = queries["name_them"].format(name=table)
        await connection.execute(query, slice_id, list(known), list(known.values()))


async def changed(connection: Connection, before: reconcile.States) -> None:
    """In the commit of evidence that came late: fold these messages again, where they are folded.

    `before`: their states without that evidence. Only settled ones can be folded; others cost nothing.
    """
    keys = [key for key, (_, state) in before.items() if state not in _OPEN]
    if keys:
        await _again(connection, keys)


async def _again(connection: Connection, keys: Collection[MessageKey]) -> None:
    if keys:
        await connection.execute(
            load("fold")["again"], [key[0] for key in keys], [key[1] for key in keys], timeout=_TIMEOUT_S
        )


async def unfold(connection: Connection, campaign_ids: Iterable[UUID]) -> None:
    """A settled campaign sends again: its partitions are folded anew when it is settled."""
    await connection.execute(load("fold")["unfold"], list(campaign_ids))


def _name(day: int, partition_no: int) -> str:
    return f"messages_done_{day}_{partition_no}"
