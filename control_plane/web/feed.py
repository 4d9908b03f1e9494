"""Live figures: one poller a campaign however many watch it, each viewer a stream of server-sent events.

A stream ends by itself when the figures are final, at shutdown, and after five minutes: the browser then
comes again with its cookie, so a session that is over stops seeing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
import structlog

from control_plane.errors import ControlPlaneError, NotFound

log = structlog.get_logger(__name__)

INTERVAL_S = 1.0
STREAM_LIFE_S = 300.0
RETRY_MS = 2000

Look = Callable[[], Awaitable[dict[str, Any]]]


class _Feed:
    """The last figures of a campaign, and a turn that ends when there are newer ones."""

    def __init__(self) -> None:
        self.watchers = 0
        self.event = b""
        self.last = False
        self.turn = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def publish(self, event: bytes, *, last: bool) -> None:
        self.event, self.last = event, last
        turn, self.turn = self.turn, asyncio.Event()
        turn.set()


class Feeds:
    """`stopping` ends every stream at once."""

    def __init__(self, stopping: asyncio.Event, interval_s: float = INTERVAL_S) -> None:
        self._stopping = stopping
        self._interval_s = interval_s
        self._feeds: dict[UUID, _Feed] = {}

    @property
    def polled(self) -> int:
        """Campaigns that are asked for now."""
        return len(self._feeds)

    async def stream(self, campaign_id: UUID, look: Look) -> AsyncIterator[bytes]:
        """Events for one viewer. `look` gives the figures: `final` in them ends the stream after them."""
        yield b"retry: %d\n\n" % RETRY_MS
        feed = self._feeds.get(campaign_id)
        if feed is None:
            feed = self._feeds[campaign_id] = _Feed()
            feed.task = asyncio.create_task(self._poll(campaign_id, feed, look))
        feed.watchers += 1
        until = time.monotonic() + STREAM_LIFE_S
        try:
            turn = feed.turn
            if feed.event:
                yield feed.event
            while not feed.last and time.monotonic() < until:
                await turn.wait()
                turn = feed.turn
                yield feed.event
            if feed.last and not self._stopping.is_set():
                yield b"event: end\ndata: {}\n\n"
        finally:
            feed.watchers -= 1
            if feed.watchers == 0 and feed.task is not None:
                feed.task.cancel()

    async def _poll(self, campaign_id: UUID, feed: _Feed, look: Look) -> None:
        try:
            while not self._stopping.is_set():
                figures: dict[str, Any] = {}
                try:
                    figures = await look()
                    event = b"event: status\ndata: " + msgspec.json.encode(figures) + b"\n\n"
                except NotFound:
                    figures, event = {"final": True}, b": gone\n\n"
                except ControlPlaneError:
                    event = b": no answer\n\n"  # a comment: keeps the connection, says nothing
                feed.publish(event, last=bool(figures.get("final")))
                if feed.last:
                    return
                await self._pause()
        except Exception as error:  # whatever it is, no viewer may wait for ever
            log.error(
                "live feed failed", campaign_id=str(campaign_id), reason=type(error).__name__, exc_info=error
            )
        finally:
            # Later viewers start a poller of their own, before the watchers of this one are told.
            if self._feeds.get(campaign_id) is feed:
                del self._feeds[campaign_id]
            if not feed.last:
                feed.publish(b": over\n\n", last=True)

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), self._interval_s)
        except TimeoutError:
            return
