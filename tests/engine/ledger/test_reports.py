"""Pages of the ledger."""

from uuid import uuid4

import pytest
from ledger_world import FIRST_MSISDN, make_driver

from engine.core_api import schema
from engine.ledger import campaigns, errors, reports
from engine.ledger.message_id import slice_and_row

ACCEPTED, FAILED, RETRY, THROTTLED, DOUBT = range(5)


async def mixed(pool, box):
    """One recipient of each state; rows 6 to 9 are not claimed."""
    driver = await make_driver(pool, box, 10)
    await driver.claim([1, 2, 1, 1, 1, 1])
    driver.accept(0, 1, 2)
    driver.results(
        [
            (3, 1, 0, RETRY, 0x08, "", False),
            (3, 1, 1, FAILED, 0x0B, "", False),
            (4, 1, 0, DOUBT, -1, "", False),
        ]
    )
    driver.delivered("0.1")
    driver.undelivered("1.2")
    await driver.writer.flush()
    return driver


STATES = ["DELIVERED", "UNDELIVERED", "SUBMITTED_OPERATOR", "FAILED", "IN_DOUBT", *["SUBMITTED"] * 5]


async def test_recipients_have_their_state_number_error_and_times(pool, box):
    driver = await mixed(pool, box)
    page = await reports.recipients(pool, driver.campaign.campaign_id)
    assert page.next is None
    assert [r.state for r in page.recipients] == STATES
    assert [int(r.msisdn) for r in page.recipients] == [FIRST_MSISDN + row for row in range(10)]
    assert [slice_and_row(r.message_id) for r in page.recipients] == [(driver.slice_id, n) for n in range(10)]
    assert [r.error for r in page.recipients[:5]] == [
        "",
        "UNDELIV err:045",
        "",
        "ESME_RINVDSTADR",
        "no_response",
    ]
    assert [(r.parts, r.attempts) for r in page.recipients[:4]] == [(1, 1), (2, 1), (1, 1), (1, 2)]
    assert [r.done_at is not None for r in page.recipients[:6]] == [True, True, False, True, False, False]
    assert page.recipients[2].sent_at is not None


async def test_pages_go_on_where_the_last_one_ended(pool, box):
    driver = await mixed(pool, box)
    seen, cursor = [], None
    for _ in range(5):
        page = await reports.recipients(pool, driver.campaign.campaign_id, cursor=cursor, limit=3)
        seen += [recipient.state for recipient in page.recipients]
        cursor = page.next
        if cursor is None:
            break
    assert seen == STATES


async def test_a_page_can_be_of_one_state(pool, box):
    driver = await mixed(pool, box)
    id_ = driver.campaign.campaign_id
    for state in set(STATES):
        page = await reports.recipients(pool, id_, state=state)
        assert [r.state for r in page.recipients] == [s for s in STATES if s == state]
    assert (await reports.recipients(pool, id_, state="READ")).recipients == []


async def test_unclaimed_rows_of_a_cancelled_campaign_are_cancelled(pool, box):
    driver = await mixed(pool, box)
    cancel = schema.CampaignCommand(decision_id=uuid4(), command="cancel")
    await campaigns.command(pool, driver.campaign.campaign_id, cancel)
    page = await reports.recipients(pool, driver.campaign.campaign_id)
    assert [r.state for r in page.recipients] == [*STATES[:6], *["CANCELLED"] * 4]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "LTEuMg", "MQ", "\u00e9"])
async def test_a_foreign_cursor_is_refused(pool, box, cursor):
    driver = await make_driver(pool, box, 1)
    with pytest.raises(errors.BadCursor):
        await reports.recipients(pool, driver.campaign.campaign_id, cursor=cursor)


async def test_recipients_of_an_unknown_campaign_are_not_found(pool):
    with pytest.raises(errors.NotFound):
        await reports.recipients(pool, uuid4())


async def test_message_errors_are_named_in_their_context(pool, box):
    driver = await mixed(pool, box)
    found = (await reports.message_errors(pool, driver.campaign.campaign_id)).errors
    assert [(e.context, e.code, e.name, e.count) for e in found] == [
        ("receipt", "UNDELIV err:045", "UNDELIV err:045", 1),
        ("response", "0x0000000B", "ESME_RINVDSTADR", 1),
    ]
    assert all(e.meaning for e in found)


async def test_the_series_sums_workers_and_never_goes_below_zero(pool, box):
    driver = await mixed(pool, box)
    points = (await reports.series(pool, driver.campaign.campaign_id)).points
    assert sum(p.sent for p in points) == 3
    assert (sum(p.delivered for p in points), sum(p.failed for p in points)) == (1, 2)
    await pool.execute(
        "INSERT INTO campaign_series VALUES ($1, '2030-01-01', 999, 0, 0, -1)", driver.campaign.campaign_id
    )
    assert (await reports.series(pool, driver.campaign.campaign_id)).points[-1].failed == 0


async def test_job_errors_count_exactly_and_page_by_page(pool, box):
    driver = await make_driver(pool, box, 1)
    id_ = driver.campaign.campaign_id
    upload_id = await pool.fetchval("SELECT upload_id FROM campaigns")
    await pool.executemany(
        "INSERT INTO job_errors (upload_id, line_no, code, detail) VALUES ($1, $2, 'too_short', 'x')",
        [(upload_id, line) for line in range(5)],
    )
    await pool.execute("INSERT INTO job_error_counts VALUES ($1, 'too_short', 12345)", upload_id)
    await pool.execute(
        "INSERT INTO job_errors (campaign_id, code, detail) VALUES ($1, 'bind_refused', 'x')", id_
    )
    first = await reports.job_errors(pool, id_, limit=4)
    assert first.counts == {"bind_refused": 1, "too_short": 12345}
    assert (first.total, [error.line_no for error in first.errors]) == (12346, [0, 1, 2, 3])
    rest = await reports.job_errors(pool, id_, first.next, 4)
    assert ([error.code for error in rest.errors], rest.next) == (["too_short", "bind_refused"], None)
    of_file = await reports.job_errors(pool, upload_id=upload_id)
    assert (of_file.total, of_file.counts, len(of_file.errors)) == (12345, {"too_short": 12345}, 5)
    for unknown in ({"upload_id": uuid4()}, {"campaign_id": uuid4()}):
        with pytest.raises(errors.NotFound):
            await reports.job_errors(pool, **unknown)
