"""Who may do what: one table of roles and actions, and the one way into a workspace.

A role counts in its workspace. What belongs to the whole installation (channels, routes, their traffic,
money, stopping everything) is asked of the role in the Master workspace; Super Admins are admins everywhere.
"""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

import msgspec

from control_plane.errors import Forbidden, NotFound


class Role(StrEnum):
    ADMIN = "admin"
    MODERATOR = "moderator"
    AUTHOR = "author"
    ANALYST = "analyst"


class Action(StrEnum):
    VIEW_CAMPAIGNS = "view campaigns"
    EDIT_CAMPAIGNS = "write campaigns"  # create, edit, upload, submit, withdraw, delete a draft
    CONTROL_CAMPAIGNS = "pause, resume and cancel campaigns"
    DECIDE_CAMPAIGNS = "approve and reject campaigns"
    VIEW_RECIPIENTS = "view recipients"
    VIEW_SENDERS = "view sender IDs"
    PROPOSE_SENDERS = "propose sender IDs"
    DECIDE_SENDERS = "approve and reject sender IDs"
    VIEW_CHANNELS = "view channels"
    VIEW_AUDIT = "view the audit"
    RESOLVE_DOUBTS = "resolve messages in doubt"
    STOP_WORKSPACE = "stop the sending of the workspace"
    STOP_EVERYTHING = "stop channels or everything"
    MANAGE_CHANNELS = "manage channels"
    VIEW_TRAFFIC = "view orphan receipts, inbound messages and traces"
    VIEW_WALLET = "view the wallet of the workspace"
    MANAGE_MONEY = "credit wallets and publish prices"


# Of the installation, not of one workspace.
INSTALLATION = frozenset(
    {Action.STOP_EVERYTHING, Action.MANAGE_CHANNELS, Action.VIEW_TRAFFIC, Action.MANAGE_MONEY}
)
MASTER_ID = UUID("6d617374-6572-8000-8000-000000000000")  # of the Master workspace, in every installation

_VIEW = frozenset({Action.VIEW_CAMPAIGNS, Action.VIEW_SENDERS, Action.VIEW_CHANNELS, Action.VIEW_WALLET})
_AUTHOR = _VIEW | {
    Action.EDIT_CAMPAIGNS,
    Action.CONTROL_CAMPAIGNS,
    Action.VIEW_RECIPIENTS,
    Action.PROPOSE_SENDERS,
}
_MODERATOR = _VIEW | {
    Action.CONTROL_CAMPAIGNS,
    Action.DECIDE_CAMPAIGNS,
    Action.VIEW_RECIPIENTS,
    Action.DECIDE_SENDERS,
    Action.VIEW_AUDIT,
    Action.RESOLVE_DOUBTS,
    Action.STOP_WORKSPACE,
}

ALLOWED: Mapping[Role, frozenset[Action]] = {
    Role.ADMIN: frozenset(Action),
    Role.MODERATOR: _MODERATOR,
    Role.AUTHOR: _AUTHOR,
    Role.ANALYST: _VIEW,
}


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """A person who is logged in."""

    user_id: UUID
    email: str
    name: str
    super_admin: bool
    must_set_password: bool
    memberships: dict[UUID, Role]
    session_id: UUID
    address: str = ""

    def may(self, action: Action) -> bool:
        """Of the installation: by the role in the Master workspace."""
        assert action in INSTALLATION, action
        if self.must_set_password:
            return False
        role = self.memberships.get(MASTER_ID)
        return self.super_admin or (role is not None and action in ALLOWED[role])

    def require(self, action: Action) -> None:
        """Forbidden where neither a Super Admin nor the Master workspace's role allows it."""
        if not self.may(action):
            raise Forbidden(f"Only administrators of the installation may {action}.")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """An actor in one workspace: every workspace rule takes one, so none is asked without."""

    actor: Actor
    workspace_id: UUID
    role: Role

    def may(self, action: Action) -> bool:
        if action in INSTALLATION:
            return self.actor.may(action)
        return action in ALLOWED[self.role]

    def require(self, action: Action) -> None:
        """Forbidden where the role does not allow the action."""
        if not self.may(action):
            raise Forbidden(f"Your role ({self.role}) may not {action}.")


def enter(actor: Actor, workspace_id: UUID) -> Member:
    """The actor in a workspace; NotFound for a foreign one. Super Admins are admins everywhere.

    Raises Forbidden while a first password has to be set: before that there is nothing else to do.
    """
    if actor.must_set_password:
        raise Forbidden("Set your own password first.")
    if actor.super_admin:
        return Member(actor=actor, workspace_id=workspace_id, role=Role.ADMIN)
    role = actor.memberships.get(workspace_id)
    if role is None:
        raise NotFound("workspace")
    return Member(actor=actor, workspace_id=workspace_id, role=role)
