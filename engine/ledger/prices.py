"""Price lists: published as a whole, versioned, never changed; a campaign keeps the one of its start."""

from collections import Counter

import msgspec

from engine._fast import prefixes
from engine.core_api import schema
from engine.ledger import decisions, wallets
from engine.ledger.errors import LedgerError, NotFound
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load

NO_RATE = -1  # in what `PrefixTable.look_up` gives: no rate for this number


class BadRates(LedgerError):
    """A price list that contradicts itself or names a channel that is not there."""

    problem = "bad-rates"
    status = 422


async def publish(pool: Pool, spec: schema.RateSheetSpec) -> schema.RateSheet:
    """Store a price list under the next version, once per decision id. If it counts now, the campaigns that
    wait for one go on. Raises BadRates, DecisionReused."""
    async with pool.acquire() as connection, connection.transaction():
        return await decisions.once(
            connection,
            spec.decision_id,
            "publish-rates",
            msgspec.json.encode(spec, order="deterministic"),
            schema.RateSheet,
            lambda: _publish(connection, spec),
        )


async def _publish(connection: Connection, spec: schema.RateSheetSpec) -> schema.RateSheet:
    queries = load("money")
    if not spec.rates:
        raise BadRates("rates: a price list without a rate")
    keys = Counter((rate.prefix, rate.channel, rate.category) for rate in spec.rates)
    (prefix, channel, category), times = keys.most_common(1)[0]
    if times > 1:
        raise BadRates(
            f"rates: prefix {prefix!r}, channel {channel!r}, category {category!r} stands {times} times"
        )
    unknown = await connection.fetch(queries["unknown_channels"], [rate.channel for rate in spec.rates])
    if unknown:
        raise BadRates(f"rates: no channel {', '.join(repr(row['name']) for row in unknown)}")
    stored = await connection.fetchrow(queries["publish"], spec.valid_from, spec.note)
    assert stored is not None
    await connection.execute(
        queries["add_rates"],
        stored["version"],
        [rate.prefix for rate in spec.rates],
        [rate.channel for rate in spec.rates],
        [rate.category for rate in spec.rates],
        [rate.price for rate in spec.rates],
    )
    await wallets.go_on(connection)
    sheets = await _sheets(connection)
    return next(sheet for sheet in sheets if sheet.version == stored["version"])


async def sheets(pool: Pool) -> schema.RateSheets:
    """All price lists, the newest first, and the one that counts for a campaign that starts now."""
    async with pool.acquire() as connection:
        return schema.RateSheets(sheets=await _sheets(connection), current=await version_now(connection))


async def _sheets(connection: Connection) -> list[schema.RateSheet]:
    rows = await connection.fetch(load("money")["sheets"])
    return [msgspec.convert(dict(row), schema.RateSheet) for row in rows]


async def rates(pool: Pool, version: int) -> list[schema.Rate]:
    """The rates of one list. Raises NotFound."""
    rows = await pool.fetch(load("money")["sheet_rates"], version)
    if not rows:
        raise NotFound(f"no price list {version}")
    return [msgspec.convert(dict(row), schema.Rate) for row in rows]


async def version_now(connection: Connection) -> int | None:
    """The price list for a campaign that starts now; None where there is none yet."""
    version: int | None = await connection.fetchval(load("money")["version_now"])
    return version


async def table(connection: Connection, version: int, channel_id: int, category: str) -> prefixes.PrefixTable:
    """Prices of one part by prefix, for a campaign's channel and category; NO_RATE where none is set."""
    rows = await connection.fetch(load("money")["effective"], version, channel_id, category)
    return prefixes.PrefixTable([row["prefix"] for row in rows], [row["price"] for row in rows], NO_RATE)
