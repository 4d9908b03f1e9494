"""Price lists: whole, versioned, the most specific rate of the longest prefix."""

from array import array
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from ledger_world import make_channel, start_campaign

from engine.core_api import schema
from engine.ledger import prices, wallets
from engine.ledger.errors import NotFound
from engine.ledger.pool import Pool
from engine.ledger.secrets import SecretBox


def sheet(
    *rates: tuple[str, int] | tuple[str, int, str] | tuple[str, int, str, str], **more
) -> schema.RateSheetSpec:
    names = ("prefix", "price", "channel", "category")
    return schema.RateSheetSpec(
        decision_id=uuid4(),
        rates=[schema.Rate(**dict(zip(names, rate, strict=False))) for rate in rates],
        **more,
    )


async def price(pool: Pool, version: int, number: int, channel_id: int, category: str = "") -> int:
    async with pool.acquire() as connection:
        table = await prices.table(connection, version, channel_id, category)
    return table.look_up(array("q", [number]))[0]


async def test_the_longest_prefix_counts_then_the_most_specific_rate(pool: Pool, box: SecretBox) -> None:
    await make_channel(pool, box)
    channel_id = await pool.fetchval("SELECT channel_id FROM channels WHERE name = 'bulk'")
    spec = sheet(
        ("", 100),
        ("49", 70),
        ("49", 60, "bulk"),
        ("49", 65, "", "otp"),
        ("49", 50, "bulk", "otp"),
        ("4915", 90),
    )
    version = (await prices.publish(pool, spec)).version
    assert await price(pool, version, 4930123456, channel_id) == 60
    assert await price(pool, version, 4930123456, channel_id, "otp") == 50
    assert await price(pool, version, 4930123456, channel_id + 1, "otp") == 65
    assert await price(pool, version, 4930123456, channel_id + 1) == 70
    assert await price(pool, version, 4915123456, channel_id, "otp") == 90
    assert await price(pool, version, 33123456, channel_id) == 100


async def test_a_number_without_a_rate_is_told_apart_from_a_free_one(pool: Pool, box: SecretBox) -> None:
    version = (await prices.publish(pool, sheet(("49", 0)))).version
    assert await price(pool, version, 4930123456, 1) == 0
    assert await price(pool, version, 33123456, 1) == prices.NO_RATE


async def test_a_list_counts_from_its_day_and_never_changes(pool: Pool) -> None:
    first = await prices.publish(pool, sheet(("", 1)))
    later = datetime.now(UTC) + timedelta(days=1)
    second = await prices.publish(pool, sheet(("", 2), valid_from=later, note="new year"))
    known = await prices.sheets(pool)
    assert known.current == first.version
    assert [each.version for each in known.sheets] == [second.version, first.version]
    assert (await prices.rates(pool, first.version))[0].price == 1
    with pytest.raises(NotFound):
        await prices.rates(pool, second.version + 1)


async def test_what_waits_for_a_list_goes_on_when_one_counts(pool: Pool, box: SecretBox) -> None:
    """Not for one of another day; and nothing that waits for something else."""
    await make_channel(pool, box)
    for _ in range(3):
        await start_campaign(pool, 1)
    reasons = ["no price list", "", "waiting for a person"]
    for row, reason in zip(await pool.fetch("SELECT campaign_id FROM campaigns"), reasons, strict=True):
        await pool.execute(
            "UPDATE campaigns SET state = 'Paused', reason = $2 WHERE campaign_id = $1", row[0], reason
        )
    later = sheet(("", 1), valid_from=datetime.now(UTC) + timedelta(days=1))
    version = (await prices.publish(pool, later)).version
    states = "SELECT reason FROM campaigns WHERE state = 'Paused' ORDER BY reason"
    assert [row[0] for row in await pool.fetch(states)] == sorted(reasons)
    await pool.execute("UPDATE rate_sheets SET valid_from = now() WHERE version = $1", version)
    async with pool.acquire() as connection:
        assert len(await wallets.go_on(connection)) == 1
        assert await wallets.go_on(connection) == []
    assert [row[0] for row in await pool.fetch(states)] == ["", "waiting for a person"]
    await pool.execute("UPDATE campaigns SET reason = 'no price list' WHERE state = 'Paused'")
    await prices.publish(pool, sheet(("", 2)))
    assert await pool.fetch(states) == []


async def test_publishing_twice_by_one_decision_is_once(pool: Pool) -> None:
    spec = sheet(("", 1))
    assert await prices.publish(pool, spec) == await prices.publish(pool, spec)
    assert len((await prices.sheets(pool)).sheets) == 1


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (sheet(), "without a rate"),
        (sheet(("49", 1), ("49", 2)), "'49'"),
        (sheet(("49", 1, "gone")), "'gone'"),
    ],
)
async def test_a_list_that_cannot_be_is_refused_by_name(
    pool: Pool, spec: schema.RateSheetSpec, named: str
) -> None:
    with pytest.raises(prices.BadRates, match=named):
        await prices.publish(pool, spec)
    assert (await prices.sheets(pool)).sheets == []
