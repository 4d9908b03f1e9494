"""The audit while its database is away: killed with SIGKILL under load, and the control plane killed too.

Several people work at the console over HTTP: they write drafts, read recipients, pause, resume, stop and
lift. Then the documents' PostgreSQL dies; stopping, pausing, cancelling and logging out go on. In between
the control plane dies as well. When both are back, every act that was answered with success is in the audit
exactly once, in order, and the chains are whole. The plain command plays ten seconds and a minute of it;
`-m "not long"` only the ten seconds.
"""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from bench.stack import Stack
from control_plane.app import AUDITED
from control_plane.audit.outbox import AUDIT, WITHOUT_STORE, Event
from control_plane.audit.spool import FILE_NAME, MOVING_NAME
from control_plane.documents.postgres import PostgresStore
from control_plane.documents.records import Sort
from control_plane.launcher.postgres import DOCUMENTS, Postgres

pytestmark = [pytest.mark.system, pytest.mark.slow]

BEFORE_S, AFTER_S = 3.0, 3.0  # of load with everything there
KILLED_AT = 0.6  # of the time away: then the control plane dies too
PAIRS = 4  # campaigns to be paused by their author, and as many to be cancelled
RECIPIENTS = 2_000
PATIENCE_S = 60.0


class ControlPlane:
    """`python -m control_plane` on the stack's engine and documents of its own."""

    def __init__(self, folder: Path, stack: Stack, dsn: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "HELIOGRAPH_CONTROL_DOCUMENTS_DSN": dsn,
            "HELIOGRAPH_CONTROL_CORE_API_URL": stack.ready["core_api"],
            "HELIOGRAPH_CONTROL_CERTS_DIR": str(stack.data / "certs"),
            "HELIOGRAPH_CONTROL_DATA_DIR": str(folder / "data"),
            "HELIOGRAPH_CONTROL_UI_PORT": "0",
            "HELIOGRAPH_CONTROL_API_PORT": "0",
        }
        self.logins: list[dict[str, Any]] = []
        folder.mkdir()
        assert self.start()

    def start(self) -> bool:
        """False where it ended instead."""
        with (self.folder / "control_plane.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "control_plane"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.environment,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            return False
        said = json.loads(line)
        self.logins = self.logins or said["first_logins"]
        self.ui, self.api = (f"http://127.0.0.1:{said[name]}" for name in ("ui", "api"))
        for name in ("ui", "api"):
            self.environment[f"HELIOGRAPH_CONTROL_{name.upper()}_PORT"] = str(said[name])
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Act:
    request_id: str
    action: str


@dataclass
class Someone:
    """A person at the console, and what they were told was done."""

    base: str
    email: str
    http: httpx.Client = field(init=False)
    done: list[Act] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        headers = {"origin": self.base, "sec-fetch-site": "same-origin"}
        self.http = httpx.Client(base_url=self.base, headers=headers, timeout=30.0, trust_env=False)

    def log_in(self, one_time: str) -> Self:
        password = secrets.token_urlsafe(18)
        self.http.post("/login", data={"email": self.email, "password": one_time})
        answer = self.http.post("/password", data={"new": password, "again": password})
        assert answer.headers["location"] == "/?done=password"
        self.password = password
        return self

    def again(self) -> "Someone":
        """A second session of the same person."""
        other = Someone(self.base, self.email)
        answer = other.http.post("/login", data={"email": self.email, "password": self.password})
        assert answer.status_code == 303
        return other

    def act(self, action: str, method: str, path: str, **form: str) -> httpx.Response | None:
        """None: there was no answer, so nothing is known of it."""
        act = Act(secrets.token_hex(12), action)
        try:
            answer = self.http.request(
                method, path, data=form or None, headers={"x-request-id": act.request_id}
            )
        except httpx.TransportError:
            return None
        if answer.status_code < 400:
            assert not answer.headers.get("location", "").startswith("/login?next"), path
            self.done.append(act)
        else:
            assert answer.status_code in (409, 503), (path, answer.status_code, answer.text[:300])
            self.refused[answer.status_code] += 1
        return answer

    def json(self, path: str) -> Any:
        answer = self.http.get(path, headers={"accept": "application/json"})
        assert answer.status_code == 200, answer.text[:300]
        return answer.json()


@dataclass
class House:
    control_plane: ControlPlane
    postgres: Postgres
    author: Someone
    moderator: Someone
    root: Someone
    leaving: Someone  # the moderator's second session
    workspace: str
    campaigns: list[str]

    @property
    def people(self) -> list[Someone]:
        return [self.author, self.moderator, self.root]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The engine, whose ledger has a PostgreSQL of its own and stays."""
    with Stack(tmp_path_factory.mktemp("engine"), ["--tps", "5"]) as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, stack: Stack) -> Iterator[House]:
    postgres = Postgres(tmp_path / "documents")
    postgres.start()
    asyncio.run(postgres.prepare())
    control_plane = ControlPlane(tmp_path / "control_plane", stack, postgres.dsn(DOCUMENTS))
    people = {
        login["role"].lower(): Someone(control_plane.ui, login["email"]).log_in(login["password"])
        for login in control_plane.logins
    }
    root = next(one for role, one in people.items() if role not in ("author", "moderator"))
    author, moderator = people["author"], people["moderator"]
    campaigns = [sending(author, moderator, number) for number in range(2 * PAIRS)]
    try:
        yield House(
            control_plane,
            postgres,
            author,
            moderator,
            root,
            moderator.again(),
            workspace_of(postgres),
            campaigns,
        )
    finally:
        control_plane.kill()
        postgres.stop()


def workspace_of(postgres: Postgres) -> str:
    async def ask() -> str:
        store = await PostgresStore.open(postgres.dsn(DOCUMENTS), connections=1)
        try:
            found = await store.find(AUDITED[1], {"name": "Demo"})
            return str(found.records[0].id)
        finally:
            await store.close()

    return asyncio.run(ask())


def sending(author: Someone, moderator: Someone, number: int) -> str:
    """A campaign that goes out slowly; its id."""
    sender = author.json("/senders")["senders"][0]["revision_id"]
    made = author.http.post("/campaigns", data={"name": f"No {number}", "sender": sender, "text": "Hello"})
    campaign = made.headers["location"].split("?")[0].rsplit("/", 1)[1]
    lines = "".join(f"+49151{number}{line:06d}\n" for line in range(RECIPIENTS)).encode()
    sent = author.http.put(
        f"/campaigns/{campaign}/recipients",
        params={"offset": 0, "size": len(lines), "name": "people.csv"},
        content=lines,
        headers={"content-type": "application/octet-stream", "accept": "application/json"},
    )
    assert sent.status_code == 200, sent.text[:300]
    assert author.http.post(f"/campaigns/{campaign}/submit").status_code == 303
    until(lambda: author.json(f"/campaigns/{campaign}/status")["state"] == "Pending")
    entry = moderator.json(f"/moderation/{campaign}")
    form = {"version": str(entry["version"]), "opened": entry["opened"]}
    approved = moderator.http.post(f"/moderation/{campaign}/approve", data=form)
    assert approved.status_code == 303, approved.text[:300]
    until(lambda: author.json(f"/campaigns/{campaign}/status")["state"] in ("Sending", "Paused"))
    return campaign


def until(happened: Callable[[], bool], pause_s: float = 0.1) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(pause_s)


def at_work(house: House, seconds: float) -> None:
    """Everybody at once, as they work with everything there."""
    end = time.monotonic() + seconds
    first, second = house.campaigns[0], house.campaigns[PAIRS]

    def writes() -> None:
        while time.monotonic() < end:
            house.author.act("campaign.create", "POST", "/campaigns", name="Draft", text="Hello")
            house.author.act("recipients.view", "GET", f"/campaigns/{first}?tab=recipients")

    def steers() -> None:
        while time.monotonic() < end:
            house.moderator.act("campaign.pause", "POST", f"/campaigns/{second}/pause")
            house.moderator.act("campaign.resume", "POST", f"/campaigns/{second}/resume")

    def stops() -> None:
        while time.monotonic() < end:
            stop = {"scope": "workspace", "workspace": house.workspace}
            house.root.act("stop.order", "POST", "/stop", **stop)
            try:
                there = house.root.json("/stop")["stops"]
            except (httpx.TransportError, AssertionError):
                continue
            for one in there:
                if one["workspace_id"] == house.workspace:
                    house.root.act("stop.lift", "POST", f"/stop/{one['stop_id']}/lift")

    together(writes, steers, stops)


def without_documents(house: House, seconds: float) -> None:
    """What must work works, and nothing else does."""
    end = time.monotonic() + seconds

    def pauses() -> None:
        for campaign in house.campaigns[:PAIRS]:
            answer = house.author.act("campaign.pause", "POST", f"/campaigns/{campaign}/pause")
            assert answer is not None
            assert answer.status_code == 200, answer.text[:500]
            assert "Paused: No" in answer.text
        while time.monotonic() < end:
            assert changed(house.author.act("campaign.create", "POST", "/campaigns", name="x", text="x"))

    def cancels() -> None:
        assert house.leaving.act("login.ended", "POST", "/logout") is not None
        assert len(house.leaving.done) == 1
        for campaign in house.campaigns[PAIRS:]:
            answer = house.moderator.act("campaign.cancel", "POST", f"/campaigns/{campaign}/cancel")
            assert answer is not None
            assert answer.status_code == 200, answer.text[:500]
        while time.monotonic() < end:
            path = f"/campaigns/{house.campaigns[0]}/resume"
            assert changed(house.moderator.act("campaign.resume", "POST", path))

    def stops() -> None:
        while time.monotonic() < end:
            stop = {"scope": "workspace", "workspace": house.workspace, "reason": "the database is away"}
            answer = house.root.act("stop.order", "POST", "/stop", **stop)
            assert answer is not None
            assert answer.status_code == 303

    together(pauses, cancels, stops)


def changed(answer: httpx.Response | None) -> bool:
    """Refused, with the reason: nothing can be stored."""
    return answer is not None and answer.status_code == 503


def together(*work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(work)) as pool:
        for running in [pool.submit(one) for one in work]:
            running.result()


@pytest.mark.parametrize(
    "away_s",
    [pytest.param(10.0, id="ten seconds"), pytest.param(60.0, id="a minute", marks=pytest.mark.long)],
)
def test_every_act_that_was_answered_is_there_once_and_in_order(
    house: House, away_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    control_plane, postgres = house.control_plane, house.postgres
    house.leaving.json("/campaigns")
    at_work(house, BEFORE_S)

    began = time.monotonic()
    os.kill(postgres.pid, signal.SIGKILL)
    without_documents(house, KILLED_AT * away_s)
    data = control_plane.folder / "data"
    spooled = [path.stat() for path in (data / MOVING_NAME, data / FILE_NAME) if path.exists()]
    assert {one.st_mode & 0o777 for one in spooled} == {0o600}
    ready = httpx.get(f"{control_plane.api}/readyz", trust_env=False)
    assert ready.status_code == 503
    assert ready.json()["audit"]["fallback_bytes"] == sum(one.st_size for one in spooled)
    control_plane.kill()
    while time.monotonic() < began + away_s:  # and it cannot start before they are back
        assert not control_plane.start()
    postgres.start()
    assert control_plane.start()

    at_work(house, AFTER_S)
    control_plane.kill()  # with events in outboxes
    assert control_plane.start()
    answer = house.leaving.http.get("/campaigns", headers={"accept": "application/json"})
    assert answer.status_code == 401  # the logout held
    at_work(house, AFTER_S / 3)

    events = asyncio.run(settled(house))
    told = in_order([*house.people, house.leaving], events)
    with capsys.disabled():
        print(f"\naway for {time.monotonic() - began:.0f} s in all; {told}")
    proof = subprocess.run(
        [sys.executable, "-m", "control_plane.launcher.cli", "audit", "verify"],
        env={**os.environ, "HELIOGRAPH_CONTROL_DOCUMENTS_DSN": postgres.dsn(DOCUMENTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert proof.returncode == 0, proof.stdout
    with capsys.disabled():
        print(proof.stdout)


async def settled(house: House) -> list[Event]:
    """All of the audit, oldest first, once nothing waits in outboxes or in the file."""
    data = house.control_plane.folder / "data"
    store = await PostgresStore.open(house.postgres.dsn(DOCUMENTS), connections=2)

    async def waits() -> bool:
        if any((data / name).exists() for name in (FILE_NAME, MOVING_NAME)):
            return True
        return any([(await store.find(one, {"unswept": True}, limit=1)).records for one in AUDITED])

    try:
        async with asyncio.timeout(PATIENCE_S):
            while await waits():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        events: list[Event] = []
        after = None
        while True:
            page = await store.find(AUDIT, {}, sort=Sort("at"), limit=1000, after=after)
            events += page.records
            if page.next is None:
                return events
            after = page.next
    finally:
        await store.close()


def in_order(people: list[Someone], events: list[Event]) -> str:
    """Each act once; a person's acts as they did them; those of the file so in the chain too."""
    times = Counter((one.request_id, one.action) for one in events if one.request_id)
    twice = [key for key, count in times.items() if count > 1]
    assert twice == []
    count = 0
    for person in people:
        missing = [act for act in person.done if times[act.request_id, act.action] != 1]
        assert missing == [], person.email
        places = {(one.request_id, one.action): place for place, one in enumerate(events)}
        order = [events[places[act.request_id, act.action]] for act in person.done]
        assert [one.at for one in order] == sorted(one.at for one in order), person.email
        filed = [one.seq or 0 for one in order if WITHOUT_STORE in one.details and one.workspace_id]
        assert filed == sorted(filed), person.email
        count += len(order)
    ids = Counter(one.id for one in events)
    assert max(ids.values()) == 1
    filed_count = sum(WITHOUT_STORE in one.details for one in events)
    gaps = [one for one in events if one.action == "audit.gap"]
    assert sum(int(one.details["events"]) for one in gaps) == filed_count > 0
    assert all(one.details["lost"] == "0" for one in gaps)
    refused = sum(person.refused[503] for person in people)
    return (
        f"{count} acts were answered with success and are there once, {filed_count} of them without the "
        f"documents; {refused} changes were refused; {len(events)} events in all"
    )
