"""Receipts as PDUs against a real ledger: whose they are, what they say, and what a person wrote."""

from array import array
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from ledger_world import FIRST_MSISDN, Driver, make_driver, make_worker, start_campaign

from engine._fast import receipts as fast_receipts
from engine.core_api import schema
from engine.ledger import receipt_reports, reports, settle
from engine.ledger.accounts import upsert_account
from engine.ledger.errors import BadCursor, NotFound
from engine.ledger.matching import MatchedBy
from engine.ledger.recovery import recover
from engine.ledger.writer import LedgerWriter
from engine.smpp import codec

STOP = b"STOP"


def deliver(
    text: bytes, *, row: int = 0, esm_class: int = 4, number: str | None = None, data_coding=0
) -> bytes:
    fields = {
        "source_addr": (number or str(FIRST_MSISDN + row)).encode(), "destination_addr": b"HELIO",
        "esm_class": esm_class, "short_message": text, "data_coding": data_coding,
    }  # fmt: skip
    return codec.encode(5, 1, fields=fields)


def receipt(id_: str, *, row: int = 0, stat: str = "DELIVRD", more: str = "", **options) -> bytes:
    return deliver(f"id:{id_} stat:{stat} err:000 {more}".encode(), row=row, **options)


def arrive(driver: Driver, *pdus: bytes, account_id: int | None = None, writer: LedgerWriter | None = None):
    start, end, at = array("i"), array("i"), 0
    for pdu in pdus:
        start.append(at)
        at += len(pdu)
        end.append(at)
    batch = fast_receipts.parse(b"".join(pdus), start, end)
    (writer or driver.writer).receipts(account_id or driver.account_id, batch, driver._acknowledge)


async def submitted(driver: Driver, *ids: str) -> None:
    """A row for each id, accepted under it."""
    await driver.claim([1] * len(ids))
    first = len(driver.parts) - len(ids)
    driver.results((first + i, 1, 0, 0, 0, id_, False) for i, id_ in enumerate(ids))
    await driver.writer.flush()


async def set_rules(driver: Driver, **rules) -> None:
    await driver.fetch(
        "UPDATE accounts SET settings = $1 WHERE account_id = $2",
        msgspec.json.encode(rules).decode(),
        driver.account_id,
    )
    await driver.writer.sweep_orphans()


async def settled_orphans(driver: Driver) -> list[str]:
    """Everything written and swept; the ids that are still open."""
    await driver.writer.flush()
    await driver.writer.sweep_orphans()
    rows = await driver.fetch(
        "SELECT smsc_id FROM orphan_receipts WHERE matched_at IS NULL AND inbound_id IS NULL"
        " ORDER BY orphan_id"
    )
    return [row["smsc_id"] for row in rows]


async def balanced(driver: Driver) -> bool:
    found = await driver.equation()
    assert found.balanced, found.first_difference
    return True


@pytest.mark.parametrize(
    ("response", "in_receipt", "by"),
    [
        ("0A1b", "0A1b", MatchedBy.EXACT), ("0A1b", "a1B", MatchedBy.FOLDED),
        ("000012", "12", MatchedBy.FOLDED), ("439041101", "1A2B3C4D", MatchedBy.HEX_TO_DEC),
        ("1a2b3c4d", "439041101", MatchedBy.DEC_TO_HEX),
    ],
)  # fmt: skip
async def test_an_id_in_another_spelling_finds_its_message_by_its_destination(
    driver, response, in_receipt, by
):
    await submitted(driver, response)
    arrive(driver, receipt(in_receipt, number="1510000000000000"))
    unmatched = await settled_orphans(driver)
    assert unmatched == ([] if by is MatchedBy.EXACT else [in_receipt])
    arrive(driver, receipt(in_receipt))
    assert await settled_orphans(driver) == unmatched
    assert (await driver.counts()).delivered == 1
    stored = await driver.fetch("SELECT matched_by, smsc_id FROM receipts ORDER BY received_at DESC LIMIT 1")
    assert tuple(stored[0]) == (by, None if by is MatchedBy.EXACT else in_receipt)
    assert await balanced(driver)


async def test_a_receipt_with_a_local_number_finds_its_message_in_another_base(driver):
    await submitted(driver, "ff")
    arrive(driver, receipt("255", number=str(FIRST_MSISDN)[-9:]))
    assert await settled_orphans(driver) == []


