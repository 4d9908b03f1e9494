"""Backup and restore where the ledger is the folder's own and the documents are in another PostgreSQL."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from click.testing import CliRunner

from control_plane.launcher import documents_place
from control_plane.launcher.backup import backup, restore
from control_plane.launcher.postgres import DOCUMENTS, LEDGER, Postgres
from engine.ledger.migrate import migrate

pytestmark = pytest.mark.system


def query(dsn: str, sql: str) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(dsn)
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture
def data(tmp_path: Path, fresh_database: str) -> Path:
    """A data folder as `heliograph up --documents postgresql://...` leaves it."""
    folder = tmp_path / "data"
    postgres = Postgres(folder / "postgres")
    postgres.start()
    try:
        asyncio.run(postgres.prepare((LEDGER,)))
        asyncio.run(migrate(postgres.dsn(LEDGER)))
    finally:
        postgres.stop()
    (folder / "control_plane").mkdir()
    documents_place.note(folder, fresh_database)
    query(fresh_database, "CREATE TABLE documents_users AS SELECT 'here' AS body")
    return folder


@pytest.fixture
def second_database(postgres_dsn: str) -> Iterator[str]:
    name = f"t_{uuid4().hex}"
    query(postgres_dsn, f"CREATE DATABASE {name}")
    yield postgres_dsn.replace("@/postgres?", f"@/{name}?", 1)
    query(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)")


def test_documents_elsewhere_are_in_the_backup_and_go_where_they_are_told(
    data: Path, fresh_database: str, second_database: str, tmp_path: Path
) -> None:
    folder, restored = tmp_path / "backup", tmp_path / "restored"
    made = CliRunner().invoke(backup, [str(folder), "--data", str(data), "--documents-dsn", fresh_database])
    assert made.exit_code == 0, made.output
    done = CliRunner().invoke(
        restore, [str(folder), "--data", str(restored), "--documents-dsn", second_database]
    )
    assert done.exit_code == 0, done.output
    assert [row["body"] for row in query(second_database, "SELECT body FROM documents_users")] == ["here"]
    postgres = Postgres(restored / "postgres")
    postgres.start()
    try:
        found = {row["datname"] for row in query(postgres.dsn("postgres"), "SELECT datname FROM pg_database")}
    finally:
        postgres.stop()
    assert LEDGER in found
    assert DOCUMENTS not in found
    assert (restored / documents_place.FILE).read_text() == "postgresql\n"
