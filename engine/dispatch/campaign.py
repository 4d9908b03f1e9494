"""A campaign in Sending as dispatch sees it: chunk sizes, plan position, encoder; and its decoded chunks."""

from __future__ import annotations

import asyncio
import hashlib
import json
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from engine.channels.interface import BadSettings, Channel, Encoder
from engine.dispatch.breaker import Breaker
from engine.dispatch.planner import BULK
from engine.dispatch.pricing import Pricing, choose
from engine.dispatch.rates import Rate
from engine.ledger import campaigns
from engine.ledger.claims import CampaignKey
from engine.ledger.pool import Pool
from engine.ledger.sql import load
from engine.recipients.chunk import columns_of, msisdn_of, read_chunk

if TYPE_CHECKING:
    from engine._fast.text import Column


MOST_ROWS = 1 << 30


class Unsendable(Exception):
    """What is stored cannot go out, and resume cannot cure it; the message becomes the campaign's reason."""


@dataclass(slots=True, eq=False)
class CampaignRun:
    """One campaign while it is Sending. `running` turns False for good on pause, cancel and stop."""

    campaign_id: UUID
    key: CampaignKey
    upload_id: UUID
    chunk_rows: tuple[int, ...]
    column_names: tuple[str, ...]
    encoder: Encoder
    next_chunk: int
    next_row: int
    lane: int = BULK
    weight: float = 1.0  # of its workspace
    handle: int = 0  # the writer's
    running: bool = True
    open_claims: int = 0
    reason: str | None = None  # as this worker last wrote it
    pricing: Pricing | None = None  # None: its workspace is not charged for it
    affordable: int = MOST_ROWS  # rows of a claim that the wallet may pay, as far as is known
    accepted: Rate = field(default_factory=Rate)
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def exhausted(self) -> bool:
        """Every row is in a slice."""
        return self.next_chunk >= len(self.chunk_rows)


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


@dataclass(slots=True, eq=False)
class OpenSlice:
    """A released slice. Rows `[claimed_to, row_count)` are to be claimed; `row_start` is its first row's
    place in the chunk."""

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

    def chunk_row(self, row: int) -> int:
        """Where a row of it stands in the chunk."""
        return self.row_start + (self.again.rows[row] if self.again else row)

    @property
    def left(self) -> int:
        return self.row_count - self.claimed_to


@dataclass(frozen=True, slots=True)
class Chunk:
    """A decoded chunk's Arrow buffers."""

    msisdn: Any
    columns: Sequence[Column]

    def number(self, chunk_row: int) -> int:
        """The msisdn of a row."""
        return int(memoryview(self.msisdn).cast("B").cast("q")[chunk_row])


class Chunks:
    """The chunks used last. Decoding runs in a thread; a chunk that is not what was approved is
    Unsendable."""

    def __init__(self, pool: Pool, capacity: int) -> None:
        self._pool = pool
        self._capacity = capacity
        self._kept: OrderedDict[tuple[UUID, int], Chunk] = OrderedDict()

    async def get(self, run: CampaignRun, chunk_no: int) -> Chunk:
        key = (run.upload_id, chunk_no)
        chunk = self._kept.get(key)
        if chunk is None:
            row = await self._pool.fetchrow(load("dispatch")["chunk"], run.upload_id, chunk_no)
            if row is None:
                raise Unsendable(f"recipient chunk {chunk_no} is gone")
            chunk = await asyncio.to_thread(
                _decode, row["data"], row["digest"], chunk_no, run.column_names, run.chunk_rows[chunk_no]
            )
            self._kept[key] = chunk
        self._kept.move_to_end(key)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return chunk


def _decode(data: bytes, digest: bytes, chunk_no: int, names: tuple[str, ...], rows: int) -> Chunk:
    if hashlib.sha256(data).digest() != digest:
        raise Unsendable(f"recipient chunk {chunk_no} is not what was sealed")
    batch = read_chunk(data)
    if batch.num_rows != rows:
        raise Unsendable(f"recipient chunk {chunk_no} has {batch.num_rows} rows, {rows} are stored")
    return Chunk(msisdn_of(batch), columns_of(batch, names))


async def load_campaign(pool: Pool, channel: Channel, campaign_id: UUID) -> CampaignRun | None:
    """A campaign ready to plan and encode; None if it is not in Sending any more.

    Raises Unsendable where what is stored is not what was sealed, or its text, sender and settings do not
    fit; NoPriceList where it is to be charged and nothing says how much.
    """
    queries = load("dispatch")
    async with pool.acquire() as connection:
        row = await connection.fetchrow(load("campaigns")["manifest_parts"], campaign_id)
        if row is None or row["state"] != "Sending":
            return None
        manifest = campaigns.manifest_of(row)
        if manifest.hash() != row["manifest_hash"]:
            raise Unsendable("what is stored is not what was approved")
        channel_row = await connection.fetchrow(queries["channel_settings"], row["channel_id"])
        sizes = await connection.fetch(queries["chunks"], row["upload_id"])
        dialect = json.loads(await connection.fetchval(queries["dialect"], row["upload_id"]) or "{}")
    if [size["chunk_no"] for size in sizes] != list(range(len(sizes))):
        raise Unsendable("a recipient chunk is missing")
    names = tuple(dialect.get("columns", ()))
    try:
        encoder = channel.encoder(
            json.loads(channel_row["settings"]),
            text=row["text"],
            sender=row["sender"],
            columns=names,
            options=manifest.options,
            account_id=channel_row["account_id"],
        )
    except (BadSettings, ValueError) as error:
        raise Unsendable(str(error)) from error
    async with pool.acquire() as connection:
        pricing = await choose(connection, campaign_id)
    return CampaignRun(
        campaign_id=campaign_id,
        pricing=pricing,
        key=CampaignKey(campaign_id, row["workspace_id"], row["channel_id"], row["sender"]),
        upload_id=row["upload_id"],
        chunk_rows=tuple(size["row_count"] for size in sizes),
        column_names=names,
        encoder=encoder,
        next_chunk=row["next_chunk"],
        next_row=row["next_row"],
        lane=row["lane"],
    )


async def open_slices(
    pool: Pool, run: CampaignRun, worker_id: int
) -> tuple[tuple[int, int] | None, list[OpenSlice]]:
    """The plan's position as stored (None if not Sending any more) and the slices with rows to claim that are
    this worker's, or of one that cannot claim them."""
    queries = load("dispatch")
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        at = await connection.fetchrow(queries["position"], run.campaign_id)
        rows = await connection.fetch(queries["open_slices"], run.campaign_id, worker_id)
    slices = [
        OpenSlice(
            row["slice_id"], run, row["chunk_no"], row["row_start"], row["row_count"], row["claimed_to"]
        )
        for row in rows
    ]
    return (at["next_chunk"], at["next_row"]) if at else None, slices
