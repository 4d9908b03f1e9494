"""Who may do what: one table of roles and actions, and the one way into a workspace.

A role counts in its workspace. What belongs to the whole installation (channels, routes, their traffic,
money, people, other workspaces) is asked of the role in the Master workspace; Super Admins are admins
everywhere. What a route asks for is in web/access_table.py; docs/roles.md is made of both.
"""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

import msgspec

from control_plane.errors import Forbidden, NotFound, SendsNothing, Suspended


class Role(StrEnum):
    ADMIN = "admin"
    MODERATOR = "moderator"
    AUTHOR = "author"
    ANALYST = "analyst"


class Action(StrEnum):
    VIEW_CAMPAIGNS = "view campaigns"  # their own; of others, VIEW_ALL_CAMPAIGNS
    VIEW_ALL_CAMPAIGNS = "view everybody's campaigns"
    EDIT_CAMPAIGNS = "write campaigns"  # create, edit, upload, submit, withdraw, delete a draft
    CONTROL_CAMPAIGNS = "pause, resume and cancel campaigns"
    DECIDE_CAMPAIGNS = "approve and reject campaigns"
    ARCHIVE_CAMPAIGNS = "archive and restore campaigns"
    VIEW_RECIPIENTS = "view recipients"
    VIEW_NUMBERS = "view full phone numbers"
    EXPORT_RECORDS = "export delivery records"
    ERASE_PEOPLE = "find, export and erase a person's number"
    VIEW_SENDERS = "view sender IDs"
    PROPOSE_SENDERS = "propose sender IDs"
    DECIDE_SENDERS = "approve and reject sender IDs"
    VIEW_TEMPLATES = "view templates"
    EDIT_TEMPLATES = "write templates"
    DECIDE_TEMPLATES = "approve and reject templates"
    VIEW_CHANNELS = "view channels"
    VIEW_AUDIT = "view the audit"
    RESOLVE_DOUBTS = "resolve messages in doubt"
    STOP_WORKSPACE = "stop the sending of the workspace"
    VIEW_WALLET = "view the wallet of the workspace"
    VIEW_MEMBERS = "view members"
    MANAGE_MEMBERS = "invite, admit and remove members and change their roles"
    MANAGE_WORKSPACE = "change the settings of the workspace"
    STOP_EVERYTHING = "stop channels or everything"
    MANAGE_CHANNELS = "manage channels"
    VIEW_TRAFFIC = "view orphan receipts, inbound messages and traces"
    MANAGE_MONEY = "credit wallets and publish prices"
    MANAGE_WORKSPACES = "create, rename and suspend workspaces"
    MANAGE_USERS = "disable people and change their roles"


# Of the installation, not of one workspace.
INSTALLATION = frozenset(
    {
        Action.STOP_EVERYTHING,
        Action.MANAGE_CHANNELS,
        Action.VIEW_TRAFFIC,
        Action.MANAGE_MONEY,
        Action.MANAGE_WORKSPACES,
        Action.MANAGE_USERS,
    }
)
# Left to the people of a suspended workspace: to look, and to stop what is still on its way.
WHILE_SUSPENDED = frozenset(
    {
        Action.VIEW_CAMPAIGNS,
        Action.VIEW_ALL_CAMPAIGNS,
        Action.VIEW_RECIPIENTS,
        Action.VIEW_NUMBERS,
        Action.EXPORT_RECORDS,
        Action.VIEW_SENDERS,
        Action.VIEW_TEMPLATES,
        Action.VIEW_CHANNELS,
        Action.VIEW_AUDIT,
        Action.VIEW_WALLET,
        Action.VIEW_MEMBERS,
        Action.STOP_WORKSPACE,
    }
)
# The Master workspace sends nothing, so nothing that is sent is written or decided in it.
NOT_IN_MASTER = frozenset(
    {
        Action.EDIT_CAMPAIGNS,
        Action.CONTROL_CAMPAIGNS,
        Action.DECIDE_CAMPAIGNS,
        Action.ARCHIVE_CAMPAIGNS,
        Action.PROPOSE_SENDERS,
        Action.DECIDE_SENDERS,
        Action.EDIT_TEMPLATES,
        Action.DECIDE_TEMPLATES,
        Action.RESOLVE_DOUBTS,
        Action.STOP_WORKSPACE,
    }
)
MASTER_ID = UUID("6d617374-6572-8000-8000-000000000000")  # of the Master workspace, in every installation

