"""What a campaign's parts cost: fixed by the price list that counted when its first rows were released. A
campaign that began while its workspace had no wallet is not charged."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from engine._fast import prefixes
from engine.ledger import prices
from engine.ledger.pool import Connection
from engine.ledger.sql import load

if TYPE_CHECKING:
    from engine._fast.columns import EncodedBatch

NO_PRICE_LIST = "no price list"  # the reason of a campaign that waits for one
_MOST = 2**31 - 1  # of one message


class NoPriceList(Exception):
    """The workspace is charged, and no price list counts now."""


class TooDear(ValueError):
    """A message costs more than can be stored."""


@dataclass(frozen=True, slots=True)
class Pricing:
    """Prices of one campaign."""

    workspace_id: UUID
    version: int
    table: prefixes.PrefixTable

    def unrated(self, msisdn: array[int]) -> bool:
        """Whether one of the numbers ('q') has no rate."""
        found = self.table.look_up(msisdn)
        return bool(found) and min(found) < 0

    def rated(self, msisdn: array[int]) -> bytes:
        """1 for each number that has a rate."""
        return bytes(price >= 0 for price in self.table.look_up(msisdn))

    def costs(self, batch: EncodedBatch) -> array[int]:
        """What each PDU costs ('q'): its number's price for each part that is billed."""
        found = self.table.look_up(batch.msisdn)
        if batch.billed is not None:
            found = array("q", [price * parts for price, parts in zip(found, batch.billed, strict=True)])
        return found


@dataclass(frozen=True, slots=True)
class Price:
    """Of one claim: what each PDU costs ('q'), and what each claimed row does, as stored."""

    workspace_id: UUID
    amount: int
    costs: array[int]
    row_costs: array[int]  # 'i'


def price(pricing: Pricing, batch: EncodedBatch, first: int, count: int) -> Price | None:
    """What rows `[first, first + count)` cost; None where that is nothing. Raises TooDear."""
    costs = pricing.costs(batch)
    amount = sum(costs)
    if not amount:
        return None
    if max(costs) > _MOST:
        raise TooDear("a message costs more than can be stored")
    try:
        rows = prefixes.row_sums(batch.row, costs, first, count)
    except OverflowError:
        raise TooDear("a message costs more than can be stored") from None
    assert sum(rows) == amount, "every PDU is of a claimed row"
    return Price(pricing.workspace_id, amount, costs, rows)


async def choose(connection: Connection, campaign_id: UUID, channel_id: int) -> Pricing | None:
    """The campaign's prices on a channel, chosen now if it is time; None where it is not charged. Raises
    NoPriceList."""
    queries = load("money")
    chosen = await connection.fetchrow(queries["chosen_list"], campaign_id)
    if chosen is None:
        return None
    version = chosen["rate_version"]
    if version is None:
        if not chosen["to_choose"]:
            return None
        now = await prices.version_now(connection)
        if now is None:
            raise NoPriceList
        await connection.fetchval(queries["choose_list"], campaign_id, now)
        chosen = await connection.fetchrow(queries["chosen_list"], campaign_id)  # another may have been first
        version = None if chosen is None else chosen["rate_version"]
        if chosen is None or version is None:
            return None
    table = await prices.table(connection, version, channel_id, chosen["category"])
    return Pricing(chosen["workspace_id"], version, table)
