"""Dispatch against a real ledger and a real socket: every row once, whatever happens on the way."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from engine.core_api import schema
from engine.dispatch import claims as dispatch_claims
from engine.ledger import trial_messages

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any


async def test_every_row_goes_out_once_and_every_receipt_counts(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.receipts = True
    channel = await room.channel(smsc.port, binds=2)
    campaign = await room.campaign(channel, await room.upload(2500))
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert len(smsc.accepted) == len(smsc.seen) == 2500
    assert done.counts.waiting == done.counts.in_flight or done.counts.delivered

    async def delivered() -> bool:
        return (await room.get(campaign)).counts.delivered == 2500

    await until(delivered, "all delivered")
    counts = await room.balanced(campaign)
    assert (counts.delivered, counts.waiting, counts.submissions, counts.receipts) == (2500, 0, 2500, 2500)
    assert await room.open_claims() == 0
    assert smsc.binds == 2


async def test_all_parts_of_long_messages_go_out(room: Room, smsc: Smsc) -> None:
    channel = await room.channel(smsc.port)
    text = "{{name}} 🚀 " + "long enough for several parts of UCS-2 " * 4
    campaign = await room.campaign(channel, await room.upload(200), text)
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert set(smsc.accepted.values()) == {3}
    assert (done.counts.parts, done.counts.waiting, done.counts.in_flight) == (600, 200, 200)
    await room.balanced(campaign)


async def test_texts_that_cannot_go_out_are_failed_rows(room: Room, smsc: Smsc) -> None:
    channel = await room.channel(smsc.port, settings={"max_parts": 1})
    upload = await room.upload(90, names=["Ada", "x" * 200, ""])
    campaign = await room.campaign(channel, upload, "{{name}}")
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert (len(smsc.seen), done.counts.failed, done.counts.in_flight) == (30, 60, 30)
    assert await room.open_claims() == 0
    await room.balanced(campaign)


async def test_a_pause_gives_unwritten_rows_back_and_resume_goes_on(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: 0 if number < 500 else None
    channel = await room.channel(smsc.port, binds=2)
    campaign = await room.campaign(channel, await room.upload(3000))
    engine = await room.engine()
    await until(lambda: smsc.held == 40, "windows are full")
    await room.command(campaign, "pause")
    smsc.answer = lambda number, destination: 0

    async def only_written_rows_are_claimed() -> bool:
        claimed = await room.pool.fetchval("SELECT sum(claimed_to) FROM slices")
        return bool(claimed == len(smsc.seen) == 540)

    await until(only_written_rows_are_claimed, "given back")
    smsc.release()

    async def closed() -> bool:
        return bool(await room.open_claims() == 0)

    await until(closed, "claims closed")
    assert engine.dispatcher.rate_per_s(campaign) == 0
    paused = await room.balanced(campaign)
    assert (paused.in_flight, paused.waiting) == (540, 3000)
    await room.command(campaign, "resume")
    await room.reaches(campaign, "Done")
    assert len(smsc.seen) == len(smsc.accepted) == 3000
    await room.balanced(campaign)


async def test_a_claim_ends_only_after_its_unwritten_rows_are_back(
    room: Room, smsc: Smsc, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the rows between the two would be claimed by nobody and never sent."""
    gate, give_back = asyncio.Event(), dispatch_claims.give_back

    async def slowly(*given: Any) -> Any:
        await gate.wait()
        return await give_back(*given)

    monkeypatch.setattr(dispatch_claims, "give_back", slowly)
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(30))  # one claim
    engine = await room.engine()
    await until(lambda: smsc.held == 20, "window is full")
    await room.command(campaign, "pause")
    (working,) = engine.dispatcher._working.values()
    await until(lambda: not working.binds.senders[0].queue, "what was not begun is on its way back")
    smsc.answer = lambda number, destination: 0
    smsc.release()
    await until(lambda: engine.dispatcher.pulse().in_flight == 0, "all answers are in")
    await engine.writer.flush()
    gate.set()

    async def closed() -> bool:
        return bool(await room.open_claims() == 0)

    await until(closed, "claims closed")
    assert await room.pool.fetchval("SELECT sum(claimed_to) FROM slices") == len(smsc.seen) == 20
    await room.command(campaign, "resume")
    await room.reaches(campaign, "Done")
    assert len(smsc.seen) == len(smsc.accepted) == 30
    await room.balanced(campaign)


