"""The ledger's connection pool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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


async def _nothing_left(_connection: Any) -> None:
    """Settings are a transaction's here, and session locks are taken by `session_locks` alone: asyncpg's own
    reset would cost each claim one more round trip. An open transaction is ended all the same."""


@asynccontextmanager
async def session_locks(pool: Pool, query: str) -> "AsyncIterator[Connection | None]":
    """A connection with the session locks that `query` tries to take; None where another process has one of
    them. All are let go at the end."""
    async with pool.acquire() as connection:
        try:
            yield connection if await connection.fetchval(query) else None
        finally:
            try:
                await connection.execute("SELECT pg_advisory_unlock_all()")
            except Exception:  # the locks go with the connection
                _terminate(connection)
            except BaseException:
                _terminate(connection)
                raise


def _terminate(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # it ended by itself, and left the pool
        connection.terminate()


async def open_pool(dsn: str, *, min_size: int = 2, max_size: int = 10) -> Pool:
    """A pool for one engine process. The writer keeps one connection of it. Its connections have a name of
    their own: whoever fences this process ends them (`queries/dispatch.sql`, cut_off)."""
    return await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        command_timeout=60,
        max_inactive_connection_lifetime=300,
        reset=_nothing_left,
        # JIT costs more than it saves on short set-based statements
        server_settings={
            "application_name": f"heliograph-engine-{token_hex(6)}",
            "timezone": "UTC",
            "jit": "off",
        },
    )
