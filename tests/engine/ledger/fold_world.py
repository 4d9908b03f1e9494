"""A campaign with messages in every state, settled, in a partition that takes no more."""

from ledger_world import Driver, second_campaign

from engine.ledger import campaigns, partitions, settle
from engine.ledger.pool import Pool

ACCEPTED, FAILED, RETRY, THROTTLED, DOUBT = range(5)


async def play(driver: Driver) -> None:
    """100 rows: delivered, undelivered, failed, in doubt, without a receipt, of several parts, retried."""
    await driver.claim([1] * 90 + [3, 2] + [1] * 8)
    driver.accept(*range(50), 90, 91)
    driver.results([(row, 1, 0, FAILED, 0x0B, "", False) for row in range(50, 60)])
    driver.results([(row, 1, 0, DOUBT, -1, "", False) for row in range(60, 66)])
    driver.results([(row, 1, 0, RETRY, 0x08, "", False) for row in range(66, 70)])
    driver.results([(row, 1, 1, ACCEPTED, 0, f"{row}.1", False) for row in range(66, 70)])
    driver.results([(row, 1, 0, ACCEPTED, 0, f"{row}.1", False) for row in (*range(70, 90), *range(92, 100))])
    await driver.writer.flush()
    driver.delivered(*(f"{row}.1" for row in range(30)), "90.1", "90.2", "90.3", "91.1")
    driver.undelivered(*(f"{row}.1" for row in range(30, 40)), "91.2")
    await driver.writer.flush()


async def end(driver: Driver) -> None:
    """The campaign is done and settled."""
    await driver.pool.execute(
        "UPDATE slices SET state = 'done' WHERE campaign_id = $1", driver.campaign.campaign_id
    )
    async with driver.pool.acquire() as connection:
        assert await campaigns.finish_if_done(connection, driver.campaign.campaign_id)
    assert driver.campaign.campaign_id in await settle.settle_due(driver.pool, driver.writer.worker_id, 0)


async def close(pool: Pool) -> None:
    """The hot partition takes no more slices, and is indexed."""
    async with pool.acquire() as connection, connection.transaction():
        await partitions.allot(connection, [1], rotate_rows=1)
    await partitions.index_closed(pool)


async def settled(driver: Driver) -> Driver:
    await play(driver)
    await end(driver)
    await close(driver.pool)
    return driver


async def two_campaigns(driver: Driver) -> tuple[Driver, Driver]:
    other = await second_campaign(driver)
    await other.claim([1] * 10)
    other.results((row, 1, 0, ACCEPTED, 0, f"other-{row}", False) for row in range(10))
    await other.writer.flush()
    await play(driver)
    await end(driver)
    await end(other)
    await close(driver.pool)
    return driver, other
