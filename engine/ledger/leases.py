"""Leases of binds and TPS shares, and the orders operators give to binds. PostgreSQL's clock decides.

A share is its holder's as long as the holder's own lease: one lease a worker, and one local deadline.
Only what nobody, or a fenced or ended worker, holds is free to take; the dispatcher fences who is out of
lease and margin.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

from engine.core_api import schema
from engine.ledger.errors import NotFound
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load

Kind = Literal["bind", "tps"]
Order = Literal["rebind", "drain", "undrain"]
Share: TypeAlias = tuple[int, Kind, int]  # account, kind, number


@dataclass(frozen=True, slots=True)
class Controls:
    """What operators want of sessions."""

    drained_accounts: frozenset[int] = frozenset()
    drained: frozenset[tuple[int, int]] = frozenset()  # account, number
    rebinds: dict[tuple[int, int], int] = field(default_factory=dict)  # how often asked so far


@dataclass(frozen=True, slots=True)
class Table:
    """All shares with their holders (None: free), and the workers that are neither ended nor fenced."""

    holders: dict[tuple[int, Kind], dict[int, int | None]]
    workers: tuple[int, ...]
    controls: Controls

    def of(self, account_id: int, kind: Kind) -> dict[int, int | None]:
        return self.holders.get((account_id, kind), {})

    def held(self, worker_id: int, account_id: int, kind: Kind) -> set[int]:
        return {number for number, holder in self.of(account_id, kind).items() if holder == worker_id}


async def look(pool: Pool, *, most_tps_shares: int) -> Table:
    """The shares, made where they are missing."""
    queries = load("workers")
    async with pool.acquire() as connection:
        await connection.execute(queries["make_shares"], most_tps_shares)
        holders: dict[tuple[int, Kind], dict[int, int | None]] = {}
        for row in await connection.fetch(queries["shares"]):
            holders.setdefault((row["account_id"], row["kind"]), {})[row["number"]] = row["holder"]
        workers = tuple(row["worker_id"] for row in await connection.fetch(queries["standing"]))
        drained_accounts = await connection.fetch(queries["drained_accounts"])
        controls = await connection.fetch(queries["bind_controls"])
    return Table(
        holders,
        workers,
        Controls(
            frozenset(row["account_id"] for row in drained_accounts),
            frozenset((row["account_id"], row["number"]) for row in controls if row["drained"]),
            {(row["account_id"], row["number"]): row["rebind_seq"] for row in controls},
        ),
    )


async def fence(pool: Pool, worker_id: int, margin_s: float) -> None:
    """End the workers out of lease and margin, but not this one: they never claim again."""
    queries = load("dispatch")
    async with pool.acquire() as connection:
        await connection.execute(queries["cut_off"], worker_id, margin_s)
        await connection.execute(queries["fence"], worker_id, margin_s)


async def take(pool: Pool, worker_id: int, wanted: Collection[Share]) -> set[Share]:
    """Those of the free shares that this worker holds now."""
    if not wanted:
        return set()
    return _shares(await pool.fetch(load("workers")["take"], worker_id, *_columns(wanted)))


async def give(
    pool: Pool, worker_id: int, given: Collection[Share], sessions: Collection[int] = ()
) -> set[Share]:
    """Shares of this worker become free. `sessions`: the binds that went down with them, of one account."""
    if not given:
        return set()
    queries = load("workers")
    async with pool.acquire() as connection, connection.transaction():
        if sessions:
            account_id = next(iter(given))[0]
            await connection.execute(queries["let_binds_go"], worker_id, account_id, list(sessions))
        return _shares(await connection.fetch(queries["give"], worker_id, *_columns(given)))


async def drain_account(connection: Connection, name: str, drained: bool) -> None:
    """No new claims on this account; its binds stay. Raises NotFound."""
    if await connection.fetchval(load("workers")["drain_account"], name, drained) is None:
        raise NotFound(f"no account {name!r}")


async def control_bind(connection: Connection, name: str, number: int, order: Order) -> None:
    """Tell the holder of one bind; a rebind gives its account all tries of its password again. Raises
    NotFound."""
    queries = load("workers")
    account_id = await connection.fetchval(queries["bind_of"], name, number) if 0 < number < 1 << 15 else None
    if account_id is None:
        raise NotFound(f"no bind {number} of account {name!r}")
    if order == "rebind":
        await connection.execute(queries["rebind"], account_id, number)
        await connection.execute(load("bind_tries")["accepted"], account_id)
    else:
        await connection.execute(queries["drain_bind"], account_id, number, order == "drain")


async def set_weight(connection: Connection, workspace_id: UUID, weight: float) -> None:
    """A workspace's share of a busy channel, against 1 of the others."""
    await connection.execute(load("workers")["set_weight"], workspace_id, weight)


async def binds(connection: Connection) -> list[tuple[int, schema.Bind]]:
    """(account id, bind): every session as its holder last wrote it."""
    return [
        (
            row["account_id"],
            schema.Bind(**{name: row[name] for name in schema.Bind.__struct_fields__ if name in row}),
        )
        for row in await connection.fetch(load("workers")["binds"])
    ]


def _columns(shares: Iterable[Share]) -> tuple[list[int], list[str], list[int]]:
    ordered = sorted(shares)
    return [one[0] for one in ordered], [one[1] for one in ordered], [one[2] for one in ordered]


def _shares(rows: Iterable[dict[str, object]]) -> set[Share]:
    return {(row["account_id"], row["kind"], row["number"]) for row in rows}  # type: ignore[misc]
