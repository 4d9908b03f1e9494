"""Numbered migrations: `migrations/NNNN_name.sql`, applied in order under an advisory lock, each in a
transaction."""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

import asyncpg
import structlog

from engine import faults
from engine.ledger.errors import MigrationChanged, SchemaMismatch, SchemaTooNew
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load

log = structlog.get_logger(__name__)

_LOCK = 0x48454C4C  # one migrating process at a time, whatever its host
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()


def migrations() -> list[Migration]:
    """All migrations of this release, in order. Raises ValueError where a number is there twice."""
    found = []
    for file in (resources.files("engine.ledger") / "migrations").iterdir():
        if match := _FILE.fullmatch(file.name):
            found.append(Migration(int(match[1]), match[2], file.read_text("utf-8")))
    found.sort(key=lambda migration: migration.version)
    if len({migration.version for migration in found}) != len(found):
        raise ValueError("two migrations have the same number")
    return found


def latest() -> int:
    """The schema version this release needs."""
    return migrations()[-1].version


async def schema_version(connection: Connection) -> int:
    """The schema version of a database; 0 for an empty one."""
    queries = load("migrate")
    if not await connection.fetchval(queries["has_versions"]):
        return 0
    return int(await connection.fetchval(queries["version"]))


async def migrate(dsn: str, *, target: int | None = None) -> int:
    """Bring a database to this release's schema (or to `target`); returns its version.

    Raises SchemaTooNew for a database of a newer release, MigrationChanged where an applied file was edited.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(load("migrate")["lock"], _LOCK)  # released with the connection
        return await _apply(connection, migrations(), target)
    finally:
        await connection.close()


async def check(pool: Pool) -> None:
    """Raises SchemaMismatch where the database has not this release's schema; changes nothing."""
    async with pool.acquire() as connection:
        version = await schema_version(connection)
    if version != latest():
        raise SchemaMismatch(
            f"the database has schema {version}, this release {latest()}: "
            + ("start the newer release" if version > latest() else "start its engine once, it migrates")
        )


async def _apply(connection: "asyncpg.Connection[Any]", known: list[Migration], target: int | None) -> int:
    queries = load("migrate")
    await connection.execute(queries["create_versions"])
    applied = {row["version"]: bytes(row["digest"]) for row in await connection.fetch(queries["applied"])}
    newest = max(applied, default=0)
    if newest > known[-1].version:
        raise SchemaTooNew(
            f"the database has schema {newest}, this release {known[-1].version}: start the newer one"
        )
    for migration in known:
        if migration.version in applied:
            if applied[migration.version] != migration.digest:
                raise MigrationChanged(f"migration {migration.version} was applied with another content")
        elif target is None or migration.version <= target:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    queries["record"], migration.version, migration.name, migration.digest
                )
            log.info("migrated", version=migration.version, name=migration.name)
            newest = max(newest, migration.version)
            faults.point("during_migration")
    return newest
