"""A campaign in Sending as dispatch sees it: chunk sizes, plan position, encoder; and its decoded chunks."""

from __future__ import annotations

import asyncio
import hashlib
import json
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from engine.channels.interface import BadSettings, Channel, Encoder
from engine.dispatch.breaker import Breaker
from engine.dispatch.planner import BULK, LegKey
from engine.dispatch.pricing import Pricing, choose
from engine.dispatch.rates import Rate
from engine.ledger import campaigns
from engine.ledger.claims import CampaignKey
from engine.ledger.numbers import permutation
from engine.ledger.pool import Pool
from engine.ledger.sql import load
from engine.recipients.chunk import columns_of, msisdn_of, read_chunk

if TYPE_CHECKING:
    from asyncpg import Record

    from engine._fast.text import Column


MOST_ROWS = 1 << 30
_SMALL_ROWS = 64
_SMALL_KEPT = 256  # chunks
_SMALL_OCTETS = 16_384  # decoded at once


class Unsendable(Exception):
    """What is stored cannot go out, and resume cannot cure it; the message becomes the campaign's reason."""


class Unfit(Exception):
    """One channel of a campaign by routes cannot carry it as the channel is set up now."""


@dataclass(slots=True, eq=False)
class CampaignRun:
    """One leg of a campaign while it is Sending: its rows over one channel. `running` turns False for good
    on pause, cancel and stop, and when the leg goes over another channel."""

    campaign_id: UUID
    key: CampaignKey
    upload_id: UUID
    chunk_rows: tuple[int, ...]
    column_names: tuple[str, ...]
    encoder: Encoder
    next_chunk: int
    next_row: int
    lane: int = BULK
    leg_no: int = 0
    # where its rows begin in each chunk's permutation; None: at 0, of a campaign that names its channel
    chunk_starts: tuple[int, ...] | None = None
    releases: bool = True  # False: only what was released, or is to go again, goes over this channel
    next_channel: int = 0  # of its leg, after this one: takes what this one refuses; 0: none
    weight: float = 1.0  # of its workspace
    handle: int = 0  # the writer's
    running: bool = True
    open_claims: int = 0
    pricing: Pricing | None = None  # None: its workspace is not charged for it
    affordable: int = MOST_ROWS  # rows of a claim that the wallet may pay, as far as is known
    accepted: Rate = field(default_factory=Rate)
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def exhausted(self) -> bool:
        """Every row is in a slice, or another channel's to release."""
        return not self.releases or self.next_chunk >= len(self.chunk_rows)

    @property
    def fresh(self) -> bool:
        """No row of it is in a slice, as far as is known."""
        return self.releases and self.next_chunk == self.next_row == 0

    @property
    def leg(self) -> LegKey:
        return LegKey(self.campaign_id, self.leg_no, self.key.channel_id)

    def place(self, chunk_no: int, row: int) -> int:
        """Where a row of the leg stands in the chunk's permutation."""
        return row + (self.chunk_starts[chunk_no] if self.chunk_starts else 0)


@dataclass(frozen=True, slots=True)
class Again:
    """What a retry slice sends: row i of it is part `parts[i]` (0: every part without a result) of row
    `rows[i]` of its origin."""

    origin_slice_id: int
    rows: array[int]  # 'i'
    parts: array[int]  # 'h'
    attempt: int  # of the first try
    tries: int  # used up before it
    resend: bool  # an earlier attempt is in doubt
    fallback_level: int = 0


@dataclass(slots=True, eq=False)
class OpenSlice:
    """A released slice. Rows `[claimed_to, row_count)` are to be claimed; `row_start` is its first row's
    place in the chunk's permutation."""

    slice_id: int
    run: CampaignRun
    chunk_no: int
    row_start: int
    row_count: int
    claimed_to: int = 0
    busy: bool = False  # a claim or a give-back of it is on its way to the database
    again: Again | None = None  # a retry slice

    @property
    def message_slice(self) -> int:
        """The slice that outcomes of its rows carry."""
        return self.again.origin_slice_id if self.again else self.slice_id

    def place(self, row: int) -> int:
        """Where a row of it stands in the chunk's permutation."""
        return self.row_start + (self.again.rows[row] if self.again else row)

    @property
    def left(self) -> int:
        return self.row_count - self.claimed_to


@dataclass(frozen=True, slots=True)
class Chunk:
    """A decoded chunk's Arrow buffers; `permutation`: its rows in the order of the campaign's legs."""

    msisdn: Any
    columns: Sequence[Column]
    permutation: array[int] | None = None

    def span(self, start: int, stop: int) -> array[int]:
        """The chunk's rows ('i') at places `[start, stop)`."""
        return array("i", range(start, stop)) if self.permutation is None else self.permutation[start:stop]

    def rows(self, places: Iterable[int]) -> array[int]:
        """The chunk's rows ('i') at these places."""
        order = self.permutation
        return array("i", places if order is None else [order[place] for place in places])

    def number(self, place: int) -> int:
        """The msisdn of a row."""
        row = place if self.permutation is None else self.permutation[place]
        return int(memoryview(self.msisdn).cast("B").cast("q")[row])


