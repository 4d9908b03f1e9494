"""The moderator's queue and decision in Chromium: keys, focus, what others decide, every state of the pages.

The console runs here on a real store and a fake engine: the way to the engine is the other stories' subject.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
import uvicorn
from console_page import ARGUMENTS, CHROMIUM, Person
from playwright.sync_api import expect, sync_playwright

from control_plane.app import COLLECTIONS, build, ui_app
from control_plane.clock import utc_now
from control_plane.core_fake import FakeCore
from control_plane.documents.postgres import PostgresStore
from control_plane.identity.model import USERS
from control_plane.settings import ControlPlaneSettings
from engine.core_api import schema

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.slow]

SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
JSON = {"accept": "application/json"}
PASSWORD = "three unrelated words"


class Console:
    """A console on a free port, in a thread with a loop of its own."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.core = FakeCore()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.run(self._start(dsn, folder))

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(120)

    async def _start(self, dsn: str, folder: Path) -> None:
        settings = ControlPlaneSettings(
            documents_dsn=dsn,
            data_dir=folder,
            argon2_time_cost=1,
            argon2_memory_kib=8,
            argon2_parallelism=1,
        )
        self.store = await PostgresStore.open(dsn)
        await self.store.ensure(COLLECTIONS)
        self.services = build(settings, self.store, self.core, utc_now)
        await self.services.bootstrap.run()
        app = ui_app(self.services)
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve([self._listener]))

    def one_time(self, role: str) -> tuple[str, str]:
        """The address of a demo person and a password to be replaced at once."""
        people = self.run(self.store.find(USERS, {}, limit=100)).records
        email = next(one.email for one in people if one.email.startswith(role))
        return email, self.run(self.services.identity.issue_password(email))

    def program(self, role: str) -> httpx.Client:
        """Somebody logged in without a browser."""
        email, one_time = self.one_time(role)
        client = httpx.Client(base_url=self.url, headers=SAME_ORIGIN, timeout=60)
        assert client.post("/login", data={"email": email, "password": one_time}).status_code == 303
        client.post("/password", data={"new": PASSWORD, "again": PASSWORD})
        return client

    def close(self) -> None:
        self._server.should_exit = True
        self.services.stopping.set()

        async def end() -> None:
            await self._serving
            await self.store.close()

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)


@pytest.fixture
def console(fresh_database: str, tmp_path: Path) -> Iterator[Console]:
    running = Console(fresh_database, tmp_path)
    yield running
    running.close()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("HELIOGRAPH_SCREENSHOTS") or tmp_path / "shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def submit(author: httpx.Client, name: str, text: str, file: bytes) -> str:
    senders = author.get("/senders", headers=JSON).json()["senders"]
    form = {"name": name, "sender": senders[0]["revision_id"], "text": text}
    campaign = author.post("/campaigns", data=form).headers["location"].rpartition("/")[2]
    params = {"offset": 0, "size": len(file), "name": "people.csv"}
    put = author.put(f"/campaigns/{campaign}/recipients", params=params, content=file)
    assert put.json()["state"] == "complete"
    assert author.post(f"/campaigns/{campaign}/submit").status_code == 303
    return str(campaign)


def decide(moderator: httpx.Client, campaign: str, verb: str) -> None:
    entry = moderator.get(f"/moderation/{campaign}", headers=JSON).json()
    form = {"version": entry["version"], "opened": entry["opened"], "note": "No."}
    assert moderator.post(f"/moderation/{campaign}/{verb}", data=form).status_code == 303


