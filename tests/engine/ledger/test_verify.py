"""`verify` holds for every book the engine keeps, and names the first row of one that was tampered with."""

# ruff: noqa: E501 - a row of the table is one line

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from ledger_world import make_worker, second_campaign

from engine.ledger import campaigns, errors, settle
from engine.ledger.pool import session_locks
from engine.ledger.recovery import recover
from engine.ledger.verify import runs, sentence, verify, verify_daily


@pytest.fixture
async def story(driver):
    """Accepted, failed, in doubt, multi-part, delivered, undelivered, an open claim, unclaimed rows, and a second
    campaign."""
    await driver.claim([1] * 6 + [3, 2])
    driver.accept(0, 1, 2, 6)
    driver.results(
        [(3, 1, 0, 1, 0x0B, "", False), (4, 1, 0, 4, -1, "", False), (5, 1, 0, 2, 0x08, "", False)]
    )
    driver.results([(5, 1, 1, 0, 0, "5.1", False)])
    driver.results([(7, 1, 0, 0, 0, "7.1", False), (7, 2, 0, 1, 0x0B, "", False)])
    await driver.writer.flush()
    driver.delivered("0.1", "6.1", "6.2", "6.3")
    driver.undelivered("1.1")
    await driver.writer.flush()
    await driver.claim([1, 1])
    driver.accept(8)
    other = await second_campaign(driver)
    await other.claim([1] * 10)
    other.accept(*range(10))
    await driver.writer.flush()
    return driver


async def first_of(driver, statement, *values):
    """Tamper, and what verify says first."""
    await driver.pool.execute(statement, *values)
    result = await verify(driver.pool)
    assert not result.holds
    assert result.first is not None
    return result.first


async def test_books_in_the_middle_of_everything_hold(story):
    result = await verify(story.pool)
    assert result.first is None, sentence(result.first)
    assert result.holds
    assert (result.campaigns, result.slices, result.messages) == (2, 2, 110)
    assert result.submissions == sum([4, 1, 2, 2, 2, 1, 10])
    day = result.days[0]
    assert (day.planned, day.sent, day.failed, day.in_doubt, day.waiting) == (110, 17, 1, 1, 91)


async def test_books_hold_after_a_crash_a_takeover_and_settling(story):
    await recover(story.pool, await make_worker(story.pool, "w"))
    await story.pool.execute("UPDATE campaigns SET state = 'Cancelled', done_at = now() - interval '9 days'")
    async with story.pool.acquire() as connection, connection.transaction():
        for row in await connection.fetch("SELECT campaign_id FROM campaigns"):
            await campaigns.count_cancelled(connection, row["campaign_id"], story.writer.worker_id)
    assert len(await settle.settle_due(story.pool, story.writer.worker_id, 60)) == 2
    result = await verify(story.pool)
    assert result.first is None, sentence(result.first)
    assert result.days[0].waiting == 0


