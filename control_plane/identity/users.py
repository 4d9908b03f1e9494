"""People of the installation: found, disabled, their roles in every workspace, Super Admins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec

from control_plane.access import Action, Actor, Membership
from control_plane.audit.outbox import acted, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Sort
from control_plane.documents.scope import parse_id
from control_plane.documents.store import PAGE_LIMIT, DocumentStore
from control_plane.errors import Conflict, Forbidden
from control_plane.identity.identity import Identity
from control_plane.identity.model import USERS, User
from control_plane.identity.people import said
from control_plane.identity.remembered import Remembered
from control_plane.identity.totp import without
from control_plane.workspaces.model import WORKSPACES


@dataclass(frozen=True)
class Found:
    """`total`: of all that match, also of those beyond the page."""

    users: list[User]
    total: int


class Users:
    """Only for who may MANAGE_USERS. What touches a Super Admin, only another Super Admin does."""

    def __init__(
        self, store: DocumentStore, identity: Identity, remembered: Remembered, clock: Clock
    ) -> None:
        self._store = store
        self._identity = identity
        self._remembered = remembered
        self._clock = clock

    async def search(self, actor: Actor, text: str = "", *, start: int = 0, limit: int = 50) -> Found:
        """By a part of the name or the address; in order of the address."""
        actor.require(Action.MANAGE_USERS)
        wanted = " ".join(text.casefold().split())
        found: list[User] = []
        after = None
        while True:
            page = await self._store.find(USERS, {}, sort=Sort("email"), limit=PAGE_LIMIT, after=after)
            found += [one for one in page.records if wanted in one.email or wanted in one.name.casefold()]
            after = page.next
            if after is None:
                return Found(found[start : start + limit], len(found))

    async def get(self, actor: Actor, user_id: UUID | str) -> User:
        actor.require(Action.MANAGE_USERS)
        return await self._store.get(USERS, parse_id(USERS, user_id))

    async def set_disabled(self, actor: Actor, user_id: UUID | str, disabled: bool) -> User:
        """Their next request is turned away, and they cannot log in. Not oneself, not the last one."""
        if disabled:
            await self._require_another(actor, parse_id(USERS, user_id))

        def changed(found: User) -> User:
            return msgspec.structs.replace(found, disabled=disabled)

        action = "user.disable" if disabled else "user.enable"
        return await self._change(actor, user_id, action, changed, ("disabled",))

    async def set_super_admin(self, actor: Actor, user_id: UUID | str, on: bool) -> User:
        """Only by a Super Admin; not for oneself; the last one stays."""
        if not actor.super_admin:
            raise Forbidden("Only Super Admins make others one.")
        if not on:
            await self._require_another(actor, parse_id(USERS, user_id))

        def changed(found: User) -> User:
            if on and found.disabled:
                raise Conflict("They are disabled: enable them first.")
            return msgspec.structs.replace(found, super_admin=on)

        return await self._change(actor, user_id, "user.super-admin", changed, ("super_admin",))

    async def set_membership(
        self, actor: Actor, user_id: UUID | str, workspace_id: UUID | str, membership: Membership | None
    ) -> User:
        """Their role in a workspace; None takes them out. Its last admin stays one."""
        actor.require(Action.MANAGE_USERS)
        workspace = await self._store.get(WORKSPACES, parse_id(WORKSPACES, workspace_id))
        wanted = parse_id(USERS, user_id)
        if wanted == actor.user_id and not actor.super_admin:
            raise Forbidden("Nobody changes their own role: ask another admin.")
        if workspace.master and not actor.super_admin:
            raise Forbidden("Only Super Admins decide who runs the installation.")
        if membership is None or membership.role != "admin":
            await self._require_another_admin(workspace.id, wanted)
        now = self._clock()

        def changed(found: User) -> User:
            self._require_touchable(actor, found)
            before = found.memberships.get(workspace.id)
            if before == membership:
                return found
            memberships = {key: one for key, one in found.memberships.items() if key != workspace.id}
            if membership is not None:
                memberships[workspace.id] = membership
            happened = acted(
                actor,
                "member.change"
                if before and membership
                else "member.admit"
                if membership
                else "member.remove",
                now,
                workspace_id=workspace.id,
                target=found,
                target_kind="member",
                target_name=found.email,
                changes={"role": (said(before), said(membership))},
            )
            return with_event(msgspec.structs.replace(found, memberships=memberships), happened)

        return await change(self._store, USERS, wanted, changed)

    async def issue_password(self, actor: Actor, user_id: UUID | str) -> str:
        """A one-time password, shown once; every session of theirs ends."""
        user = await self.get(actor, user_id)
        self._require_touchable(actor, user)
        if user.id == actor.user_id:
            raise Forbidden("Your own password you change in your account.")
        return await self._identity.issue_password(user.email, by=actor)

    async def reset_totp(self, actor: Actor, user_id: UUID | str) -> User:
        """For a lost phone: their logins ask for no code until they set it up again."""
        now = self._clock()

        def changed(found: User) -> User:
            if not found.has_totp:
                raise Conflict("Their logins ask for no code.")
            happened = acted(actor, "totp.reset", now, target=found, target_name=found.email)
            return without(found, happened)

        actor.require(Action.MANAGE_USERS)
        user = await self.get(actor, user_id)
        self._require_touchable(actor, user)
        if user.id == actor.user_id:
            raise Forbidden("Your own codes you turn off in your account.")
        return await change(self._store, USERS, user.id, changed)

    async def _change(
        self,
        actor: Actor,
        user_id: UUID | str,
        action: str,
        decide: Callable[[User], User],
        fields: tuple[str, ...],
    ) -> User:
        actor.require(Action.MANAGE_USERS)
        wanted, now = parse_id(USERS, user_id), self._clock()
        if wanted == actor.user_id:
            raise Forbidden("Not for oneself: ask another administrator.")

        def changed(found: User) -> User:
            self._require_touchable(actor, found)
            after = decide(found)
            changes: Mapping[str, tuple[object, object]] = {
                name: (getattr(found, name), getattr(after, name))
                for name in fields
                if getattr(found, name) != getattr(after, name)
            }
            if not changes:
                return found
            happened = acted(actor, action, now, target=found, target_name=found.email, changes=changes)
            return with_event(after, happened)

        user = await change(self._store, USERS, wanted, changed)
        self._remembered.forget_user(user.id)
        return user

    @staticmethod
    def _require_touchable(actor: Actor, found: User) -> None:
        if found.super_admin and not actor.super_admin:
            raise Forbidden("Only a Super Admin changes another one.")

    async def _require_another(self, actor: Actor, user_id: UUID) -> None:
        """Not even two Super Admins at once end each other: nobody ends themselves, and one who is ended acts
        no more. The count is for the rest."""
        self._require_touchable(actor, await self.get(actor, user_id))
        page = await self._store.find(USERS, {"super_admin": True}, limit=PAGE_LIMIT)
        if [one.id for one in page.records if not one.disabled] == [user_id]:
            raise Conflict("They are the last Super Admin: make somebody else one first.")

    async def _require_another_admin(self, workspace_id: UUID, user_id: UUID) -> None:
        admins: list[UUID] = []
        after = None
        while True:
            page = await self._store.find(USERS, {}, limit=PAGE_LIMIT, after=after)
            admins += [
                one.id
                for one in page.records
                if not one.disabled
                and workspace_id in one.memberships
                and one.memberships[workspace_id].role == "admin"
            ]
            after = page.next
            if after is None:
                break
        if admins == [user_id]:
            raise Conflict("They are the last admin of the workspace: make somebody else one first.")