async def test_a_base_is_learned_locked_and_then_matched_in_memory(pool, box):
    driver = await make_driver(pool, box, rows=400)
    ids = list(range(1_000_000, 1_000_300))
    await submitted(driver, *(f"{id_:x}" for id_ in ids))
    arrive(driver, *(receipt(str(id_), row=i) for i, id_ in enumerate(ids[:99])))
    assert await settled_orphans(driver) == []
    await driver.writer.sweep_orphans()  # stores what the last one taught
    learning = await receipt_reports.account_ids(pool, "a")
    assert (learning.response, learning.needed, learning.evidence[0].matches) == (None, 1, 99)
    arrive(driver, receipt(str(ids[99]), row=99))
    assert await settled_orphans(driver) == []
    await driver.writer.sweep_orphans()
    locked = await receipt_reports.account_ids(pool, "a")
    assert (locked.response, locked.receipt, locked.needed) == ("hex", "dec", 0)
    assert locked.locked_at is not None
    more = ["7fffffff", "80000000"]
    await driver.claim([1, 1])
    driver.results((300 + i, 1, 0, 0, 0, id_, False) for i, id_ in enumerate(more))
    arrive(
        driver, receipt("2147483647", row=300), receipt("2147483648", row=300), receipt("2147483648", row=301)
    )
    await driver.writer.flush()
    stored = await driver.fetch(
        "SELECT row_no, matched_by, smsc_id FROM receipts WHERE row_no >= 300 ORDER BY 1"
    )
    assert [tuple(row) for row in stored] == [
        (300, MatchedBy.DEC_TO_HEX, "2147483647"), (301, MatchedBy.DEC_TO_HEX, "2147483648"),
    ]  # fmt: skip
    assert await settled_orphans(driver) == ["2147483648"]  # another's number: never by chance
    assert (await driver.counts()).delivered == 102
    assert await balanced(driver)
    reset = schema.IdReset(decision_id=uuid4())
    anew = await receipt_reports.reset_ids(pool, "a", reset)
    assert (anew.response, anew.evidence) == (None, [])


async def test_two_accounts_with_the_same_id_never_mix(driver, pool, box):
    async with pool.acquire() as connection:
        spec = schema.AccountSpec(name="b", host="127.0.0.1", port=1, system_id="b", password="x")
        other = await upsert_account(connection, spec, box)
    await submitted(driver, "77", "4d")
    arrive(driver, receipt("77"), receipt("4D", row=1), account_id=other)
    assert await settled_orphans(driver) == ["77", "4D"]
    assert (await driver.counts()).delivered == 0
    arrive(driver, receipt("77"))
    assert await settled_orphans(driver) == ["77", "4D"]
    assert (await driver.counts()).delivered == 1


async def test_a_reused_id_means_the_newest_message_also_after_a_restart(driver, pool):
    await submitted(driver, "5", "5")
    arrive(driver, receipt("5"))
    await driver.writer.flush()
    await driver.fetch("UPDATE workers SET stopped_at = now()")
    driver.writer = LedgerWriter(
        pool, await make_worker(pool), recent_capacity=10, hold_s=0.0, orphan_interval_s=0.0
    )
    arrive(driver, receipt("5", stat="UNDELIV"))
    assert await settled_orphans(driver) == []
    assert {row["row_no"] for row in await driver.fetch("SELECT row_no FROM receipts")} == {1}
    assert (await driver.counts()).delivered == 1


async def test_a_receipt_at_another_worker_is_counted_once_by_the_one_that_sent(driver, pool):
    """The sibling bind of another worker: it stores the receipt, the sender's worker matches it."""
    await submitted(driver, "1", "2")
    other = LedgerWriter(pool, await make_worker(pool, "other"), recent_capacity=10, hold_s=0.0)
    await other.rebuild()
    arrive(driver, receipt("1"), writer=other)
    await other.flush()
    await other.sweep_orphans()
    assert (await driver.counts()).delivered == 0  # not its to count: the sender has the id in memory
    await driver.writer.sweep_orphans()
    arrive(driver, receipt("1"))
    arrive(driver, receipt("1"), writer=other)
    await driver.writer.flush()
    await other.flush()
    await driver.writer.sweep_orphans()
    counts = await driver.counts()
    assert (counts.delivered, counts.receipts) == (1, 3)
    assert await balanced(driver)
    await other.stop()


