"""What may become of an invitation and of a request to join. Pure: no store, no clock.

    invitation: open -> accepted | revoked; open -> open with another token (sent again)
    request:    open -> accepted | rejected

An open invitation past its time is expired: it can be revoked or sent again, and admits nobody.
"""

import hmac
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from control_plane.errors import Conflict
from control_plane.joining.model import Invitation, JoinRequest

GONE = "This invitation does not count any more. Ask for a new one."


class NotValid(Conflict):
    """The link is of no invitation that admits somebody: revoked, used, expired or sent again since."""

    type = "invitation-over"

    def __init__(self) -> None:
        super().__init__(GONE)


def counts(invitation: Invitation, token_hash: str, now: datetime) -> bool:
    return (
        invitation.state == "open"
        and now < invitation.expires_at
        and hmac.compare_digest(invitation.token_hash, token_hash)
    )


def accept(
    invitation: Invitation, *, token_hash: str, email: str, user_id: UUID, now: datetime
) -> Invitation:
    """NotValid unless it counts and is of this address."""
    if not counts(invitation, token_hash, now) or email != invitation.email:
        raise NotValid
    return msgspec.structs.replace(invitation, state="accepted", accepted_by=user_id, ended_at=now)


def reopen(invitation: Invitation, user_id: UUID) -> Invitation:
    """The account could not be made after all: the link counts again, no longer than before."""
    if invitation.state != "accepted" or invitation.accepted_by != user_id:
        raise Conflict("It was not accepted by them.")
    return msgspec.structs.replace(invitation, state="open", accepted_by=None, ended_at=None)


def revoke(invitation: Invitation, now: datetime) -> Invitation:
    if invitation.state != "open":
        raise Conflict(f"The invitation is {invitation.state} already.")
    return msgspec.structs.replace(invitation, state="revoked", ended_at=now)


def renew(invitation: Invitation, *, token_hash: str, now: datetime, life: timedelta) -> Invitation:
    """Sent again: the link of before ends."""
    if invitation.state != "open":
        raise Conflict(f"The invitation is {invitation.state} already.")
    return msgspec.structs.replace(
        invitation, token_hash=token_hash, sent_at=now, expires_at=now + life, mailed=False
    )


def decide(request: JoinRequest, *, accepted: bool, by: str, now: datetime) -> JoinRequest:
    if request.state != "open":
        raise Conflict(f"The request is {request.state} already, by {request.decided_by}.")
    state = "accepted" if accepted else "rejected"
    return msgspec.structs.replace(request, state=state, decided_by=by, decided_at=now)
