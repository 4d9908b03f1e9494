"""Dropped partitions stay proven by their seals; sending goes on; what is to be forgotten is gone."""

import asyncio
from datetime import time
from uuid import uuid4

import pytest
from fold_world import close, play, settled, two_campaigns
from ledger_world import campaign_spec

from engine.core_api import schema
from engine.ledger import campaigns, doubts, errors, fold, partitions, reports, retention
from engine.ledger.verify import sentence, verify

KEEP_FOREVER = {"retention_days": 10_000, "uploads_keep_days": 10_000}


async def books(pool):
    result = await verify(pool)
    assert result.first is None, sentence(result.first)
    return result


async def drop(pool):
    async with pool.acquire() as connection:
        return await retention.drop_old(connection, partitions.today() + 1)


async def tables(pool):
    found = await pool.fetch("SELECT relname FROM pg_class WHERE relkind = 'r' AND relispartition")
    return {row["relname"] for row in found}


async def test_verify_holds_by_the_seal_after_a_drop(driver):
    first, other = await two_campaigns(driver)
    before = await books(driver.pool)
    counts = [(await each.equation()).counted for each in (first, other)]
    await fold.fold_due(driver.pool)
    names = await tables(driver.pool)
    (dropped,) = await drop(driver.pool)
    day = partitions.day_of(driver.slice_id)
    assert names - await tables(driver.pool) == {dropped, f"receipts_{day}_0", f"messages_done_{day}_0"}
    for table in ("submissions", "receipts", "doubts", "messages_done"):
        assert await driver.pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    after = await books(driver.pool)
    assert [(await each.equation()).counted for each in (first, other)] == counts
    assert (after.messages, after.submissions, after.receipts) == (
        before.messages,
        before.submissions,
        before.receipts,
    )
    assert after.days == before.days
    assert (await reports.recipients(driver.pool, driver.campaign.campaign_id)).recipients == []
    assert (await doubts.groups(driver.pool)).groups == []


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE partition_seals SET delivered = delivered + 1",
        "UPDATE partition_seals SET content = sha256('x')",
        "DELETE FROM partition_seals"
        " WHERE campaign_id = (SELECT min(campaign_id::text)::uuid FROM partition_seals)",
    ],
)
async def test_a_seal_that_was_changed_is_found(driver, tampering):
    await two_campaigns(driver)
    await fold.fold_due(driver.pool)
    await drop(driver.pool)
    await driver.pool.execute(tampering)
    assert not (await verify(driver.pool)).holds


async def test_what_is_not_folded_is_not_dropped(driver):
    await play(driver)
    await close(driver.pool)
    assert await drop(driver.pool) == []
    await books(driver.pool)


async def test_what_does_not_add_up_is_not_dropped(driver):
    await settled(driver)
    await fold.fold_due(driver.pool)
    await driver.pool.execute("DELETE FROM messages_done WHERE row_no = 3")
    assert await drop(driver.pool) == []
    await books(driver.pool)


async def test_a_receipt_for_a_dropped_message_harms_nothing(driver):
    """Its id may still be in memory."""
    await settled(driver)
    await fold.fold_due(driver.pool)
    assert len(await drop(driver.pool)) == 1
    driver.delivered("45.1", "30.1", "90.1")
    await driver.writer.flush()
    assert driver.refused == 0
    await books(driver.pool)


async def test_a_drop_waits_for_a_running_copy_and_blocks_no_other(driver, monkeypatch):
    await settled(driver)
    await fold.fold_due(driver.pool)
    monkeypatch.setattr(retention, "LOCK_TRIES", 2)
    monkeypatch.setattr(retention, "_PAUSE_S", 0.0)
    async with driver.pool.acquire() as sending, driver.pool.acquire() as another:
        transaction = sending.transaction()
        await transaction.start()
        await sending.execute("LOCK TABLE submissions, receipts IN ROW EXCLUSIVE MODE")  # as COPY does
        dropping = asyncio.create_task(drop(driver.pool))
        async with asyncio.timeout(20):
            while not dropping.done():
                async with asyncio.timeout(3), another.transaction():
                    await another.execute("LOCK TABLE submissions, receipts IN ROW EXCLUSIVE MODE")
        assert await dropping == []
        await transaction.rollback()
    await books(driver.pool)
    assert len(await drop(driver.pool)) == 1, "later it goes"
    await books(driver.pool)


async def test_receipts_of_before_the_upgrade_go_with_their_partition(driver):
    """They stand in receipts_past, which stays."""
    await settled(driver)
    await driver.pool.execute(
        "ALTER TABLE receipts DETACH PARTITION receipts_past;"
        f"INSERT INTO receipts_past SELECT * FROM receipts_{partitions.day_of(driver.slice_id)}_0;"
        f"DROP TABLE receipts_{partitions.day_of(driver.slice_id)}_0;"
        "UPDATE submission_partitions SET receipts = NULL WHERE partition_no = 0;"
        "ALTER TABLE receipts ATTACH PARTITION receipts_past FOR VALUES FROM (MINVALUE) TO "
        f"({partitions.bounds(partitions.day_of(driver.slice_id), 0)[1]})"
    )
    await books(driver.pool)
    await fold.fold_due(driver.pool)
    assert len(await drop(driver.pool)) == 1
    assert await driver.pool.fetchval("SELECT count(*) FROM receipts") == 0
    await books(driver.pool)