async def test_a_dead_workers_receipts_are_its_heirs_to_count(driver, pool):
    await submitted(driver, "1", "2", "3")
    await driver.fetch("UPDATE workers SET stopped_at = now() WHERE worker_id = $1", driver.writer.worker_id)
    heir, other = [
        LedgerWriter(
            pool, await make_worker(pool, name), recent_capacity=10, hold_s=0.0, orphan_interval_s=0.0
        )
        for name in ("heir", "other")
    ]
    assert (await heir.rebuild(), await other.rebuild()) == (3, 0)
    arrive(driver, receipt("1"), writer=other)
    await other.flush()
    await other.sweep_orphans()
    assert (await driver.counts()).delivered == 0
    await heir.sweep_orphans()
    arrive(driver, receipt("1"), writer=heir)
    await heir.flush()
    counts = await driver.counts()
    assert (counts.delivered, counts.receipts) == (1, 2)
    await driver.fetch("UPDATE workers SET stopped_at = now() WHERE worker_id = $1", heir.worker_id)
    arrive(driver, receipt("2"), writer=other)  # nobody has it in memory any more
    await other.flush()
    await other.sweep_orphans()
    assert (await driver.counts()).delivered == 2
    await recover(pool, other.worker_id)
    assert await balanced(driver)
    await heir.stop()
    await other.stop()


# what people wrote -----------------------------------------------------------------------------------------


async def test_a_stop_without_a_flag_is_never_swallowed(driver):
    """Stored whole before it is acknowledged; a text that only looks like a receipt stays a message."""
    await submitted(driver, "1")
    pdus = [
        deliver(STOP, esm_class=0), deliver(b"id:9 stat:DELIVRD STOP", esm_class=0),
        deliver("СТОП".encode("utf-16-be"), esm_class=0, data_coding=8), receipt("1", esm_class=0),
        deliver(b"\x05\x00\x03\x07\x02\x01first half", esm_class=0x40),
        deliver(b"read", esm_class=8),
    ]  # fmt: skip
    arrive(driver, *pdus)
    assert driver.acknowledged == 0
    await driver.writer.flush()
    assert driver.acknowledged == 1
    page = await receipt_reports.inbound(driver.pool)
    assert [(each.kind, each.text, each.parts) for each in reversed(page.messages)] == [
        ("message", "STOP", 1), ("message", "СТОП", 1), ("message", "first half", 2),
        ("acknowledgement", "read", 1), ("message", "id:9 stat:DELIVRD STOP", 1),
    ]  # fmt: skip
    assert page.messages[-1].msisdn == str(FIRST_MSISDN)
    assert (await driver.counts()).delivered == 1  # its id is known: a receipt without its flag
    assert await settled_orphans(driver) == []
    assert (await receipt_reports.orphans(driver.pool)).orphans == []  # a message is no orphan


async def test_a_malformed_deliver_sm_is_kept_as_it_came(driver):
    cut = deliver(STOP)[:34]
    cut = len(cut).to_bytes(4, "big") + cut[4:]
    arrive(driver, cut)
    await driver.writer.flush()
    (row,) = await driver.fetch("SELECT kind, pdu FROM inbound")
    assert (row["kind"], bytes(row["pdu"]), driver.acknowledged) == (2, cut, 1)


async def test_a_receipt_without_its_flag_is_recognised_when_its_id_turns_up(driver):
    await driver.claim([1])
    arrive(driver, receipt("late", esm_class=0))
    await driver.writer.flush()
    (message,) = (await receipt_reports.inbound(driver.pool)).messages
    assert (message.receipt_at, driver.acknowledged) == (None, 1)
    driver.results([(0, 1, 0, 0, 0, "late", False)])
    assert await settled_orphans(driver) == []
    assert (await driver.counts()).delivered == 1
    (message,) = (await receipt_reports.inbound(driver.pool)).messages
    assert message.receipt_at is not None
    assert await balanced(driver)


