"""A migrated ledger and a campaign in it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from ledger_world import Driver, make_driver

from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox


@pytest.fixture
async def pool(ledger_dsn: str) -> AsyncIterator[Pool]:
    await migrate(ledger_dsn)
    opened = await open_pool(ledger_dsn, min_size=1, max_size=4)
    try:
        yield opened
    finally:
        opened.terminate()  # the writer keeps a connection


@pytest.fixture
def box(tmp_path) -> SecretBox:
    return SecretBox(tmp_path / "key")


@pytest.fixture
async def driver(pool: Pool, box: SecretBox) -> Driver:
    return await make_driver(pool, box)


@pytest.fixture
def property_dsn(ledger_dsn: str) -> str:
    """One migrated database for all examples of a property; each makes its own campaign."""
    asyncio.run(migrate(ledger_dsn))
    return ledger_dsn
