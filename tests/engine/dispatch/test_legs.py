"""Campaigns by routes: each number over its own channel, and over another one only where nothing of it can be
with an operator."""

import hashlib
from array import array
from collections import Counter
from typing import Any, cast
from uuid import UUID, uuid4

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leg_room import BAD_SENDER, FULL, close, holds, numbers, over

from engine.core_api import schema
from engine.dispatch.legs import NO_ROUTE_FITS, _grouped
from engine.ledger import doubts, prices, reports, routes, wallets
from engine.ledger.retries import pack, unpack
from engine.ledger.routing import Candidate, RoutePlan, Tiered

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any


async def test_each_number_goes_once_over_the_channel_of_its_longest_prefix(
    two: Room, smsc: Smsc, other_smsc: Smsc
) -> None:
    await two.route("all", "one")
    await two.route("some", "two", prefix="4477000001")
    campaign = await two.campaign("", await two.upload(500, chunk_rows=150))
    await two.engine()
    done = await two.reaches(campaign, "Done")
    assert smsc.accepted == numbers(0, 100) + numbers(200, 500)
    assert other_smsc.accepted == numbers(100, 200)
    assert (done.channel, done.counts.in_flight) == ("", 500)
    assert await over(two, campaign) == {"one": (400, 400), "two": (100, 100)}
    await two.balanced(campaign)
    await holds(two)


async def test_a_number_that_no_route_fits_fails_with_that_reason_and_nothing_is_sent_to_it(
    two: Room, smsc: Smsc
) -> None:
    await two.route("some", "one", prefix="4477000001")
    campaign = await two.campaign("", await two.upload(300, chunk_rows=120))
    await two.engine()
    done = await two.reaches(campaign, "Done")
    assert smsc.accepted == numbers(100, 200)
    assert (done.counts.failed, done.counts.in_flight) == (200, 100)
    [error] = (await reports.message_errors(two.pool, campaign)).errors
    assert (error.context, error.code, error.count) == ("encode", "no_route", 200)
    assert await over(two, campaign) == {"one": (100, 100), "": (200, 0)}
    await two.balanced(campaign)
    await holds(two)


async def test_a_campaign_all_of_whose_numbers_no_route_fits_is_done_with_all_failed(two: Room) -> None:
    await two.route("elsewhere", "one", prefix="91")
    campaign = await two.campaign("", await two.upload(50))
    await two.engine()
    done = await two.reaches(campaign, "Done")
    assert done.counts.failed == 50
    await holds(two)


async def test_a_campaign_that_no_route_fits_waits_and_says_so_until_there_is_one(
    two: Room, smsc: Smsc, until: Until
) -> None:
    await two.route("one-time passwords", "one", category="otp")
    campaign = await two.campaign("", await two.upload(50))
    engine = await two.engine()

    async def waits() -> bool:
        return (await two.get(campaign)).reason == NO_ROUTE_FITS

    await until(waits, "it waits for a route")
    await two.route("all", "one")
    engine.dispatcher.wake()
    await two.reaches(campaign, "Done")
    assert smsc.accepted == numbers(0, 50)


async def test_category_and_lane_choose_the_route(two: Room, smsc: Smsc, other_smsc: Smsc) -> None:
    await two.route("all", "one")
    await two.route("one-time passwords", "two", category="otp", lane="express")
    otp = await two.campaign("", await two.upload(20), category="otp", lane="express")
    bulk = await two.campaign("", await two.upload(30), category="otp")
    await two.engine()
    await two.reaches(otp, "Done")
    await two.reaches(bulk, "Done")
    assert (smsc.accepted.total(), other_smsc.accepted.total()) == (30, 20)


async def test_weights_spread_a_campaign_and_every_number_goes_once(
    two: Room, smsc: Smsc, other_smsc: Smsc
) -> None:
    await two.route("both", ("one", 1, 3), ("two", 1, 1))
    campaign = await two.campaign("", await two.upload(1000, chunk_rows=300))
    await two.engine()
    await two.reaches(campaign, "Done")
    assert smsc.accepted + other_smsc.accepted == numbers(0, 1000)
    assert 650 < smsc.accepted.total() < 850
    await two.balanced(campaign)
    await holds(two)


