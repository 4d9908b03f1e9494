"""Invitations and requests to join, as documents of their own: nobody is a user by being asked."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from control_plane.access import Membership
from control_plane.audit.outbox import UNSWEPT
from control_plane.documents.records import Collection, Index, Record
from control_plane.documents.scope import Owned

InvitationState = Literal["open", "accepted", "revoked"]  # open and past its time: expired
RequestState = Literal["open", "accepted", "rejected"]


class Invitation(Owned, frozen=True, kw_only=True):
    email: str  # lower case; only who has this address accepts
    membership: Membership
    token_hash: str  # SHA-256, hex, of the link's token; another one each time it is sent
    state: InvitationState = "open"
    invited_by: str
    created_at: datetime
    sent_at: datetime
    expires_at: datetime
    mailed: bool = False  # whether the mail server took it
    ended_at: datetime | None = None  # accepted or revoked
    accepted_by: UUID | None = None


class JoinRequest(Owned, frozen=True, kw_only=True):
    user_id: UUID
    email: str
    name: str
    note: str = ""
    state: RequestState = "open"
    asked_at: datetime
    decided_at: datetime | None = None
    decided_by: str = ""


class PasswordReset(Record, frozen=True, kw_only=True):
    """A link by e-mail to set a new password. Its id is its person's: a newer one replaces it."""

    token_hash: str
    epoch: int  # of the user: a password set meanwhile ends the link
    expires_at: datetime


INVITATIONS = Collection(
    "invitations",
    Invitation,
    indexes=(
        Index(("token_hash",), unique=True),
        Index(("workspace_id", "state")),
        Index(("workspace_id", "email")),
        UNSWEPT,
    ),
)
JOIN_REQUESTS = Collection(
    "join_requests",
    JoinRequest,
    indexes=(Index(("workspace_id", "state")), Index(("user_id", "state")), UNSWEPT),
    kind="request",
)
RESETS = Collection(
    "password_resets",
    PasswordReset,
    indexes=(Index(("token_hash",), unique=True), Index(("expires_at",))),
    expires=True,
)
