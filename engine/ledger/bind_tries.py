"""Refused passwords of an account, counted for all workers: an SMSC bans addresses that go on.

A bind on its way counts as a try until it is answered, so workers that connect at the same time cannot ask
more often than allowed. With the database away nothing is counted here: what each worker counts by itself is
then the bound.
"""

import asyncio

import structlog

from engine.ledger.pool import AWAY, Pool
from engine.ledger.sql import load
from engine.smpp.gate import UNCOUNTED, RefusedTooOften

log = structlog.get_logger(__name__)

PATIENCE_S = 5.0  # with a database that hangs; then the bind goes out uncounted
AGAIN_S = 1.0


class AccountTries:
    """See `engine.smpp.gate.Tries`. `version`: of the account that the binds were made from; while another is
    stored they wait, for its tries are not theirs."""

    def __init__(self, pool: Pool, worker_id: int, account_id: int, version: int) -> None:
        self.version = version
        self._pool = pool
        self._worker_id = worker_id
        self._account_id = account_id
        self._hanging: set[asyncio.Task[int | None]] = set()
        self._cut: set[asyncio.Task[int | None]] = set()  # nobody waits for their answer
        self._giving_back: set[asyncio.Task[None]] = set()

    async def take(self, limit: int) -> int | None:
        """The try's number; None: as many are on their way as are left, or the account was changed. Raises
        RefusedTooOften. Answers within PATIENCE_S, at once while an earlier question hangs."""
        if self._hanging:
            return UNCOUNTED
        asked = asyncio.create_task(self._take(limit), name="bind-try-take")
        try:
            done, _ = await asyncio.wait({asked}, timeout=PATIENCE_S)
        except asyncio.CancelledError:
            self._cut.add(asked)
            asked.add_done_callback(self._give_back)
            raise
        try:
            if done:
                return asked.result()
            # Not cancelled: that would wait for the same server.
            self._hanging.add(asked)
            asked.add_done_callback(self._give_back)
            raise TimeoutError
        except AWAY as error:
            log.warning("a bind is not counted", account=self._account_id, error=type(error).__name__)
            return UNCOUNTED

    def _give_back(self, asked: "asyncio.Task[int | None]") -> None:
        """A try that nobody waits for any more, once it is known."""
        self._hanging.discard(asked)
        self._cut.discard(asked)
        if not asked.cancelled() and asked.exception() is None and (taken := asked.result()):
            task = asyncio.create_task(self.settle(taken, None), name="bind-try")
            self._giving_back.add(task)
            task.add_done_callback(self._giving_back.discard)

    async def _take(self, limit: int) -> int | None:
        queries, account_id = load("bind_tries"), self._account_id
        async with self._pool.acquire() as connection, connection.transaction():
            stored = await connection.fetchrow(queries["lock"], account_id)
            if stored is None:
                return UNCOUNTED
            if stored["version"] != self.version:
                return None
            if stored["refused"] >= limit:
                raise RefusedTooOften
            await connection.execute(queries["forget"], account_id)
            left = limit - stored["refused"]
            taken: int | None = await connection.fetchval(
                queries["take"], account_id, stored["version"], self._worker_id, left
            )
            return taken

    async def settle(self, try_id: int, accepted: bool | None) -> None:
        """It was accepted, refused for its credentials, or neither (None). Goes on until it is written."""
        while True:
            try:
                await self._settle(try_id, accepted)
                return
            except AWAY:
                await asyncio.sleep(AGAIN_S)

    async def _settle(self, try_id: int, accepted: bool | None) -> None:
        queries = load("bind_tries")
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(
                queries["lock"], self._account_id
            )  # before tries, as when they are taken
            settled = await connection.fetchrow(queries["settle"], try_id)
            if settled is None:
                return
            if accepted:
                await connection.execute(queries["accepted"], self._account_id)
            elif accepted is not None:
                await connection.execute(queries["refused"], self._account_id, settled["version"])