async def test_a_pause_finishes_messages_that_were_begun(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, window_size=10)
    campaign = await room.campaign(channel, await room.upload(100), "{{name}}" + "ë 🚀" * 40)
    await room.engine()
    await until(lambda: smsc.held == 10, "window is full")
    parts = 3
    assert len(smsc.seen) % parts, "the window ends inside a message"
    await room.command(campaign, "pause")

    async def given_back() -> bool:
        return bool(await room.pool.fetchval("SELECT sum(claimed_to) FROM slices") == 4)

    await until(given_back, "given back")
    smsc.answer = lambda number, destination: 0
    smsc.release()

    async def closed() -> bool:
        return bool(await room.open_claims() == 0)

    await until(closed, "claims closed")
    assert set(smsc.accepted.values()) == {parts}
    assert len(smsc.accepted) == 4
    assert (await room.balanced(campaign)).in_flight == 4


async def test_cancel_counts_what_was_never_claimed(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.answer = lambda number, destination: 0 if number < 300 else None
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(2000))
    await room.engine()
    await until(lambda: smsc.held == 20, "window is full")
    await room.command(campaign, "cancel")

    async def counted() -> bool:
        return (await room.get(campaign)).counts.cancelled == 2000 - 320

    await until(counted, "cancelled rows are counted")
    smsc.release()

    async def closed() -> bool:
        return bool(await room.open_claims() == 0)

    await until(closed, "claims closed")
    counts = await room.balanced(campaign)
    assert (counts.in_flight, counts.cancelled, counts.waiting) == (320, 1680, 320)
    assert len(smsc.seen) == 320


async def test_a_cancelled_campaign_that_never_started_is_counted_too(
    room: Room, smsc: Smsc, until: Until
) -> None:
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(50), start=False)
    await room.engine()
    await room.command(campaign, "cancel")

    async def counted() -> bool:
        return (await room.get(campaign)).counts.cancelled == 50

    await until(counted, "cancelled rows are counted")
    assert smsc.seen == []


async def test_throttled_parts_go_again_and_slow_the_account(room: Room, smsc: Smsc) -> None:
    refused: set[str] = set()

    def answer(number: int, destination: str) -> int:
        if number % 10 or destination in refused:
            return 0
        refused.add(destination)
        return 0x58

    smsc.answer = answer
    channel = await room.channel(smsc.port, window_size=100)
    campaign = await room.campaign(channel, await room.upload(300))
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert set(smsc.accepted.values()) == {1}
    assert len(smsc.accepted) == 300
    assert done.counts.throttled == len(refused) > 0
    assert done.counts.failed == 0
    assert (await room.balanced(campaign)).submissions == 300


async def test_temporary_errors_are_tried_again_and_permanent_ones_are_not(room: Room, smsc: Smsc) -> None:
    tried: dict[str, int] = {}

    def answer(number: int, destination: str) -> int:
        tried[destination] = tried.get(destination, 0) + 1
        if destination.endswith("7"):
            return 0x08 if tried[destination] == 1 else 0
        return 0x0B if destination.endswith("3") else 0

    smsc.answer = answer
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(100))
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert (done.counts.retried, done.counts.failed, done.counts.in_flight) == (10, 10, 90)
    assert {count for destination, count in tried.items() if destination.endswith("3")} == {1}
    assert {count for destination, count in tried.items() if destination.endswith("7")} == {2}
    await room.balanced(campaign)


async def test_a_session_error_restarts_the_bind_and_costs_no_message(
    room: Room, smsc: Smsc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.dispatch.account._FAULTY_PAUSE_S", 0.05)
    smsc.answer = lambda number, destination: 0x04 if number == 50 else 0
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(500))
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_flight, done.counts.failed) == (500, 0)
    assert set(smsc.accepted.values()) == {1}
    assert smsc.binds == 2
    await room.balanced(campaign)


async def test_no_response_in_time_is_in_doubt_and_the_rest_goes_on(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None if number % 50 == 0 else 0
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(500))
    await room.engine(response_timeout_s=0.5)
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_doubt, done.counts.in_flight) == (10, 490)
    assert set(smsc.seen) == {str(447_700_000_000 + i) for i in range(500)}
    await room.balanced(campaign)
    smsc.release()

    async def resolved() -> bool:
        return (await room.get(campaign)).counts.in_doubt == 0

    await until(resolved, "late responses resolve the doubt")
    assert (await room.balanced(campaign)).in_flight == 500