TAMPERED = [
    ("DELETE FROM submissions WHERE slice_id = $1 AND row_no = 0", "no_result", "submissions", "row_no=0"),
    ("DELETE FROM submissions WHERE slice_id = $1 AND row_no = 6 AND part = 2", "no_result", "submissions", "row_no=6"),
    ("DELETE FROM doubts WHERE slice_id = $1", "no_result", "submissions", "row_no=4"),
    ("UPDATE submissions SET row_no = 77 WHERE slice_id = $1 AND row_no = 8", "outside_claim", "submissions", "row_no=77"),
    ("INSERT INTO doubts (slice_id, row_no, part, attempt, reason) VALUES ($1, -1, 0, 0, '')", "outside_claim", "doubts", "row_no=-1"),
    ("UPDATE receipts SET row_no = 50 WHERE slice_id = $1 AND row_no = 1", "outside_claim", "receipts", "row_no=50"),
    ("INSERT INTO submissions SELECT slice_id, row_no, part, 9, parts, outcome, status, msisdn, account_id, channel_id,"
     " smsc_id, cost, fallback_level, sent_at, responded_at FROM submissions WHERE slice_id = $1 AND row_no = 2",
     "accepted_twice", "submissions", "row_no=2 part=1"),
    ("UPDATE slices SET claimed_to = claimed_to + 1 WHERE slice_id = $1", "claimed", "slices", "slice_id="),
    ("UPDATE claims SET row_start = row_start - 1 WHERE slice_id = $1 AND row_start > 0", "claim_overlap", "claims", "claim_id="),
    ("UPDATE claims SET row_end = row_end - 1 WHERE slice_id = $1 AND row_start = 0", "claimed", "slices", "slice_id="),
    ("UPDATE campaign_stats SET delivered = delivered + 1 WHERE campaign_id = (SELECT campaign_id FROM slices WHERE slice_id = $1)",
     "statistics", "campaign_stats", "campaign_id="),
    ("UPDATE campaign_series SET failed = failed - 1 WHERE campaign_id = (SELECT campaign_id FROM slices WHERE slice_id = $1)",
     "series", "campaign_series", "campaign_id="),
    ("UPDATE hourly_stats SET parts = parts + $1 - $1 + 1", "hourly", "hourly_stats", "workspace_id="),
    ("UPDATE legs SET next_row = 1 WHERE campaign_id = (SELECT campaign_id FROM slices WHERE slice_id = $1)",
     "planned", "legs", "campaign_id="),
    ("UPDATE recipient_chunks SET data = data || '\\x00' WHERE $1::bigint > 0", "chunk", "recipient_chunks", "chunk_no=0"),
    ("UPDATE manifests SET body = body || '\\x20' WHERE $1::bigint > 0", "manifest", "manifests", "campaign_id="),
    ("INSERT INTO receipts (slice_id, row_no, part, verdict, stat, received_at, account_id)"
     " VALUES ($1::bigint + 77, 0, 1, 2, 2, now(), 1)", "no_slice", "receipts", "slice_id="),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "check", "table", "key"), TAMPERED)
async def test_the_first_row_that_does_not_fit_is_named(story, statement, check, table, key):
    misfit = await first_of(story, statement, story.slice_id)
    assert (misfit.check, misfit.table) == (check, table), sentence(misfit)
    assert key in misfit.key
    assert misfit.expected != misfit.found


async def retry_slice(driver, rows, *, origin=None, count=None, state="open"):
    await driver.pool.execute(
        "INSERT INTO slices (slice_id, campaign_id, chunk_no, channel_id, row_start, row_count, origin_slice_id,"
        " explicit_rows, attempt, state)"
        " SELECT slice_id + 5, campaign_id, chunk_no, channel_id, 0, $2, coalesce($3, slice_id), $4, 1, $5"
        " FROM slices WHERE slice_id = $1",
        driver.slice_id,
        count or len(rows),
        origin,
        b"".join(row.to_bytes(4, "little", signed=True) for row in rows),
        state,
    )


async def test_a_row_that_waits_in_a_retry_slice_needs_no_result(story):
    await story.pool.execute("DELETE FROM doubts WHERE slice_id = $1", story.slice_id)
    await story.pool.execute("UPDATE campaign_stats SET in_doubt = 0")
    await story.pool.execute(
        "UPDATE claims SET closed_at = now(), row_end = row_start + 1 WHERE closed_at IS NULL"
    )
    await story.pool.execute("UPDATE slices SET claimed_to = 9 WHERE slice_id = $1", story.slice_id)
    await retry_slice(story, [4])
    result = await verify(story.pool)
    assert result.first is None, sentence(result.first)
    await story.pool.execute(
        "UPDATE slices SET explicit_rows = '\\x03000000' WHERE origin_slice_id IS NOT NULL"
    )
    result = await verify(story.pool)
    assert "row_no=4" in result.first.key


@pytest.mark.parametrize(
    ("rows", "changed", "check"),
    [
        ([4, 4], {}, "retry_rows"),
        ([4, 99], {}, "retry_rows"),
        ([4], {"count": 2}, "retry_rows"),
        ([4], {"origin": 12345}, "retry_origin"),
    ],
)
async def test_a_retry_slice_holds_claimed_rows_of_its_origin_once(story, rows, changed, check):
    await retry_slice(story, rows, **changed)
    result = await verify(story.pool)
    assert result.first.check == check, sentence(result.first)
    assert f"slice_id={story.slice_id + 5}" in result.first.key