async def test_a_recipient_file_ends_after_its_campaigns_and_stays_provable(driver):
    await settled(driver)
    before = await driver.pool.fetchrow("SELECT digest, row_count FROM recipient_chunks")
    async with driver.pool.acquire() as connection:
        assert await retention.end_uploads(connection, 1) == []
        await driver.pool.execute("UPDATE campaigns SET done_at = done_at - interval '25 hours'")
        (upload_id,) = await retention.end_uploads(connection, 1)
        assert await retention.end_uploads(connection, 1) == []
    chunk = await driver.pool.fetchrow("SELECT digest, row_count, data FROM recipient_chunks")
    assert (chunk["data"], chunk["digest"], chunk["row_count"]) == (None, *before)
    await books(driver.pool)
    spec = campaign_spec(upload_id, driver.campaign.workspace_id)
    with pytest.raises(errors.UploadNotReady):
        await campaigns.create(driver.pool, spec)
    (group,) = (await doubts.groups(driver.pool)).groups
    resend = schema.DoubtResolution(decision_id=uuid4(), key=group.key, action="resend")
    with pytest.raises(errors.WrongState):
        await doubts.resolve(driver.pool, resend, driver.writer.worker_id)
    assert len((await reports.recipients(driver.pool, driver.campaign.campaign_id)).recipients) == 100


async def test_a_file_of_a_campaign_that_may_still_send_is_kept(driver):
    await play(driver)
    await driver.pool.execute("UPDATE campaigns SET created_at = now() - interval '900 days'")
    async with driver.pool.acquire() as connection:
        assert await retention.end_uploads(connection, 1) == []


async def test_a_workspace_that_keeps_numbers_for_less_has_them_taken_out(driver):
    first, other = await two_campaigns(driver)
    await fold.fold_due(driver.pool)
    async with driver.pool.acquire() as connection:
        await retention.set_workspace(connection, first.campaign.workspace_id, 2)
        await driver.pool.execute("UPDATE campaigns SET done_at = done_at - interval '3 days'")
        assert len(await retention.end_uploads(connection, 30)) == 1
        assert await retention.forget_numbers(connection) == 0, "the partition is of today"
        real = partitions.today()
        await driver.pool.execute("UPDATE workspace_retention SET days = 1")
        partitions_today, partitions.today = partitions.today, lambda: real + 3
        try:
            assert await retention.forget_numbers(connection) == 1
            assert await retention.forget_numbers(connection) == 0
        finally:
            partitions.today = partitions_today
    for table in ("submissions", "messages_done"):
        query = f"SELECT count(*) FROM {table} WHERE slice_id = $1 AND msisdn IS NOT NULL"
        assert await driver.pool.fetchval(query, first.slice_id) == 0, table
        assert await driver.pool.fetchval(query, other.slice_id) == 10, table
    await books(driver.pool)
    page = await reports.recipients(driver.pool, first.campaign.campaign_id)
    assert {one.msisdn for one in page.recipients} == {""}


async def test_a_round_is_recorded_once_a_day(driver):
    await settled(driver)
    due = retention.load("retention")["due"]
    assert await driver.pool.fetchval(due, time(0, 0))
    done = await retention.run(driver.pool, **KEEP_FOREVER)
    assert (len(done.folded), done.dropped, done.uploads) == (1, [], [])
    assert not await driver.pool.fetchval(due, time(0, 0))
    assert await driver.pool.fetchval("SELECT body->>'slices' FROM retention_runs") == "0"


async def test_a_round_while_another_process_folds_does_not_count_as_todays(driver):
    await settled(driver)
    due = retention.load("retention")["due"]
    async with driver.pool.acquire() as folding:
        assert await folding.fetchval(fold.load("fold")["lock"])
        assert await retention.run(driver.pool, **KEEP_FOREVER) is None
        assert await driver.pool.fetchval(due, time(0, 0)), "it is tried again"
    done = await retention.run(driver.pool, **KEEP_FOREVER)
    assert len(done.folded) == 1


async def test_a_round_that_is_due_is_begun_at_the_next_look(driver):
    await settled(driver)
    keeping = asyncio.create_task(retention.keep(driver.pool, "00:00", **KEEP_FOREVER, look_s=0.0))
    try:
        async with asyncio.timeout(20):
            while not await driver.pool.fetchval("SELECT count(*) FROM retention_runs"):  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        keeping.cancel()
    assert (
        await driver.pool.fetchval("SELECT count(*) FROM submission_partitions WHERE folded_at IS NOT NULL")
        == 1
    )


async def test_nothing_is_dropped_while_the_books_are_verified(driver):
    await settled(driver)
    async with driver.pool.acquire() as verifying:
        assert await verifying.fetchval("SELECT pg_try_advisory_lock(1447382854)")
        assert await retention.run(driver.pool, retention_days=-1, uploads_keep_days=1) is None
    done = await retention.run(driver.pool, retention_days=-1, uploads_keep_days=1)
    assert len(done.dropped) == 1
    assert await driver.pool.fetchval("SELECT count(*) FROM submissions") == 0
