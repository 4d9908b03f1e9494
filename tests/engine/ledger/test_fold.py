"""A folded partition answers as its rows do, whatever happens while it is folded and after."""

import asyncio
import os
import signal
import sys
from uuid import uuid4

import pytest
from fold_world import close, end, play, settled, two_campaigns
from ledger_world import FIRST_MSISDN

from engine.core_api import schema
from engine.ledger import doubts, fold, partitions, reports
from engine.ledger.verify import sentence, verify


async def recipients(driver, state=None):
    found, cursor = [], None
    while True:
        page = await reports.recipients(driver.pool, driver.campaign.campaign_id, cursor, 37, state)
        found += page.recipients
        cursor = page.next
        if cursor is None:
            return found


async def books(pool):
    result = await verify(pool)
    assert result.first is None, sentence(result.first)


async def folded(pool):
    return await pool.fetchval("SELECT count(*) FROM submission_partitions WHERE folded_at IS NOT NULL")


async def live(driver):
    """What the rows say, without the fold."""
    times = await driver.pool.fetch("SELECT day, partition_no, folded_at FROM submission_partitions")
    await driver.pool.execute("UPDATE submission_partitions SET folded_at = NULL")
    found = await recipients(driver)
    await driver.pool.executemany(
        "UPDATE submission_partitions SET folded_at = $3 WHERE day = $1 AND partition_no = $2",
        [tuple(row) for row in times],
    )
    return found


async def test_a_fold_equals_the_recount(driver):
    first, other = await two_campaigns(driver)
    assert await fold.fold_due(driver.pool) != []
    for each in (first, other):
        counted = (await each.equation()).counted
        rows = await driver.fetch(
            "SELECT m.state, count(*) FROM messages_done m JOIN slices s USING (slice_id)"
            " WHERE s.campaign_id = $1 GROUP BY 1",
            each.campaign.campaign_id,
        )
        assert dict(tuple(row) for row in rows) == {
            state: number
            for state, number in {
                2: counted.delivered,
                3: counted.undelivered,
                4: counted.no_receipt,
                5: counted.failed,
                6: counted.in_doubt,
            }.items()
            if number
        }
    await books(driver.pool)


async def test_pages_answer_the_same_before_and_after_the_fold(driver):
    await settled(driver)
    before = await recipients(driver)
    assert {one.state for one in before} >= {"DELIVERED", "UNDELIVERED", "NO_RECEIPT", "FAILED", "IN_DOUBT"}
    assert await fold.fold_due(driver.pool) == [f"messages_done_{partitions.day_of(driver.slice_id)}_0"]
    assert await recipients(driver) == before
    assert await recipients(driver, "IN_DOUBT") == [one for one in before if one.state == "IN_DOUBT"]
    await driver.pool.execute("UPDATE messages_done SET state = 5 WHERE row_no = 0")
    assert (await recipients(driver))[0].state == "FAILED", "folded partitions are read from messages_done"


async def test_a_partition_is_folded_once_and_only_when_all_of_it_is_settled(driver):
    await play(driver)
    await close(driver.pool)
    assert await fold.fold_due(driver.pool) == []
    await end(driver)
    assert len(await fold.fold_due(driver.pool)) == 1
    assert await fold.fold_due(driver.pool) == []


async def test_a_receipt_after_the_fold_changes_what_is_folded_too(driver):
    await settled(driver)
    await fold.fold_due(driver.pool)
    driver.delivered("45.1")
    driver.undelivered("46.1")
    driver.delivered("30.1")  # a correction
    await driver.writer.flush()
    found = await recipients(driver)
    assert [found[row].state for row in (45, 46, 30)] == ["DELIVERED", "UNDELIVERED", "DELIVERED"]
    assert [row for row, one in enumerate(found) if one.corrected] == [30]
    assert found == await live(driver)
    await books(driver.pool)


async def test_a_receipt_while_it_is_folded_is_in_the_fold(driver, monkeypatch):
    """It comes after its slice was read, before the partition counts as folded."""
    await settled(driver)
    filled = fold._fill

    async def then_a_receipt(*arguments):
        await filled(*arguments)
        driver.delivered("47.1")
        await driver.writer.flush()

    monkeypatch.setattr(fold, "_fill", then_a_receipt)
    await fold.fold_due(driver.pool)
    assert await folded(driver.pool) == 1
    found = await recipients(driver)
    assert found[47].state == "DELIVERED"
    assert found == await live(driver)


async def test_a_decided_doubt_changes_what_is_folded_too(driver):
    await settled(driver)
    await fold.fold_due(driver.pool)
    (group,) = (await doubts.groups(driver.pool)).groups
    spec = schema.DoubtResolution(decision_id=uuid4(), key=group.key, action="count_as_not_sent")
    await doubts.resolve(driver.pool, spec, driver.writer.worker_id)
    found = await recipients(driver)
    assert [found[row].state for row in range(60, 66)] == ["FAILED"] * 6
    assert found == await live(driver)
    await books(driver.pool)


async def test_a_campaign_that_sends_again_is_folded_anew_when_it_is_settled(driver):
    await settled(driver)
    await fold.fold_due(driver.pool)
    (group,) = (await doubts.groups(driver.pool)).groups
    spec = schema.DoubtResolution(decision_id=uuid4(), key=group.key, action="resend")
    await doubts.resolve(driver.pool, spec, driver.writer.worker_id)
    assert await folded(driver.pool) == 0
    assert await fold.fold_due(driver.pool) == []
    again = await driver.claim_again()
    driver.results((row, part or 1, attempt, 0, 0, f"again-{row}", False) for row, part, attempt in again)
    await driver.writer.flush()
    await end(driver)
    await close(driver.pool)
    await fold.fold_due(driver.pool)
    found = await recipients(driver)
    assert [found[row].state for row in range(60, 66)] == ["NO_RECEIPT"] * 6
    assert found == await live(driver)


async def test_numbers_of_messages_without_a_result_come_from_the_chunk(driver):
    await settled(driver)
    await driver.pool.execute("UPDATE doubts SET msisdn = NULL")
    await fold.fold_due(driver.pool)
    rows = await driver.fetch("SELECT row_no, msisdn FROM messages_done WHERE state = 6 ORDER BY 1")
    assert [tuple(row) for row in rows] == [(row, FIRST_MSISDN + row) for row in range(60, 66)]


@pytest.mark.system
@pytest.mark.parametrize(("point", "left"), [("during_fold", 0), ("before_folded", 100)])
async def test_a_kill_in_the_middle_leaves_no_half_fold(driver, ledger_dsn, point, left):
    await settled(driver)
    before = await recipients(driver)
    program = (
        "import asyncio, sys; from engine.ledger import fold, pool\n"
        "async def run(): await fold.fold_due(await pool.open_pool(sys.argv[1], min_size=1))\n"
        "asyncio.run(run())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, ledger_dsn, env={**os.environ, "HELIOGRAPH_CRASH_AT": point}
    )
    assert await process.wait() == -signal.SIGKILL
    assert await driver.pool.fetchval("SELECT count(*) FROM messages_done") == left
    assert await folded(driver.pool) == 0, "nothing reads what was left"
    assert await recipients(driver) == before
    async with asyncio.timeout(20):  # the killed session's lock goes when the server sees it
        while not await fold.fold_due(driver.pool):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert await driver.pool.fetchval("SELECT count(*) FROM messages_done") == 100
    assert await recipients(driver) == before
    await books(driver.pool)
