"""Stop all sending: of everything, a workspace, a channel. Nothing is claimed while a stop covers it."""

from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import msgspec

from engine.core_api import schema
from engine.ledger import decisions
from engine.ledger.errors import NotFound, Unfit
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Covered:
    """What open stops cover. Truthy when there is one."""

    everything: bool = False
    workspaces: frozenset[UUID] = frozenset()
    channels: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return self.everything or bool(self.workspaces or self.channels)

    def holds(self, workspace_id: UUID, channel_id: int) -> bool:
        return self.everything or workspace_id in self.workspaces or channel_id in self.channels


async def stop(connection: Connection, spec: schema.StopSpec) -> schema.Stop:
    """Stop, in the caller's transaction; the caller rings. Idempotent by `spec.decision_id`. Raises NotFound,
    Unfit."""
    return await decisions.once(
        connection,
        spec.decision_id,
        "stop",
        msgspec.json.encode(spec, order="deterministic"),
        schema.Stop,
        lambda: _stop(connection, spec),
    )


async def _stop(connection: Connection, spec: schema.StopSpec) -> schema.Stop:
    if (spec.scope == "workspace") != (spec.workspace_id is not None):
        raise Unfit("workspace_id: given for the scope workspace, and only for it")
    if (spec.scope == "channel") != (spec.channel is not None):
        raise Unfit("channel: given for the scope channel, and only for it")
    queries, stop_id, channel_id = load("stops"), uuid4(), None
    if spec.channel is not None:
        channel_id = await connection.fetchval(queries["channel"], spec.channel)
        if channel_id is None:
            raise NotFound(f"no channel {spec.channel!r}")
    await connection.execute(
        queries["create"],
        *(stop_id, spec.scope, spec.workspace_id, channel_id, spec.reason, spec.decision_id, spec.made_by),
    )
    await connection.execute(queries["reasons"])
    return await _one(connection, stop_id)


async def lift(connection: Connection, stop_id: UUID, spec: schema.LiftSpec) -> schema.Stop:
    """Let sending go on, where no other stop holds it, in the caller's transaction. Idempotent. Raises
    NotFound."""

    async def act() -> schema.Stop:
        if await connection.fetchval(load("stops")["lift"], stop_id) is None:
            raise NotFound(f"no stop {stop_id}")
        await connection.execute(load("stops")["reasons"])
        return await _one(connection, stop_id)

    body = msgspec.json.encode([stop_id, spec], order="deterministic")
    return await decisions.once(connection, spec.decision_id, "lift", body, schema.Stop, act)


async def listed(pool: Pool) -> schema.Stops:
    """The open ones, then the last lifted."""
    return schema.Stops(stops=[_published(row) for row in await pool.fetch(load("stops")["all"], SHOWN)])


async def covered(pool: Pool) -> Covered:
    rows = await pool.fetch(load("stops")["open"])
    return Covered(
        any(row["scope"] == "everything" for row in rows),
        frozenset(row["workspace_id"] for row in rows if row["workspace_id"] is not None),
        frozenset(row["channel_id"] for row in rows if row["channel_id"] is not None),
    )


async def covering(connection: Connection, *, workspace_id: UUID | None, channel_id: int) -> str | None:
    """The reason of the oldest stop that covers what would be sent; None where nothing does."""
    reason: str | None = await connection.fetchval(load("stops")["covering"], workspace_id, channel_id)
    return reason


async def write_reasons(pool: Pool) -> None:
    """Beside every campaign in Sending stands whether a stop holds it."""
    await pool.execute(load("stops")["reasons"])


async def _one(connection: Connection, stop_id: UUID) -> schema.Stop:
    row = await connection.fetchrow(load("stops")["one"], stop_id)
    assert row is not None
    return _published(row)


def _published(row: asyncpg.Record) -> schema.Stop:
    return schema.Stop(**{name: row[name] for name in schema.Stop.__struct_fields__})
