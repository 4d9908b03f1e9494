"""Wallets: credited by people, reserved by claims, charged by accepted parts; in 1/10,000 of the unit.

Always `credited = free + lots' (free + reserved + charged)`. A worker draws lots, so that workers do not
queue for one row; nothing of a lot is kept in memory. Rows are locked in one order: a lot of one's own where
it holds enough, else the wallet and then its lots; workspaces by id.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec

from engine.core_api import schema
from engine.ledger import decisions
from engine.ledger.errors import BadCursor, LedgerError, NotFound
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load

LOT = 100 * 10_000  # drawn beyond the need of the moment
NO_BALANCE = "no balance"  # the reason of a campaign that waits for a credit or a refund
_NEWEST = 2**63 - 1


class WrongCurrency(LedgerError):
    """The wallet is kept in another currency."""

    problem = "wrong-currency"
    status = 409


class NoBalance(LedgerError):
    """More was to be taken out than the wallet holds free."""

    problem = "no-balance"
    status = 409


@dataclass(slots=True)
class Moved:
    """What a commit moves in a wallet: deltas that together change nothing but where the money is."""

    free: int = 0
    reserved: int = 0
    charged: int = 0

    def charge(self, amount: int) -> None:
        """A reserved amount was earned by the operator's yes."""
        self.reserved -= amount
        self.charged += amount

    def refund(self, amount: int) -> None:
        """A reserved amount goes back."""
        self.reserved -= amount
        self.free += amount

    def __bool__(self) -> bool:
        return bool(self.free or self.reserved or self.charged)


async def transact(pool: Pool, workspace_id: UUID, spec: schema.TransactionSpec) -> schema.Wallet:
    """Credit or debit a wallet, once per decision id; the first credit opens it. With a credit the campaigns
    that wait for one go on.

    Raises WrongCurrency, NoBalance (debit), NotFound (debit of a wallet that was never opened),
    DecisionReused.
    """
    async with pool.acquire() as connection, connection.transaction():
        return await decisions.once(
            connection,
            spec.decision_id,
            f"wallet-{spec.kind}",
            msgspec.json.encode([workspace_id, spec], order="deterministic"),
            schema.Wallet,
            lambda: _transact(connection, workspace_id, spec),
        )


async def _transact(
    connection: Connection, workspace_id: UUID, spec: schema.TransactionSpec
) -> schema.Wallet:
    queries = load("money")
    if spec.kind == "credit":
        await connection.execute(queries["open"], workspace_id, spec.currency)
    stored = await connection.fetchrow(queries["lock"], workspace_id)
    if stored is None:
        raise NotFound(f"no wallet of workspace {workspace_id}: credit it first")
    if stored["currency"] != spec.currency:
        raise WrongCurrency(f"the wallet is kept in {stored['currency']}, not in {spec.currency}")
    amount = spec.amount if spec.kind == "credit" else -spec.amount
    if amount < 0 and stored["free"] + amount < 0:
        free = await connection.fetchval(queries["gather"], workspace_id)
        if free + amount < 0:
            raise NoBalance(f"{free} is free, {-amount} was to be taken out (1/10,000 {spec.currency})")
    await connection.execute(queries["credit"], workspace_id, amount)
    await connection.execute(
        queries["add_transaction"],
        workspace_id, spec.kind, spec.amount, spec.note, spec.actor, spec.decision_id,
    )  # fmt: skip
    if spec.kind == "credit":
        await connection.execute(queries["go_on"], workspace_id, NO_BALANCE)
    return await _wallet(connection, workspace_id)


async def wallet(pool: Pool, workspace_id: UUID) -> schema.Wallet:
    """Raises NotFound for a workspace that has none: it is not charged."""
    async with pool.acquire() as connection:
        return await _wallet(connection, workspace_id)


async def wallets(pool: Pool) -> list[schema.Wallet]:
    """All of them, by workspace id."""
    rows = await pool.fetch(load("money")["wallets"], None)
    return [msgspec.convert(dict(row), schema.Wallet) for row in rows]