async def test_an_open_claim_of_a_dead_worker_is_a_misfit_once_a_living_one_should_have_taken_it(story):
    dead = (
        "UPDATE workers SET lease_until = now() - interval '1 hour', started_at = now() - interval '2 hours'"
    )
    await story.pool.execute(dead)
    assert (await verify(story.pool)).holds  # nobody lives who could have
    await make_worker(story.pool, "new")
    assert (await verify(story.pool)).holds  # it has just come
    await story.pool.execute("UPDATE workers SET started_at = now() - interval '1 hour' WHERE name = 'new'")
    result = await verify(story.pool)
    assert (result.first.check, result.first.table) == ("claim_owner", "claims")
    await recover(story.pool, (await story.fetch("SELECT max(worker_id) AS id FROM workers"))[0]["id"])
    assert (await verify(story.pool)).holds


async def test_one_campaign_or_one_day_is_looked_at_alone(story):
    await story.pool.execute(
        "UPDATE campaign_stats SET failed = failed + 1 WHERE campaign_id = $1", story.campaign.campaign_id
    )
    others = await story.fetch(
        "SELECT campaign_id FROM campaigns WHERE campaign_id <> $1", story.campaign.campaign_id
    )
    assert (await verify(story.pool, others[0]["campaign_id"])).holds
    assert not (await verify(story.pool, story.campaign.campaign_id)).holds
    today = datetime.now(UTC).date()
    assert (await verify(story.pool, day=today)).campaigns == 2
    yesterday = await verify(story.pool, day=today - timedelta(days=1))
    assert yesterday.campaigns == 0
    assert yesterday.holds
    with pytest.raises(errors.NotFound):
        await verify(story.pool, uuid4())


async def test_only_one_verification_at_a_time(story):
    async with session_locks(story.pool, "SELECT pg_try_advisory_lock(1447382854)") as connection:
        assert connection is not None
        with pytest.raises(errors.VerifyBusy):
            await verify(story.pool)
    assert (await verify(story.pool)).holds


async def test_a_verification_that_fails_lets_the_next_one_go_on(story):
    """Its connection goes back to the pool, its lock may not stay with it."""
    for _ in range(3):
        with pytest.raises(errors.NotFound):
            await verify(story.pool, uuid4())
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    locks = await story.pool.fetchval(query)
    assert locks == 0
    assert (await verify(story.pool)).holds


async def test_locks_go_with_a_connection_that_breaks(story):
    query = "SELECT pg_try_advisory_lock(1447382854)"
    with pytest.raises(asyncpg.PostgresError):
        async with session_locks(story.pool, query) as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert (await verify(story.pool)).holds


async def test_runs_are_kept_newest_first(story):
    first = await verify(story.pool)
    await story.pool.execute("UPDATE campaign_series SET sent = 0")
    second = await verify(story.pool, trigger="core_api")
    assert [(one.run_id, one.holds) for one in (await runs(story.pool)).verifications] == [
        (second.run_id, False),
        (first.run_id, True),
    ]


async def test_the_daily_run_comes_once_a_day_and_a_misfit_becomes_a_job_error(story):
    await story.pool.execute("UPDATE campaign_series SET sent = 0")
    result = await verify_daily(story.pool, "00:00")
    assert result is not None
    assert result.trigger == "daily"
    assert await verify_daily(story.pool, "00:00") is None
    (row,) = await story.fetch("SELECT code, detail FROM job_errors")
    assert row["code"] == "verify"
    assert "series: campaign_series" in row["detail"]


async def test_at_once_daily_runs_of_two_engines_are_one(story):
    found = await asyncio.gather(verify_daily(story.pool, "00:00"), verify_daily(story.pool, "00:00"))
    assert sum(result is not None for result in found) == 1