async def test_recipients_not_sent_yet_are_shown_with_their_own_numbers(
    two: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    await two.route("both", ("one", 1, 1), ("two", 1, 1))
    campaign = await two.campaign("", await two.upload(200))
    await two.engine(max_claimed=20)
    await until(lambda: smsc.held > 0, "some are out")
    listed = await reports.recipients(two.pool, campaign, None, 200, None)
    shown = Counter(each.msisdn for each in listed.recipients)
    assert set(shown.values()) == {1}
    assert set(shown) <= set(numbers(0, 200))
    by_number = {each.msisdn: each.state for each in listed.recipients}
    assert any(state == "SUBMITTED" for state in by_number.values())
    await two.command(campaign, "pause")


async def test_rows_of_a_channel_that_is_drained_go_over_the_next_and_none_twice(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None if number >= 40 else 0
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(600, chunk_rows=250))
    await two.engine()
    await until(lambda: smsc.held == 20, "a window is out")
    assert not other_smsc.seen
    await close(two, "one")

    async def others_go() -> bool:
        return other_smsc.accepted.total() == 600 - 60

    await until(others_go, "what was not begun goes over the other")
    smsc.answer = lambda number, destination: 0
    smsc.release()
    await two.reaches(campaign, "Done")
    assert smsc.accepted + other_smsc.accepted == numbers(0, 600)
    assert smsc.accepted.total() == 60
    assert await over(two, campaign) == {"one": (60, 60), "two": (540, 540)}
    await two.balanced(campaign)
    await holds(two)


async def test_a_leg_comes_back_to_its_first_channel_when_that_is_open_again(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    await two.channel(other_smsc.port, "two", tps=200, window_size=5)
    await close(two, "one")
    campaign = await two.campaign("", await two.upload(3000, chunk_rows=700))
    await two.engine()
    await until(lambda: other_smsc.accepted.total() > 100, "over the second")
    assert not smsc.seen
    await two.pool.execute("UPDATE accounts SET drained = false, version = version + 1")
    two.engines[0].dispatcher.wake()
    await two.reaches(campaign, "Done")
    assert smsc.accepted.total() > 1000
    assert smsc.accepted + other_smsc.accepted == numbers(0, 3000)
    await holds(two)


async def test_what_is_in_doubt_never_goes_over_another_channel(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(100), in_doubt="resend")
    await two.engine()
    await until(lambda: smsc.held == 20, "a window is out")
    doubtful = set(smsc.seen)
    await close(two, "one")
    smsc.drop()

    async def resend_waits() -> bool:
        return bool(
            await two.pool.fetchval("SELECT count(*) FROM slices WHERE resend AND claimed_to < row_count")
        )

    await until(lambda: other_smsc.accepted.total() == 80, "the others go over the second")
    await until(resend_waits, "the doubts are to be sent again")
    two.engines[0].dispatcher.wake()
    assert not doubtful & set(other_smsc.seen)
    smsc.answer = lambda number, destination: 0
    await two.pool.execute("UPDATE accounts SET drained = false, version = version + 1")
    two.engines[0].dispatcher.wake()
    await two.reaches(campaign, "Done")
    assert set(smsc.accepted) == doubtful
    assert not doubtful & set(other_smsc.seen)
    await two.balanced(campaign)
    await holds(two)


async def test_what_a_channel_refuses_for_good_goes_over_the_next_and_fails_where_all_refuse(
    two: Room, smsc: Smsc, other_smsc: Smsc
) -> None:
    smsc.answer = lambda number, destination: 0 if destination.endswith("7") else BAD_SENDER
    other_smsc.answer = lambda number, destination: BAD_SENDER if destination.endswith("3") else 0
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(100))
    await two.engine()
    done = await two.reaches(campaign, "Done")
    assert set(Counter(smsc.seen).values()) == {1}
    assert Counter(other_smsc.seen) == Counter(each for each in smsc.seen if not each.endswith("7"))
    assert (done.counts.in_flight, done.counts.failed, done.counts.retried) == (90, 10, 90)
    levels = await two.pool.fetch(
        "SELECT DISTINCT fallback_level FROM slices WHERE origin_slice_id IS NOT NULL"
    )
    assert [row["fallback_level"] for row in levels] == [1]
    await two.balanced(campaign)
    await holds(two)


async def test_a_message_error_fails_at_once_and_goes_over_no_other_channel(
    two: Room, smsc: Smsc, other_smsc: Smsc
) -> None:
    smsc.answer = lambda number, destination: 0x01  # the message is too long: it is so everywhere
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(20))
    await two.engine()
    assert (await two.reaches(campaign, "Done")).counts.failed == 20
    assert not other_smsc.seen


