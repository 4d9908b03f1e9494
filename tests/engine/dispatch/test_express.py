"""Express over a link that bulk fills: the next free place is its own."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Callable[..., Any]


@pytest.mark.parametrize("binds", [1, 3])
async def test_with_a_full_window_the_next_places_go_to_express(
    room: Room, smsc: Smsc, until: Until, binds: int
) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, window_size=4, binds=binds)
    engine = await room.engine()
    bulk = await room.campaign(channel, await room.upload(600, chunk_rows=100), "bulk")
    await until(lambda: smsc.held == 4 * binds, "bulk fills the windows")
    (working,) = engine.dispatcher._working.values()
    senders = working.binds.senders
    await until(lambda: all(not sender.low for sender in senders), "bulk waits at every bind")
    express = [await room.campaign(channel, await room.upload(1), "express", lane="express") for _ in "abc"]
    await until(lambda: sum(sender.express for sender in senders) == 3, "express is claimed all the same")
    if binds > 1:
        assert max(sender.express for sender in senders) == 1, "each waits at a bind of its own"
    before = len(smsc.bodies)
    smsc.release()
    await until(lambda: len(smsc.bodies) == before + 4 * binds, "the windows fill again")
    fresh = smsc.bodies[before:]
    # of each bind the first: as many express messages as it had come before any bulk of it
    assert sum(b"express" in body for body in fresh) == 3
    if binds == 1:
        assert all(b"express" in body for body in fresh[:3])
    smsc.answer = lambda number, destination: 0
    smsc.release()
    for campaign in (bulk, *express):
        await room.reaches(campaign, "Done")
        await room.balanced(campaign)
    assert len(smsc.seen) == 603


async def test_express_passes_the_rest_of_a_bulk_claim_that_was_begun(
    room: Room, smsc: Smsc, until: Until
) -> None:
    """One claim of 100 rows, of which the window took one: 99 do not go before it."""
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, window_size=1, tps=1000)
    engine = await room.engine()
    bulk = await room.campaign(channel, await room.upload(100), "bulk")
    await until(lambda: smsc.held == 1, "bulk has begun")
    (working,) = engine.dispatcher._working.values()
    express = await room.campaign(channel, await room.upload(2), "express", lane="express")
    await until(lambda: working.binds.senders[0].express == 2, "express is claimed")
    smsc.answer = lambda number, destination: 0
    smsc.release()
    for campaign in (express, bulk):
        await room.reaches(campaign, "Done")
    assert [b"express" in body for body in smsc.bodies[:4]] == [False, True, True, False]
    await room.balanced(bulk)


@pytest.mark.parametrize("command", ["pause", "cancel"])
async def test_a_begun_bulk_message_that_express_passed_is_finished_when_its_campaign_ends(
    room: Room, smsc: Smsc, until: Until, command: str
) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, window_size=1)
    engine = await room.engine()
    bulk = await room.campaign(channel, await room.upload(20), "bulk " * 80)  # three parts each
    await until(lambda: smsc.held == 1, "one part is out")
    (working,) = engine.dispatcher._working.values()
    (sender,) = working.binds.senders
    express = await room.campaign(channel, await room.upload(2), "express", lane="express")
    await until(lambda: sender.express == 2, "express is claimed")
    await room.command(bulk, command)
    await until(lambda: sender.unwritten == 2, "no message of bulk is begun any more")
    smsc.answer = lambda number, destination: 0
    smsc.release()
    await room.reaches(express, "Done")
    await until(lambda: len(smsc.bodies) == 5, "the begun message goes out whole")
    assert [b"express" in body for body in smsc.bodies] == [False, True, True, False, False]
    assert sender.express == sender.unwritten == 0
    if command == "pause":
        await room.command(bulk, "resume")
        await room.reaches(bulk, "Done")
        assert len(smsc.bodies) == 62
    await until(lambda: not working.binds.claims, "no claim is open")
    await room.balanced(bulk)


async def test_a_long_express_campaign_has_all_places_to_its_end(
    room: Room, smsc: Smsc, until: Until
) -> None:
    """Its next rows are claimed as its last go out, not when bulk runs low."""
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, window_size=4)
    engine = await room.engine(poll_interval_ms=600_000)  # nothing else looks meanwhile
    bulk = await room.campaign(channel, await room.upload(200, chunk_rows=100), "bulk")
    (working,) = engine.dispatcher._working.values()
    (sender,) = working.binds.senders
    await until(lambda: smsc.held == 4 and not sender.low, "bulk fills the window and waits")
    express = await room.campaign(channel, await room.upload(40), "express", lane="express")
    await until(lambda: sender.express > 4, "express is claimed")
    before = len(smsc.bodies)
    for sent in range(4, 44, 4):
        smsc.release()
        await until(lambda sent=sent: len(smsc.bodies) == before + sent, "the window fills again")
        # a window of it: with less, what is still being claimed comes too late for the next places
        await until(lambda sent=sent: sender.express >= min(4, 40 - sent), "more of it is claimed")
    assert all(b"express" in body for body in smsc.bodies[before:])
    smsc.answer = lambda number, destination: 0
    smsc.release()
    for campaign in (express, bulk):
        await room.reaches(campaign, "Done")
        await room.balanced(campaign)


async def test_an_express_campaign_that_is_stopped_is_not_found(room: Room, smsc: Smsc) -> None:
    """What finds express quickly asks the same as what finds all."""
    channel = await room.channel(smsc.port)
    engine = await room.engine()
    campaign = await room.campaign(channel, await room.upload(1), lane="express", start=False)
    await room.pool.execute("UPDATE channels SET enabled = false")
    sealed = await room.get(campaign)
    await room.command(campaign, "start", sealed.manifest_hash)
    await engine.dispatcher._look_for_express()
    await engine.dispatcher._look()
    assert not any(working.runs for working in engine.dispatcher._working.values())
    assert smsc.seen == []
    await room.pool.execute("UPDATE channels SET enabled = true")
    await engine.dispatcher._look_for_express()
    await room.reaches(campaign, "Done")
    assert len(smsc.seen) == 1
