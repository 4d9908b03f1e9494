"""What the links of one account share: the distance of their connections, and their refused passwords."""

from __future__ import annotations

import asyncio
from typing import Protocol

from engine.smpp.reconnect import WRONG_CREDENTIALS

UNCOUNTED = 0
ASK_AGAIN_S = 0.5  # where other engines have the tries that are left
SETTLING_S = 1.0


class RefusedTooOften(Exception):
    """No bind of the account may be sent any more."""


class Tries(Protocol):
    """Tries of an account, counted for all engines that bind it."""

    async def take(self, limit: int) -> int | None:
        """A try's number (UNCOUNTED: nobody counts now); it counts until it is settled. None: as many are on
        their way as are left. Raises RefusedTooOften."""

    async def settle(self, try_id: int, accepted: bool | None) -> None:
        """Accepted (clears the count), refused for its credentials, or neither (None)."""


class AccountGate:
    """At most `tries` binds of an account are refused for their credentials before all of its links stop.

    A bind on its way counts as a try until it is answered, so links that connect at the same time cannot ask
    more often than allowed. An accepted bind clears the count. `shared`: what other engines count too.
    """

    def __init__(self, *, tries: int, stagger_s: float, shared: Tries | None = None) -> None:
        self.refusals = 0
        self._tries = tries
        self._stagger_s = stagger_s
        self._shared = shared
        self._settling: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._next_at = float("-inf")
        self._changed = asyncio.Event()

    @property
    def exhausted(self) -> bool:
        """No link binds until `reset`."""
        return self.refusals >= self._tries

    def reset(self) -> None:
        """An operator says: try again."""
        self.refusals = 0
        self._wake()

    async def admit(self) -> Ticket | None:
        """Waits for its turn to connect; None: the credentials were refused too often."""
        while self.refusals + self._under_way >= self._tries:
            if self.exhausted:
                return None
            await self._changed.wait()
        ticket = Ticket(self)
        self._under_way += 1
        now = asyncio.get_running_loop().time()
        at = max(now, self._next_at)
        self._next_at = at + self._stagger_s
        if at > now:
            try:
                await asyncio.sleep(at - now)
            except BaseException:
                ticket.close()
                raise
        return ticket

    async def take(self, ticket: Ticket) -> bool:
        """Waits for a try that all engines count; False: there is none. Only with a connection that stands:
        an engine that cannot reach the SMSC must not hold what the others could use."""
        shared = self._shared
        if shared is None:
            return True
        try:
            if self._settling:
                await asyncio.wait(self._settling, timeout=SETTLING_S)
            while (try_id := await shared.take(self._tries)) is None:  # noqa: ASYNC110  # others' tries
                await asyncio.sleep(ASK_AGAIN_S)
        except RefusedTooOften:
            self.refusals = self._tries
            ticket.close()
            return False
        except BaseException:
            ticket.close()
            raise
        ticket.try_id = try_id
        return True

    def settle(self, status: int | None, try_id: int = UNCOUNTED) -> None:
        """A try has ended: accepted (0), refused, or without an answer (None). See Ticket."""
        if self._shared is not None and try_id != UNCOUNTED:
            accepted = True if status == 0 else False if status in WRONG_CREDENTIALS else None
            task = asyncio.create_task(self._shared.settle(try_id, accepted), name="bind-try")
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        self._under_way -= 1
        if status == 0:
            self.refusals = 0
        elif status in WRONG_CREDENTIALS:
            self.refusals += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Ticket:
    """One link's right to connect, and with `may_bind` to send one bind."""

    def __init__(self, gate: AccountGate) -> None:
        self.try_id = UNCOUNTED
        self._gate: AccountGate | None = gate

    async def may_bind(self) -> bool:
        """See `AccountGate.take`; False too once it is closed."""
        return self._gate is not None and await self._gate.take(self)

    def answered(self, status: int) -> None:
        """The bind's command_status."""
        self._settle(status)

    def close(self) -> None:
        """The connection ended; nothing happens if the bind was answered."""
        self._settle(None)

    def _settle(self, status: int | None) -> None:
        if self._gate is not None:
            gate, self._gate = self._gate, None
            gate.settle(status, self.try_id)