_VIEW = frozenset(
    {
        Action.VIEW_CAMPAIGNS,
        Action.VIEW_SENDERS,
        Action.VIEW_TEMPLATES,
        Action.VIEW_CHANNELS,
        Action.VIEW_WALLET,
    }
)
_AUTHOR = _VIEW | {
    Action.EDIT_CAMPAIGNS,
    Action.CONTROL_CAMPAIGNS,
    Action.ARCHIVE_CAMPAIGNS,
    Action.VIEW_RECIPIENTS,
    Action.EXPORT_RECORDS,
    Action.PROPOSE_SENDERS,
    Action.EDIT_TEMPLATES,
}
_DECIDE = frozenset(
    {
        Action.VIEW_ALL_CAMPAIGNS,
        Action.DECIDE_CAMPAIGNS,
        Action.DECIDE_SENDERS,
        Action.DECIDE_TEMPLATES,
    }
)
_MODERATOR = (
    _VIEW
    | _DECIDE
    | {
        Action.CONTROL_CAMPAIGNS,
        Action.VIEW_RECIPIENTS,
        Action.EXPORT_RECORDS,
        Action.VIEW_AUDIT,
        Action.VIEW_MEMBERS,
        Action.RESOLVE_DOUBTS,
        Action.STOP_WORKSPACE,
    }
)

ALLOWED: Mapping[Role, frozenset[Action]] = {
    Role.ADMIN: frozenset(Action),
    Role.MODERATOR: _MODERATOR,
    Role.AUTHOR: _AUTHOR,
    Role.ANALYST: _VIEW | {Action.VIEW_ALL_CAMPAIGNS},
}
# What a flag of a membership adds to its role.
MODERATING = _DECIDE  # is_moderator: an author who also decides, never on what is their own
SEEING_NUMBERS = frozenset({Action.VIEW_NUMBERS})  # sees_numbers


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is in one workspace. `is_moderator` counts for an author only."""

    role: Role
    is_moderator: bool = False
    sees_numbers: bool = False

    @property
    def allowed(self) -> frozenset[Action]:
        found = ALLOWED[self.role]
        if self.is_moderator and self.role is Role.AUTHOR:
            found |= MODERATING
        if self.sees_numbers:
            found |= SEEING_NUMBERS
        return found


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """A person who is logged in."""

    user_id: UUID
    email: str
    name: str
    super_admin: bool
    must_set_password: bool
    memberships: dict[UUID, Membership]
    session_id: UUID
    suspended: frozenset[UUID] = frozenset()  # of the workspaces at hand, those that are suspended
    address: str = ""  # from where this request came, for the audit
    user_agent: str = ""
    request_id: str = ""

    def may(self, action: Action) -> bool:
        """Of the installation: by the role in the Master workspace."""
        assert action in INSTALLATION, action
        if self.must_set_password:
            return False
        membership = self.memberships.get(MASTER_ID)
        return self.super_admin or (membership is not None and action in membership.allowed)

    def require(self, action: Action) -> None:
        """Forbidden where neither a Super Admin nor the Master workspace's role allows it."""
        if not self.may(action):
            raise Forbidden(f"Only administrators of the installation may {action}.")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """An actor in one workspace: every workspace rule takes one, so none is asked without."""

    actor: Actor
    workspace_id: UUID
    membership: Membership

    @property
    def role(self) -> Role:
        return self.membership.role

    @property
    def suspended(self) -> bool:
        return self.workspace_id in self.actor.suspended

    @property
    def visitor(self) -> bool:
        """A Super Admin in a workspace they are no member of: each of their looks is audited there."""
        return self.actor.super_admin and self.workspace_id not in self.actor.memberships

    def may(self, action: Action) -> bool:
        try:
            self.require(action)
        except Forbidden:
            return False
        return True

    def require(self, action: Action) -> None:
        """Forbidden where the role does not allow the action; Suspended, SendsNothing where the workspace
        does not."""
        if action in INSTALLATION:
            self.actor.require(action)
            return
        if action not in self.membership.allowed:
            raise Forbidden(f"Your role ({self.role}) may not {action}.")
        if self.workspace_id == MASTER_ID and action in NOT_IN_MASTER:
            raise SendsNothing
        if self.suspended and action not in WHILE_SUSPENDED:
            raise Suspended

    def owns(self, author_id: UUID | None) -> bool:
        """Whether a campaign of this author exists for the member: their own, or they view everybody's."""
        return author_id == self.actor.user_id or self.may(Action.VIEW_ALL_CAMPAIGNS)


def enter(actor: Actor, workspace_id: UUID) -> Member:
    """The actor in a workspace; NotFound for a foreign one. Super Admins are admins everywhere.

    Raises Forbidden while a first password has to be set: before that there is nothing else to do.
    """
    if actor.must_set_password:
        raise Forbidden("Set your own password first.")
    if actor.super_admin:
        return Member(actor=actor, workspace_id=workspace_id, membership=Membership(role=Role.ADMIN))
    membership = actor.memberships.get(workspace_id)
    if membership is None:
        raise NotFound("workspace")
    return Member(actor=actor, workspace_id=workspace_id, membership=membership)
