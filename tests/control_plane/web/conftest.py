"""The console over real services: pages asked for as a browser would, without a socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from control_plane.access import Role
from control_plane.app import ui_app
from control_plane.documents.postgres import PostgresStore
from control_plane.errors import StoreUnavailable
from control_plane.services import Services

ORIGIN = "http://console.example"
PASSWORD = "three unrelated words"


class Browser(httpx.AsyncClient):
    """Somebody's browser: keeps cookies, follows nothing by itself, says where its requests come from."""

    async def submit(self, path: str, **form: str) -> httpx.Response:
        return await self.post(path, data=form)


@pytest.fixture
def console(services: Services) -> Any:
    return ui_app(services)


def open_browser(console: Any, **headers: str) -> Browser:
    transport = httpx.ASGITransport(console, raise_app_exceptions=False, client=("192.0.2.1", 4711))
    sent = {"sec-fetch-site": "same-origin", "accept": "text/html", **headers}
    return Browser(transport=transport, base_url=ORIGIN, headers=sent)


async def log_in(services: Services, browser: Browser, email: str) -> Browser:
    """Somebody of the house, by a password of their own."""
    one_time = await services.identity.issue_password(email)
    assert (await browser.submit("/login", email=email, password=one_time)).status_code == 303
    answer = await browser.submit("/password", new=PASSWORD, again=PASSWORD)
    assert answer.headers["location"] == "/?done=password"
    return browser


@pytest.fixture
async def visitor(console: Any) -> AsyncIterator[Browser]:
    """Nobody."""
    async with open_browser(console) as browser:
        yield browser


@pytest.fixture
async def author(services: Services, house: Any, console: Any) -> AsyncIterator[Browser]:
    async with open_browser(console) as browser:
        yield await log_in(services, browser, "author@house.example")


@pytest.fixture
async def moderator(services: Services, house: Any, console: Any) -> AsyncIterator[Browser]:
    async with open_browser(console) as browser:
        yield await log_in(services, browser, "moderator@house.example")


@pytest.fixture
async def root(services: Services, house: Any, console: Any) -> AsyncIterator[Browser]:
    async with open_browser(console) as browser:
        yield await log_in(services, browser, "admin@heliograph.example")


@pytest.fixture
async def browser_of(services: Services, house: Any, console: Any) -> AsyncIterator[Any]:
    """Browsers of people in a role, of the demo workspace unless another is named."""
    opened: list[Browser] = []

    async def of(role: Role, workspace_id: UUID | None = None) -> Browser:
        name = f"{role}-{len(opened)}"
        await house.person(name, workspace_id or house.workspace.id, role)
        opened.append(open_browser(console))
        return await log_in(services, opened[-1], f"{name}@house.example")

    yield of
    for browser in opened:
        await browser.aclose()


@pytest.fixture
async def admin(services: Services, house: Any, console: Any) -> AsyncIterator[Browser]:
    """An administrator of the workspace: may write and decide."""
    async with open_browser(console) as browser:
        yield await log_in(services, browser, "admin@house.example")


class Documents:
    """The store's server as a page meets it when it is gone, and when it hangs."""

    def __init__(self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self._store = store
        self._monkeypatch = monkeypatch

    def stop(self) -> None:
        async def refused(*_arguments: Any, **_options: Any) -> Any:
            raise StoreUnavailable("The document store does not answer.")

        self._replace(refused)

    def hang(self) -> None:
        async def never(*_arguments: Any, **_options: Any) -> Any:
            await asyncio.Event().wait()

        self._replace(never)

    def start(self) -> None:
        self._monkeypatch.undo()

    def _replace(self, how: Any) -> None:
        for name in ("get", "find", "insert", "replace", "delete", "count", "purge"):
            self._monkeypatch.setattr(self._store, name, how)


@pytest.fixture
def documents(postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> Documents:
    return Documents(postgres_store, monkeypatch)