async def test_pages_of_messages_are_whole_and_in_order(driver):
    for number in range(7):
        arrive(driver, deliver(b"%d" % number, esm_class=0))
    await driver.writer.flush()
    seen, cursor = [], None
    while True:
        page = await receipt_reports.inbound(driver.pool, account="a", cursor=cursor, limit=3)
        seen += [each.text for each in page.messages]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [str(number) for number in reversed(range(7))]
    assert (await receipt_reports.inbound(driver.pool, account="nobody")).messages == []
    with pytest.raises(BadCursor):
        await receipt_reports.inbound(driver.pool, cursor="x")


# dates and verdicts ----------------------------------------------------------------------------------------


async def test_acceptd_is_final_where_the_account_says_so(driver):
    await submitted(driver, "1", "2")
    arrive(driver, receipt("1", stat="ACCEPTD"))
    await driver.writer.flush()
    assert (await driver.counts()).delivered == 0
    await set_rules(driver, accepted_is_final=True)
    arrive(driver, receipt("2", row=1, stat="ACCEPTD"))
    arrive(driver, receipt("2", row=1, stat="UNDELIV"))
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.delivered, counts.undelivered) == (1, 0)
    assert await balanced(driver)


@pytest.mark.parametrize("in_memory", [True, False], ids=["recent", "orphan"])
async def test_done_dates_are_read_in_the_accounts_zone_and_only_between_submit_and_arrival(
    driver, in_memory
):
    await set_rules(driver, receipt_tz="Asia/Kolkata")
    now = datetime.now(UTC).replace(microsecond=0)
    driver.now_us = round((now - timedelta(seconds=100)).timestamp() * 1e6)
    await driver.claim([1, 1, 1])
    local = now + timedelta(hours=5, minutes=30)
    dates = [f"{local - timedelta(seconds=ago):%y%m%d%H%M%S}" for ago in (50, 5000, -5000)]

    def results() -> None:
        driver.results((i, 1, 0, 0, 0, f"{i}", False) for i in range(3))

    if in_memory:
        results()
    arrive(driver, *(receipt(str(i), row=i, more=f"done date:{date}") for i, date in enumerate(dates)))
    await driver.writer.flush()
    if not in_memory:
        results()
        assert await settled_orphans(driver) == []
    rows = await driver.fetch("SELECT done_at, done_raw, received_at FROM receipts ORDER BY row_no")
    assert [row["done_raw"] for row in rows] == dates
    assert rows[0]["done_at"] == now - timedelta(seconds=50)
    assert [row["done_at"] == row["received_at"] for row in rows] == [False, True, True]


async def test_a_message_ended_when_its_receipt_says_and_a_correction_is_marked(driver, pool):
    """In the account's zone; where the date cannot be true, when the receipt came. Repeats change nothing."""
    await set_rules(driver, receipt_tz="Asia/Kolkata")
    now = datetime.now(UTC).replace(microsecond=0)
    driver.now_us = round((now - timedelta(seconds=100)).timestamp() * 1e6)
    await driver.claim([1, 1, 1, 2, 1])
    driver.results((row, 1, 0, 1, 0x08, "", True) for row in (4,))
    driver.results((i, 1, 0, 0, 0, f"{i}", False) for i in (0, 1, 2, 4))
    driver.results((3, part, 0, 0, 0, f"3.{part}", False) for part in (1, 2))

    def done(ago: int) -> str:
        return f"done date:{now + timedelta(hours=5, minutes=30, seconds=-ago):%y%m%d%H%M%S}"

    arrive(driver, receipt("0", row=0, more=done(50)))
    arrive(driver, receipt("1", row=1, stat="UNDELIV", more=done(60)))
    arrive(driver, receipt("2", row=2, more=done(5000)))
    arrive(driver, receipt("3.1", row=3, stat="UNDELIV", more=done(40)))
    arrive(driver, receipt("4", row=4, more=done(70)))
    await driver.writer.flush()
    arrive(driver, receipt("0", row=0, more=done(1)), receipt("0", row=0, stat="UNDELIV", more=done(1)))
    arrive(driver, receipt("1", row=1, more=done(30)))
    arrive(driver, receipt("3.1", row=3, more=done(20)), receipt("3.2", row=3, more=done(45)))
    await driver.writer.flush()
    found = (await reports.recipients(pool, driver.campaign.campaign_id)).recipients[:5]
    assert [one.state for one in found] == ["DELIVERED"] * 5
    assert [one.corrected for one in found] == [False, True, False, True, False]
    ended = [(now - one.done_at).total_seconds() for one in found]
    assert [round(ended[row]) for row in (0, 1, 3, 4)] == [50, 30, 20, 70]
    assert ended[2] <= 0, "its arrival"