async def test_a_lost_connection_leaves_its_window_in_doubt_and_the_rest_goes_on(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: 0 if number < 100 else None
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(1000))
    await room.engine()
    await until(lambda: smsc.held == 20, "window is full")
    smsc.answer = lambda number, destination: 0
    smsc.drop()
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_doubt, done.counts.in_flight) == (20, 980)
    assert len(smsc.seen) == len(set(smsc.seen)) == 1000
    assert smsc.binds == 2
    await room.balanced(campaign)


async def test_the_tps_of_an_account_is_kept_over_its_binds(room: Room, smsc: Smsc) -> None:
    channel = await room.channel(smsc.port, tps=200, binds=3)
    campaign = await room.campaign(channel, await room.upload(400))
    await room.engine()
    await room.reaches(campaign, "Done")
    for start in smsc.at:
        assert sum(start <= at < start + 1 for at in smsc.at) <= 200 * 1.1 + 3
    assert smsc.at[-1] - smsc.at[0] == pytest.approx(2, rel=0.25)


async def test_two_campaigns_share_an_account_in_turns(room: Room, smsc: Smsc) -> None:
    channel = await room.channel(smsc.port, tps=400, window_size=10)
    upload, other = await room.upload(400), await room.upload(400)
    first = await room.campaign(channel, upload, "first")
    second = await room.campaign(channel, other, "second")
    await room.engine()
    await room.reaches(first, "Done")
    await room.reaches(second, "Done")
    seen = {"first": 0, "second": 0}
    rows = await room.pool.fetch(
        "SELECT s.campaign_id FROM submissions m JOIN slices s USING (slice_id) ORDER BY m.sent_at LIMIT 400"
    )
    seen = {each: sum(row["campaign_id"] == each for row in rows) for each in (first, second)}
    assert min(seen.values()) > 100


async def test_a_stop_gives_back_and_a_new_start_goes_on(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.answer = lambda number, destination: 0 if number < 400 else None
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(1500))
    engine = await room.engine()
    await until(lambda: smsc.held == 20, "window is full")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await engine.stop(1.0)
    assert loop.time() - began < 3
    stopped = await room.balanced(campaign)
    assert (stopped.in_flight, stopped.in_doubt) == (400, 20)
    assert await room.open_claims() == 0
    assert await room.pool.fetchval("SELECT sum(claimed_to) FROM slices") == 420
    smsc.answer = lambda number, destination: 0
    await room.engine()
    await room.reaches(campaign, "Done")
    assert len(smsc.seen) == len(set(smsc.seen)) == 1500
    assert (await room.balanced(campaign)).in_doubt == 20


async def test_a_stop_waits_for_the_responses_in_flight(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.answer = lambda number, destination: 0 if number < 100 else None
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(500))
    engine = await room.engine()
    await until(lambda: smsc.held == 20, "window is full")
    stopping = asyncio.create_task(engine.stop(3.0))

    async def given_back() -> bool:
        return bool(await room.pool.fetchval("SELECT sum(claimed_to) FROM slices") == 120)

    await until(given_back, "given back")
    smsc.release()
    await stopping
    counts = await room.balanced(campaign)
    assert (counts.in_flight, counts.in_doubt) == (120, 0)


async def test_a_campaign_whose_chunk_was_changed_fails_with_the_reason(room: Room, smsc: Smsc) -> None:
    channel = await room.channel(smsc.port)
    upload = await room.upload(300, chunk_rows=100)
    await room.pool.execute(
        "UPDATE recipient_chunks SET data = data || '\\x00' WHERE upload_id = $1 AND chunk_no = 1", upload
    )
    campaign = await room.campaign(channel, upload)
    await room.engine()
    failed = await room.reaches(campaign, "Failed")
    assert "not what was sealed" in failed.reason
    assert set(smsc.seen) <= {str(447_700_000_000 + i) for i in range(300) if not 100 <= i < 200}


async def test_a_text_with_an_unknown_column_fails_with_the_reason(room: Room, smsc: Smsc) -> None:
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(3), "Hi {{nmae}}")
    await room.engine()
    assert "nmae" in (await room.reaches(campaign, "Failed")).reason
    assert smsc.seen == []