def test_a_moderator_works_with_the_keyboard_while_others_decide(console: Console, shots: Path) -> None:
    author, other = console.program("author"), console.program("admin")
    few = b"".join(b"49151000000%02d,%s\n" % (n, (b"Ann", b"Bob", b"")[n % 3]) for n in range(30))
    many = b"".join(b"4915100%06d,N%d\n" % (n, n) for n in range(1_500))
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        person = Person(browser, console.url, shots)
        page = person.page
        person.first_login(*console.one_time("moderator"))
        person.open("/moderation?tab=content")
        expect(page.get_by_text("Sender revisions and templates appear here")).to_be_visible()
        person.look("moderation-content-empty")
        campaigns = [
            submit(author, f"Wave {n}", "Hello {{name}}, see https://{{name}}.example", few) for n in range(4)
        ]
        console.run(with_links(console, UUID(campaigns[2])))
        large = submit(author, "Many texts", "Your number is {{name}}", many)

        person.open("/moderation")
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.get_by_role("link", name="Wave 1", exact=True)).to_be_focused()
        other_root = other.post("/workspace", data={"workspace": str(console.run(demo(console)))})
        assert other_root.status_code == 303
        decide(other, campaigns[0], "approve")
        grey = page.locator(f"#row-{campaigns[0]}")
        expect(grey).to_contain_text("Approved by", timeout=15_000)
        expect(page.get_by_role("link", name="Wave 1", exact=True)).to_be_focused()
        person.look("moderation-queue-decided")
        expect(grey).to_have_count(0, timeout=15_000)
        expect(page.get_by_role("link", name="Wave 1", exact=True)).to_be_focused()
        decide(other, campaigns[1], "reject")
        expect(page.locator(f"#row-{campaigns[1]}")).to_contain_text("Sent back by", timeout=15_000)
        expect(page.locator(f"#row-{campaigns[1]}")).to_have_count(0, timeout=15_000)
        expect(page.get_by_role("link", name="Wave 2", exact=True)).to_be_focused()

        page.keyboard.press("a")
        page.wait_for_url(f"**/moderation/{campaigns[2]}")
        expect(page.get_by_text("Differs from recipient to recipient").first).to_be_visible()
        expect(page.get_by_role("link", name="name is empty (10)")).to_be_visible()
        person.look("moderation-decision-texts")
        page.get_by_role("searchbox").click()
        page.keyboard.type("jar")
        expect(page).to_have_url(f"{console.url}/moderation/{campaigns[2]}")
        page.locator("h1").click()
        page.keyboard.press("j")
        page.wait_for_url(f"**/moderation/{campaigns[3]}")
        page.keyboard.press("r")
        expect(page.get_by_label("Why, for the author")).to_be_focused()
        page.keyboard.type("ajrk")
        expect(page.get_by_label("Why, for the author")).to_have_value("ajrk")
        page.get_by_label("Why, for the author").fill("")
        page.get_by_role("button", name="The sender does not fit the text.").click()
        person.look("moderation-reject-reason")
        page.get_by_role("button", name="Reject", exact=True).click()
        expect(page.get_by_text("Sent back to its author with your note")).to_be_visible()

        person.open(f"/moderation/{large}")
        expect(page.get_by_text("More than 1,000 different texts")).to_be_visible()
        page.get_by_role("link", name="Longest").click()
        expect(page.locator("#texts .filters [aria-current]")).to_have_text("Longest")
        page.get_by_role("link", name="More texts").click()
        expect(page.get_by_text("26–50 of 50")).to_be_visible()
        page.get_by_role("searchbox").fill("N1499")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("#texts tbody").get_by_text("Your number is N1499")).to_be_visible()
        person.look("moderation-search")

        person.open(f"/moderation/{campaigns[2]}")
        expect(page.get_by_text("What is new", exact=True)).to_be_visible()
        page.keyboard.press("a")
        expect(page.get_by_text("Press A once more to approve.")).to_be_visible()
        assert console.core.done.count("start") == 1
        page.keyboard.press("a")
        page.wait_for_url(f"**/campaigns/{campaigns[2]}*")
        assert console.core.done.count("start") == 2

        person.open(f"/moderation/{large}")
        console.core.away = True
        page.get_by_role("searchbox").fill("N1")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_text("The texts cannot be shown")).to_be_visible()
        person.look("moderation-away")
        browser.close()
    assert person.offences == []


async def demo(console: Console) -> Any:
    found = await console.store.find(COLLECTIONS[1], {"name": "Demo"})
    return found.records[0].id


async def with_links(console: Console, campaign: UUID) -> None:
    """The links that the real engine finds in the text and in its variable."""
    listing = await console.core.campaign_texts(campaign)
    console.core.rendered[campaign] = msgspec.structs.replace(
        listing,
        hosts=[
            schema.LinkHost(host="{{name}}.example", varies=True, recipients=30),
            schema.LinkHost(host="shop.example", column="name", recipients=4),
        ],
        price=1_500_000,
        currency="EUR",
    )
