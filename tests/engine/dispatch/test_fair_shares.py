"""Workspaces on one channel, over a whole engine: their weights hold on the wire, and a small one is not kept
waiting by many large ones."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Callable[..., Any]

WEIGHTS = (1, 1, 2, 3, 5)


async def start(room: Room, channel: str, workspace: UUID, rows: int, text: str) -> UUID:
    room.workspace = workspace
    return await room.campaign(channel, await room.upload(rows), text)


@pytest.mark.parametrize("binds", [1, 3])
async def test_five_workspaces_keep_their_weights_within_five_percent(
    room: Room, smsc: Smsc, until: Until, binds: int
) -> None:
    channel = await room.channel(smsc.port, window_size=50, binds=binds)
    campaigns = []
    for number, weight in enumerate(WEIGHTS):
        workspace = uuid4()
        await room.pool.execute(
            "INSERT INTO workspace_weights (workspace_id, weight) VALUES ($1, $2)", workspace, weight
        )
        campaigns.append(await start(room, channel, workspace, 12_000 * weight, f"workspace {number}."))
    engine = await room.engine()
    (working,) = engine.dispatcher._working.values()
    await until(lambda: len(working.runs) == 5, "all are found, one after the other")
    begin = len(smsc.bodies) + 6000  # what was claimed before
    # a turn more or less is 64 rows: far less than 5 % of what the smallest has in so many
    end = begin + 60_000
    for part in range(1, 7):
        there = begin + 10_000 * part
        await until(lambda there=there: len(smsc.bodies) >= there, "much of it is sent")
    sent = Counter(next(n for n in range(5) if f"workspace {n}.".encode() in body) for body in smsc.bodies)
    assert all(sent[n] < 12_000 * weight for n, weight in enumerate(WEIGHTS)), "all have more to send"
    measured = smsc.bodies[begin:end]
    found = Counter(next(n for n in range(5) if f"workspace {n}.".encode() in body) for body in measured)
    for number, weight in enumerate(WEIGHTS):
        assert found[number] / len(measured) == pytest.approx(weight / sum(WEIGHTS), rel=0.05)
    for campaign in campaigns:
        await room.command(campaign, "cancel")


async def test_one_message_does_not_wait_for_twenty_full_tenants(
    room: Room, smsc: Smsc, until: Until
) -> None:
    """Also in the same lane: what goes before it on the wire is what was claimed already."""
    smsc.answer = lambda number, destination: 0 if number < 3000 else None  # all had turns by then
    channel = await room.channel(smsc.port, window_size=10)
    engine = await room.engine(claim_ahead_ms=1)  # claims of twice the window, however fast it goes
    large = [await start(room, channel, uuid4(), 2000, "large") for _ in range(20)]
    await until(lambda: smsc.held == 10, "the window is full")
    single = await start(room, channel, uuid4(), 1, "single")
    (working,) = engine.dispatcher._working.values()
    await until(
        lambda: any(run.campaign_id == single and run.fresh is False for run in working.runs.values()),
        "it is released",
    )
    before = len(smsc.bodies)
    smsc.answer = lambda number, destination: 0
    smsc.release()
    await room.reaches(single, "Done")
    passed = next(at for at, body in enumerate(smsc.bodies[before:]) if b"single" in body)
    assert passed <= 100
    for campaign in large:
        await room.command(campaign, "cancel")
