"""People of a workspace: who they are, their roles, and their end there."""

from collections.abc import Callable
from uuid import UUID

import msgspec

from control_plane.access import Action, Member, Membership, Role
from control_plane.audit.outbox import acted, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.store import PAGE_LIMIT, DocumentStore
from control_plane.errors import Conflict, Forbidden, NotFound
from control_plane.identity.model import USERS, User


class People:
    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def members(self, member: Member) -> list[User]:
        """Of the member's workspace, by name."""
        member.require(Action.VIEW_MEMBERS)
        found: list[User] = []
        after = None
        while True:
            page = await self._store.find(USERS, {}, limit=PAGE_LIMIT, after=after)
            found += [user for user in page.records if member.workspace_id in user.memberships]
            after = page.next
            if after is None:
                return sorted(found, key=lambda user: (user.name.casefold(), user.email))

    async def admit(self, member: Member, user_id: UUID, membership: Membership) -> User:
        member.require(Action.MANAGE_MEMBERS)

        def admitted(found: User) -> dict[UUID, Membership]:
            if member.workspace_id in found.memberships:
                raise Conflict("They are a member already.")
            return {**found.memberships, member.workspace_id: membership}

        return await self._change(member, user_id, "member.admit", admitted)

    async def change(self, member: Member, user_id: UUID, membership: Membership) -> User:
        """Not one's own; the last admin stays one."""
        member.require(Action.MANAGE_MEMBERS)
        if user_id == member.actor.user_id:
            raise Forbidden("Nobody changes their own role: ask another admin.")
        if membership.role is not Role.ADMIN:
            await self._require_another_admin(member, user_id)

        def changed(found: User) -> dict[UUID, Membership]:
            _require_member(found, member)
            return {**found.memberships, member.workspace_id: membership}

        return await self._change(member, user_id, "member.change", changed)

    async def remove(self, member: Member, user_id: UUID) -> None:
        """Not the last admin."""
        member.require(Action.MANAGE_MEMBERS)
        await self._require_another_admin(member, user_id)

        def left(found: User) -> dict[UUID, Membership]:
            _require_member(found, member)
            return {key: value for key, value in found.memberships.items() if key != member.workspace_id}

        await self._change(member, user_id, "member.remove", left)

    async def _require_another_admin(self, member: Member, user_id: UUID) -> None:
        admins = [
            user.id
            for user in await self.members(member)
            if user.memberships[member.workspace_id].role is Role.ADMIN and not user.disabled
        ]
        if admins == [user_id]:
            raise Conflict("They are the last admin of the workspace: make somebody else one first.")

    async def _change(
        self, member: Member, user_id: UUID, action: str, decide: Callable[[User], dict[UUID, Membership]]
    ) -> User:
        def changed(found: User) -> User:
            memberships = decide(found)
            before, after = (said(one.get(member.workspace_id)) for one in (found.memberships, memberships))
            happened = acted(
                member,
                action,
                self._clock(),
                target=found,
                target_kind="member",
                target_name=found.email,
                changes={"role": (before, after)},
            )
            return with_event(msgspec.structs.replace(found, memberships=memberships), happened)

        return await change(self._store, USERS, user_id, changed)


def _require_member(found: User, member: Member) -> None:
    if member.workspace_id not in found.memberships:
        raise NotFound("member")


def said(membership: Membership | None) -> str:
    """In words, for the audit."""
    if membership is None:
        return ""
    flags = (("moderates", membership.is_moderator), ("sees numbers", membership.sees_numbers))
    return ", ".join([str(membership.role), *(word for word, on in flags if on)])
