"""The control plane on a real PostgreSQL, with the engine's fake and a clock that tests move."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from control_plane.access import Actor, Member, Membership, Role, enter
from control_plane.app import COLLECTIONS, build
from control_plane.campaigns.model import Campaign
from control_plane.core_fake import FakeCore
from control_plane.documents.postgres import PostgresStore
from control_plane.identity.model import USERS, User
from control_plane.services import Services
from control_plane.settings import ControlPlaneSettings
from control_plane.workspaces.model import Workspace

FILE = (
    b"".join(b"4915100000%02d,Zo\xc3\xab\n" % number for number in range(20))
    + b"491510000001,twice\nnonsense\n"
)


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def core() -> FakeCore:
    return FakeCore()


@pytest.fixture
def control_settings(
    fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ControlPlaneSettings:
    for name in ("CONFIG", "DOCUMENTS_DSN"):
        monkeypatch.delenv(f"HELIOGRAPH_CONTROL_{name}", raising=False)
    return ControlPlaneSettings(
        documents_dsn=fresh_database,
        data_dir=tmp_path / "control_plane",
        argon2_time_cost=1,
        argon2_memory_kib=8,
        argon2_parallelism=1,
        ui_port=0,
        api_port=0,
    )


@pytest.fixture
async def postgres_store(fresh_database: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(fresh_database)
    await store.ensure(COLLECTIONS)
    yield store
    await store.close()


@pytest.fixture
async def services(
    control_settings: ControlPlaneSettings, postgres_store: PostgresStore, core: FakeCore, clock: HandClock
) -> Services:
    """All services over a real store; no background work runs unless a test runs it."""
    return build(control_settings, postgres_store, core, clock)


@dataclass
class House:
    """The demo workspace, its people, and a foreign one."""

    services: Services
    workspace: Workspace
    author: Member
    moderator: Member
    second_moderator: Member
    admin: Member
    stranger: Member

    async def person(self, name: str, workspace_id: UUID, role: Role) -> Member:
        return await make_person(self.services, name, workspace_id, role)

    async def draft(self, text: str = "Hello {{name}}", file: bytes = FILE) -> Campaign:
        campaigns = self.services.campaigns
        draft = await campaigns.create(self.author, name="Spring", sender="Heliograph", text=text)
        await campaigns.receive(
            self.author,
            draft.id,
            pieces(file),
            offset=0,
            file_name="people.csv",
            size_bytes=len(file),
            length=len(file),
        )
        return await campaigns.get(self.author, draft.id)

    def opened(self, who: Member, campaign: Campaign) -> str:
        """The proof that they looked at it as it is here."""
        return self.services.moderation._openings.issue(who, campaign)

    async def approve(self, who: Member, campaign: Campaign) -> Campaign:
        """What was looked at, as it was then."""
        opened = self.opened(who, campaign)
        return await self.services.moderation.approve(who, campaign.id, campaign.revision, opened)

    async def pending(self) -> Campaign:
        return await self.services.campaigns.submit(self.author, (await self.draft()).id)


@pytest.fixture
async def house(services: Services) -> House:
    await services.bootstrap.run()
    found = await services.store.find(COLLECTIONS[1], {"name": "Demo"})
    workspace = found.records[0]
    foreign = await services.workspaces.create("Elsewhere")

    async def member(name: str, role: Role, where: UUID = workspace.id) -> Member:
        return await make_person(services, name, where, role)

    return House(
        services=services,
        workspace=workspace,
        author=await member("Author", Role.AUTHOR),
        moderator=await member("Moderator", Role.MODERATOR),
        second_moderator=await member("Second", Role.MODERATOR),
        admin=await member("Admin", Role.ADMIN),
        stranger=await member("Stranger", Role.ADMIN, foreign.id),
    )


async def make_person(services: Services, name: str, workspace_id: UUID, role: Role) -> Member:
    user = User(
        id=uuid4(),
        email=f"{name.lower()}@house.example",
        name=name,
        password_hash="!",
        must_set_password=False,
        memberships={workspace_id: Membership(role=role)},
        created_at=services.clock(),
    )
    await services.store.insert(USERS, user)
    actor = Actor(
        user_id=user.id,
        email=user.email,
        name=name,
        super_admin=False,
        must_set_password=False,
        memberships=user.memberships,
        session_id=uuid4(),
        address="192.0.2.1",
    )
    return enter(actor, workspace_id)


async def pieces(content: bytes, size: int = 64) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.fixture
def body() -> Callable[[bytes], AsyncIterator[bytes]]:
    return pieces


@pytest.fixture
def recipients_file() -> bytes:
    return FILE