class Chunks:
    """The chunks used last, the small ones by themselves, so that many single messages do not drive out a
    large one. Decoding runs in a thread where it takes long; a chunk that is not what was approved is
    Unsendable."""

    def __init__(self, pool: Pool, capacity: int) -> None:
        self._pool = pool
        self._capacity = capacity
        self._kept: OrderedDict[tuple[UUID, int], Chunk] = OrderedDict()
        self._small: OrderedDict[tuple[UUID, int], Chunk] = OrderedDict()

    async def get(self, run: CampaignRun, chunk_no: int) -> Chunk:
        routed = run.chunk_starts is not None
        key = (run.campaign_id if routed else run.upload_id, chunk_no)
        small = run.chunk_rows[chunk_no] <= _SMALL_ROWS
        kept, capacity = (self._small, _SMALL_KEPT) if small else (self._kept, self._capacity)
        chunk = kept.get(key)
        if chunk is None:
            row = await self._pool.fetchrow(
                load("dispatch")["chunk"], run.upload_id, chunk_no, run.campaign_id if routed else None
            )
            if row is not None and row["data"] is not None and len(row["data"]) <= _SMALL_OCTETS:
                chunk = _decode(row, chunk_no, run.column_names)
            else:
                chunk = await asyncio.to_thread(_decode, row, chunk_no, run.column_names)
            kept[key] = chunk
        kept.move_to_end(key)
        while len(kept) > capacity:
            kept.popitem(last=False)
        return chunk


def check_sealed(stored: Record | None, chunk_no: int) -> Record:
    """A chunk as it is stored, where it is there and what was sealed. Raises Unsendable."""
    if stored is None or stored["data"] is None:
        raise Unsendable(f"recipient chunk {chunk_no} is gone")
    if hashlib.sha256(stored["data"]).digest() != stored["digest"]:
        raise Unsendable(f"recipient chunk {chunk_no} is not what was sealed")
    return stored


def check_rows(stored: Record, chunk_no: int, rows: int) -> None:
    """Raises Unsendable where the chunk does not hold as many rows as are stored."""
    if rows != stored["row_count"]:
        raise Unsendable(f"recipient chunk {chunk_no} has {rows} rows, {stored['row_count']} are stored")


def _decode(stored: Record | None, chunk_no: int, names: tuple[str, ...]) -> Chunk:
    row = check_sealed(stored, chunk_no)
    batch = read_chunk(row["data"])
    check_rows(row, chunk_no, batch.num_rows)
    order = permutation(row["permutation"])
    if order is not None and not _is_permutation(order, batch.num_rows):
        raise Unsendable(f"the legs of recipient chunk {chunk_no} do not hold each row once")
    return Chunk(msisdn_of(batch), columns_of(batch, names), order)


def _is_permutation(order: array[int], count: int) -> bool:
    """A row that stands twice would be sent twice."""
    column = pa.array(order, pa.int32())
    between = pc.min_max(column).as_py() == {"min": 0, "max": count - 1}
    return len(order) == count and between and pc.count_distinct(column).as_py() == count


async def load_campaign(
    pool: Pool, channel: Channel, leg: LegKey, *, releases: bool = True
) -> CampaignRun | None:
    """A leg of a campaign ready to plan and encode; None if the campaign is not in Sending any more.

    Raises Unsendable where what is stored is not what was sealed, or its text, sender and settings do not
    fit; Unfit where they do not fit this channel of several; NoPriceList where it is to be charged and
    nothing says how much.
    """
    async with pool.acquire() as connection:
        row = await connection.fetchrow(load("dispatch")["campaign"], *leg)
        if row is None or row["state"] != "Sending":
            return None
        run = _run_of(row, channel, leg, releases=releases)
        run.pricing = await choose(connection, leg.campaign_id, leg.channel_id)
    return run


def _run_of(row: Record, channel: Channel, leg: LegKey, *, releases: bool) -> CampaignRun:
    manifest = campaigns.manifest_of(row)
    if manifest.hash() != row["manifest_hash"]:
        raise Unsendable("what is stored is not what was approved")
    if row["chunk_nos"] != list(range(len(row["chunk_nos"]))):
        raise Unsendable("a recipient chunk is missing")
    names = tuple(json.loads(row["dialect"] or "{}").get("columns", ()))
    try:
        encoder = channel.encoder(
            json.loads(row["over_settings"]),
            text=row["text"],
            sender=row["sender"],
            columns=names,
            options=manifest.options,
            account_id=row["over_account"],
        )
    except (BadSettings, ValueError) as error:
        if row["channel_id"] is None:
            raise Unfit(f"channel {row['over']} cannot carry it: {error}") from error
        raise Unsendable(str(error)) from error
    return CampaignRun(
        campaign_id=leg.campaign_id,
        key=CampaignKey(leg.campaign_id, row["workspace_id"], leg.channel_id, row["sender"]),
        upload_id=row["upload_id"],
        chunk_rows=tuple(row["row_counts"]),
        column_names=names,
        encoder=encoder,
        next_chunk=len(row["chunk_nos"]) if row["next_chunk"] is None else row["next_chunk"],
        next_row=row["next_row"] or 0,
        lane=row["lane"],
        leg_no=leg.leg_no,
        chunk_starts=None if row["channel_id"] else tuple(row["row_starts"]),
        releases=releases,
        next_channel=_after(row["channel_ids"] or [], leg.channel_id),
    )


def _after(order: Sequence[int], channel_id: int) -> int:
    """The next of these channels; 0 where there is none."""
    following = order[order.index(channel_id) + 1 :] if channel_id in order else ()
    return following[0] if following else 0


async def open_slices(
    pool: Pool, run: CampaignRun, worker_id: int
) -> tuple[tuple[int, int] | None, list[OpenSlice]]:
    """The plan's position as stored (None if not Sending any more) and the slices with rows to claim that are
    this worker's, or of one that cannot claim them."""
    queries = load("dispatch")
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        at = await connection.fetchrow(queries["position"], run.campaign_id, run.leg_no)
        rows = await connection.fetch(queries["open_slices"], *run.leg, worker_id)
    slices = [
        OpenSlice(
            row["slice_id"], run, row["chunk_no"], row["row_start"], row["row_count"], row["claimed_to"]
        )
        for row in rows
    ]
    return (at["next_chunk"], at["next_row"]) if at else None, slices