async def test_the_zone_of_dates_is_proposed_never_applied(driver, pool):
    now = datetime.now(UTC)
    driver.now_us = round(now.timestamp() * 1e6)
    await submitted(driver, "1", "2", "3")
    local = now + timedelta(hours=5, minutes=30)
    more = f"submit date:{local:%y%m%d%H%M} done date:{local:%y%m%d%H%M}"
    arrive(driver, *(receipt(str(i + 1), row=i, more=more) for i in range(3)))
    await driver.writer.flush()
    await driver.writer.sweep_orphans()
    found = await receipt_reports.account_ids(pool, "a")
    assert found.zone_proposal is not None
    assert (found.zone_proposal.offset, found.zone_proposal.samples) == ("+05:30", 3)
    assert found.receipt_tz == "UTC"
    rows = await driver.fetch("SELECT done_at, received_at FROM receipts")
    assert all(row["done_at"] == row["received_at"] for row in rows)


async def test_network_error_codes_and_raw_dates_are_kept(driver):
    await submitted(driver, "1")
    pdu = receipt("1", stat="UNDELIV", more="done date:whenever")
    pdu += bytes.fromhex("042300030300aa")
    arrive(driver, len(pdu).to_bytes(4, "big") + pdu[4:])
    await driver.writer.flush()
    (row,) = await driver.fetch("SELECT network_error, done_raw, error FROM receipts")
    assert tuple(row) == ("0300aa", "whenever", "000")


async def test_an_undelivered_part_found_by_sql_before_the_other_parts_answer_is_counted(driver):
    await driver.claim([2])
    arrive(driver, receipt("a", stat="UNDELIV"))
    await driver.writer.flush()
    driver.results([(0, 1, 0, 0, 0, "a", False)])
    assert await settled_orphans(driver) == []
    driver.results([(0, 2, 0, 0, 0, "b", False)])
    await driver.writer.flush()
    assert (await driver.counts()).undelivered == 1
    assert await balanced(driver)


# orphans ---------------------------------------------------------------------------------------------------


async def test_orphans_are_shown_aged_and_tried_again_when_asked(driver, pool):
    await driver.claim([1])
    arrive(driver, receipt("old", stat="UNDELIV"), receipt("", number="HELIO"), receipt("ABC"))
    assert await settled_orphans(driver) == ["old", "", "ABC"]
    await driver.fetch(
        "UPDATE orphan_receipts SET stored_at = now() - interval '4 days',"
        " received_at = now() - interval '1 day' WHERE smsc_id = 'old'"
    )
    page = await receipt_reports.orphans(pool, account="a")
    assert [(each.smsc_id, each.age) for each in page.orphans] == [
        ("ABC", "waiting"), ("", "waiting"), ("old", "aged"),
    ]  # fmt: skip
    assert (page.waiting, page.aged) == (2, 1)
    assert "read as hex" in page.orphans[0].why
    assert "names no message id" in page.orphans[1].why
    assert (page.orphans[2].msisdn, page.orphans[2].verdict) == (str(FIRST_MSISDN), "undelivered")
    driver.now_us = round((datetime.now(UTC) - timedelta(days=2)).timestamp() * 1e6)
    driver.results([(0, 1, 0, 0, 0, "old", False)])
    assert await settled_orphans(driver) == ["old", "", "ABC"]  # over the horizon: not by itself
    order = schema.OrphanRetry(decision_id=uuid4(), orphan_ids=[page.orphans[2].orphan_id])
    assert (await receipt_reports.retry_orphans(pool, order)).orphans == 1
    assert (await receipt_reports.retry_orphans(pool, order)).orphans == 1  # the same decision, once
    assert await settled_orphans(driver) == ["", "ABC"]
    assert (await driver.counts()).undelivered == 1
    matched = await receipt_reports.orphans(pool, age="matched")
    assert [each.smsc_id for each in matched.orphans] == ["old"]
    assert await balanced(driver)


