"""What the links of one account share: the distance of their connections, and their refused passwords."""

from __future__ import annotations

import asyncio

from engine.smpp.reconnect import WRONG_CREDENTIALS


class AccountGate:
    """At most `tries` binds of an account are refused for their credentials before all of its links stop.

    A bind on its way counts as a try until it is answered, so links that connect at the same time cannot ask
    more often than allowed. An accepted bind clears the count.
    """

    def __init__(self, *, tries: int, stagger_s: float) -> None:
        self.refusals = 0
        self._tries = tries
        self._stagger_s = stagger_s
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
        """Waits for its turn; None: the credentials were refused too often."""
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

    def settle(self, status: int | None) -> None:
        """A try has ended: accepted (0), refused, or without an answer (None). See Ticket."""
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
    """One connection's right to send one bind."""

    def __init__(self, gate: AccountGate) -> None:
        self._gate: AccountGate | None = gate

    def answered(self, status: int) -> None:
        """The bind's command_status."""
        self._settle(status)

    def close(self) -> None:
        """The connection ended; nothing happens if the bind was answered."""
        self._settle(None)

    def _settle(self, status: int | None) -> None:
        if self._gate is not None:
            gate, self._gate = self._gate, None
            gate.settle(status)
