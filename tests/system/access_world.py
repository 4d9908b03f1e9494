"""Workspaces, everybody who may come to the console, and the things that its addresses name.

What somebody may is worked out here from the two tables alone (control_plane/access.py, access_table.py), not
by the code that enforces them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from control_plane.access import (
    ALLOWED,
    INSTALLATION,
    MASTER_ID,
    MODERATING,
    NOT_IN_MASTER,
    SEEING_NUMBERS,
    WHILE_SUSPENDED,
    Action,
    Membership,
    Role,
)
from control_plane.campaigns.model import CAMPAIGNS, Campaign
from control_plane.erasure.model import ERASURES, Erasure
from control_plane.errors import NotFound
from control_plane.exports.model import EXPORTS, Export
from control_plane.identity.model import USERS, User
from control_plane.identity.sessions import Sessions
from control_plane.joining.model import INVITATIONS, JOIN_REQUESTS, Invitation, JoinRequest
from control_plane.senders.model import SENDERS, SenderRevision
from control_plane.services import Services
from control_plane.templates.model import SMS_TEMPLATES, SmsContent, TemplateVersion
from control_plane.workspaces.model import WORKSPACES, Workspace
from engine.core_api import schema

DAY_S = 24 * 3600


@dataclass(frozen=True)
class Visitor:
    """Somebody at the console. `home` is the workspace they work in; None: a Super Admin who opened none."""

    name: str
    user: User | None
    home: UUID | None
    suspended: bool = False

    @property
    def actions(self) -> frozenset[Action]:
        """By the table of roles."""
        if self.user is None or self.user.must_set_password:
            return frozenset()
        master = self.user.memberships.get(MASTER_ID)
        runs = self.user.super_admin or (master is not None and master.role is Role.ADMIN)
        found = frozenset(INSTALLATION) if runs else frozenset()
        if self.home is None:
            return found
        role = Role.ADMIN
        flags: frozenset[Action] = frozenset()
        if not self.user.super_admin:
            membership = self.user.memberships[self.home]
            role = membership.role
            flags |= MODERATING if membership.is_moderator and role is Role.AUTHOR else frozenset()
            flags |= SEEING_NUMBERS if membership.sees_numbers else frozenset()
        found |= (ALLOWED[role] | flags) - INSTALLATION
        if self.home == MASTER_ID:
            found -= NOT_IN_MASTER
        return found & (WHILE_SUSPENDED | INSTALLATION) if self.suspended else found


class World:
    """One installation with four workspaces; things are made when they are asked for."""

    def __init__(self, services: Services, ours: Workspace, theirs: Workspace, suspended: Workspace) -> None:
        self.services = services
        self.ours, self.theirs, self.suspended = ours, theirs, suspended
        self.visitors: list[Visitor] = []
        self._sessions = Sessions(services.store, idle_s=DAY_S, absolute_s=DAY_S)
        self._people = 0

    @classmethod
    async def make(cls, services: Services) -> "World":
        await services.workspaces.create("Master", workspace_id=MASTER_ID)
        ours, theirs, suspended = [
            await services.workspaces.create(name) for name in ("Ours", "Theirs", "Suspended")
        ]
        frozen = await services.store.get(WORKSPACES, suspended.id)
        changed = {"state": "suspended", "suspended_why": "unpaid"}
        await services.store.replace(WORKSPACES, _with(frozen, **changed), frozen.version)
        world = cls(services, ours, theirs, suspended)
        await world._invite()
        return world

    async def _invite(self) -> None:
        """Nobody, every role with every flag in our workspace, in a suspended one, in the Master's."""
        self.visitors.append(Visitor("nobody", None, None))
        for role in Role:
            for flags in ((), ("is_moderator",), ("sees_numbers",), ("is_moderator", "sees_numbers")):
                name = " + ".join([str(role), *flags])
                membership = Membership(role=role, **dict.fromkeys(flags, True))
                await self._join(name, {self.ours.id: membership}, self.ours.id)
            alone = Membership(role=role)
            await self._join(f"{role}, suspended", {self.suspended.id: alone}, self.suspended.id)
            await self._join(f"{role} of the Master workspace", {MASTER_ID: alone}, MASTER_ID)
        await self._join("of two workspaces", self._two(), self.ours.id)
        await self._join("Super Admin", {}, self.ours.id, super_admin=True)
        await self._join("Super Admin, none opened", {}, None, super_admin=True)
        await self._join("first password to set", self._two(), self.ours.id, must_set_password=True)

    def _two(self) -> dict[UUID, Membership]:
        return {
            self.ours.id: Membership(role=Role.AUTHOR),
            self.suspended.id: Membership(role=Role.ANALYST),
        }

    async def _join(
        self, name: str, memberships: dict[UUID, Membership], home: UUID | None, **flags: bool
    ) -> None:
        user = await self.person(memberships, **flags)
        self.visitors.append(Visitor(name, user, home, suspended=home == self.suspended.id))

    async def person(self, memberships: dict[UUID, Membership], **flags: bool) -> User:
        self._people += 1
        user = User(
            id=uuid4(),
            email=f"person-{self._people}@house.example",
            name=f"Person {self._people}",
            password_hash="!",
            memberships=memberships,
            created_at=datetime.now(UTC),
            **{"must_set_password": False, **flags},
        )
        return await self.services.store.insert(USERS, user)

    async def session(self, visitor: Visitor) -> str:
        """The token of a session of its own."""
        if visitor.user is None:
            return ""
        now = self.services.clock()
        return await self._sessions.begin(visitor.user, now, address="192.0.2.1", user_agent="test")

    # Things that an address names: each new, so that what became of the last one does not matter.

    async def campaign(self, workspace_id: UUID, author: UUID, **fields: object) -> str:
        now = self.services.clock()
        made = Campaign(
            id=uuid4(),
            workspace_id=workspace_id,
            name="Spring",
            author_id=author,
            author="Somebody",
            contributors=(author,),
            created_at=now,
            changed_at=now,
        )
        return str((await self.services.store.insert(CAMPAIGNS, _with(made, **fields))).id)

    async def waiting(self, workspace_id: UUID, author: UUID) -> str:
        fields = {"state": "Pending", "engine_id": uuid4(), "submitted_at": self.services.clock()}
        return await self.campaign(workspace_id, author, **fields)

    async def member(self, workspace_id: UUID, _author: UUID) -> str:
        return str((await self.person({workspace_id: Membership(role=Role.AUTHOR)})).id)

    async def invitation(self, workspace_id: UUID, _author: UUID) -> str:
        now, some = self.services.clock(), uuid4()
        made = Invitation(
            id=some,
            workspace_id=workspace_id,
            email=f"{some}@new.example",
            membership=Membership(role=Role.AUTHOR),
            token_hash=str(some),
            invited_by="Somebody",
            created_at=now,
            sent_at=now,
            expires_at=now + timedelta(days=1),
        )
        return str((await self.services.store.insert(INVITATIONS, made)).id)

    async def request(self, workspace_id: UUID, _author: UUID) -> str:
        who = await self.person({})
        made = JoinRequest(
            id=uuid4(),
            workspace_id=workspace_id,
            user_id=who.id,
            email=who.email,
            name=who.name,
            asked_at=self.services.clock(),
        )
        return str((await self.services.store.insert(JOIN_REQUESTS, made)).id)

    async def own_session(self, _workspace_id: UUID, person: UUID) -> str:
        """Of the person; somebody else's where the matrix asks with another's id."""
        now = self.services.clock()
        try:
            user = await self.services.store.get(USERS, person)
        except NotFound:
            user = await self.person({})
        token = await self._sessions.begin(user, now, address="192.0.2.1", user_agent="test")
        found = await self._sessions.find(token, now)
        assert found is not None
        return str(found.id)

    async def somebody(self, _workspace_id: UUID, _author: UUID) -> str:
        return str((await self.person({})).id)

    async def stop(self, workspace_id: UUID, _author: UUID) -> str:
        spec = schema.StopSpec(decision_id=uuid4(), scope="workspace", workspace_id=workspace_id)
        return str((await self.services.core.stop(spec)).stop_id)

    async def export(self, workspace_id: UUID, author: UUID) -> str:
        now = self.services.clock()
        made = Export(
            id=uuid4(),
            workspace_id=workspace_id,
            title="Spring",
            sources=(),
            asked_at=now,
            asked_by_id=author,
            asked_by="somebody@house.example",
            session_id=uuid4(),
            expires_at=now + timedelta(days=1),
        )
        return str((await self.services.store.insert(EXPORTS, made)).id)

    async def erasure(self, workspace_id: UUID, _author: UUID) -> str:
        made = Erasure(
            id=uuid4(),
            workspace_id=workspace_id,
            ctn_hash="0" * 16,
            asked_at=self.services.clock(),
            by="somebody@house.example",
        )
        return str((await self.services.store.insert(ERASURES, made)).id)

    async def sender(self, workspace_id: UUID, author: UUID) -> str:
        made = SenderRevision(
            id=uuid4(),
            workspace_id=workspace_id,
            sender=f"S{uuid4().hex[:8]}",
            revision=1,
            sender_id=uuid4(),
            kind="alphanumeric",
            open=True,
            author_id=author,
            author="Somebody",
            created_at=self.services.clock(),
        )
        await self.services.store.insert(SENDERS, made)
        return str(made.line)

    async def revision(self, workspace_id: UUID, author: UUID) -> str:
        line = await self.sender(workspace_id, author)
        page = await self.services.store.find(SENDERS, {"sender_id": UUID(line)})
        return str(page.records[0].id)

    async def template(self, workspace_id: UUID, author: UUID) -> str:
        return str((await self._template(workspace_id, author)).template_id)

    async def template_version(self, workspace_id: UUID, author: UUID) -> str:
        return str((await self._template(workspace_id, author)).id)

    async def _template(self, workspace_id: UUID, author: UUID) -> TemplateVersion:
        self._people += 1
        made = TemplateVersion(
            id=uuid4(),
            workspace_id=workspace_id,
            template_id=uuid4(),
            number=self._people,
            name=f"T{uuid4().hex[:8]}",
            revision=1,
            content=SmsContent(body="Hello", content_type="service", category="UIC"),
            status="PENDING",
            open=True,
            author_id=author,
            author="Somebody",
            created_at=self.services.clock(),
        )
        return await self.services.store.insert(SMS_TEMPLATES, made)

    async def workspace(self, _workspace_id: UUID, _author: UUID) -> str:
        return str((await self.services.workspaces.create(f"One more {uuid4()}")).id)


