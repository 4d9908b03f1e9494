"""The story with the documents on a MongoDB-wire-compatible server: `heliograph up --documents mongodb://...`.

A draft, its file, the moderator's approval and the live page in Chromium; then where everything stands.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import asyncpg
import psutil
import pytest
import test_story as story
from console_page import Person
from playwright.sync_api import Browser, expect
from pymongo import MongoClient
from wire_compatible import WireServer

from bench.stack import Stack
from control_plane.launcher.postgres import DOCUMENTS, LEDGER, Postgres

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.slow]

SECRET = "s3cret-part-of-the-url"
MADE = {"users", "workspaces", "sender_revisions", "campaigns", "audit", "sessions", "schema"}

chromium, shots, recipients = story.chromium, story.shots, story.recipients


class InAHurry(Person):
    """Looks at no page for long: how they look is told in the other story."""

    def look(self, name: str) -> None: ...


@pytest.fixture(scope="module")
def database(wire_server: WireServer) -> str:
    return wire_server.url("heliograph_documents", f"?authSource={SECRET}")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("mongodb"), ["--tps", "200", "--documents", database])
    try:
        yield running
    finally:
        running.stop()


def test_the_story_with_documents_in_mongodb(
    product: Stack, chromium: Browser, shots: Path, recipients: Path, database: str
) -> None:
    author = InAHurry(chromium, product.ready["ui"], shots)
    moderator = InAHurry(chromium, product.ready["ui"], shots)
    author.open("/login")
    author.first_login(*product.login_of("author"))
    campaign = story.write(author, recipients)
    story.review_and_submit(author)
    story.decide(moderator, product, campaign)
    watch(author)
    assert author.offences + moderator.offences == []

    with MongoClient[dict[str, object]](database, uuidRepresentation="standard") as client:
        documents = client.get_default_database()
        assert set(documents.list_collection_names()) >= MADE
        stored = documents["campaigns"].find_one({"_id": UUID(campaign)})
        assert stored is not None
        assert stored["name"] == "Order ready"
        assert documents["audit"].count_documents({"action": "campaign.approve"}) == 1


def watch(author: Person) -> None:
    """The author's page turns live by itself and counts every message to its end."""
    page = author.page
    expect(page.locator("[data-badge]")).to_have_text("Done", timeout=story.PATIENCE_MS)
    expect(page.locator("[data-link]")).to_have_text("Final", timeout=story.PATIENCE_MS)
    figures = {key: story.tile(page, key) for key in ("delivered", "failed", "in_doubt", "unsent")}
    assert figures["delivered"] + figures["failed"] == story.RECIPIENTS
    assert figures["in_doubt"] == figures["unsent"] == 0


def test_the_embedded_postgresql_holds_no_documents(product: Stack) -> None:
    async def databases() -> set[str]:
        connection = await asyncpg.connect(Postgres(product.data / "postgres").dsn("postgres"))
        try:
            return {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        finally:
            await connection.close()

    with ThreadPoolExecutor() as thread:  # the browser's own loop runs in this one
        found = thread.submit(asyncio.run, databases()).result()
    assert LEDGER in found
    assert DOCUMENTS not in found


def test_the_url_is_in_no_log_and_in_no_childs_command_line(product: Stack) -> None:
    children = psutil.Process(product.ready["pid"]).children(recursive=True)
    assert children
    for child in children:
        assert SECRET not in " ".join(child.cmdline())
    for log in (product.data / "logs").iterdir():
        assert SECRET not in log.read_text()
