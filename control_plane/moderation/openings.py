"""Proof that somebody opened a campaign's page as it now stands: without it nothing is approved."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from control_plane.access import Member
from control_plane.campaigns.model import Campaign
from control_plane.clock import Clock
from control_plane.errors import NotOpened
from control_plane.workspaces.key_file import KeyFile, KeyFileError

OPEN_S = 3600  # then it has to be opened again


class _Opening(msgspec.Struct, frozen=True, kw_only=True):
    user_id: UUID
    campaign_id: UUID
    revision: int
    until: datetime


class Openings:
    """Tokens sealed with the key file: for one moderator, one campaign, one revision, one hour."""

    def __init__(self, keys: KeyFile, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def issue(self, member: Member, campaign: Campaign) -> str:
        opening = _Opening(
            user_id=member.actor.user_id,
            campaign_id=campaign.id,
            revision=campaign.revision,
            until=self._clock() + timedelta(seconds=OPEN_S),
        )
        return self._keys.seal(msgspec.json.encode(opening))

    def check(self, member: Member, campaign: Campaign, token: str) -> None:
        """Raises NotOpened for a token that is none, another's, of another campaign or revision, or old."""
        try:
            opening = msgspec.json.decode(self._keys.open(token), type=_Opening)
        except (KeyFileError, msgspec.MsgspecError, ValueError):
            raise NotOpened from None
        seen = (opening.user_id, opening.campaign_id, opening.revision)
        if seen != (member.actor.user_id, campaign.id, campaign.revision) or opening.until < self._clock():
            raise NotOpened
