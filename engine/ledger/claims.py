"""What the writer must know of a claim and of a bind to book a batch of outcomes."""

from array import array
from dataclasses import dataclass, field
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
    origin_slice_id: int = 0  # of a retry slice: its rows are rows of that one, and so are their outcomes
    attempt: int = 0  # of its rows' first try
    resend: bool = False  # an earlier attempt of its rows is in doubt
    split: set[int] = field(default_factory=set, compare=False)
    """Rows of which a part went on into a retry slice while others are out: SQL reckons what they come to."""

    costs: "array[int] | None" = field(default=None, compare=False, repr=False)
    """What each of its PDUs costs ('q', by index), where they cost anything."""

    @property
    def message_slice(self) -> int:
        """The slice that its outcomes, doubts and receipts carry."""
        return self.origin_slice_id or self.slice_id

    @property
    def campaign(self) -> CampaignKey:
        return CampaignKey(self.campaign_id, self.workspace_id, self.channel_id, self.sender)
