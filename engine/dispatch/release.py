"""Writes the planner's slices: ids, rows and the campaigns' new positions in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from engine.dispatch.planner import Release
from engine.ledger import partitions
from engine.ledger.pool import Pool
from engine.ledger.sql import load

Position = tuple[int, int]  # chunk, row


@dataclass(slots=True)
class Released:
    """Slices by id, the campaigns' positions after them, and campaigns that stood elsewhere than the plan
    thought (another worker, or a commit whose answer was lost)."""

    slices: dict[int, Release] = field(default_factory=dict)
    positions: dict[UUID, Position] = field(default_factory=dict)
    stale: set[UUID] = field(default_factory=set)


async def release(
    pool: Pool,
    releases: Sequence[Release],
    chunk_rows: Mapping[UUID, Sequence[int]],
    worker_id: int,
) -> Released:
    """Insert the slices of campaigns that are still Sending and at the position of their first release; this
    worker claims from them."""
    queries = load("dispatch")
    first: dict[UUID, Position] = {}
    for each in releases:
        first.setdefault(each.campaign_id, (each.chunk_no, each.row_start))
    done = Released()
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(queries["plan_positions"], list(first))
        stored = {row["campaign_id"]: (row["next_chunk"], row["next_row"]) for row in rows}
        done.stale = {campaign for campaign, at in stored.items() if at != first[campaign]}
        wanted = [each for each in releases if stored.get(each.campaign_id) == first[each.campaign_id]]
        if not wanted:
            return done
        ids = await partitions.allot(connection, [each.row_count for each in wanted])
        await connection.execute(
            queries["release"],
            ids,
            [each.campaign_id for each in wanted],
            [each.chunk_no for each in wanted],
            [each.row_start for each in wanted],
            [each.row_count for each in wanted],
            worker_id,
        )
        for each in wanted:
            done.positions[each.campaign_id] = _after(each, chunk_rows[each.campaign_id])
        await connection.execute(
            queries["advance_plan"],
            list(done.positions),
            [chunk_no for chunk_no, _ in done.positions.values()],
            [row for _, row in done.positions.values()],
        )
    done.slices = dict(zip(ids, wanted, strict=True))
    return done


def _after(each: Release, chunk_rows: Sequence[int]) -> Position:
    row = each.row_start + each.row_count
    return (each.chunk_no + 1, 0) if row == chunk_rows[each.chunk_no] else (each.chunk_no, row)
