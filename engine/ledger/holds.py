"""Money of parts in doubt: it stays reserved until the doubt ends. Part 0 holds what is left of a message of
which nobody knows the parts."""

from collections.abc import Collection, Iterable
from typing import NamedTuple, TypeAlias
from uuid import UUID

from engine._fast.columns import ACCEPTED, FAILED
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.ledger.wallets import Moved, book

Part: TypeAlias = tuple[int, int, int]  # slice id, row, part; of the origin

LATE_S = 900.0  # how long after a doubt an answer may still come


class Hold(NamedTuple):
    slice_id: int
    row: int
    part: int
    attempt: int
    workspace_id: UUID
    amount: int


class Ending(NamedTuple):
    """An outcome of a part that its claim was through with before."""

    slice_id: int
    row: int
    part: int
    attempt: int
    outcome: int
    workspace_id: UUID
    cost: int


async def add(connection: Connection, holds: Iterable[Hold]) -> None:
    """Keep these amounts reserved, in the caller's transaction."""
    wanted = sorted(each for each in holds if each.amount > 0)
    if wanted:
        await connection.execute(
            load("money")["hold"],
            [each.slice_id for each in wanted],
            [each.row for each in wanted],
            [each.part for each in wanted],
            [each.workspace_id for each in wanted],
            [each.amount for each in wanted],
        )


async def take(connection: Connection, parts: Iterable[Part]) -> dict[Part, tuple[UUID, int]]:
    """End the holds of exactly these parts: whose money it is, and how much. The caller moves it."""
    wanted = sorted(set(parts))
    rows = await connection.fetch(
        load("money")["take_holds"],
        [part[0] for part in wanted],
        [part[1] for part in wanted],
        [part[2] for part in wanted],
    )
    return {
        (row["slice_id"], row["row_no"], row["part"]): (row["workspace_id"], row["amount"]) for row in rows
    }


async def end(connection: Connection, endings: Collection[Ending], moved: dict[UUID, Moved]) -> None:
    """Book late outcomes into `moved`: out of the hold of their part, else of their message. Where nothing is
    held any more the acceptance is paid all the same, out of what is free."""
    endings = [each for each in endings if each.outcome in (ACCEPTED, FAILED)]
    if not endings:
        return
    messages = sorted({(each.slice_id, each.row) for each in endings})
    rows = await connection.fetch(
        load("money")["holds_of"], [message[0] for message in messages], [message[1] for message in messages]
    )
    stored = {(row["slice_id"], row["row_no"], row["part"]): row["amount"] for row in rows}
    left = dict(stored)
    for each in endings:
        own, whole = (each.slice_id, each.row, each.part), (each.slice_id, each.row, 0)
        taken = left.pop(own, None)
        if taken is None:
            taken = min(left.get(whole, 0), each.cost)
            if taken:
                left[whole] -= taken
        of = moved.setdefault(each.workspace_id, Moved())
        of.reserved -= taken
        of.free += taken
        if each.outcome == ACCEPTED:
            of.free -= each.cost
            of.charged += each.cost
    await take(connection, [part for part in stored if not left.get(part)])
    for part, amount in left.items():
        if amount and amount != stored[part]:
            await connection.execute(load("money")["lower_hold"], *part, amount)


async def refund_decided(pool: Pool, worker_id: int, late_s: float = LATE_S) -> int:
    """Give back what is held for messages that are not in doubt any more, because another part of them
    failed, once no late answer can come. Returns how many holds."""
    if not await pool.fetchval(load("money")["any_hold"]):
        return 0
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(load("money")["take_decided_holds"], late_s, timeout=60)
        moved: dict[UUID, Moved] = {}
        for row in rows:
            moved.setdefault(row["workspace_id"], Moved()).refund(row["amount"])
        await book(connection, worker_id, moved)
    return len(rows)
