"""Asking to join a workspace by its name; its admins decide."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from control_plane.access import Action, Actor, Member, Membership
from control_plane.audit.outbox import acted, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Sort
from control_plane.documents.scope import WorkspaceScope
from control_plane.documents.store import DocumentStore, DuplicateKey, find_one
from control_plane.errors import Conflict, Forbidden, Invalid
from control_plane.identity.people import People, said
from control_plane.joining.model import JOIN_REQUESTS, JoinRequest
from control_plane.joining.rules import decide
from control_plane.workspaces.model import WORKSPACES, Workspace

NOTE_LIMIT = 200
OPEN_LIMIT = 5  # of one person
PAGE = 200


class JoinRequests:
    def __init__(self, store: DocumentStore, people: People, clock: Clock) -> None:
        self._store = store
        self._people = people
        self._clock = clock

    async def ask(self, actor: Actor, workspace_name: str, note: str = "") -> None:
        """The same answer whether there is such a workspace or not: which ones exist is not told.

        Asking twice is asking once. Invalid for a note that is too long; Conflict beyond five open ones.
        """
        if actor.must_set_password:
            raise Forbidden("Set your own password first.")
        name, note = " ".join(workspace_name.split()), " ".join(note.split())
        if not name:
            raise Invalid({"workspace": "The name of the workspace, as its people write it."})
        if len(note) > NOTE_LIMIT:
            raise Invalid({"note": f"Use at most {NOTE_LIMIT} characters."})
        mine = {"user_id": actor.user_id, "state": "open"}
        if await self._store.count(JOIN_REQUESTS, mine) >= OPEN_LIMIT:
            raise Conflict("Wait for an answer to those you asked already.")
        workspace = await find_one(self._store, WORKSPACES, {"name": name})
        if workspace is None or workspace.master or workspace.suspended:
            return
        if workspace.id not in actor.memberships:
            await self._ask(actor, workspace, note, self._clock())

    async def _ask(self, actor: Actor, workspace: Workspace, note: str, now: datetime) -> None:
        request = JoinRequest(
            id=uuid5(workspace.id, str(actor.user_id)),  # one of a person in a workspace
            workspace_id=workspace.id,
            user_id=actor.user_id,
            email=actor.email,
            name=actor.name,
            note=note,
            asked_at=now,
        )
        happened = acted(
            actor, "request.ask", now, workspace_id=workspace.id, target=request, target_name=actor.email
        )

        def again(found: JoinRequest) -> JoinRequest:
            if found.state == "open":
                return found
            renewed = msgspec.structs.replace(
                request, version=found.version, outbox=found.outbox, unswept=found.unswept
            )
            return with_event(renewed, happened)

        try:
            await self._store.insert(JOIN_REQUESTS, with_event(request, happened))
        except DuplicateKey:
            await change(self._store, JOIN_REQUESTS, request.id, again)

    async def open(self, member: Member) -> list[JoinRequest]:
        """The oldest first."""
        member.require(Action.MANAGE_MEMBERS)
        scope = WorkspaceScope(self._store, member.workspace_id)
        return (await scope.find(JOIN_REQUESTS, {"state": "open"}, sort=Sort("asked_at"), limit=PAGE)).records

    async def get(self, member: Member, request_id: UUID | str) -> JoinRequest:
        member.require(Action.MANAGE_MEMBERS)
        return await WorkspaceScope(self._store, member.workspace_id).get(JOIN_REQUESTS, request_id)

    async def accept(self, member: Member, request_id: UUID | str, membership: Membership) -> JoinRequest:
        """They are a member from now on. Conflict where another admin was first."""
        decided = await self._decide(member, request_id, membership)
        with suppress(Conflict):  # by an invitation meanwhile: they are in
            await self._people.admit(member, decided.user_id, membership)
        return decided

    async def reject(self, member: Member, request_id: UUID | str) -> JoinRequest:
        return await self._decide(member, request_id, None)

    async def _decide(
        self, member: Member, request_id: UUID | str, membership: Membership | None
    ) -> JoinRequest:
        member.require(Action.MANAGE_MEMBERS)
        now, scope = self._clock(), WorkspaceScope(self._store, member.workspace_id)
        action = "request.reject" if membership is None else "request.accept"

        def decided(found: JoinRequest) -> JoinRequest:
            result = decide(found, accepted=membership is not None, by=member.actor.name, now=now)
            happened = acted(
                member,
                action,
                now,
                target=found,
                target_name=found.email,
                details={} if membership is None else {"role": said(membership)},
            )
            return with_event(result, happened)

        found = await scope.get(JOIN_REQUESTS, request_id)
        return await change(scope, JOIN_REQUESTS, found.id, decided)
