"""Every route of the console and of the API's port, as everybody, in their own workspace and in another's.

Generated from the application's routes and the two tables. Somebody else's things do not exist (404), what a
role may not do is refused (403), what it may do is neither. Every answer is of the whole application, over a
real document store; the engine is its fake.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from access_world import NAMED, OF_A_WORKSPACE, OF_THE_INSTALLATION, Visitor, World
from starlette.routing import Route

from control_plane.access import INSTALLATION, Action
from control_plane.app import COLLECTIONS, api_app, build, ui_app
from control_plane.core_fake import FakeCore
from control_plane.documents.postgres import PostgresStore
from control_plane.settings import ControlPlaneSettings
from control_plane.web.access_table import API_TABLE, TABLE, Needs, guarded, keys
from control_plane.web.routes import routes
from control_plane.web.session import SESSION_COOKIE, WORKSPACE_COOKIE

pytestmark = [pytest.mark.system, pytest.mark.slow]

# Refused though the role may, for what they are of: decided by somebody else, lifted once it is resumed.
OWN_WORK = tuple(
    f"POST /moderation/{thing}{{id}}/{verdict}"
    for thing in ("", "senders/", "templates/")
    for verdict in ("approve", "reject")
)
OF_ANOTHER_SESSION = (
    "GET /exports/{id}/file"  # what is at hand was asked for in one: to everybody else nothing
)
MAKE_SUPER_ADMIN = "POST /users/{id}/super-admin"  # MANAGE_USERS is not enough: only Super Admins do
LIFT = "POST /stop/{id}/lift"
# Addresses that name a workspace's thing in a field, and the field.
BY_FIELD = {
    "GET /doubts": "campaign",
    "POST /workspace": "workspace",
    "POST /stop": "workspace",
}


@pytest.fixture
async def world(fresh_database: str, tmp_path: Path) -> AsyncIterator[World]:
    settings = ControlPlaneSettings(
        documents_dsn=fresh_database,  # type: ignore[arg-type]
        data_dir=tmp_path,
        argon2_time_cost=1,
        argon2_memory_kib=8,
        argon2_parallelism=1,
    )
    store = await PostgresStore.open(fresh_database)
    await store.ensure(COLLECTIONS)
    services = build(settings, store, FakeCore())
    services.stopping.set()  # streams end with their first event
    yield await World.make(services)
    await store.close()


@dataclass(frozen=True)
class Case:
    key: str
    visitor: Visitor
    tenant: str  # whose thing the address names
    path: str
    expected: str
    query: dict[str, str]


def allowed(visitor: Visitor, needs: Needs) -> bool:
    """By the tables."""
    return not needs.actions or bool(visitor.actions.intersection(needs.actions))


def reaches(visitor: Visitor, key: str, needs: Needs) -> bool:
    """Whose workspace it is does not matter to a Super Admin's choice, nor to who stops everything."""
    assert visitor.user is not None
    return (
        visitor.user.super_admin
        if key == "POST /workspace"
        else (needs.anywhere and Action.STOP_EVERYTHING in visitor.actions)
    )


def expected(visitor: Visitor, key: str, needs: Needs, tenant: str) -> str:
    """What has to come of it: `login`, `password`, `open one first`, 403, 404, or neither of the two."""
    if needs.public:
        return "neither"
    if visitor.user is None:
        return "login"
    if visitor.user.must_set_password:
        return "neither" if key in ("POST /logout", "GET /password", "POST /password") else "password"
    if not allowed(visitor, needs):
        of_a_workspace = not needs.anywhere and not INSTALLATION.issuperset(needs.actions)
        return "open one first" if visitor.home is None and of_a_workspace else "403"
    if key == MAKE_SUPER_ADMIN and not visitor.user.super_admin:
        return "403"
    if key == LIFT and visitor.suspended and tenant == "own":
        return "403"
    if key in OWN_WORK and tenant == "own work":
        return "403"
    if key == OF_ANOTHER_SESSION:
        return "404"
    if tenant == "foreign" and not reaches(visitor, key, needs):
        return "404"
    if tenant == "somebody else's" and Action.VIEW_ALL_CAMPAIGNS not in visitor.actions:
        return "404"
    return "neither"


def came_of(answer: httpx.Response) -> str:
    if answer.status_code == 401:
        return "login"
    if answer.status_code == 303:
        location = answer.headers["location"]
        if location.startswith("/login") and "done=" not in location:
            return "login"
        if location == "/password":
            return "password"
        return "neither, or open one first" if location == "/" else "neither"
    return str(answer.status_code) if answer.status_code in (403, 404) else "neither"


def as_expected(answer: httpx.Response, case: Case) -> bool:
    came = came_of(answer)
    if case.expected == "password" and answer.status_code == 403:
        return case.key.startswith("PUT ")  # programs are told, not sent elsewhere
    if case.key == "POST /login":
        return answer.status_code in (401, 429)  # whoever it is: not with an empty form
    if case.tenant == "the installation's" and came == "404":
        return case.expected == "neither"  # a route or a trace with that number need not be there
    return case.expected in came


