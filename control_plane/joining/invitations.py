"""Invitations: an address, a role, and a link that admits its owner once."""

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec

from control_plane.access import Action, Actor, Member, Membership
from control_plane.audit.outbox import acted, event, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Sort
from control_plane.documents.scope import WorkspaceScope
from control_plane.documents.store import DocumentStore, DuplicateKey, find_one
from control_plane.errors import Conflict, ControlPlaneError, Invalid, NotFound
from control_plane.identity.model import USERS, User
from control_plane.identity.passwords import Passwords, objection
from control_plane.identity.people import said
from control_plane.identity.sessions import TOKEN_BYTES, token_hash
from control_plane.joining.model import INVITATIONS, Invitation
from control_plane.joining.rules import NotValid, accept, counts, renew, reopen, revoke
from control_plane.mail.mail import Mail
from control_plane.workspaces.choices import read_name
from control_plane.workspaces.model import WORKSPACES

EMAIL = re.compile(r"[^@\s\x00-\x1f,;<>()\"]{1,64}@(?=[^@]{1,189}$)[a-z0-9-]+(\.[a-z0-9-]+)+")
OPEN_LIMIT = 500  # of a workspace


@dataclass(frozen=True)
class Sent:
    """What came of it. `link` is shown once: only its token's hash is stored."""

    invitation: Invitation
    link: str
    mailed: bool


@dataclass(frozen=True)
class Offer:
    """What a link leads to."""

    invitation: Invitation
    workspace: str
    has_account: bool


