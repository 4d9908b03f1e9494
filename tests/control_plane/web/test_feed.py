"""Live figures: one poller for all who watch, ended by the last figures, the last viewer, or the shutdown."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from control_plane.errors import EngineUnavailable, NotFound
from control_plane.web.feed import Feeds


class Figures:
    """Counts how often it is asked; ends at `last`."""

    def __init__(self, last: int = 10**9) -> None:
        self.asked = 0
        self.last = last

    async def __call__(self) -> dict[str, Any]:
        self.asked += 1
        return {"asked": self.asked, "final": self.asked >= self.last}


async def collect(stream: AsyncIterator[bytes], events: int) -> list[bytes]:
    found: list[bytes] = []
    async for event in stream:
        if event.startswith(b"event: status"):
            found.append(event)
        if len(found) == events:
            break
    await stream.aclose()  # type: ignore[attr-defined]
    return found


async def test_all_viewers_of_a_campaign_share_one_poller() -> None:
    feeds, figures, campaign = Feeds(asyncio.Event(), interval_s=0.001), Figures(), uuid4()
    seen = await asyncio.gather(*(collect(feeds.stream(campaign, figures), 5) for _ in range(20)))
    assert all(len(events) == 5 for events in seen)
    assert figures.asked <= 10


async def test_nothing_is_asked_when_nobody_watches_any_more() -> None:
    feeds, figures = Feeds(asyncio.Event(), interval_s=0.001), Figures()
    await collect(feeds.stream(uuid4(), figures), 2)
    await settled(feeds)
    assert feeds.polled == 0


async def settled(feeds: Feeds) -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        if "_poll" in repr(task.get_coro()):
            await asyncio.gather(task, return_exceptions=True)


async def test_the_last_figures_end_the_stream() -> None:
    feeds = Feeds(asyncio.Event(), interval_s=0.001)
    events = [event async for event in feeds.stream(uuid4(), Figures(last=3))]
    assert b'"final":true' in events[-2]
    assert events[-1].startswith(b"event: end")


async def test_the_shutdown_ends_every_stream_at_once() -> None:
    stopping = asyncio.Event()
    feeds, figures = Feeds(stopping, interval_s=3600), Figures()
    stream = feeds.stream(uuid4(), figures)
    assert (await anext(stream)).startswith(b"retry")
    assert (await anext(stream)).startswith(b"event: status")
    stopping.set()
    rest = await asyncio.wait_for(rest_of(stream), 5)
    assert not any(event.startswith(b"event") for event in rest)


async def rest_of(stream: AsyncIterator[bytes]) -> list[bytes]:
    return [event async for event in stream]


async def test_an_engine_that_is_away_is_waited_out() -> None:
    answers: list[Any] = [EngineUnavailable("away"), {"final": True}]

    async def look() -> dict[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    events = await rest_of(Feeds(asyncio.Event(), interval_s=0.001).stream(uuid4(), look))
    assert events[1] == b": no answer\n\n"
    assert b'"final":true' in events[2]


async def test_a_campaign_that_is_gone_ends_the_stream() -> None:
    async def look() -> dict[str, Any]:
        raise NotFound("campaign")

    events = await rest_of(Feeds(asyncio.Event(), interval_s=0.001).stream(uuid4(), look))
    assert events[-1].startswith(b"event: end")


async def test_a_defect_leaves_no_viewer_waiting() -> None:
    async def look() -> dict[str, Any]:
        raise RuntimeError("a defect")

    with contextlib.suppress(RuntimeError):
        events = await asyncio.wait_for(
            rest_of(Feeds(asyncio.Event(), interval_s=0.001).stream(uuid4(), look)), 5
        )
        assert not any(event.startswith(b"event: status") for event in events)


async def test_the_stream_of_a_campaign_says_what_its_status_says(
    author: Any, services: Any, house: Any, console: Any
) -> None:
    pending = await house.pending()
    services.stopping.set()  # one look, then the end
    answer = await author.get(f"/campaigns/{pending.id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry:")
