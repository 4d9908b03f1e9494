"""What tests of campaigns by routes do and look at."""

from collections import Counter
from typing import Any
from uuid import UUID

from engine.ledger import campaigns
from engine.ledger.verify import verify

Room = Any  # the fixtures of conftest.py
FIRST = 447_700_000_000  # the first number of an upload
BAD_SENDER = 0x0A
FULL = 0x14


async def holds(room: Room) -> None:
    result = await verify(room.pool)
    assert result.holds, result.misfits


async def close(room: Room, name: str) -> None:
    """No channel of this account takes new messages; its binds stay."""
    await room.pool.execute("UPDATE accounts SET drained = true, version = version + 1 WHERE name = $1", name)
    for engine in room.engines:
        engine.dispatcher.wake()


def numbers(first: int, stop: int) -> Counter[str]:
    return Counter(str(FIRST + row) for row in range(first, stop))


async def over(room: Room, campaign: UUID) -> dict[str, tuple[int, int]]:
    found = await campaigns.channels(room.pool, campaign)
    return {each.channel: (each.rows, each.sent) for each in found.channels}
