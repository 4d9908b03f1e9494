"""This process among the workers: its identity, epoch and lease, and the deadline before every write."""

import fcntl
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import IO
from uuid import uuid4

import structlog

from engine.ledger.errors import LedgerError
from engine.ledger.pool import Pool
from engine.ledger.sql import load
from engine.settings import EngineSettings

log = structlog.get_logger(__name__)

IDENTITY_FILE = "worker"


class DataFolderInUse(LedgerError):
    """Another engine process runs on this data folder."""

    problem = "data-folder-in-use"
    status = 503


class Worker:
    """A registered worker. It may write until `deadline` (monotonic seconds): renewal sent-at + lease -
    margin."""

    def __init__(
        self,
        pool: Pool,
        settings: EngineSettings,
        identity: IO[str],
        worker_id: int,
        epoch: int,
        sent_at: float,
    ) -> None:
        self.worker_id = worker_id
        self.epoch = epoch
        self.name = identity.read().strip()
        self.lost = False  # another process ended this worker: it never writes again
        self._pool = pool
        self._identity = identity  # open: its lock says that this process lives
        self._lease_s = settings.lease_s
        self._usable_s = settings.lease_s - settings.lease_margin_s
        self.deadline = sent_at + self._usable_s
        self._steady_since = sent_at  # renewed without a gap

    @property
    def renew_every_s(self) -> float:
        return self._usable_s / 4

    def may_fence(self, now: float) -> bool:
        """Whether this worker may call others dead. Not soon after it could not renew itself: a database that
        was away was so for all, and they come back as we do."""
        return now < self.deadline and now - self._steady_since >= self._lease_s

    @classmethod
    async def register(cls, pool: Pool, settings: EngineSettings) -> "Worker":
        """A new worker under the data folder's name. Earlier ones of that name are marked stopped: the
        folder's lock proves them dead. Raises DataFolderInUse."""
        identity = _lock(settings.data_dir / IDENTITY_FILE)
        queries = load("dispatch")
        try:
            name = identity.read().strip()
            identity.seek(0)
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(queries["retire"], name)
                sent_at = time.monotonic()
                row = await connection.fetchrow(
                    queries["register"], name, timedelta(seconds=settings.lease_s)
                )
        except BaseException:
            identity.close()
            raise
        assert row is not None
        log.info("worker registered", name=name, worker_id=row["worker_id"], epoch=row["epoch"])
        return cls(pool, settings, identity, row["worker_id"], row["epoch"], sent_at)

    async def renew(self) -> bool:
        """Prolong the lease. False if it is lost for good: another process has taken over this worker's
        claims."""
        sent_at = time.monotonic()
        lease = timedelta(seconds=self._lease_s)
        if await self._pool.fetchval(load("dispatch")["renew"], self.worker_id, self.epoch, lease) is None:
            self.lost, self.deadline = True, float("-inf")
            return False
        if sent_at >= self.deadline:
            self._steady_since = sent_at
        self.deadline = sent_at + self._usable_s
        return True

    async def leave(self) -> None:
        """The clean end: open claims, if any, are for the next start's recovery."""
        self.deadline = float("-inf")
        try:
            await self._pool.execute(load("dispatch")["leave"], self.worker_id)
        finally:
            self._identity.close()


def _lock(path: Path) -> IO[str]:
    """The identity file, locked as long as it stays open (also over a kill -9: the kernel lets go)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise DataFolderInUse(f"another engine runs on the data folder {path.parent}") from error
    file.seek(0)
    if not file.read().strip():
        file.write(f"{socket.gethostname()}-{uuid4().hex[:8]}\n")
        file.flush()
    file.seek(0)
    return file
