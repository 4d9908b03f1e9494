"""Routes as people keep them; `routing` chooses by them."""

import asyncpg
import msgspec

from engine.core_api import schema
from engine.ledger import decisions
from engine.ledger.errors import Changed, LedgerError, NotFound
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load

LANES = {"express": 0, "bulk": 1}
_LANE_NAMES = {number: name for name, number in LANES.items()}


class BadRoute(LedgerError):
    """A route that names no channel of ours, one twice, or a name that is taken."""

    problem = "bad-route"
    status = 422


async def routes(pool: Pool) -> list[schema.Route]:
    """All of them, by prefix and position."""
    return [route_of(row) for row in await pool.fetch(load("routes")["routes"])]


async def put(pool: Pool, route_id: int | None, spec: schema.RouteSpec) -> schema.Route:
    """Create a route (`route_id` None) or change one, once per decision id.

    Raises NotFound, Changed (another version than `spec.version`), BadRoute, DecisionReused.
    """
    async with pool.acquire() as connection, connection.transaction():
        return await decisions.once(
            connection,
            spec.decision_id,
            "put-route",
            msgspec.json.encode([route_id, spec], order="deterministic"),
            schema.Route,
            lambda: _put(connection, route_id, spec),
        )


async def _put(connection: Connection, route_id: int | None, spec: schema.RouteSpec) -> schema.Route:
    queries = load("routes")
    names = [each.channel for each in spec.channels]
    if len(set(names)) < len(names):
        raise BadRoute("channels: one stands twice")
    unknown = await connection.fetch(queries["unknown_channels"], names)
    if unknown:
        raise BadRoute(f"channels: no channel {', '.join(repr(row['name']) for row in unknown)}")
    values = (
        spec.name, spec.position, spec.prefix, spec.workspace_id, spec.category, spec.sender_kind,
        None if spec.lane is None else LANES[spec.lane], spec.enabled,
    )  # fmt: skip
    if route_id is None:
        route_id = await connection.fetchval(queries["insert"], *values)
    else:
        await _check_version(connection, route_id, spec.version)
        route_id = await connection.fetchval(queries["update"], route_id, *values)
    if route_id is None:
        raise BadRoute(f"name: there is a route {spec.name!r} already")
    await connection.execute(queries["clear_channels"], route_id)
    await connection.execute(
        queries["add_channels"],
        route_id,
        names,
        [each.tier for each in spec.channels],
        [each.weight for each in spec.channels],
    )
    return next(
        route_of(row) for row in await connection.fetch(queries["routes"]) if row["route_id"] == route_id
    )


async def delete(pool: Pool, route_id: int, version: int) -> None:
    """Raises NotFound, Changed."""
    async with pool.acquire() as connection, connection.transaction():
        await _check_version(connection, route_id, version)
        await connection.execute(load("routes")["delete"], route_id)


async def _check_version(connection: Connection, route_id: int, version: int | None) -> None:
    stored = await connection.fetchval(load("routes")["for_update"], route_id)
    if stored is None:
        raise NotFound(f"no route {route_id}")
    if stored != version:
        raise Changed(f"route {route_id} is at version {stored}, not {version}: read it again")


def route_of(row: asyncpg.Record) -> schema.Route:
    """A row of query `routes`."""
    fields = {name: row[name] for name in schema.Route.__struct_fields__}
    fields["lane"] = _LANE_NAMES.get(row["lane"])
    fields["channels"] = msgspec.json.decode(row["channels"])
    return msgspec.convert(fields, schema.Route)
