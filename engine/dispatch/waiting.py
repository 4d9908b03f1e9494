"""Waiting with an end that is no error."""

import asyncio
from collections.abc import Awaitable


async def within(waited: Awaitable[object], timeout_s: float) -> bool:
    """Waits at most `timeout_s`; whether it came."""
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await waited
    except TimeoutError:
        return False
    return True