async def test_without_a_bind_the_campaign_says_what_it_waits_for(
    room: Room, smsc: Smsc, until: Until
) -> None:
    await smsc.stop()
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(10))
    engine = await room.engine()

    async def says() -> bool:
        return (await room.get(campaign)).reason == "waiting for a bind of Test"

    await until(says, "the reason")
    assert [bind.state for bind in engine.dispatcher.binds()] != ["bound"]
    await smsc.start()
    assert (await room.reaches(campaign, "Done")).reason == ""
    assert await room.pool.fetchval("SELECT state FROM binds") == "bound"


async def test_a_changed_account_is_taken_over_while_sending(room: Room, smsc: Smsc, until: Until) -> None:
    channel = await room.channel(smsc.port, tps=20, window_size=10)
    campaign = await room.campaign(channel, await room.upload(600))
    engine = await room.engine()
    await until(lambda: len(smsc.seen) > 5, "under way")
    await room.channel(smsc.port, tps=50_000, window_size=10)
    engine.dispatcher.wake()
    await until(lambda: len(smsc.seen) > 100, "faster")
    await room.channel(smsc.port, tps=50_000, window_size=30, binds=2)
    engine.dispatcher.wake()
    done = await room.reaches(campaign, "Done")
    assert len(smsc.seen) == len(set(smsc.seen)) == 600
    assert done.counts.in_doubt == 0
    await room.balanced(campaign)


async def test_an_account_changed_while_parts_wait_for_a_retry_ends_its_claims(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: 0x08 if number < 10 else 0
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(300))
    engine = await room.engine(stop_timeout_s=0.2)
    await until(lambda: len(smsc.seen) >= 300, "the others went out")
    await room.channel(smsc.port, binds=2)
    engine.dispatcher.wake()
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_doubt, done.counts.in_flight) == (0, 300), "refused is not in doubt: it goes again"
    assert max(smsc.accepted.values()) == 1
    assert await room.open_claims() == 0
    await room.balanced(campaign)


async def test_a_worker_past_its_deadline_writes_nothing(room: Room, smsc: Smsc, until: Until) -> None:
    channel = await room.channel(smsc.port, tps=200)
    campaign = await room.campaign(channel, await room.upload(2000))
    engine = await room.engine()
    await until(lambda: len(smsc.seen) > 20, "under way")
    await room.pool.execute("UPDATE workers SET stopped_at = now()")
    assert not await engine.worker.renew()
    written = len(smsc.seen)
    await until(lambda: engine.dispatcher.pulse().status == "degraded", "it is said")
    campaign_rows: UUID = campaign
    await until(lambda: engine.dispatcher.pulse().in_flight == 0, "responses are in")
    assert len(smsc.seen) <= written + 20
    assert (await room.get(campaign_rows)).state == "Sending"


async def test_claims_without_a_committed_result_stay_under_the_bound(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, binds=4, window_size=100)
    await room.campaign(channel, await room.upload(5000))
    await room.engine(max_claimed=250)

    async def claimed() -> int:
        query = "SELECT coalesce(sum(row_end - row_start), 0) FROM claims WHERE closed_at IS NULL"
        return int(await room.pool.fetchval(query))

    async def what_bulk_may_have() -> bool:
        return await claimed() >= 225  # a tenth is kept for express

    await until(what_bulk_may_have, "claimed what is allowed")
    await until(lambda: smsc.binds == 4, "all are bound")
    assert await claimed() == 225


async def test_campaigns_wait_for_the_tokens_of_a_test_message(room: Room, smsc: Smsc, until: Until) -> None:
    """At 2 a second the four parts of a test message are two seconds of the account's TPS."""
    channel = await room.channel(smsc.port, tps=2)
    engine = await room.engine()
    order = schema.TestMessageSpec(decision_id=uuid4(), msisdn="447700900123", sender="Bank", text="x" * 600)
    async with room.pool.acquire() as connection, connection.transaction():
        await trial_messages.record(connection, channel, order, order.text)
    engine.dispatcher.wake()
    await until(lambda: len(smsc.seen) == 4, "the test message")
    await room.campaign(channel, await room.upload(1))
    engine.dispatcher.wake()
    await until(lambda: len(smsc.seen) == 5, "the campaign")
    assert smsc.at[4] - smsc.at[0] >= 1.9
