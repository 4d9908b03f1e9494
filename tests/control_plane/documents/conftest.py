"""Every store, each with an empty database."""

import os
from collections.abc import AsyncIterator

import pytest

from control_plane.documents.choice import open_store
from control_plane.documents.migrate import Migratable

STORES = {"postgres": "fresh_database", "wire-compatible": "wire_database", "mongodb": "mongodb_database"}
NO_MONGODB = pytest.mark.skipif(
    not os.environ.get("HELIOGRAPH_TEST_MONGODB_URL"), reason="HELIOGRAPH_TEST_MONGODB_URL names no MongoDB"
)


@pytest.fixture(params=["postgres", "wire-compatible", pytest.param("mongodb", marks=NO_MONGODB)])
def store_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(STORES[request.param])
    return url


@pytest.fixture
async def empty_store(store_url: str) -> AsyncIterator[Migratable]:
    store = await open_store(store_url)
    yield store
    await store.close()
