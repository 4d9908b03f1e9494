"""Messages in doubt: grouped by fault, decided once, and only parts without a result go again."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from engine.core_api import schema
from engine.ledger import doubts
from engine.ledger.errors import DecisionReused, DoubtGone, WrongState

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any
LONG = "{{name}} 🚀 " + "long enough for several parts of UCS-2 " * 4  # 3 parts


def decision(key: str, action: schema.DoubtAction) -> schema.DoubtResolution:
    return schema.DoubtResolution(decision_id=uuid4(), key=key, action=action)


async def resolve(room: Room, spec: schema.DoubtResolution) -> schema.DoubtResolved:
    resolved = await doubts.resolve(room.pool, spec, room.engines[-1].worker.worker_id)
    for engine in room.engines:
        engine.dispatcher.wake()
    return resolved


async def lose_the_connection(room: Room, smsc: Smsc, until: Until, text: str = "Hello {{name}}") -> Any:
    """A campaign that is Done but for messages whose connection broke unanswered; with its one group."""
    channel = await room.channel(smsc.port, window_size=30)
    campaign = await room.campaign(channel, await room.upload(10), text)
    await room.engine()
    expected = 10 if text != LONG else 20
    await until(lambda: smsc.held == expected, "held")
    smsc.answer = lambda number, destination: 0
    smsc.drop()
    await room.reaches(campaign, "Done")
    found = await doubts.groups(room.pool)
    return campaign, found.groups


async def test_a_lost_connection_leaves_one_group_and_one_recommendation(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    campaign, groups = await lose_the_connection(room, smsc, until)
    [group] = groups
    assert (group.campaign_id, group.account, group.bind_number) == (campaign, "Test", 1)
    assert (group.reason, group.messages, group.parts, group.policy) == ("connection_lost", 10, 10, "hold")
    assert group.recommended in group.actions
    assert group.why
    assert len(smsc.seen) == 10, "held doubts are not sent by themselves"
    await room.balanced(campaign)


async def test_a_done_campaign_sends_its_doubts_again_and_is_done_again(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    campaign, [group] = await lose_the_connection(room, smsc, until)
    resolved = await resolve(room, decision(group.key, "resend"))
    assert (resolved.messages, resolved.parts, resolved.campaign_state) == (10, 10, "Sending")
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_doubt, done.counts.in_flight) == (0, 10)
    assert set(Counter(smsc.seen).values()) == {2}
    assert set(smsc.accepted.values()) == {1}
    await room.balanced(campaign)
    assert (await doubts.groups(room.pool)).groups == []


async def test_a_resend_skips_the_parts_that_were_accepted_and_keeps_the_reference(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: 0 if number % 3 == 0 else None
    campaign, [group] = await lose_the_connection(room, smsc, until, LONG)
    assert (group.messages, group.parts) == (10, 20)
    await resolve(room, decision(group.key, "resend"))
    await room.reaches(campaign, "Done")
    sent = Counter()
    for destination, body in zip(smsc.seen, smsc.bodies, strict=True):
        at = body.index(b"\x05\x00\x03")
        sent[destination, body[at + 3], body[at + 5]] += 1
    assert len(sent) == 30, "another reference would make it another message"
    assert {part: count for (_, _, part), count in sent.items()} == {1: 1, 2: 2, 3: 2}
    assert set(smsc.accepted.values()) == {3}
    counts = await room.balanced(campaign)
    assert (counts.in_flight, counts.in_doubt) == (10, 0)


async def test_a_settled_campaign_waits_for_receipts_of_what_is_sent_again(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: 0 if number % 3 == 0 else None
    campaign, [group] = await lose_the_connection(room, smsc, until, LONG)
    smsc.receipts = True

    async def settled() -> bool:
        return (await room.get(campaign)).settled

    await until(settled, "nothing of it is in flight")
    await resolve(room, decision(group.key, "resend"))
    await room.reaches(campaign, "Done")
    counts = await room.balanced(campaign)
    assert (counts.in_doubt, counts.accepted) == (0, 10)


@pytest.mark.parametrize(
    ("action", "counted"), [("count_as_sent", "in_flight"), ("count_as_not_sent", "failed")]
)
async def test_an_operators_word_ends_the_doubt_and_sends_nothing(
    room: Room, smsc: Smsc, until: Until, action: schema.DoubtAction, counted: str
) -> None:
    smsc.answer = lambda number, destination: None
    campaign, [group] = await lose_the_connection(room, smsc, until)
    resolved = await resolve(room, decision(group.key, action))
    assert (resolved.messages, resolved.campaign_state) == (10, "Done")
    counts = await room.balanced(campaign)
    assert (counts.in_doubt, counts.no_receipt + getattr(counts, counted)) == (0, 10)
    statuses = await room.pool.fetch("SELECT DISTINCT status, attempt, msisdn > 0 FROM submissions")
    assert [tuple(row) for row in statuses] == [(-21 if action == "count_as_sent" else -22, 1, True)]
    assert len(smsc.seen) == 10


async def test_of_two_decisions_about_one_group_the_second_finds_nothing(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    campaign, [group] = await lose_the_connection(room, smsc, until)
    orders = [
        decision(group.key, "resend"),
        decision(group.key, "count_as_sent"),
        decision(group.key, "resend"),
    ]
    found = await asyncio.gather(*(resolve(room, order) for order in orders), return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["DoubtGone", "DoubtGone", "DoubtResolved"]
    await room.reaches(campaign, "Done")
    assert max(Counter(smsc.seen).values()) <= 2
    await room.balanced(campaign)


async def test_a_repeated_decision_gets_its_answer_again_and_does_nothing(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    campaign, [group] = await lose_the_connection(room, smsc, until)
    order = decision(group.key, "resend")
    first = await resolve(room, order)
    await room.reaches(campaign, "Done")
    assert await resolve(room, order) == first
    assert len(smsc.seen) == 20
    other = schema.DoubtResolution(decision_id=order.decision_id, key=group.key, action="leave")
    with pytest.raises(DecisionReused):
        await resolve(room, other)


async def test_what_is_left_stays_in_doubt_and_can_be_decided_later(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    campaign, [group] = await lose_the_connection(room, smsc, until)
    await resolve(room, decision(group.key, "leave"))
    [left] = (await doubts.groups(room.pool, campaign)).groups
    assert (left.key, left.left, left.messages) == (group.key, True, 10)
    await resolve(room, decision(group.key, "resend"))
    done = await room.reaches(campaign, "Done")
    assert done.counts.in_doubt == 0


async def test_a_cancelled_campaign_sends_nothing_again(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, window_size=5)
    campaign = await room.campaign(channel, await room.upload(50))
    await room.engine()
    await until(lambda: smsc.held == 5, "held")
    await room.command(campaign, "cancel")
    smsc.drop()

    async def one_group() -> bool:
        return len((await doubts.groups(room.pool)).groups) == 1

    await until(one_group, "in doubt")
    [group] = (await doubts.groups(room.pool)).groups
    assert "resend" not in group.actions
    with pytest.raises(WrongState):
        await resolve(room, decision(group.key, "resend"))
    await resolve(room, decision(group.key, "count_as_not_sent"))

    async def nothing_waits() -> bool:
        return (await room.get(campaign)).counts.waiting == 0

    await until(nothing_waits, "every row has its end")
    counts = await room.balanced(campaign)
    assert (counts.failed, counts.cancelled) == (5, 45)


async def test_doubts_that_were_to_be_sent_again_come_back_when_the_campaign_is_cancelled(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    campaign, [group] = await lose_the_connection(room, smsc, until)
    await smsc.stop()
    await resolve(room, decision(group.key, "resend"))
    assert (await doubts.groups(room.pool)).resending == 10
    await room.command(campaign, "cancel")

    async def back() -> bool:
        return len((await doubts.groups(room.pool)).groups) == 1

    await until(back, "they can be decided about")
    assert (await room.balanced(campaign)).in_doubt == 10
    await smsc.start()


async def test_the_policy_resend_sends_doubts_again_by_itself(
    room: Room, smsc: Smsc, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "AFTER_FAULT_S", 0.0)
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(10), start=False)
    await room.pool.execute("UPDATE campaigns SET in_doubt = 'resend'")
    await reseal(room, campaign)
    await room.engine()
    await until(lambda: smsc.held == 10, "held")
    smsc.answer = lambda number, destination: 0
    smsc.drop()
    await until(lambda: len(smsc.accepted) == 10, "sent again")
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_doubt, done.counts.in_flight) == (0, 10)
    await room.balanced(campaign)


async def test_a_key_that_was_never_given_out_is_refused(room: Room) -> None:
    await room.engine()
    for key in ("", "~~~~", f"{uuid4()}~1~1", f"{uuid4()}~x~1~no_response~"):
        with pytest.raises(DoubtGone):
            await resolve(room, decision(key, "leave"))


async def test_the_policy_is_sealed_and_a_changed_one_is_not_started(room: Room, smsc: Smsc) -> None:
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(1), start=False)
    approved = (await room.get(campaign)).manifest_hash
    await room.pool.execute("UPDATE campaigns SET in_doubt = 'resend'")
    with pytest.raises(Exception, match="not what was sealed"):
        await room.command(campaign, "start", approved)


async def reseal(room: Room, campaign: Any) -> None:
    """Seal what is stored now, and start it."""
    from engine.ledger.campaigns import manifest_of
    from engine.ledger.sql import load

    row = await room.pool.fetchrow(load("campaigns")["manifest_parts"], campaign)
    manifest = manifest_of(row)
    await room.pool.execute(load("campaigns")["seal"], manifest.hash(), campaign, manifest.body())
    await room.pool.execute("UPDATE campaigns SET manifest_hash = $1", manifest.hash())
    await room.command(campaign, "start", manifest.hash().hex())


async def receipt_of_unknown_id(room: Room, msisdn: int, smsc_id: str, source: str = "Heliograph") -> None:
    await room.pool.execute(
        "INSERT INTO orphan_receipts (account_id, smsc_id, msisdn, verdict, stat, received_at, source)"
        " SELECT account_id, $1, $2, 2, 2, now(), $3 FROM accounts",
        smsc_id,
        msisdn,
        source,
    )


async def test_a_receipt_that_fits_exactly_one_message_in_doubt_ends_the_doubt(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port)
    upload = await room.upload(3)
    campaign = await room.campaign(channel, upload, start=False)
    await room.pool.execute("UPDATE campaigns SET in_doubt = 'await_receipt'")
    await reseal(room, campaign)
    await room.engine()
    await until(lambda: smsc.held == 3, "held")
    smsc.drop()
    await room.reaches(campaign, "Done")
    await receipt_of_unknown_id(room, 447_700_000_000, "one")
    await receipt_of_unknown_id(room, 447_700_000_001, "two")
    await receipt_of_unknown_id(room, 447_700_000_001, "two again")
    await receipt_of_unknown_id(room, 447_700_000_002, "of another sender", "Somebody")

    async def delivered() -> bool:
        return (await room.get(campaign)).counts.delivered == 1

    await until(delivered, "the one that fits is delivered")
    assert len(smsc.seen) == 3, "nothing was sent again"
    counts = await room.balanced(campaign)
    assert (counts.in_doubt, counts.accepted) == (2, 3)


async def test_the_policy_waits_for_a_message_of_which_another_part_is_still_out(
    room: Room, smsc: Smsc, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part in doubt, one in a retry slice: neither resent before, nor forgotten after."""
    monkeypatch.setattr(doubts, "AFTER_FAULT_S", 0.0)
    smsc.answer = lambda number, destination: (0, 0x14, None)[number % 3] if number < 30 else 0
    channel = await room.channel(smsc.port, window_size=40)
    campaign = await room.campaign(channel, await room.upload(10), LONG, start=False)
    await room.pool.execute("UPDATE campaigns SET in_doubt = 'resend'")
    await reseal(room, campaign)
    engine = await room.engine()
    await until(lambda: smsc.held == 10, "a part of each is held")
    smsc.drop()

    async def doubted() -> bool:
        return await room.pool.fetchval("SELECT count(*) FROM doubts") == 10

    await until(doubted, "in doubt")
    assert await doubts.resend_by_policy(room.pool, engine.worker.worker_id) == 0, "not in doubt as a whole"
    await room.pool.execute("UPDATE slices SET due_at = now() WHERE origin_slice_id IS NOT NULL")
    engine.dispatcher.wake()

    async def all_accepted() -> bool:
        return set(smsc.accepted.values()) == {3} and len(smsc.accepted) == 10

    await until(all_accepted, "the refused parts, then those in doubt")
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_doubt, done.counts.in_flight) == (0, 10)
    await room.balanced(campaign)
