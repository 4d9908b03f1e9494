"""The writer: what a batch of outcomes and receipts does to rows, counters, claims and states."""

import asyncio
import time
from array import array

import asyncpg
import pytest
from ledger_world import make_driver, second_campaign

from engine._fast.columns import KIND_MO, ReceiptBatch, ResultBatch
from engine.ledger import campaigns
from engine.ledger import writer as writer_module
from engine.ledger.claims import BindKey

ACCEPTED, FAILED, RETRY, THROTTLED, DOUBT = range(5)


class UnreachablePool:
    """A pool that refuses connections until `back` is set."""

    def __init__(self, pool):
        self.pool, self.asked, self.back = pool, asyncio.Event(), asyncio.Event()

    async def acquire(self):
        refused = not self.back.is_set()
        self.asked.set()
        if refused:
            raise ConnectionRefusedError
        return await self.pool.acquire()


async def balanced(driver) -> bool:
    found = await driver.equation()
    assert found.balanced, found.first_difference
    return True


async def test_accepted_parts_are_rows_and_in_flight_messages(driver):
    await driver.claim([1, 2, 1])
    driver.accept(0, 1, 2)
    assert (driver.writer.pending, driver.writer.pending_outcomes) == (4, 4)
    driver.delivered("0.1")
    assert (driver.writer.pending, driver.writer.pending_outcomes) == (5, 4)
    await driver.writer.flush()
    assert (driver.writer.pending, driver.writer.pending_outcomes) == (0, 0)
    counts = await driver.counts()
    assert (counts.in_flight, counts.submissions, counts.parts, counts.waiting) == (2, 4, 4, 99)
    row = (await driver.fetch("SELECT * FROM submissions WHERE row_no = 1 AND part = 2"))[0]
    assert (row["smsc_id"], row["parts"], row["outcome"], row["account_id"]) == (
        "1.2",
        2,
        0,
        driver.account_id,
    )
    assert await balanced(driver)


async def test_many_rows_do_not_wait_for_the_interval_and_few_do(pool, box, monkeypatch):
    monkeypatch.setattr(writer_module, "MANY_ROWS", 2)
    monkeypatch.setattr(writer_module, "LONGEST_WAIT_S", 3600.0)
    driver = await make_driver(pool, box, 10, commit_interval_s=3600.0, orphan_interval_s=3600.0)
    writer = driver.writer
    assert writer._orphans.due(time.monotonic()), "the first sweep is due at once: not here"
    await driver.claim([1, 1, 1, 1])

    async def written() -> None:
        while writer.pending:  # noqa: ASYNC110 - the commit tells nobody
            await asyncio.sleep(0.01)

    running = asyncio.create_task(writer.run())
    try:
        for row in (0, 2):  # twice: the wake-up neither stays set nor is lost
            driver.accept(row)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(written(), 0.1)
            driver.accept(row + 1)
            await asyncio.wait_for(written(), 10)
    finally:
        await writer.stop()
        await running


async def test_the_last_result_closes_the_claim_and_the_claimed_slice(pool, box):
    closed = []
    driver = await make_driver(pool, box, 3, on_closed=closed.append)
    claim = await driver.claim([1, 1, 1])
    driver.accept(0, 1)
    await driver.writer.flush()
    assert closed == []
    driver.accept(2)
    await driver.writer.flush()
    assert closed == [{driver.campaign.campaign_id}]
    assert (await driver.fetch("SELECT closed_at FROM claims WHERE claim_id = $1", claim.claim_id))[0][0]
    assert (await driver.fetch("SELECT state FROM slices"))[0][0] == "done"
    async with pool.acquire() as connection:
        assert await campaigns.finish_if_done(connection, driver.campaign.campaign_id)
        assert not await campaigns.finish_if_done(connection, driver.campaign.campaign_id)
    assert await driver.state() == "Done"


async def test_a_failed_part_of_an_accepted_message_is_undelivered(driver):
    await driver.claim([2, 2])
    driver.results(
        [
            (0, 1, 0, ACCEPTED, 0, "a", False),
            (0, 2, 0, FAILED, 0x0B, "", False),
            (1, 1, 0, FAILED, 0x0B, "", False),
            (1, 2, 0, FAILED, 0x0B, "", False),
        ]
    )
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.undelivered, counts.failed, counts.in_flight) == (1, 1, 0)
    errors = await driver.fetch("SELECT context, code, count FROM message_errors")
    assert [tuple(row) for row in errors] == [("response", "0x0000000B", 3)]
    assert await balanced(driver)


