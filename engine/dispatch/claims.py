"""Claims: the compare-and-swap that must be committed before a row goes out, and what is given back of
them."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from engine._fast.columns import EncodedBatch
from engine.dispatch.campaign import OpenSlice
from engine.dispatch.pricing import Price
from engine.dispatch.worker import Worker
from engine.ledger import campaigns, retries, wallets
from engine.ledger.claims import ClaimInfo
from engine.ledger.pool import Connection, Pool
from engine.ledger.retries import pack
from engine.ledger.sql import load


@dataclass(slots=True, eq=False)
class Claim:
    """A committed claim with its PDUs. `written` is the first PDU never written; `stop` the end of what will
    be."""

    handle: int  # int32, this process's
    info: ClaimInfo
    slice: OpenSlice
    row_start: int
    row_end: int
    batch: EncodedBatch
    rejected_msisdn: array[int]  # 'q', beside `batch.rejected`
    written: int = 0
    stop: int = 0
    open_rows: int = 0  # without an outcome
    returning: int = 0  # rows on their way back to the slice: the ledger's claim ends after them
    doubted: bool = False  # a late response may still name it
    wire: EncodedBatch | None = None  # of a retry slice: the same PDUs under the origin's rows
    done: array[int] = field(
        default_factory=lambda: array("i")
    )  # rows that have their result: not sent again

    @property
    def outgoing(self) -> EncodedBatch:
        """What the bind is given: its rows are those that outcomes carry."""
        return self.batch if self.wire is None else self.wire

    def awaited(self, from_row: int) -> int:
        """Its rows from `from_row` on that get an outcome."""
        return self.row_end - from_row - sum(row >= from_row for row in self.done)

    @property
    def unwritten(self) -> int:
        return self.stop - self.written


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a claim can end now: rows from `from_row` on were not begun. PDUs `[written, stop)` finish a
    message that was begun."""

    from_row: int
    stop: int


def cut(claim: Claim) -> Cut:
    """The end of what was begun of a claim: a message of which a part went out is finished, no other is
    begun."""
    batch, stop = claim.batch, claim.written
    if stop == 0:
        return Cut(claim.row_start, 0)
    while stop < claim.stop and batch.row[stop] == batch.row[stop - 1]:
        stop += 1
    return Cut(claim.row_end if stop == claim.stop else batch.row[stop], stop)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows of a claim that gave no PDU, as their outcomes carry them."""

    rows: array[int]  # 'i'
    parts: array[int]  # 'h'
    codes: array[int]  # 'b'
    msisdn: array[int]  # 'q'


def rejected(claim: Claim, below_row: int) -> Rejected:
    """The claim's rows under `below_row` that gave no PDU."""
    rows, codes, numbers = claim.batch.rejected, claim.batch.reject_code, claim.rejected_msisdn
    again = claim.slice.again
    kept = [i for i, row in enumerate(rows) if row < below_row]
    return Rejected(
        array("i", [again.rows[rows[i]] if again else rows[i] for i in kept]),
        array("h", [max(1, again.parts[rows[i]]) if again else 1 for i in kept]),
        array("b", [codes[i] for i in kept]),
        array("q", [numbers[i] for i in kept]),
    )


@dataclass(frozen=True, slots=True)
class Order:
    """Rows to claim: the next `count` of a slice."""

    slice: OpenSlice
    count: int


@dataclass(frozen=True, slots=True)
class Committed:
    """Claim ids by slice id, and slices whose rows the wallet cannot pay. A slice that is in neither was lost
    (other worker, paused, lease gone)."""

    ids: Mapping[int, int]
    unpaid: frozenset[int] = frozenset()


