"""Which rows become claimable now: slices, released just in time. A pure function of the counts.

Only the plan called OnDemand stands here: rows in the order of their chunks, due at once. Nothing released
needs recalling, since a pause simply stops the claims.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

MAX_SLICE_ROWS = 16_384
AHEAD_S = 2.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A campaign in Sending: where its plan stands. `(next_chunk, next_row)` is the first row in no slice;
    `unclaimed` are rows in open slices that no claim holds yet."""

    campaign_id: UUID
    chunk_rows: Sequence[int]
    next_chunk: int = 0
    next_row: int = 0
    unclaimed: int = 0

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
    """A slice to write: rows `[row_start, row_start + row_count)` of the chunk."""

    campaign_id: UUID
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
    """Slices to release now on one account, round robin over its campaigns in the order given.

    Together with what is unclaimed (`others`: of campaigns that are not planned any more) they are at most
    `ahead_s` of TPS, but a slice for every bind where that is less. A campaign with nothing released gets a
    window's worth even without room: it would wait for another's end.
    """
    size = slice_rows(pace, ahead_s=ahead_s, most=most)
    if not size:
        return []
    room = (
        max(int(pace.tps * ahead_s), size * pace.binds) - others - sum(each.unclaimed for each in campaigns)
    )
    starved = {each.campaign_id for each in campaigns if not each.unclaimed and not each.exhausted}
    positions = {each.campaign_id: (each.next_chunk, each.next_row) for each in campaigns}
    releases: list[Release] = []
    turns = [each for each in campaigns if not each.exhausted]
    while turns and (room > 0 or starved):
        following = []
        for each in turns:
            if room <= 0 and each.campaign_id not in starved:
                continue
            starved.discard(each.campaign_id)
            chunk_no, row = positions[each.campaign_id]
            # the last slices of a release are cut to the room left, but not under a window
            count = min(size, each.chunk_rows[chunk_no] - row, max(room, pace.window_size, 1))
            releases.append(Release(each.campaign_id, chunk_no, row, count))
            room -= count
            row += count
            if row == each.chunk_rows[chunk_no]:
                chunk_no, row = chunk_no + 1, 0
            positions[each.campaign_id] = chunk_no, row
            if chunk_no < len(each.chunk_rows):
                following.append(each)
        turns = following
    return releases
