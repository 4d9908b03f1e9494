"""An answer of the engine that every page shows: asked for once a second, whoever and however many look."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from control_plane.errors import ControlPlaneError

T = TypeVar("T")

FRESH_S = 1.0
PATIENCE_S = 0.8  # a page does not wait longer for it


class Latest(Generic[T]):
    """The last answer, asked again when it is older than a second.

    Where the engine does not answer: None, or with `keep` what was known last.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], *, keep: bool = False) -> None:
        self._ask = ask
        self._keep = keep
        self._asked_at = float("-inf")
        self._last: T | None = None
        self._asking: asyncio.Task[None] | None = None

    async def view(self) -> T | None:
        if self._asking is None and time.monotonic() - self._asked_at > FRESH_S:
            self._asking = asyncio.create_task(self._renew())
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=PATIENCE_S)
        return self._last

    def stale(self) -> None:
        """Something was just changed: the next look asks anew."""
        self._asking = None
        self._asked_at = float("-inf")

    async def _renew(self) -> None:
        task = asyncio.current_task()
        try:
            answer: T | None = await self._ask()
        except ControlPlaneError:
            answer = self._last if self._keep else None
        if self._asking is task:  # else it was made stale meanwhile
            self._last = answer
            self._asked_at = time.monotonic()
            self._asking = None
