"""Fifty moderators decide one campaign at once, over HTTP on a real store: one decision, 49 told whose."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from control_plane.access import Membership, Role
from control_plane.app import COLLECTIONS, build, ui_app
from control_plane.audit.outbox import AUDIT
from control_plane.campaigns.model import CAMPAIGNS
from control_plane.clock import utc_now
from control_plane.core_fake import FakeCore
from control_plane.documents.postgres import PostgresStore
from control_plane.identity.model import USERS, User
from control_plane.services import Services
from control_plane.settings import ControlPlaneSettings
from control_plane.workspaces.model import WORKSPACES

pytestmark = [pytest.mark.system]

PEOPLE = 50
PASSWORD = "three unrelated words"
FILE = b"".join(b"49151000000%02d,Zoe\n" % n for n in range(20))
JSON = {"accept": "application/json"}
Verb = Callable[[int], str]


@pytest.fixture
async def services(fresh_database: str, tmp_path: Path) -> AsyncIterator[Services]:
    settings = ControlPlaneSettings(
        documents_dsn=fresh_database,
        data_dir=tmp_path,
        argon2_time_cost=1,
        argon2_memory_kib=8,
        argon2_parallelism=1,
    )
    store = await PostgresStore.open(fresh_database, connections=10)
    await store.ensure(COLLECTIONS)
    yield build(settings, store, FakeCore(), utc_now)
    await store.close()


async def person(
    services: Services, console: Any, workspace_id: Any, name: str, role: Role
) -> httpx.AsyncClient:
    """Somebody with a session of their own."""
    email = f"{name}@demo.example"
    user = User(
        id=uuid4(),
        email=email,
        name=name,
        password_hash="!",
        must_set_password=True,
        memberships={workspace_id: Membership(role=role)},
        created_at=utc_now(),
    )
    await services.store.insert(USERS, user)
    one_time = await services.identity.issue_password(email)
    transport = httpx.ASGITransport(console, raise_app_exceptions=False)
    sent = {"sec-fetch-site": "same-origin", "accept": "text/html"}
    browser = httpx.AsyncClient(transport=transport, base_url="http://console.example", headers=sent)
    assert (await browser.post("/login", data={"email": email, "password": one_time})).status_code == 303
    chosen = {"new": PASSWORD, "again": PASSWORD}
    assert (await browser.post("/password", data=chosen)).status_code == 303
    return browser


async def submitted(author: httpx.AsyncClient) -> str:
    senders = (await author.get("/senders", headers=JSON)).json()["senders"]
    form = {"name": "Spring", "sender": senders[0]["revision_id"], "text": "Hello {{name}}"}
    campaign = str((await author.post("/campaigns", data=form)).headers["location"].rpartition("/")[2])
    params = {"offset": 0, "size": len(FILE), "name": "people.csv"}
    put = await author.put(f"/campaigns/{campaign}/recipients", params=params, content=FILE)
    assert put.json()["state"] == "complete"
    assert (await author.post(f"/campaigns/{campaign}/submit")).status_code == 303
    return campaign


@pytest.mark.parametrize(
    "verb",
    [lambda _n: "approve", lambda _n: "reject", lambda n: ("approve", "reject")[n % 2]],
    ids=["approvals", "rejections", "both"],
)
async def test_of_fifty_decisions_at_once_one_counts_and_the_others_are_told_whose(
    services: Services, verb: Verb
) -> None:
    await services.bootstrap.run()
    (workspace,) = (await services.store.find(WORKSPACES, {"name": "Demo"})).records
    console = ui_app(services)
    author = await person(services, console, workspace.id, "author-x", Role.AUTHOR)
    moderators = [
        await person(services, console, workspace.id, f"moderator-{n}", Role.MODERATOR) for n in range(PEOPLE)
    ]
    campaign = await submitted(author)
    opened = [(await one.get(f"/moderation/{campaign}", headers=JSON)).json() for one in moderators]

    async def decide(n: int) -> httpx.Response:
        form = {"version": str(opened[n]["version"]), "opened": opened[n]["opened"], "note": "No."}
        return await moderators[n].post(f"/moderation/{campaign}/{verb(n)}", data=form, headers=JSON)

    answers = await asyncio.gather(*(decide(n) for n in range(PEOPLE)))

    assert Counter(one.status_code for one in answers) == {200: 1, 409: PEOPLE - 1}
    (winner,) = (n for n, one in enumerate(answers) if one.status_code == 200)
    name, verdict = f"moderator-{winner}", {"approve": "approved", "reject": "rejected"}[verb(winner)]
    for n, one in enumerate(answers):
        if n != winner:
            problem = one.json()
            assert problem["type"] == "urn:heliograph:problem:already-decided"
            assert problem["detail"] == f"Already {verdict} by {name}."
            assert (problem["by"], problem["verdict"]) == (name, verdict)

    stored = await services.store.get(CAMPAIGNS, (await services.store.find(CAMPAIGNS, {})).records[0].id)
    assert stored.decision is not None
    assert (stored.decision.by, stored.decision.verdict) == (name, verdict)
    assert stored.state == {"approved": "Approved", "rejected": "New"}[verdict]
    core = services.core
    assert isinstance(core, FakeCore)
    assert core.done == ["seal", {"approved": "start", "rejected": "return"}[verdict]]
    while await services.audit.sweep():
        pass
    events = (await services.store.find(AUDIT, {"target_id": stored.id}, limit=1000)).records
    decisions = [one for one in events if one.action in ("campaign.approve", "campaign.reject")]
    assert [one.actor for one in decisions] == [f"{name}@demo.example"]
    for one in (author, *moderators):
        await one.aclose()
