"""The first start: a Super Admin, the Master workspace, and a demo workspace with its people and a sender."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

import msgspec

from control_plane.access import MASTER_ID, Membership, Role
from control_plane.audit.outbox import event, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.store import DocumentStore, DuplicateKey, find_one
from control_plane.identity.model import USERS, FirstLogin, User
from control_plane.identity.passwords import Passwords, one_time
from control_plane.senders.model import SENDERS, SenderRevision
from control_plane.workspaces.model import WORKSPACES, Workspace
from control_plane.workspaces.workspaces import Workspaces

SUPER_ADMIN = "admin@heliograph.example"
MASTER_WORKSPACE = "Master"
DEMO_WORKSPACE = "Demo"
DEMO_SENDER = "Heliograph"
DEMO_PEOPLE: Mapping[str, tuple[str, Role]] = {
    "author@demo.example": ("Demo Author", Role.AUTHOR),
    "moderator@demo.example": ("Demo Moderator", Role.MODERATOR),
}


@dataclass(frozen=True)
class _Person:
    name: str
    role: str
    super_admin: bool = False
    memberships: dict[UUID, Membership] = field(default_factory=dict)


class Bootstrap:
    def __init__(
        self, store: DocumentStore, passwords: Passwords, workspaces: Workspaces, clock: Clock
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._workspaces = workspaces
        self._clock = clock

    async def run(self, *, demo: bool = True) -> list[FirstLogin]:
        """At every start: one-time passwords of those of these people who have not chosen their own yet.

        New ones each time, so that a lost terminal locks nobody out; none once all have their own password.
        """
        people = {SUPER_ADMIN: _Person(name="Super Admin", role="Super Admin", super_admin=True)}
        await self._master()
        if demo:
            workspace = await self._workspace()
            await self._sender(workspace)
            for email, (name, role) in DEMO_PEOPLE.items():
                memberships = {workspace.id: Membership(role=role)}
                people[email] = _Person(name=name, role=str(role), memberships=memberships)
        logins = []
        for email, person in people.items():
            if password := await self._person(email, person):
                logins.append(FirstLogin(email, password, person.role))
        return logins

    async def _master(self) -> None:
        """The workspace whose admins run the installation; under another name where its own is taken."""
        if await find_one(self._store, WORKSPACES, {"master": True}) is not None:
            return
        for name in (MASTER_WORKSPACE, f"{MASTER_WORKSPACE} (installation)"):
            try:
                await self._workspaces.create(name, workspace_id=MASTER_ID)
                return
            except DuplicateKey:
                continue  # of another workspace, or of another program's start just now

    async def _workspace(self) -> Workspace:
        workspace = await find_one(self._store, WORKSPACES, {"name": DEMO_WORKSPACE})
        if workspace is not None:
            return workspace
        return await self._workspaces.create(DEMO_WORKSPACE, default_country="DE")

    async def _sender(self, workspace: Workspace) -> None:
        now = self._clock()
        revision = SenderRevision(
            id=uuid4(),
            workspace_id=workspace.id,
            sender=DEMO_SENDER,
            revision=1,
            purpose="Demonstration",
            state="Approved",
            author_id=None,
            author="Heliograph",
            created_at=now,
            decided_by="Heliograph",
            decided_at=now,
            note="Made with the demo workspace.",
        )
        happened = event(
            "sender.approve",
            now,
            actor="Heliograph",
            workspace_id=workspace.id,
            target=revision,
            target_name=DEMO_SENDER,
        )
        try:
            await self._store.insert(SENDERS, with_event(revision, happened))
        except DuplicateKey:
            return  # of a first start that broke off

    async def _person(self, email: str, person: _Person) -> str | None:
        found = await find_one(self._store, USERS, {"email": email})
        if found is not None and not found.must_set_password:
            return None
        password = one_time()
        password_hash = await self._passwords.hash(password)
        now = self._clock()
        if found is None:
            await self._store.insert(USERS, self._new(email, person, password_hash, now))
            return password
        happened = event("password.issued", now, actor="Heliograph", target=found, target_name=email)

        def renew(user: User) -> User:
            if not user.must_set_password:
                return user
            renewed = msgspec.structs.replace(user, password_hash=password_hash, epoch=user.epoch + 1)
            return with_event(renewed, happened)

        renewed = await change(self._store, USERS, found.id, renew)
        return password if renewed.must_set_password else None

    @staticmethod
    def _new(email: str, person: _Person, password_hash: str, now: datetime) -> User:
        user = User(
            id=uuid4(),
            email=email,
            name=person.name,
            password_hash=password_hash,
            super_admin=person.super_admin,
            memberships=person.memberships,
            created_at=now,
        )
        happened = event("user.create", now, actor="Heliograph", target=user, target_name=email)
        return with_event(user, happened)
