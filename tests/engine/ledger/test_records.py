"""Delivery records: every planned row once, over slices, with what it cost and where it went."""

import resource
from pathlib import Path
from uuid import uuid4

import pytest
from fold_world import settled
from ledger_world import FIRST_MSISDN, make_driver

from engine.ledger import errors, fold, records, reports

ACCEPTED, FAILED, RETRY, THROTTLED, DOUBT = range(5)


async def every(pool, campaign_id, limit):
    found, cursor, pages = [], None, 0
    while True:
        page = await records.page(pool, campaign_id, cursor, limit)
        found += page.records
        pages += 1
        if page.next is None:
            return found, pages
        assert len(page.records) == limit
        cursor = page.next


@pytest.mark.parametrize("is_folded", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 100, 5_000])
async def test_every_row_is_given_once_whatever_the_page_holds(driver, limit, is_folded):
    await settled(driver)
    if is_folded:
        await fold.fold_due(driver.pool)
    found, _ = await every(driver.pool, driver.campaign.campaign_id, limit)
    assert [int(one.msisdn) for one in found] == [FIRST_MSISDN + row for row in range(100)]
    shown = await reports.recipients(driver.pool, driver.campaign.campaign_id, limit=500)
    assert [(one.message_id, one.state, one.error, one.parts, one.sent_at, one.done_at) for one in found] == [
        (one.message_id, one.state, one.error, one.parts, one.sent_at, one.done_at)
        for one in shown.recipients
    ]
    assert {one.channel for one in found} == {"bulk"}


async def test_a_page_goes_over_the_end_of_a_slice(pool, box):
    driver = await make_driver(pool, box, 10)
    await driver.claim([1] * 10)
    driver.accept(*range(10))
    await driver.writer.flush()
    await pool.execute(
        "INSERT INTO slices (slice_id, campaign_id, chunk_no, channel_id, row_start, row_count)"
        " SELECT slice_id + 1, campaign_id, chunk_no, channel_id, 0, 4 FROM slices"
    )
    found, pages = await every(pool, driver.campaign.campaign_id, 12)
    assert (len(found), pages) == (14, 2)
    assert [one.state for one in found] == ["SUBMITTED_OPERATOR"] * 10 + ["SUBMITTED"] * 4


async def test_an_unknown_campaign_and_a_foreign_cursor_are_refused(pool):
    with pytest.raises(errors.NotFound):
        await records.page(pool, uuid4(), None, 10)
    with pytest.raises(errors.BadCursor):
        await records.page(pool, uuid4(), "!", 10)


def resident_pages():
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_rows(pool, box):
    """A page is all that is in memory: at the last of 300,000 rows it is what it was at the 60,000th."""
    driver = await make_driver(pool, box, 10)
    await pool.execute("UPDATE slices SET row_count = 60000, claimed_to = 60000")
    await pool.execute(
        "INSERT INTO slices (slice_id, campaign_id, chunk_no, channel_id, row_start, row_count, claimed_to)"
        " SELECT slice_id + n, campaign_id, chunk_no, channel_id, 0, 60000, 60000"
        " FROM slices, generate_series(1, 4) n"
    )
    await pool.execute(
        "INSERT INTO submissions (slice_id, row_no, part, attempt, parts, outcome, status, msisdn,"
        " account_id, channel_id, cost, sent_at, responded_at)"
        " SELECT s.slice_id, n, 1, 0, 1, 0, 0, 4915100000000 + n, $1, s.channel_id, 500, now(), now()"
        " FROM slices s, generate_series(0, 59999) n",
        driver.account_id,
    )
    resident, rows, cursor = [], 0, None
    while True:
        page = await records.page(pool, driver.campaign.campaign_id, cursor, records.PAGE)
        rows += len(page.records)
        resident.append(resident_pages())
        cursor = page.next
        if cursor is None:
            break
    assert rows == 300_000
    early, late = max(resident[4:12]), max(resident[-8:])
    assert (late - early) * resource.getpagesize() < 8 << 20
