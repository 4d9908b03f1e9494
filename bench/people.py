"""People at the console, as the demo and the benches play them: the pages' own routes over HTTP."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import msgspec

from engine.core_api.client import CoreClient

POLL_S = 0.25


class Stuck(Exception):
    """The story cannot go on: the answer that stopped it, or the deadline."""


class Person:
    """Somebody logged in, who chose a password of their own at the first login."""

    def __init__(self, base_url: str, email: str, one_time_password: str) -> None:
        # A browser says where a form comes from; the console refuses unsafe requests that do not.
        self._http = httpx.Client(
            base_url=base_url,
            headers={"origin": base_url, "sec-fetch-site": "same-origin"},
            timeout=httpx.Timeout(300.0),
            trust_env=False,
        )
        password = secrets.token_urlsafe(18)
        self._post("/login", email=email, password=one_time_password)
        self._post("/password", current=one_time_password, new=password, again=password)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def move_to(self, base_url: str) -> None:
        """The console has another address since its restart; the session is the same."""
        self._http.base_url = httpx.URL(base_url)
        self._http.headers["origin"] = base_url

    def create_campaign(self, name: str, text: str) -> str:
        """Returns the campaign's id. The sender is the workspace's first approved one."""
        senders = self._get("/senders").json()["senders"]
        answer = self._post("/campaigns", name=name, sender=senders[0]["revision_id"], text=text)
        return urlsplit(answer.headers["location"]).path.split("/")[2]

    def upload(self, campaign: str, name: str, size: int, blocks: Iterator[bytes]) -> dict[str, Any]:
        """Stream a recipient file; returns what became of its lines."""
        return dict(
            _checked(
                self._http.put(
                    f"/campaigns/{campaign}/recipients",
                    params={"offset": 0, "size": size, "name": name},
                    content=blocks,
                    headers={"content-type": "application/octet-stream", "accept": "application/json"},
                )
            ).json()
        )

    def submit(self, campaign: str) -> None:
        self._post(f"/campaigns/{campaign}/submit")

    def approve(self, campaign: str) -> None:
        entry = self._get(f"/moderation/{campaign}").json()
        form = {"version": str(entry["version"]), "opened": str(entry["opened"])}
        self._post(f"/moderation/{campaign}/approve", **form)

    def page(self, path: str) -> str:
        """A page as a browser gets it."""
        return _checked(self._http.get(path)).text

    def status(self, campaign: str) -> dict[str, Any]:
        return dict(self._get(f"/campaigns/{campaign}/status").json())

    def watch(self, campaign: str, deadline: float) -> Iterator[dict[str, Any]]:
        """The campaign's status until it is settled. Raises Stuck at the deadline (monotonic seconds)."""
        while True:
            status = self.status(campaign)
            yield status
            if status["state"] in ("Failed", "Cancelled", "Expired") or (
                status["state"] == "Done" and status["settled"]
            ):
                return
            if time.monotonic() > deadline:
                raise Stuck(
                    f"not settled at the deadline: {status['state']} {status['reason']} {status['counts']}"
                )
            time.sleep(POLL_S)

    def equation(self, campaign: str, data: Path, core_url: str) -> dict[str, Any]:
        """The ledger's recount, from the engine itself: no page shows a whole recount."""

        async def ask() -> dict[str, Any]:
            core = CoreClient(core_url, data / "certs")
            try:
                return dict(msgspec.to_builtins(await core.equation(UUID(campaign))))
            finally:
                await core.close()

        return asyncio.run(ask())

    def _get(self, path: str) -> httpx.Response:
        return _checked(self._http.get(path, headers={"accept": "application/json"}))

    def _post(self, path: str, **form: str) -> httpx.Response:
        return _checked(self._http.post(path, data=form))


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.status_code >= 400:
        request = answer.request
        raise Stuck(f"{request.method} {request.url.path}: {answer.status_code} {answer.text[:300]}")
    return answer
