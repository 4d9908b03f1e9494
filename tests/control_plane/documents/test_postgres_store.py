"""What only a PostgreSQL can do to a store: go away and come back."""

from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from control_plane.documents.postgres import PostgresStore
from control_plane.errors import StoreUnavailable
from control_plane.identity.model import SESSIONS, USERS, User
from control_plane.workspaces.model import WORKSPACES


async def _end_connections(postgres_dsn: str, dsn: str, *, shut: bool) -> None:
    database = urlsplit(dsn).path[1:]
    connection = await asyncpg.connect(postgres_dsn)
    try:
        await connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS {'false' if shut else 'true'}")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database
        )
    finally:
        await connection.close()


async def test_a_read_survives_a_lost_connection(
    postgres_store: PostgresStore, postgres_dsn: str, fresh_database: str
) -> None:
    assert await postgres_store.count(USERS, {}) == 0
    await _end_connections(postgres_dsn, fresh_database, shut=False)
    assert await postgres_store.count(USERS, {}) == 0


async def test_a_store_that_stays_away_says_so_and_comes_back(
    postgres_store: PostgresStore, postgres_dsn: str, fresh_database: str
) -> None:
    await _end_connections(postgres_dsn, fresh_database, shut=True)
    with pytest.raises(StoreUnavailable):
        await postgres_store.find(USERS, {})
    with pytest.raises(StoreUnavailable):
        await postgres_store.insert(USERS, _user())
    await _end_connections(postgres_dsn, fresh_database, shut=False)
    assert (await postgres_store.insert(USERS, _user())).version == 1


async def test_a_server_that_is_not_there_is_unavailable_without_its_password(unused_tcp_port: int) -> None:
    with pytest.raises(StoreUnavailable) as told:
        await PostgresStore.open(f"postgresql://u:s3cret@127.0.0.1:{unused_tcp_port}/documents")
    assert "s3cret" not in str(told.value)


async def test_lookups_by_unique_fields_use_their_index(
    postgres_store: PostgresStore, fresh_database: str
) -> None:
    connection = await asyncpg.connect(fresh_database)
    try:
        await connection.execute("SET enable_seqscan = off")
        for collection, field in ((SESSIONS, "token_hash"), (USERS, "email"), (WORKSPACES, "name")):
            plan = await connection.fetch(
                f"EXPLAIN SELECT * FROM documents_{collection.name} WHERE body->'{field}' = '\"x\"'::jsonb"
            )
            assert any(f"{collection.name}_{field}_unique" in row[0] for row in plan), plan
    finally:
        await connection.close()


def _user() -> User:
    return User(
        id=uuid4(), email="a@house.example", name="A", password_hash="!", created_at=datetime.now(UTC)
    )