async def cases(world: World, key: str, needs: Needs, visitor: Visitor) -> list[Case]:
    """The route as the visitor, with things of their own, of somebody else, and of another workspace."""
    path = key.partition(" ")[2]
    home = visitor.home or world.ours.id
    me = visitor.user.id if visitor.user is not None else uuid4()

    async def case(tenant: str, address: str, **query: str) -> Case:
        return Case(key, visitor, tenant, address, expected(visitor, key, needs, tenant), query)

    for pattern, name in NAMED.items():
        if path.startswith(pattern):
            filled = path.replace(pattern, pattern.partition("{")[0] + name)
            filled = filled.replace("{number:int}", "1").replace("{action}", "drain")
            return [await case("the installation's", filled)]
    for pattern, make in OF_THE_INSTALLATION.items():
        if path.startswith(pattern):
            thing = await make(world)(home, me)
            return [await case("the installation's", path.replace("{id}", thing))]
    for pattern, make in OF_A_WORKSPACE.items():
        if not path.startswith(pattern):
            continue
        made = make(world)
        decides = pattern.startswith("/moderation")
        found = [
            await case("own", path.replace("{id}", await made(home, uuid4() if decides else me))),
            await case("foreign", path.replace("{id}", await made(world.theirs.id, uuid4()))),
        ]
        if decides:
            own_work = path.replace("{id}", await made(home, me))
            found.append(await case("own work", own_work, note="It is right."))
        if pattern.startswith("/campaigns"):
            found.append(await case("somebody else's", path.replace("{id}", await made(home, uuid4()))))
        return found
    assert "{" not in path, f"say in access_world.py what the address {path} names"
    found = [await case("own", path)]
    if key in BY_FIELD and visitor.home is not None:
        found.append(await case("foreign", path, **await field(world, key)))
    return found


async def field(world: World, key: str) -> dict[str, str]:
    name, theirs = BY_FIELD[key], world.theirs.id
    if name == "campaign":
        return {"campaign": await world.campaign(theirs, uuid4())}
    return {"workspace": str(theirs), "scope": "workspace"}


class Browsers:
    """One for each visitor; a new session after each that ended."""

    def __init__(self, world: World) -> None:
        self.world = world
        app = ui_app(world.services)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.1", 4711)),
            base_url="http://console.example",
            headers={"sec-fetch-site": "same-origin", "accept": "text/html"},
        )
        self.tokens: dict[str, str] = {}

    async def ask(self, case: Case) -> httpx.Response:
        visitor, method = case.visitor, case.key.partition(" ")[0]
        if visitor.name not in self.tokens:
            self.tokens[visitor.name] = await self.world.session(visitor)
        cookies = {}
        if token := self.tokens[visitor.name]:
            cookies[SESSION_COOKIE] = token
        if visitor.home is not None:
            cookies[WORKSPACE_COOKIE] = str(visitor.home)
        given: dict[str, Any] = {"data": case.query} if method == "POST" else {"params": case.query}
        sent = "; ".join(f"{name}={value}" for name, value in cookies.items())
        self.client.cookies.clear()
        answer = await self.client.request(method, case.path, headers={"cookie": sent}, **given)
        if case.key in ("POST /logout", "POST /login"):
            del self.tokens[visitor.name]
        return answer


def route_keys(every: Any) -> Iterator[str]:
    for route in every:
        assert isinstance(route, Route)
        yield from keys(route)


async def test_every_route_as_everybody_in_every_tenant(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [*route_keys(routes(world.services))]
    assert sorted(found) == sorted(TABLE), "the table of access and the routes are not the same"
    browsers, tried, wrong = Browsers(world), Counter[str](), []
    for key in found:
        for visitor in world.visitors:
            for case in await cases(world, key, TABLE[key], visitor):
                answer = await browsers.ask(case)
                tried[case.tenant] += 1
                if not as_expected(answer, case):
                    wrong.append(f"{key} as {visitor.name}, {case.tenant}: {case.expected} was expected, "
                                 f"not {answer.status_code}")  # fmt: skip
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(api_app(world.services)), base_url="http://api.example"
    ) as program:
        probes = [*route_keys(api_app(world.services).routes)]
        assert sorted(probes) == sorted(API_TABLE)
        for key in probes:
            answer = await program.get(key.partition(" ")[2])
            tried["nobody's"] += 1
            if answer.status_code not in (200, 503):
                wrong.append(f"{key}: {answer.status_code}")
    assert wrong == [], "\n".join(wrong)
    with capsys.disabled():
        of = ", ".join(f"{tenant} {count}" for tenant, count in tried.items())
        print(f"\n{len(found) + len(probes)} routes, {len(world.visitors)} kinds of visitors ({of})")
        print(f"routes x roles x tenants tried: {tried.total()}, all as the table says")


async def test_a_route_without_a_line_in_the_table_is_not_served(world: World) -> None:
    async def page(_request: Any) -> Any: ...

    with pytest.raises(LookupError, match="GET /forgotten"):
        guarded([Route("/forgotten", page), Route("/", page)], world.services)


async def test_nothing_that_was_refused_was_done(world: World) -> None:
    """Whoever may not: after all of their requests the engine was told nothing, and nobody's role changed."""
    core = world.services.core
    assert isinstance(core, FakeCore)
    browsers = Browsers(world)
    analyst = next(visitor for visitor in world.visitors if visitor.name == "analyst")
    for key in [key for key in TABLE if not key.startswith("GET ") and not TABLE[key].public]:
        if not allowed(analyst, TABLE[key]):
            for case in await cases(world, key, TABLE[key], analyst):
                core.done.clear()
                assert (await browsers.ask(case)).status_code == 403, key
                assert core.done == [], key
