"""What the writer must know of a claim and of a bind to book a batch of outcomes."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID


class BindKey(NamedTuple):
    account_id: int
    number: int


class CampaignKey(NamedTuple):
    """What every statistic of a campaign is keyed by; fixed for the campaign's life."""

    campaign_id: UUID
    workspace_id: UUID
    channel_id: int
    sender: str


@dataclass(frozen=True, slots=True)
class ClaimInfo:
    """An open claim. `campaign_handle` is `LedgerWriter.handle(...)` of its campaign, never a number of
    one's own: receipts find their campaign by it."""

    claim_id: int
    slice_id: int
    campaign_id: UUID
    workspace_id: UUID
    channel_id: int
    sender: str
    campaign_handle: int
    account_id: int

    @property
    def campaign(self) -> CampaignKey:
        return CampaignKey(self.campaign_id, self.workspace_id, self.channel_id, self.sender)
