"""Writes the planner's slices: ids, rows and the legs' new positions in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.dispatch.campaign import CampaignRun
from engine.dispatch.planner import LegKey, Release, after
from engine.ledger import partitions
from engine.ledger.pool import Pool
from engine.ledger.sql import load

Position = tuple[int, int]  # chunk, row


@dataclass(slots=True)
class Released:
    """Slices by id, the legs' positions after them, and legs that stood elsewhere than the plan thought
    (another worker, or a commit whose answer was lost)."""

    slices: dict[int, Release] = field(default_factory=dict)
    positions: dict[LegKey, Position] = field(default_factory=dict)
    stale: set[LegKey] = field(default_factory=set)


async def release(
    pool: Pool, releases: Sequence[Release], runs: Mapping[LegKey, CampaignRun], worker_id: int
) -> Released:
    """Insert the slices of campaigns that are still Sending, of legs that are at the position of their
    first release; this worker claims from them."""
    queries = load("dispatch")
    first: dict[LegKey, Position] = {}
    for each in releases:
        first.setdefault(each.leg, (each.chunk_no, each.row_start))
    done = Released()
    async with pool.acquire() as connection, connection.transaction():
        # who holds the campaign's row may move its legs
        held = await connection.fetch(queries["hold_campaigns"], list({leg.campaign_id for leg in first}))
        sending = {row["campaign_id"] for row in held}
        legs = [leg for leg in first if leg.campaign_id in sending]
        rows = await connection.fetch(
            queries["plan_positions"], [leg.campaign_id for leg in legs], [leg.leg_no for leg in legs]
        )
        stored = {(row["campaign_id"], row["leg_no"]): (row["next_chunk"], row["next_row"]) for row in rows}
        done.stale = {leg for leg in legs if stored.get(leg[:2]) != first[leg]}
        wanted = [each for each in releases if each.leg in legs and each.leg not in done.stale]
        if not wanted:
            return done
        ids = await partitions.allot(connection, [each.row_count for each in wanted])
        for each in wanted:
            end = each.row_start + each.row_count
            done.positions[each.leg] = after(runs[each.leg].chunk_rows, each.chunk_no, end)
        await connection.execute(
            queries["release"],
            ids,
            [each.leg.campaign_id for each in wanted],
            [each.leg.leg_no for each in wanted],
            [each.leg.channel_id for each in wanted],
            [each.chunk_no for each in wanted],
            [runs[each.leg].place(each.chunk_no, each.row_start) for each in wanted],
            [each.row_count for each in wanted],
            worker_id,
            [leg.campaign_id for leg in done.positions],
            [leg.leg_no for leg in done.positions],
            [chunk_no for chunk_no, _ in done.positions.values()],
            [row for _, row in done.positions.values()],
        )
    done.slices = dict(zip(ids, wanted, strict=True))
    return done