async def test_throttles_are_counted_without_a_row_and_retries_with_one(driver):
    await driver.claim([1])
    driver.results([(0, 1, 0, THROTTLED, 0x58, "", False)])
    driver.results([(0, 1, 0, RETRY, 0x08, "", False)])
    driver.results([(0, 1, 1, ACCEPTED, 0, "x", False)])
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.throttled, counts.retried, counts.submissions, counts.in_flight) == (1, 1, 2, 1)
    assert await balanced(driver)


async def test_rejected_rows_fail_with_their_own_code(driver):
    claim = await driver.claim([])
    await driver.fetch("UPDATE slices SET claimed_to = 2 WHERE slice_id = $1", driver.slice_id)
    driver.writer.rejected(
        claim, array("i", [0, 1]), array("b", [1, 2]), array("q", [491510000000, 491510000001]), closed=True
    )
    await driver.writer.flush()
    assert (await driver.counts()).failed == 2
    errors = await driver.fetch("SELECT context, code FROM message_errors ORDER BY code")
    assert [tuple(row) for row in errors] == [("encode", "empty"), ("encode", "too_long")]
    assert not await driver.fetch("SELECT FROM claims WHERE closed_at IS NULL")
    assert await balanced(driver)


async def test_receipts_are_acknowledged_after_the_commit_only(driver):
    await driver.claim([1])
    driver.accept(0)
    driver.delivered("0.1")
    assert driver.acknowledged == 0
    await driver.writer.flush()
    assert driver.acknowledged == 1
    counts = await driver.counts()
    assert (counts.delivered, counts.in_flight, counts.receipts) == (1, 0, 1)
    assert await balanced(driver)


async def test_a_later_delivered_corrects_undelivered_and_never_the_reverse(driver):
    await driver.claim([1, 1])
    driver.accept(0, 1)
    driver.undelivered("0.1")
    driver.delivered("1.1")
    await driver.writer.flush()
    driver.delivered("0.1")
    driver.undelivered("1.1")
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.delivered, counts.undelivered, counts.receipts) == (2, 0, 4)
    assert await balanced(driver)


async def test_a_correction_in_the_batch_of_the_first_verdict_counts_once(driver):
    await driver.claim([1])
    driver.accept(0)
    driver.undelivered("0.1")
    driver.delivered("0.1", "0.1")
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.delivered, counts.undelivered) == (1, 0)
    assert await balanced(driver)


async def test_a_message_is_delivered_when_all_its_parts_are(driver):
    await driver.claim([2, 2])
    driver.accept(0, 1)
    driver.delivered("0.1", "1.1")
    await driver.writer.flush()
    assert (await driver.counts()).delivered == 0
    driver.delivered("0.2")
    driver.undelivered("1.2")
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.delivered, counts.undelivered) == (1, 1)
    assert await balanced(driver)


async def test_an_undelivered_part_before_the_other_parts_answer_is_counted(driver):
    await driver.claim([2])
    driver.results([(0, 1, 0, ACCEPTED, 0, "a", False)])
    driver.undelivered("a")
    await driver.writer.flush()
    assert (await driver.counts()).waiting == 100
    assert await balanced(driver)
    driver.results([(0, 2, 0, ACCEPTED, 0, "b", False)])
    await driver.writer.flush()
    assert (await driver.counts()).undelivered == 1
    assert await balanced(driver)


async def test_a_receipt_before_its_response_waits_for_it(pool, box):
    driver = await make_driver(pool, box, hold_s=3600.0)
    await driver.claim([1])
    driver.delivered("0.1")
    await driver.writer.flush()
    assert (driver.acknowledged, driver.writer.pending) == (0, 1)
    driver.accept(0)
    await driver.writer.flush()
    assert (driver.acknowledged, driver.writer.pending) == (1, 0)
    assert (await driver.counts()).delivered == 1
    assert not await driver.fetch("SELECT FROM orphan_receipts")
    assert await balanced(driver)


