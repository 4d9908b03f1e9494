"""Workspaces: who sees which, their life cycle and settings, and the key that masks their numbers."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

import msgspec

from control_plane.access import MASTER_ID, Action, Actor, Member
from control_plane.audit.outbox import acted, event, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Page, Sort
from control_plane.documents.scope import WorkspaceScope, parse_id
from control_plane.documents.store import PAGE_LIMIT, DocumentStore, DuplicateKey
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.workspaces.choices import REASON_LIMIT, read_name, read_place, read_settings
from control_plane.workspaces.key_file import KeyFile
from control_plane.workspaces.model import WORKSPACES, Workspace

CTN_KEY_BYTES = 32
TAKEN = "Another workspace has this name."


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
        about: dict[str, Any] = {"workspace_id": workspace.id, "target": workspace, "target_name": name}
        happened = (
            acted(actor, "workspace.create", now, **about)
            if actor is not None
            else event("workspace.create", now, actor="Heliograph", **about)
        )
        return await self._store.insert(WORKSPACES, with_event(workspace, happened))

    async def of(self, actor: Actor) -> list[Workspace]:
        """Those the actor is a member of, by name. Super Admins enter the others too: see `opened`."""
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

    async def opened(self, actor: Actor, workspace_id: UUID | str) -> Workspace:
        """One that the actor may enter, else NotFound."""
        wanted = parse_id(WORKSPACES, workspace_id)
        if not actor.super_admin and wanted not in actor.memberships:
            raise NotFound(WORKSPACES.noun)
        return await self._store.get(WORKSPACES, wanted)

    async def get(self, member: Member) -> Workspace:
        return await self._store.get(WORKSPACES, member.workspace_id)

    # The life cycle, from the Master workspace

    async def page(self, actor: Actor, *, limit: int = 25, after: str | None = None) -> Page[Workspace]:
        """All of the installation, by name."""
        actor.require(Action.MANAGE_WORKSPACES)
        return await self._store.find(WORKSPACES, {}, sort=Sort("name"), limit=limit, after=after)

    async def count(self, actor: Actor) -> int:
        actor.require(Action.MANAGE_WORKSPACES)
        return await self._store.count(WORKSPACES, {})

    async def look(self, actor: Actor, workspace_id: UUID | str) -> Workspace:
        """One of the installation, to be managed, not to be entered."""
        actor.require(Action.MANAGE_WORKSPACES)
        return await self._store.get(WORKSPACES, parse_id(WORKSPACES, workspace_id))

    async def found(self, actor: Actor, form: Mapping[str, str]) -> Workspace:
        """A new one, of the form's name, time zone and country. Invalid names what is wrong."""
        actor.require(Action.MANAGE_WORKSPACES)
        problems: dict[str, str] = {}
        place = read_place(form, problems)
        name = ""
        try:
            name = read_name(form.get("name", ""))
        except Invalid as error:
            problems |= error.errors
        if problems:
            raise Invalid(problems)
        country, zone = str(place.get("default_country", "")), str(place.get("time_zone", "UTC"))
        try:
            return await self.create(name, default_country=country, time_zone=zone, actor=actor)
        except DuplicateKey:
            raise Invalid({"name": TAKEN}) from None

    async def rename(self, actor: Actor, workspace_id: UUID | str, name: str) -> Workspace:
        name = read_name(name)
        return await self._manage(actor, workspace_id, "workspace.rename", lambda _found: {"name": name})

    async def suspend(self, actor: Actor, workspace_id: UUID | str, why: str) -> Workspace:
        """From the next request on its people look and change nothing. What is on its way goes on: a stop
        ends that. Conflict for the Master workspace."""
        why = " ".join(why.split())
        if not why or len(why) > REASON_LIMIT:
            raise Invalid({"why": f"Say why, in at most {REASON_LIMIT} characters: its people read it."})
        now = self._clock()

        def suspended(found: Workspace) -> dict[str, object]:
            if found.id == MASTER_ID:
                raise Conflict("The Master workspace runs the installation: it cannot be suspended.")
            if found.suspended:
                return {}
            return {
                "state": "suspended",
                "suspended_at": now,
                "suspended_by": actor.name,
                "suspended_why": why,
            }

        return await self._manage(actor, workspace_id, "workspace.suspend", suspended)

    async def resume(self, actor: Actor, workspace_id: UUID | str) -> Workspace:
        active = {"state": "active", "suspended_at": None, "suspended_by": "", "suspended_why": ""}
        return await self._manage(
            actor, workspace_id, "workspace.resume", lambda found: active if found.suspended else {}
        )

    async def _manage(
        self,
        actor: Actor,
        workspace_id: UUID | str,
        action: str,
        decide: Callable[[Workspace], Mapping[str, object]],
    ) -> Workspace:
        actor.require(Action.MANAGE_WORKSPACES)
        return await self._change(actor, parse_id(WORKSPACES, workspace_id), action, decide)

    # Its settings, by its own admins

    async def configure(self, member: Member, form: Mapping[str, str]) -> Workspace:
        """What the form names changes; audited with before and after. Invalid names what is wrong."""
        member.require(Action.MANAGE_WORKSPACE)
        wanted = read_settings(form)
        if "name" in form:
            wanted["name"] = read_name(form["name"])
        return await self._change(member, member.workspace_id, "workspace.settings", lambda _found: wanted)

    async def _change(
        self,
        who: Actor | Member,
        workspace_id: UUID,
        action: str,
        decide: Callable[[Workspace], Mapping[str, object]],
    ) -> Workspace:
        now = self._clock()

        def changed(found: Workspace) -> Workspace:
            wanted = {name: value for name, value in decide(found).items() if getattr(found, name) != value}
            if not wanted:
                return found
            happened = acted(
                who,
                action,
                now,
                workspace_id=workspace_id,
                target=found,
                target_name=found.name,
                changes={name: (_said(getattr(found, name)), _said(value)) for name, value in wanted.items()},
            )
            return with_event(msgspec.structs.replace(found, **wanted), happened)

        try:
            return await change(self._store, WORKSPACES, workspace_id, changed)
        except DuplicateKey:
            raise Invalid({"name": TAKEN}) from None

    def scope(self, member: Member) -> WorkspaceScope:
        return WorkspaceScope(self._store, member.workspace_id)

    def ctn_key(self, workspace: Workspace) -> bytes:
        """For `numbers.ctn_hash`. KeyFileError where the key file is another."""
        return self._keys.open(workspace.sealed_ctn_key)


def _said(value: object) -> str:
    return "" if value is None else str(value)
