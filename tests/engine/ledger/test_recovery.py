"""After a crash: open claims of dead workers, orphans and the recent ids."""

import asyncio

from ledger_world import make_driver, make_worker, second_campaign

from engine.ledger import writer as ledger_writer
from engine.ledger.recovery import recover
from engine.ledger.writer import LedgerWriter

ACCEPTED, FAILED, RETRY, THROTTLED, DOUBT = range(5)


async def test_claimed_rows_without_a_result_are_in_doubt(pool, box):
    driver = await make_driver(pool, box, 10)
    await driver.claim([1, 1, 2, 2, 1])
    driver.accept(0)
    driver.results(
        [
            (1, 1, 0, FAILED, 0x0B, "", False),
            (2, 1, 0, ACCEPTED, 0, "2.1", False),
            (3, 1, 0, RETRY, 0x08, "", False),
        ]
    )
    await driver.writer.flush()
    successor = await make_worker(pool)
    done = await recover(pool, successor)
    assert (done.claims, done.in_doubt, done.campaigns) == (1, 3, {driver.campaign.campaign_id})
    counts = await driver.counts()
    assert (counts.in_doubt, counts.in_flight, counts.failed, counts.waiting) == (3, 1, 1, 6)
    doubts = await driver.fetch("SELECT row_no, part, reason FROM doubts ORDER BY row_no, part")
    # part 0 only where nobody knows how many parts there are
    expected = [(2, 2), (3, 1), (3, 2), (4, 0)]
    assert [tuple(row) for row in doubts] == [(row, part, "engine_restart") for row, part in expected]
    assert (await driver.equation()).balanced
    assert (await recover(pool, successor)).claims == 0


async def test_a_living_workers_claims_are_left_alone(pool, box):
    driver = await make_driver(pool, box, 10, worker="first")
    await driver.claim([1])
    successor = await make_worker(pool, "second")
    assert (await recover(pool, successor)).claims == 0
    await pool.execute("UPDATE workers SET lease_until = now() - interval '5 s' WHERE name = 'first'")
    assert (await recover(pool, successor, lease_margin_s=60)).claims == 0
    assert (await recover(pool, successor, lease_margin_s=1)).claims == 1


async def test_results_of_a_worker_that_was_taken_over_resolve_its_doubts(pool, box):
    driver = await make_driver(pool, box, 10, worker="first")
    await driver.claim([1, 2, 1, 1])
    driver.accept(0)
    await driver.writer.flush()
    driver.results([(3, 1, 0, FAILED, 0x0B, "", False)])
    driver.accept(1, 2)  # reported, and not written before the worker stalled
    successor = await make_worker(pool, "second")
    await pool.execute("UPDATE workers SET stopped_at = now() WHERE name = 'first'")
    assert (await recover(pool, successor)).in_doubt == 3
    driver.delivered("0.1", "2.1")
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.in_doubt, counts.failed, counts.delivered, counts.in_flight) == (0, 1, 2, 1)
    found = await driver.equation()
    assert found.balanced, found.first_difference


async def test_no_orphan_is_matched_while_the_recent_ids_are_loaded(pool, box, monkeypatch):
    """Or its id is loaded without the verdict, and a repeat counts as the first."""
    driver = await make_driver(pool, box, 1)
    await driver.claim([1])
    load = ledger_writer.load_recent

    async def watched(*given):
        sweep = asyncio.create_task(driver.writer.sweep_orphans())
        done, _ = await asyncio.wait({sweep}, timeout=0.5)
        loaded = await load(*given)
        assert not done
        sweeps.append(sweep)
        return loaded

    sweeps = []
    monkeypatch.setattr(ledger_writer, "load_recent", watched)
    await driver.writer.rebuild()
    await sweeps[0]


async def test_a_new_writer_knows_the_ids_that_wait_for_receipts(pool, box):
    driver = await make_driver(pool, box, 10)
    await driver.claim([1, 1, 1])
    driver.accept(0, 1, 2)
    driver.delivered("0.1")
    await driver.writer.flush()
    await driver.writer._release()
    await driver.fetch("UPDATE workers SET stopped_at = now()")  # as its successor's registration does
    driver.writer = LedgerWriter(pool, await make_worker(pool), recent_capacity=100, hold_s=0.0)
    assert await driver.writer.rebuild() == 2
    driver.delivered("0.1", "1.1")  # a repeat and a first
    driver.undelivered("2.1")
    await driver.writer.flush()
    await driver.writer.sweep_orphans()
    counts = await driver.counts()
    assert (counts.delivered, counts.undelivered, counts.receipts) == (2, 1, 4)
    assert (await driver.equation()).balanced


async def test_an_evicted_id_is_found_by_sql(pool, box):
    driver = await make_driver(pool, box, 20)
    driver.writer = LedgerWriter(pool, driver.writer.worker_id, recent_capacity=1, hold_s=0.0)
    await driver.claim([1, 1, 2])
    driver.accept(0)
    driver.accept(1)
    driver.accept(2)
    driver.delivered("0.1", "2.1", "2.2")
    driver.undelivered("1.1")
    await driver.writer.flush()
    await driver.writer.sweep_orphans()
    counts = await driver.counts()
    assert (counts.delivered, counts.undelivered) == (2, 1)
    assert (await driver.equation()).balanced


async def test_a_reused_id_belongs_to_the_newest_message(pool, box):
    driver = await make_driver(pool, box, 20)
    other = await second_campaign(driver)
    await driver.claim([1])
    await other.claim([1])
    driver.results([(0, 1, 0, ACCEPTED, 0, "same", False)])
    await driver.writer.flush()
    other.now_us = driver.now_us + 1
    other.results([(0, 1, 0, ACCEPTED, 0, "same", False)])
    await driver.writer.flush()
    driver.writer._matcher.recent = type(driver.writer._matcher.recent)(10)
    driver.delivered("same")
    await driver.writer.flush()
    await driver.writer.sweep_orphans()
    assert ((await driver.counts()).delivered, (await other.counts()).delivered) == (0, 1)