async def test_pages_of_orphans_are_whole_and_filtered(driver, pool):
    arrive(driver, *(receipt(f"x{number}") for number in range(7)))
    await driver.writer.flush()
    seen, cursor = [], None
    while True:
        page = await receipt_reports.orphans(pool, cursor=cursor, limit=3)
        seen += [each.smsc_id for each in page.orphans]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [f"x{number}" for number in reversed(range(7))]
    assert [each.smsc_id for each in (await receipt_reports.orphans(pool, smsc_id="x3")).orphans] == ["x3"]
    with pytest.raises(BadCursor):
        await receipt_reports.orphans(pool, cursor="-1")
    with pytest.raises(NotFound):
        await receipt_reports.retry_orphans(pool, schema.OrphanRetry(decision_id=uuid4(), account="nobody"))
    with pytest.raises(NotFound):
        await receipt_reports.account_ids(pool, "nobody")


async def test_a_test_messages_receipt_ends_with_it_and_is_no_orphan(driver, pool):
    test_id = uuid4()
    channel_id = driver.campaign.channel_id
    await driver.fetch(
        "INSERT INTO test_messages (test_id, channel_id, account_id, msisdn, sender, body)"
        " VALUES ($1, $2, $3, 4915100000000, 'HELIO', 'x')",
        test_id, channel_id, driver.account_id,
    )  # fmt: skip
    await driver.fetch(
        "INSERT INTO test_parts (test_id, part, account_id, smsc_id) VALUES ($1, 1, $2, 't-1')",
        test_id, driver.account_id,
    )  # fmt: skip
    arrive(driver, receipt("t-1"))
    assert await settled_orphans(driver) == []
    (part,) = await driver.fetch("SELECT stat, receipt_at FROM test_parts")
    assert part["stat"] == 2
    assert part["receipt_at"] is not None


# the horizon -----------------------------------------------------------------------------------------------

ENDED = datetime(2026, 1, 2, 12, tzinfo=UTC)
H = 3600


@pytest.mark.parametrize(
    ("account", "channel", "options", "seconds"),
    [
        ({}, {}, {}, 72 * H), ({}, {"validity_s": 3600}, {}, 25 * H),
        ({}, {"validity_s": 3600}, {"validity_s": 7200}, 26 * H),
        ({}, {"validity_period": "000001020000000R"}, {}, 50 * H), ({}, {"validity_s": 96 * H}, {}, 72 * H),
        ({}, {"validity_s": 3600, "validity_mode": "none"}, {}, 72 * H),
        ({"receipt_horizon_s": 100 * H}, {"validity_s": 3600}, {}, 100 * H),
        ({"receipt_horizon_s": 0}, {}, {}, 72 * H),
    ],
)  # fmt: skip
def test_the_horizon_is_validity_and_a_day_at_most_three(account, channel, options, seconds):
    assert settle.horizon_s(account, channel, options, ENDED, 72 * H) == seconds
    if not account.get("receipt_horizon_s"):
        assert settle.horizon_s(account, channel, options, ENDED, 60) == 60


async def test_a_message_without_a_receipt_ends_as_no_receipt_at_its_horizon(driver, pool):
    await set_rules(driver, receipt_horizon_s=600)
    key, slice_id = await start_campaign(pool, 2)
    mine = Driver(pool, driver.writer, driver.account_id, key, slice_id)
    await mine.claim([1, 1])
    mine.results((i, 1, 0, 0, 0, f"h{i}", False) for i in range(2))
    arrive(mine, receipt("h0"))
    await mine.writer.flush()
    for ago_s, settled in ((500, []), (700, [key.campaign_id])):
        await mine.fetch(
            "UPDATE campaigns SET state = 'Done', done_at = now() - make_interval(secs => $2::float8)"
            " WHERE campaign_id = $1",
            key.campaign_id, float(ago_s),
        )  # fmt: skip
        assert await settle.settle_due(pool, mine.writer.worker_id, 259_200) == settled
    counts = await mine.counts()
    assert (counts.delivered, counts.no_receipt, counts.in_flight) == (1, 1, 0)
    arrive(mine, receipt("h1", row=1, stat="UNDELIV"))  # late, and counted all the same
    await mine.writer.flush()
    assert (await mine.counts()).undelivered == 1
    assert await balanced(mine)
