"""What `verify` checks of money: every wallet's equation, what is reserved and charged, and that parts cost
what the campaign's price list says."""

from array import array
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import asyncpg

from engine.ledger import prices, recovery
from engine.ledger.pool import Connection
from engine.ledger.sql import load
from engine.ledger.states import (
    CANCELLED_RETRY,
    DECREED_NOT_SENT,
    DECREED_SENT,
    ENCODE_STATUS,
    FOUND_BY_RECEIPT,
)

Misfit = Callable[[str, str, str, object, object], None]  # check, table, key, expected, found

_DECREED = frozenset({DECREED_SENT, DECREED_NOT_SENT, FOUND_BY_RECEIPT})  # of parts nobody may have counted
_FREE = frozenset({*ENCODE_STATUS.values(), CANCELLED_RETRY})  # never sent


async def wallets(connection: Connection, misfit: Misfit) -> None:
    """Every wallet, in the caller's snapshot."""
    queries = load("verify")
    rows = await connection.fetch(queries["wallets"], timeout=600)
    if not rows:
        return
    of_claims: Counter[UUID] = Counter()
    for each in await recovery.reserved_of(connection, await connection.fetch(queries["charged_claims"])):
        of_claims[each.workspace_id] += each.amount
    for row in rows:
        key = f"workspace_id={row['workspace_id']}"
        total = row["free"] + row["reserved"] + row["charged"]
        reserved = row["held"] + of_claims[row["workspace_id"]]
        if row["credited"] != row["by_transactions"]:
            misfit("wallet", "wallets", key, f"credited {row['by_transactions']}", row["credited"])
        if total != row["credited"]:
            misfit("wallet", "wallet_lots", key, f"free, reserved and charged {row['credited']}", total)
        if row["reserved"] != reserved:
            expected = f"reserved {reserved} by open claims and parts in doubt"
            misfit("reserved", "wallet_lots", key, expected, row["reserved"])
        if row["charged"] != row["by_campaigns"]:
            expected = f"charged {row['by_campaigns']} by campaigns"
            misfit("charged", "wallet_lots", key, expected, row["charged"])


async def costs(connection: Connection, campaign_id: UUID, campaign: asyncpg.Record, misfit: Misfit) -> None:
    """A sample of the campaign's outcomes cost what its price list says."""
    rows = await connection.fetch(load("verify")["costs"], campaign_id, timeout=600)
    version = campaign["rate_version"]
    known = [row for row in rows if row["msisdn"] is not None]
    tables = {
        channel_id: await prices.table(connection, version, channel_id, campaign["category"])
        for channel_id in {row["channel_id"] for row in known if version is not None}
    }
    for row in known:
        price = 0
        if version is not None:
            (price,) = tables[row["channel_id"]].look_up(array("q", [row["msisdn"]]))
        if not _fits(row, max(0, price)):
            key = " ".join(f"{name}={row[name]}" for name in ("slice_id", "row_no", "part", "attempt"))
            misfit("cost", "submissions", key, f"cost {max(0, price)} a part", row["cost"])


def _fits(row: asyncpg.Record, price: int) -> bool:
    cost, status = row["cost"], row["status"]
    if price == 0 or status in _FREE:
        return bool(cost == 0)
    if status in _DECREED:
        return bool(cost % price == 0)
    if row["parts"] > 1:
        return bool(cost == price)
    return bool(cost >= price and cost % price == 0)
