"""Workspaces: who sees which, and the key that masks their numbers."""

import secrets
from uuid import UUID, uuid4

from control_plane.access import MASTER_ID, Action, Actor, Member
from control_plane.audit.outbox import event, with_event
from control_plane.clock import Clock
from control_plane.documents.records import Sort
from control_plane.documents.scope import WorkspaceScope
from control_plane.documents.store import PAGE_LIMIT, DocumentStore
from control_plane.errors import NotFound
from control_plane.workspaces.key_file import KeyFile
from control_plane.workspaces.model import WORKSPACES, Workspace

CTN_KEY_BYTES = 32


class Workspaces:
    def __init__(self, store: DocumentStore, keys: KeyFile, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock

    async def create(
        self,
        name: str,
        *,
        default_country: str = "",
        time_zone: str = "UTC",
        actor: Actor | None = None,
        workspace_id: UUID | None = None,
    ) -> Workspace:
        """DuplicateKey for a name that is taken."""
        now = self._clock()
        workspace = Workspace(
            id=workspace_id or uuid4(),
            master=True if workspace_id == MASTER_ID else None,
            name=name,
            default_country=default_country,
            time_zone=time_zone,
            sealed_ctn_key=self._keys.seal(secrets.token_bytes(CTN_KEY_BYTES)),
            created_at=now,
        )
        happened = event(
            "workspace.create",
            now,
            actor_id=actor.user_id if actor else None,
            actor=actor.email if actor else "Heliograph",
            workspace_id=workspace.id,
            target=workspace,
            target_name=name,
        )
        return await self._store.insert(WORKSPACES, with_event(workspace, happened))

    async def of(self, actor: Actor) -> list[Workspace]:
        """Those the actor may enter, by name."""
        if actor.super_admin:
            return (await self._store.find(WORKSPACES, {}, sort=Sort("name"), limit=PAGE_LIMIT)).records
        found = []
        for workspace_id in actor.memberships:
            try:
                found.append(await self._store.get(WORKSPACES, workspace_id))
            except NotFound:
                continue
        return sorted(found, key=lambda workspace: workspace.name.casefold())

    async def every(self, actor: Actor, action: Action) -> list[Workspace]:
        """All of the installation, by name, for who may `action` on it: to be named, not to be entered."""
        actor.require(action)
        found: list[Workspace] = []
        after = None
        while True:
            page = await self._store.find(WORKSPACES, {}, sort=Sort("name"), limit=PAGE_LIMIT, after=after)
            found += page.records
            after = page.next
            if after is None:
                return found

    async def get(self, member: Member) -> Workspace:
        return await self._store.get(WORKSPACES, member.workspace_id)

    def scope(self, member: Member) -> WorkspaceScope:
        return WorkspaceScope(self._store, member.workspace_id)

    def ctn_key(self, workspace: Workspace) -> bytes:
        """For `numbers.ctn_hash`. KeyFileError where the key file is another."""
        return self._keys.open(workspace.sealed_ctn_key)
