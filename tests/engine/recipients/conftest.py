from collections.abc import AsyncIterator
from importlib import resources

import asyncpg
import pytest

SCHEMA = (resources.files("engine.ledger") / "migrations" / "0001_initial.sql").read_text("utf-8")


@pytest.fixture
async def pool(ledger_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on a ledger with its tables."""
    async with asyncpg.create_pool(ledger_dsn, min_size=1, max_size=3) as opened:
        await opened.execute(SCHEMA)
        yield opened