async def commit(
    pool: Pool,
    worker: Worker,
    orders: Sequence[Order],
    account_id: int,
    bind_numbers: Sequence[int],
    prices: Sequence[Price | None],
) -> Committed:
    """Claim these rows. What costs something (`prices`) is reserved in the same transaction."""
    assert len({order.slice.slice_id for order in orders}) == len(orders), "one range a slice"
    if not any(prices):
        async with pool.acquire() as connection:
            return Committed(await _claim(connection, worker, orders, account_id, bind_numbers, prices))
    async with pool.acquire() as connection, connection.transaction():
        unpaid = await _reserve(connection, worker.worker_id, orders, prices)
        paid = [i for i, order in enumerate(orders) if order.slice.slice_id not in unpaid]
        ids = await _claim(
            connection,
            worker,
            [orders[i] for i in paid],
            account_id,
            [bind_numbers[i] for i in paid],
            [prices[i] for i in paid],
        )
        back: dict[UUID, wallets.Moved] = {}
        for i in paid:
            price = prices[i]
            if price is not None and orders[i].slice.slice_id not in ids:
                back.setdefault(price.workspace_id, wallets.Moved()).refund(price.amount)
        await wallets.book(connection, worker.worker_id, back)
    return Committed(ids, frozenset(unpaid))


async def _reserve(
    connection: Connection, worker_id: int, orders: Sequence[Order], prices: Sequence[Price | None]
) -> set[int]:
    """Reserve what each order costs; returns the slices of those that the wallet cannot pay."""
    wanted: dict[UUID, list[tuple[int, int]]] = {}
    for order, price in zip(orders, prices, strict=True):
        if price is not None:
            wanted.setdefault(price.workspace_id, []).append((order.slice.slice_id, price.amount))
    unpaid: set[int] = set()
    for workspace_id in sorted(wanted):
        each = wanted[workspace_id]
        if not await wallets.reserve(connection, worker_id, {workspace_id: sum(cost for _, cost in each)}):
            continue
        for slice_id, cost in each:
            alone = len(each) == 1
            if alone or await wallets.reserve(connection, worker_id, {workspace_id: cost}):
                unpaid.add(slice_id)
    return unpaid


async def _claim(
    connection: Connection,
    worker: Worker,
    orders: Sequence[Order],
    account_id: int,
    bind_numbers: Sequence[int],
    prices: Sequence[Price | None],
) -> Mapping[int, int]:
    if not orders:
        return {}
    rows = await connection.fetch(
        load("dispatch")["claim"],
        [order.slice.slice_id for order in orders],
        [order.slice.claimed_to for order in orders],
        [order.slice.claimed_to + order.count for order in orders],
        worker.worker_id,
        worker.epoch,
        account_id,
        list(bind_numbers),
        [order.slice.run.pricing.version if order.slice.run.pricing else None for order in orders],
        [price.workspace_id if price else None for price in prices],
        [pack(price.row_costs) if price else None for price in prices],
        [order.slice.run.key.channel_id for order in orders],
    )
    return {row["slice_id"]: row["claim_id"] for row in rows}


async def give_back(
    pool: Pool, worker: Worker, from_rows: Mapping[int, int], charged: Collection[UUID] = ()
) -> set[UUID]:
    """Lower the watermark of slices (slice id -> first row never begun); returns their campaigns. Repeatable.

    Rows of a cancelled campaign are counted as cancelled in the same transaction, and what the rows had
    reserved goes back. `charged`: the workspaces of those slices that are charged.
    """
    async with pool.acquire() as connection, connection.transaction():
        await wallets.lock_lots(connection, worker.worker_id, charged)
        owners = await retries.give_way(connection, worker.worker_id, from_rows)
        given = await connection.fetch(
            load("dispatch")["give_back"], list(from_rows), list(from_rows.values()), worker.worker_id
        )
        owners |= {row["campaign_id"] for row in given}
        for campaign_id in sorted(owners):
            await campaigns.count_cancelled(connection, campaign_id, worker.worker_id)
    return owners


async def answered(pool: Pool, worker: Worker, orders: Sequence[Order]) -> Mapping[int, int]:
    """Which of the orders were committed although the answer was lost: claim ids by slice id."""
    rows = await pool.fetch(
        load("dispatch")["answered"],
        [order.slice.slice_id for order in orders],
        [order.slice.claimed_to for order in orders],
        [order.slice.claimed_to + order.count for order in orders],
        worker.worker_id,
    )
    return {row["slice_id"]: row["claim_id"] for row in rows}
