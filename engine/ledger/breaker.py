"""Breakers in the ledger: a campaign that was paused by one, a channel that waits for an operator."""

from uuid import UUID

import msgspec

from engine.core_api import schema
from engine.ledger import decisions
from engine.ledger.errors import NotFound
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load


async def trip_campaign(connection: Connection, campaign_id: UUID, reason: str) -> bool:
    """Sending -> Paused with the reason, and one job error. False where it is not Sending any more."""
    queries = load("breaker")
    if await connection.fetchval(queries["pause"], campaign_id, reason) is None:
        return False
    await connection.execute(queries["job_error"], [campaign_id], reason)
    return True


async def trip_channel(connection: Connection, channel_id: int, reason: str) -> bool:
    """The channel takes no claims any more; its campaigns wait with the reason, each with one job error.
    False where it had tripped already."""
    queries = load("breaker")
    if await connection.fetchval(queries["trip"], channel_id, reason) is None:
        return False
    waiting = await connection.fetch(queries["waiting"], channel_id, f"channel tripped: {reason}")
    await connection.execute(queries["job_error"], [row["campaign_id"] for row in waiting], reason)
    return True


async def reset_channel(pool: Pool, name: str, spec: schema.ChannelReset) -> schema.ChannelReset:
    """Let a tripped channel send again; repeatable. Raises NotFound, DecisionReused."""

    async def reset() -> schema.ChannelReset:
        queries = load("breaker")
        channel_id = await connection.fetchval(queries["reset"], name)
        if channel_id is None:
            raise NotFound(f"no channel {name!r}")
        await connection.execute(queries["go_on"], channel_id)
        return spec

    async with pool.acquire() as connection, connection.transaction():
        body = msgspec.json.encode([name, spec], order="deterministic")
        return await decisions.once(
            connection, spec.decision_id, "reset-channel", body, schema.ChannelReset, reset
        )
