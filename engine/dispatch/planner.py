"""Which rows become claimable now: slices, released just in time. A pure function of the counts.

Only the plan called OnDemand stands here: rows in the order of their chunks, due at once. Nothing released
needs recalling, since a pause simply stops the claims.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

MAX_SLICE_ROWS = 16_384
AHEAD_S = 2.0
EXPRESS, BULK = 0, 1  # lanes
_NO_WORKSPACE = UUID(int=0)


class LegKey(NamedTuple):
    """Rows of a campaign that go over one channel now. A campaign that names its channel has one leg."""

    campaign_id: UUID
    leg_no: int
    channel_id: int


@dataclass(frozen=True, slots=True)
class Planned:
    """A leg of a campaign in Sending: where its plan stands. `chunk_rows`: its rows in each chunk.
    `(next_chunk, next_row)` is the first row in no slice; `unclaimed` are rows in open slices that no claim
    holds yet. `weight` is its workspace's."""

    leg: LegKey
    chunk_rows: Sequence[int]
    next_chunk: int = 0
    next_row: int = 0
    unclaimed: int = 0
    workspace_id: UUID = _NO_WORKSPACE
    weight: float = 1.0
    lane: int = BULK

    @property
    def exhausted(self) -> bool:
        return self.next_chunk >= len(self.chunk_rows)


@dataclass(frozen=True, slots=True)
class Pace:
    """What the binds of a channel can take: parts a second of the account, bound binds, window of each."""

    tps: int
    binds: int
    window_size: int


@dataclass(frozen=True, slots=True)
class Release:
    """A slice to write: rows `[row_start, row_start + row_count)` of the leg's rows in the chunk."""

    leg: LegKey
    chunk_no: int
    row_start: int
    row_count: int


def slice_rows(pace: Pace, *, ahead_s: float = AHEAD_S, most: int = MAX_SLICE_ROWS) -> int:
    """Rows of a slice: every bind gets one of its own within `ahead_s` of TPS, never less than its window."""
    if pace.binds < 1:
        return 0
    return min(most, max(int(pace.tps * ahead_s) // pace.binds, pace.window_size, 1))


def plan(
    campaigns: Sequence[Planned],
    pace: Pace,
    *,
    ahead_s: float = AHEAD_S,
    most: int = MAX_SLICE_ROWS,
    others: int = 0,
) -> list[Release]:
    """Slices to release now on one account: the express lane first, as if there were no other; then bulk.

    In a lane each slice goes to the workspace that has least ahead for its weight, and in it to the
    campaign (the leg) that has least; the first in the order given where they are even. Together with what
    is unclaimed (`others`: of campaigns that are not planned any more) they are at most `ahead_s` of TPS,
    but a slice for every bind where that is less. A campaign with nothing released gets a window's worth
    even without room: it would wait for another's end."""
    size = slice_rows(pace, ahead_s=ahead_s, most=most)
    if not size:
        return []
    ahead = max(int(pace.tps * ahead_s), size * pace.binds)
    window = max(pace.window_size, 1)
    express = [each for each in campaigns if each.lane == EXPRESS]
    bulk = [each for each in campaigns if each.lane != EXPRESS]
    releases = _lane(express, ahead - sum(each.unclaimed for each in express), size, window)
    taken = sum(each.row_count for each in releases)
    room = ahead - others - taken - sum(each.unclaimed for each in campaigns)
    return releases + _lane(bulk, room, size, window)


def _lane(campaigns: Sequence[Planned], room: int, size: int, window: int) -> list[Release]:
    positions = {each.leg: (each.next_chunk, each.next_row) for each in campaigns}
    ahead = {each.leg: each.unclaimed for each in campaigns}
    share: dict[UUID, float] = {}
    for each in campaigns:
        share[each.workspace_id] = share.get(each.workspace_id, 0.0) + each.unclaimed / each.weight
    starved = {each.leg for each in campaigns if not each.unclaimed and not each.exhausted}
    waiting = [each for each in campaigns if not each.exhausted]
    releases: list[Release] = []
    while waiting and (room > 0 or starved):
        able = waiting if room > 0 else [each for each in waiting if each.leg in starved]
        each = min(able, key=lambda one: (share[one.workspace_id], ahead[one.leg]))
        starved.discard(each.leg)
        chunk_no, row = positions[each.leg]
        # the last slices of a release are cut to the room left, but not under a window
        count = min(size, each.chunk_rows[chunk_no] - row, max(room, window))
        releases.append(Release(each.leg, chunk_no, row, count))
        room -= count
        ahead[each.leg] += count
        share[each.workspace_id] += count / each.weight
        chunk_no, row = after(each.chunk_rows, chunk_no, row + count)
        positions[each.leg] = chunk_no, row
        if chunk_no == len(each.chunk_rows):
            waiting.remove(each)
    return releases


def after(chunk_rows: Sequence[int], chunk_no: int, row: int) -> tuple[int, int]:
    """The position of the first row from there on: chunks without a row of the leg are passed over."""
    while chunk_no < len(chunk_rows) and row >= chunk_rows[chunk_no]:
        chunk_no, row = chunk_no + 1, 0
    return chunk_no, row