class Invitations:
    """`life_s`: how long a link counts."""

    def __init__(
        self, store: DocumentStore, passwords: Passwords, mail: Mail, clock: Clock, *, life_s: int
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._mail = mail
        self._clock = clock
        self._life = timedelta(seconds=life_s)

    # By admins of the workspace

    async def invite(self, member: Member, email: str, membership: Membership) -> Sent:
        """Invalid for no address or a member's; Conflict where one is open for it already."""
        member.require(Action.MANAGE_MEMBERS)
        email = read_email(email)
        user = await find_one(self._store, USERS, {"email": email})
        if user is not None and member.workspace_id in user.memberships:
            raise Invalid({"email": "They are a member already."})
        if any(one.email == email for one in await self.open(member)):
            raise Invalid({"email": "They are invited already: send that invitation again, or revoke it."})
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        invitation = Invitation(
            id=uuid4(),
            workspace_id=member.workspace_id,
            email=email,
            membership=membership,
            token_hash=token_hash(token),
            invited_by=member.actor.name,
            created_at=now,
            sent_at=now,
            expires_at=now + self._life,
        )
        happened = acted(
            member,
            "invitation.create",
            now,
            target=invitation,
            target_name=email,
            changes={"role": ("", said(membership))},
        )
        scope = self._scope(member)
        return await self._send(
            scope, await scope.insert(INVITATIONS, with_event(invitation, happened)), token
        )

    async def open(self, member: Member) -> list[Invitation]:
        """Those nobody accepted or revoked, the expired ones too, the newest first."""
        member.require(Action.MANAGE_MEMBERS)
        page = await self._scope(member).find(
            INVITATIONS, {"state": "open"}, sort=Sort("sent_at", descending=True), limit=OPEN_LIMIT
        )
        return page.records

    async def again(self, member: Member, invitation_id: UUID | str) -> Sent:
        """Another link, with all of its time; the one before ends. Conflict once accepted or revoked."""
        member.require(Action.MANAGE_MEMBERS)
        token, now, scope = secrets.token_urlsafe(TOKEN_BYTES), self._clock(), self._scope(member)

        def renewed(found: Invitation) -> Invitation:
            happened = acted(member, "invitation.send", now, target=found, target_name=found.email)
            return with_event(renew(found, token_hash=token_hash(token), now=now, life=self._life), happened)

        found = await scope.get(INVITATIONS, invitation_id)
        return await self._send(scope, await change(scope, INVITATIONS, found.id, renewed), token)

    async def revoke(self, member: Member, invitation_id: UUID | str) -> Invitation:
        """Its link admits nobody from now on. Conflict once accepted or revoked."""
        member.require(Action.MANAGE_MEMBERS)
        now, scope = self._clock(), self._scope(member)

        def revoked(found: Invitation) -> Invitation:
            happened = acted(member, "invitation.revoke", now, target=found, target_name=found.email)
            return with_event(revoke(found, now), happened)

        found = await scope.get(INVITATIONS, invitation_id)
        return await change(scope, INVITATIONS, found.id, revoked)

    async def _send(self, scope: WorkspaceScope, invitation: Invitation, token: str) -> Sent:
        """It is stored already: a mail server that fails loses nothing."""
        link = self._mail.link(f"/join?token={token}")
        workspace = await self._store.get(WORKSPACES, invitation.workspace_id)
        mailed = await self._mail.send(
            invitation.email,
            f"{invitation.invited_by} invites you to {workspace.name} on Heliograph",
            f"{invitation.invited_by} invites you to the workspace {workspace.name} on Heliograph.\n\n"
            f"To join, open:\n{link}\n\n"
            f"The link works once, until {invitation.expires_at:%d %B %Y, %H:%M} UTC. "
            "If you did not expect this, do nothing.\n",
        )
        if mailed:

            def noted(found: Invitation) -> Invitation:
                if found.token_hash != invitation.token_hash:
                    return found
                return msgspec.structs.replace(found, mailed=True)

            invitation = await change(scope, INVITATIONS, invitation.id, noted)
        return Sent(invitation, link, mailed)

    # By whoever has the link

    async def offer(self, token: str) -> Offer:
        """What the link is for. NotValid where it admits nobody."""
        found = await self._valid(token)
        workspace = await self._store.get(WORKSPACES, found.workspace_id)
        if workspace.suspended:
            raise NotValid
        user = await find_one(self._store, USERS, {"email": found.email})
        return Offer(found, workspace.name, user is not None)

    async def accept_new(self, token: str, name: str, password: str, *, address: str = "") -> User:
        """Make the account. NotValid; Invalid (`name`, `password`); Conflict where the address has one."""
        offer = await self.offer(token)
        invitation = offer.invitation
        if offer.has_account:
            raise Conflict("This address has an account: log in with it, then open the link again.")
        name = read_name(name)
        if problem := objection(password, email=invitation.email, name=name):
            raise Invalid({"password": problem})
        now = self._clock()
        user = User(
            id=uuid4(),
            email=invitation.email,
            name=name,
            password_hash=await self._passwords.hash(password),
            must_set_password=False,
            memberships={invitation.workspace_id: invitation.membership},
            created_at=now,
        )
        happened = event(
            "member.join",
            now,
            actor_id=user.id,
            actor=user.email,
            address=address,
            workspace_id=invitation.workspace_id,
            target=user,
            target_name=user.email,
            changes={"role": ("", said(invitation.membership))},
        )
        await self._accept(invitation, token, user.email, user.id)
        try:
            return await self._store.insert(USERS, with_event(user, happened))
        except DuplicateKey:
            await self._reopen(invitation, user.id)
            raise Conflict("This address has an account: log in with it, then open the link again.") from None

    async def accept_as(self, token: str, actor: Actor) -> User:
        """Join with the account one is logged in with. NotValid for another's invitation."""
        offer = await self.offer(token)
        invitation = offer.invitation
        await self._accept(invitation, token, actor.email, actor.user_id)
        workspace_id, now = invitation.workspace_id, self._clock()

        def joined(found: User) -> User:
            if found.disabled or found.email != invitation.email:
                raise NotValid
            if workspace_id in found.memberships:
                raise Conflict("You are a member already.")
            happened = acted(
                actor,
                "member.join",
                now,
                workspace_id=workspace_id,
                target=found,
                target_name=found.email,
                changes={"role": ("", said(invitation.membership))},
            )
            memberships = {**found.memberships, workspace_id: invitation.membership}
            return with_event(msgspec.structs.replace(found, memberships=memberships), happened)

        try:
            return await change(self._store, USERS, actor.user_id, joined)
        except (NotFound, Conflict):
            await self._reopen(invitation, actor.user_id)
            raise

    async def _valid(self, token: str) -> Invitation:
        key = token_hash(token)
        found = await find_one(self._store, INVITATIONS, {"token_hash": key})
        if found is None or not counts(found, key, self._clock()):
            raise NotValid
        return found

    async def _accept(self, invitation: Invitation, token: str, email: str, user_id: UUID) -> None:
        """The one step that admits: of any number at once, one replaces the open invitation."""
        now, key = self._clock(), token_hash(token)

        def accepted(found: Invitation) -> Invitation:
            happened = event(
                "invitation.accept",
                now,
                actor_id=user_id,
                actor=email,
                workspace_id=found.workspace_id,
                target=found,
                target_name=email,
            )
            return with_event(accept(found, token_hash=key, email=email, user_id=user_id, now=now), happened)

        await change(self._store, INVITATIONS, invitation.id, accepted)

    async def _reopen(self, invitation: Invitation, user_id: UUID) -> None:
        try:
            await change(self._store, INVITATIONS, invitation.id, lambda found: reopen(found, user_id))
        except ControlPlaneError:
            return  # it stays used: the admin sends another

    def _scope(self, member: Member) -> WorkspaceScope:
        return WorkspaceScope(self._store, member.workspace_id)


def read_email(text: str) -> str:
    """In lower case. Invalid where it is no address."""
    email = text.strip().casefold()
    if not EMAIL.fullmatch(email):
        raise Invalid({"email": "An e-mail address, such as name@example.com."})
    return email
