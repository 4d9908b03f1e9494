"""The ledger's connection pool."""

from secrets import token_hex
from typing import Any, TypeAlias

import asyncpg

Pool: TypeAlias = "asyncpg.Pool[Any]"
Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"

# What a database that is away, restarting or out of connections raises; everything else is a fault of ours.
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server said that it ends, its connection has not ended yet
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)


async def open_pool(dsn: str, *, min_size: int = 2, max_size: int = 10) -> Pool:
    """A pool for one engine process. The writer keeps one connection of it. Its connections have a name of
    their own: whoever fences this process ends them (`queries/dispatch.sql`, cut_off)."""
    return await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        command_timeout=60,
        max_inactive_connection_lifetime=300,
        # JIT costs more than it saves on short set-based statements
        server_settings={
            "application_name": f"heliograph-engine-{token_hex(6)}",
            "timezone": "UTC",
            "jit": "off",
        },
    )