async def _wallet(connection: Connection, workspace_id: UUID) -> schema.Wallet:
    row = await connection.fetchrow(load("money")["wallets"], workspace_id)
    if row is None:
        raise NotFound(f"workspace {workspace_id} has no wallet")
    return msgspec.convert(dict(row), schema.Wallet)


async def transactions(
    pool: Pool, workspace_id: UUID, cursor: str | None = None, limit: int = 100
) -> schema.Transactions:
    """What people changed, the newest first. Raises BadCursor."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadCursor("cursor: not one of ours")
    before = int(cursor) if cursor else _NEWEST
    rows = await pool.fetch(load("money")["transactions"], workspace_id, before, limit + 1)
    found = [msgspec.convert(dict(row), schema.Transaction) for row in rows[:limit]]
    return schema.Transactions(
        transactions=found, next=str(found[-1].transaction_id) if len(rows) > limit else None
    )


async def reserve(
    connection: Connection, worker_id: int, wanted: Mapping[UUID, int], *, lot: int = LOT
) -> set[UUID]:
    """Reserve an amount in each wallet, in the claim's transaction; returns the workspaces that cannot pay.

    Of those nothing is reserved. A wallet that is missing cannot pay.
    """
    assert connection.is_in_transaction()
    queries = load("money")
    short = set()
    for workspace_id in sorted(wanted):
        amount = wanted[workspace_id]
        if await connection.fetchval(queries["reserve"], workspace_id, worker_id, amount) is not None:
            continue
        stored = await connection.fetchrow(queries["lock"], workspace_id)
        free = 0 if stored is None else stored["free"]
        if stored is not None and free < amount:
            free = await connection.fetchval(queries["gather"], workspace_id)
        if stored is None or free < amount:
            short.add(workspace_id)
            continue
        await connection.execute(queries["draw"], workspace_id, worker_id, min(free, amount + lot))
        taken = await connection.fetchval(queries["reserve"], workspace_id, worker_id, amount)
        assert taken is not None, "the lot was filled in this transaction"
    return short


async def book(connection: Connection, worker_id: int, moved: Mapping[UUID, Moved]) -> None:
    """Move reserved money in the caller's transaction: charged, or free again in this worker's lot."""
    changed = sorted((workspace_id, each) for workspace_id, each in moved.items() if each)
    if changed:
        await connection.execute(
            load("money")["book"],
            worker_id,
            [workspace_id for workspace_id, _ in changed],
            [each.free for _, each in changed],
            [each.reserved for _, each in changed],
            [each.charged for _, each in changed],
        )


async def lock_lots(connection: Connection, worker_id: int, workspace_ids: Collection[UUID]) -> None:
    """Before slices and claims are touched: money is locked first, everywhere."""
    if workspace_ids:
        await connection.execute(load("money")["lock_lots"], sorted(workspace_ids), worker_id)


async def pause_unpaid(pool: Pool, campaign_id: UUID, workspace_id: UUID, amount: int) -> bool:
    """Sending -> Paused, reason "no balance", if the wallet still holds less than `amount` free. A credit or
    refund comes before, and then it does not pause, or after, and lets it go on."""
    queries = load("money")
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchrow(queries["lock"], workspace_id)
        if (await connection.fetchval(queries["gather"], workspace_id) or 0) >= amount:
            return False
        return await connection.fetchval(queries["pause_unpaid"], campaign_id, NO_BALANCE, amount) is not None


async def go_on(connection: Connection) -> list[UUID]:
    """Paused -> Sending, where money came back that pays the next message ("no balance"), or a price list
    counts now ("no price list"). Returns the campaigns; the caller rings."""
    return [row["campaign_id"] for row in await connection.fetch(load("money")["payable"])]


async def give_back_lots(connection: Connection) -> int:
    """What ended workers hold free goes back to the wallets; returns how many wallets."""
    if not await connection.fetch(load("money")["lots_to_give_back"]):
        return 0
    return len(await connection.fetch(load("money")["give_back_lots"]))