async def test_an_orphan_is_matched_when_its_submission_is_in(driver):
    await driver.claim([1])
    driver.delivered("0.1")
    await driver.writer.flush()
    assert driver.acknowledged == 1
    assert len(await driver.fetch("SELECT FROM orphan_receipts WHERE matched_at IS NULL")) == 1
    driver.accept(0)
    await driver.writer.sweep_orphans()
    counts = await driver.counts()
    assert (counts.delivered, counts.receipts) == (1, 1)
    assert not await driver.fetch("SELECT FROM orphan_receipts WHERE matched_at IS NULL")
    driver.delivered("0.1")  # a repeat, after the sweep told the recent ids
    await driver.writer.flush()
    assert (await driver.counts()).delivered == 1
    assert await balanced(driver)


async def test_an_unknown_receipt_stays_an_orphan(driver):
    driver.undelivered("nobody's")
    await driver.writer.flush()
    await driver.writer.sweep_orphans()
    row = (await driver.fetch("SELECT * FROM orphan_receipts"))[0]
    assert (row["smsc_id"], row["verdict"], row["error"], row["matched_at"]) == ("nobody's", 1, "045", None)


async def test_mobile_originated_messages_are_stored_and_no_orphans(driver):
    batch = ReceiptBatch(
        count=1, sequence=array("I", [1]), command=array("I", [5]), kind=array("b", [KIND_MO]),
        id_end=array("i", [0]), msisdn=array("q", [-1]), verdict=array("b", [0]), stat=array("h", [255]),
        error_end=array("i", [0]), done_s=array("q", [-1]),
    )  # fmt: skip
    acknowledged = []
    driver.writer.receipts(driver.account_id, batch, acknowledged.append)
    await driver.writer.flush()
    assert (acknowledged, driver.writer.inbound) == ([0], 1)
    assert not await driver.fetch("SELECT FROM orphan_receipts")


async def test_no_response_is_in_doubt_and_a_late_one_resolves_it(driver):
    await driver.claim([1, 1, 1])
    driver.results(
        [
            (0, 1, 0, DOUBT, -1, "", False),
            (1, 1, 0, DOUBT, -1, "", False),
            (2, 1, 0, DOUBT, -2, "", False),
        ]
    )
    await driver.writer.flush()
    assert (await driver.counts()).in_doubt == 3
    reasons = await driver.fetch("SELECT reason FROM doubts ORDER BY row_no")
    assert [row["reason"] for row in reasons] == ["no_response", "no_response", "connection_lost"]
    driver.results([(0, 1, 0, ACCEPTED, 0, "late", True), (1, 1, 0, THROTTLED, 0x58, "", True)])
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.in_doubt, counts.in_flight, counts.failed) == (1, 1, 1)
    assert await balanced(driver)


async def test_doubt_and_its_late_answer_in_one_batch_count_once(driver):
    await driver.claim([1])
    driver.results([(0, 1, 0, DOUBT, -1, "", False)])
    driver.results([(0, 1, 0, ACCEPTED, 0, "late", True)])
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.in_doubt, counts.in_flight) == (0, 1)
    assert await balanced(driver)


async def test_a_late_answer_before_the_last_part_is_not_lost(driver):
    await driver.claim([2])
    driver.results([(0, 1, 0, DOUBT, -1, "", False)])
    driver.results([(0, 1, 0, ACCEPTED, 0, "late", True)])
    await driver.writer.flush()
    driver.results([(0, 2, 0, ACCEPTED, 0, "two", False)])  # the tally still holds part 1 in doubt
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.in_doubt, counts.in_flight) == (0, 1)
    assert await balanced(driver)


async def test_a_row_that_is_there_already_does_not_stop_the_writer(driver):
    await driver.claim([1, 1])
    driver.accept(0)
    await driver.writer.flush()
    driver.results([(0, 1, 0, ACCEPTED, 0, "again", False), (1, 1, 0, ACCEPTED, 0, "1.1", False)])
    driver.delivered("1.1")
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.in_flight, counts.delivered, counts.submissions) == (1, 1, 2)
    assert await balanced(driver)