async def test_pause_resume_and_cancel_are_exact_by_routes(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    await two.route("both", ("one", 1, 1), ("two", 1, 1))
    await two.channel(smsc.port, "one", tps=300)
    await two.channel(other_smsc.port, "two", tps=300)
    campaign = await two.campaign("", await two.upload(5000, chunk_rows=900))
    await two.engine()
    await until(lambda: smsc.accepted.total() > 50 and other_smsc.accepted.total() > 50, "both send")
    await two.command(campaign, "pause")
    await until(lambda: _quiet(two), "quiet")
    await two.balanced(campaign)
    await two.command(campaign, "resume")
    sent = len(smsc.seen)
    await until(lambda: len(smsc.seen) > sent + 20, "it goes on")
    await two.command(campaign, "cancel")

    async def settled() -> bool:
        counts = (await two.get(campaign)).counts
        return counts.waiting == counts.in_flight and await _quiet(two)

    await until(settled, "cancelled")
    counts = await two.balanced(campaign)
    assert counts.cancelled == 5000 - smsc.accepted.total() - other_smsc.accepted.total()
    assert max((smsc.accepted + other_smsc.accepted).values()) == 1
    await holds(two)


async def _quiet(room: Room) -> bool:
    return not await room.open_claims()


async def test_two_workers_plan_a_campaign_once_and_send_each_number_once(
    two: Room, smsc: Smsc, other_smsc: Smsc
) -> None:
    await two.channel(smsc.port, "one", binds=2, window_size=5)
    await two.channel(other_smsc.port, "two", binds=2, window_size=5)
    await two.route("both", ("one", 1, 1), ("two", 1, 1))
    await two.engine()
    await two.engine(data_dir=two.settings.data_dir / "second")
    campaign = await two.campaign("", await two.upload(2000, chunk_rows=600))
    await two.reaches(campaign, "Done")
    assert smsc.accepted + other_smsc.accepted == numbers(0, 2000)
    await two.balanced(campaign)
    await holds(two)


async def test_a_restart_in_the_middle_keeps_the_plan_although_the_routes_changed(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    await two.channel(smsc.port, "one", tps=400, window_size=5)
    route = await two.route("all", "one")
    campaign = await two.campaign("", await two.upload(1000, chunk_rows=300))
    first = await two.engine()
    await until(lambda: smsc.accepted.total() > 100, "under way")
    await first.stop()
    spec = schema.RouteSpec(
        decision_id=uuid4(), name="all", channels=[schema.RouteChannel(channel="two")], version=route.version
    )
    await routes.put(two.pool, route.route_id, spec)
    await two.engine()
    await two.reaches(campaign, "Done")
    assert smsc.accepted == numbers(0, 1000)
    assert not other_smsc.seen
    await holds(two)


async def test_a_plan_that_names_a_row_twice_stops_the_campaign_before_anything_of_it_is_sent(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    await two.route("both", ("one", 1, 1), ("two", 1, 1))
    campaign = await two.campaign("", await two.upload(100))
    for name in ("one", "two"):
        await close(two, name)
    engine = await two.engine()

    async def planned() -> bool:
        return bool(await two.pool.fetchval("SELECT count(*) FROM chunk_plans"))

    await until(planned, "planned")
    stored = unpack("i", await two.pool.fetchval("SELECT permutation FROM chunk_plans"))
    stored[1] = stored[0]
    await two.pool.execute("UPDATE chunk_plans SET permutation = $1", pack(stored))
    await two.pool.execute("UPDATE accounts SET drained = false, version = version + 1")
    engine.dispatcher.wake()
    failed = await two.reaches(campaign, "Failed")
    assert "do not hold each row once" in failed.reason
    assert not smsc.seen + other_smsc.seen


async def test_each_channel_has_its_own_price_and_the_books_hold(
    two: Room, smsc: Smsc, other_smsc: Smsc
) -> None:
    rates = [schema.Rate(prefix="", price=100), schema.Rate(prefix="", channel="two", price=300)]
    await prices.publish(two.pool, schema.RateSheetSpec(decision_id=uuid4(), rates=rates))
    await wallets.transact(
        two.pool,
        two.workspace,
        schema.TransactionSpec(
            decision_id=uuid4(), amount=1_000_000, currency="EUR", actor="admin@demo.example"
        ),
    )
    await two.route("all", "one")
    await two.route("some", ("one", 2, 1), ("two", 1, 1), prefix="4477000001")
    other_smsc.answer = lambda number, destination: BAD_SENDER if destination.endswith("5") else 0
    campaign = await two.campaign("", await two.upload(300, chunk_rows=110))
    await two.engine()
    done = await two.reaches(campaign, "Done")
    assert other_smsc.accepted.total() == 90
    assert done.counts.charged == 210 * 100 + 90 * 300
    await two.balanced(campaign)
    await holds(two)


async def test_a_full_box_is_tried_again_over_the_same_channel(
    two: Room, smsc: Smsc, other_smsc: Smsc
) -> None:
    refused: set[str] = set()

    def once(number: int, destination: str) -> int:
        if destination.endswith("4") and destination not in refused:
            refused.add(destination)
            return FULL
        return 0

    smsc.answer = once
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(100))
    await two.engine(retry_queue_full_s=0.2)
    await two.reaches(campaign, "Done")
    assert smsc.accepted == numbers(0, 100)
    assert not other_smsc.seen


async def test_resends_decided_by_an_operator_go_over_the_channel_that_has_them(
    two: Room, smsc: Smsc, other_smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: BAD_SENDER
    other_smsc.answer = lambda number, destination: None
    await two.route("both", ("one", 1, 1), ("two", 2, 1))
    campaign = await two.campaign("", await two.upload(10))
    engine = await two.engine()
    await until(lambda: other_smsc.held == 10, "all at the second, unanswered")
    other_smsc.drop()
    await until(lambda: _in_doubt(two, campaign, 10), "in doubt")
    smsc.answer = other_smsc.answer = lambda number, destination: 0
    [group] = (await doubts.groups(two.pool)).groups
    spec = schema.DoubtResolution(decision_id=uuid4(), key=group.key, action="resend")
    await doubts.resolve(two.pool, spec, engine.worker.worker_id)
    engine.dispatcher.wake()
    await two.reaches(campaign, "Done")
    assert other_smsc.accepted == numbers(0, 10)
    assert not smsc.accepted
    await holds(two)


async def _in_doubt(room: Room, campaign: UUID, count: int) -> bool:
    return bool((await room.get(campaign)).counts.in_doubt == count)


channel_ids = st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True)


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        listed = draw(channel_ids)
        tiered = [
            Tiered(each, str(each), draw(st.integers(1, 2)), draw(st.integers(1, 5))) for each in listed
        ]
        prefix = draw(st.sampled_from(["", "4", "44", "447", "91"]))
        found.append(Candidate(number, str(number), prefix, tuple(tiered)))
    return found


@given(candidates(), st.lists(st.integers(0, 10**12), min_size=1, max_size=60))
def test_grouping_keeps_every_row_once_by_leg_and_in_the_file_s_order(
    listed: list[Candidate], msisdn: list[int]
) -> None:
    plan = RoutePlan(listed)
    batch = pa.record_batch({"msisdn": pa.array(msisdn, pa.int64())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    data = sink.getvalue().to_pybytes()
    stored = {"data": data, "digest": hashlib.sha256(data).digest(), "row_count": len(msisdn)}
    ends, permutation = _grouped(cast(Any, stored), 0, plan)
    order = list(range(len(msisdn))) if permutation is None else unpack("i", permutation).tolist()
    assert sorted(order) == list(range(len(msisdn)))
    legs = plan.legs_of(array("q", msisdn))
    grouped = [[row for row in range(len(msisdn)) if legs[row] == leg_no] for leg_no in range(len(plan.legs))]
    assert order == [row for rows in grouped for row in rows]
    assert list(ends) == [sum(map(len, grouped[: leg_no + 1])) for leg_no in range(len(plan.legs))]
    for row, leg_no in enumerate(legs):
        route = plan.route_of(msisdn[row])
        known = {each.channel_id for each in route.channels} if route else set()
        assert set(plan.legs[leg_no]) == known
        if route:
            assert min(each.tier for each in route.channels) == next(
                each.tier for each in route.channels if each.channel_id == plan.legs[leg_no][0]
            )