def _with(record, **fields):  # type: ignore[no-untyped-def]
    import msgspec

    return msgspec.structs.replace(record, **fields)


Make = Callable[[World], Callable[[UUID, UUID], Awaitable[str]]]

# What the `{id}` of an address is of: the first that it begins with counts.
OF_A_WORKSPACE: dict[str, Make] = {
    "/campaigns/{id}": lambda world: world.campaign,
    "/moderation/{id}": lambda world: world.waiting,
    "/members/invitations/{id}": lambda world: world.invitation,
    "/members/requests/{id}": lambda world: world.request,
    "/members/{id}": lambda world: world.member,
    "/stop/{id}": lambda world: world.stop,
    "/senders/{id}": lambda world: world.sender,
    "/templates/{id}": lambda world: world.template,
    "/moderation/senders/{id}": lambda world: world.revision,
    "/moderation/templates/{id}": lambda world: world.template_version,
    "/exports/{id}": lambda world: world.export,
    "/people-data/erasures/{id}": lambda world: world.erasure,
    "/account/sessions/{id}": lambda world: world.own_session,
}
# Of the installation: the same for everybody who may.
OF_THE_INSTALLATION: dict[str, Make] = {
    "/users/{id}": lambda world: world.somebody,
    "/workspaces/{id}": lambda world: world.workspace,
    "/wallets/{id}": lambda world: world.workspace,
}
NAMED = {
    "/accounts/{name}": "demo",
    "/channels/{name}": "Demo SMSC",
    "/routes/{id:int}": "1",
    "/traces/{id:int}": "1",
    "/prices/{version:int}": "1",
    "/static/{path:path}": "css/base.css",
}