async def test_a_commit_whose_answer_was_lost_is_not_written_twice(driver, monkeypatch):
    real, lost = writer_module.commit, []

    async def commit(*args, **kwargs):
        result = await real(*args, **kwargs)
        if not lost:
            lost.append(1)
            raise asyncpg.ConnectionDoesNotExistError("the answer was lost")
        return result

    monkeypatch.setattr(writer_module, "commit", commit)
    await driver.claim([1])
    driver.accept(0)
    driver.delivered("0.1")
    await driver.writer.flush()
    assert lost
    assert driver.acknowledged == 1
    counts = await driver.counts()
    assert (counts.submissions, counts.delivered, counts.receipts) == (1, 1, 1)
    assert await balanced(driver)


async def test_with_the_database_away_the_buffer_grows_and_nothing_is_lost(driver):
    await driver.claim([1, 1])
    pool = UnreachablePool(driver.pool)
    driver.writer._pool = pool
    driver.accept(0)
    flushing = asyncio.create_task(driver.writer.flush())
    await pool.asked.wait()
    driver.accept(1)
    assert driver.writer.pending == 2
    assert driver.writer.away
    pool.back.set()
    await flushing
    await driver.writer.flush()
    assert driver.writer.pending == 0
    assert (await driver.counts()).in_flight == 2


async def test_run_commits_and_stop_ends_it(driver):
    await driver.claim([1])
    running = asyncio.create_task(driver.writer.run())
    committed = asyncio.Event()
    driver.accept(0)
    driver.writer._batch.after_commit.append(committed.set)
    await asyncio.wait_for(committed.wait(), 10)
    driver.delivered("unknown")
    await driver.writer.stop()
    await asyncio.wait_for(running, 10)
    assert driver.acknowledged == 1
    assert (await driver.counts()).in_flight == 1


async def test_results_of_two_campaigns_in_one_batch_are_counted_apart(driver, pool, box):
    other = await second_campaign(driver)
    await driver.claim([1, 1])
    await other.claim([1])
    driver.accept(0, 1)
    other.results([(0, 1, 0, ACCEPTED, 0, "other", False)])
    driver.receipts([("0.1", 2, 2, ""), ("other", 1, 5, "001")])
    await driver.writer.flush()
    mine, theirs = await driver.counts(), await other.counts()
    assert (mine.delivered, mine.in_flight) == (1, 1)
    assert (theirs.undelivered, theirs.in_flight) == (1, 0)
    assert await balanced(driver)
    assert await balanced(other)


async def test_series_and_hours_add_up_to_the_counts(driver):
    await driver.claim([1, 1, 1])
    driver.accept(0, 1)
    driver.results([(2, 1, 0, FAILED, 0x0B, "", False)])
    driver.delivered("0.1")
    driver.undelivered("1.1")
    await driver.writer.flush()
    series = await driver.fetch("SELECT sum(sent) s, sum(delivered) d, sum(failed) f FROM campaign_series")
    hours = await driver.fetch("SELECT sum(sent) s, sum(delivered) d, sum(failed) f FROM hourly_stats")
    assert [int(n) for n in series[0]] == [int(n) for n in hours[0]] == [2, 1, 2]


@pytest.mark.parametrize("kind", ["results", "claims"])
async def test_bad_arguments_are_refused_at_once(driver, kind):
    batch = ResultBatch(count=1, claim=array("i", [77]))
    outcome = array("b", [0] * (2 if kind == "results" else 1))
    with pytest.raises(ValueError if kind == "results" else KeyError):
        driver.writer.results(BindKey(1, 0), batch, outcome, [], {})


async def test_a_batch_whose_flush_was_cancelled_is_not_lost_to_the_sweep_of_orphans(driver, monkeypatch):
    await driver.claim([1, 1])
    driver.delivered("nobody's")
    await driver.writer.flush()
    driver.accept(0)
    entered, commit = asyncio.Event(), writer_module.commit

    async def never(*given, **options):
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(writer_module, "commit", never)
    flushing = asyncio.create_task(driver.writer.flush())
    await entered.wait()
    flushing.cancel()
    await asyncio.wait({flushing})
    monkeypatch.setattr(writer_module, "commit", commit)
    driver.accept(1)
    await driver.writer.sweep_orphans()
    await driver.writer.flush()
    assert (await driver.counts()).in_flight == 2
    assert await balanced(driver)
