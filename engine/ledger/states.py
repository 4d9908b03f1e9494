"""The ledger's vocabulary: outcomes of parts, verdicts of receipts, states of messages and campaigns."""

from enum import IntEnum, StrEnum


class Outcome(IntEnum):
    """What became of one submit_sm; equal to the codes of `engine._fast.columns`.

    THROTTLED and DOUBT are never rows of `submissions`: throttles are counted, doubts have their own table.
    """

    ACCEPTED = 0
    FAILED = 1
    RETRY = 2
    THROTTLED = 3
    DOUBT = 4
    DEFERRED = 5  # a RETRY whose next try is a retry slice's


class Verdict(IntEnum):
    """What a receipt says; a lattice: the highest ever received is true."""

    NOT_FINAL = 0
    UNDELIVERED = 1
    DELIVERED = 2


class MessageState(IntEnum):
    """Where a message counts in the equation; the codes of the SQL function `message_state`."""

    OPEN = 0  # waiting: a part has no outcome yet
    SENT = 1  # in flight: every part accepted by the operator, no verdict for the whole
    DELIVERED = 2
    UNDELIVERED = 3
    NO_RECEIPT = 4  # sent, and the campaign settled without a receipt
    FAILED = 5
    IN_DOUBT = 6

    @property
    def accepted_by_operator(self) -> bool:
        """Counts in `campaign_stats.sent` (which is in flight + delivered + undelivered + no receipt)."""
        return self in _AT_OPERATOR


_AT_OPERATOR = frozenset(
    {MessageState.SENT, MessageState.DELIVERED, MessageState.UNDELIVERED, MessageState.NO_RECEIPT}
)

SHOWN: dict[MessageState, str] = {
    MessageState.OPEN: "SUBMITTED",
    MessageState.SENT: "SUBMITTED_OPERATOR",
    MessageState.DELIVERED: "DELIVERED",
    MessageState.UNDELIVERED: "UNDELIVERED",
    MessageState.NO_RECEIPT: "NO_RECEIPT",
    MessageState.FAILED: "FAILED",
    MessageState.IN_DOUBT: "IN_DOUBT",
}
CANCELLED = "CANCELLED"  # rows of a cancelled campaign that were never claimed

# `submissions.status` of rows that gave no PDU (EncodedBatch.rejected); never a command_status
ENCODE_STATUS = {1: -11, 2: -12, 3: -13, 4: -15, 5: -14, 6: -16, 7: -17}
ENCODE_CODE = {
    1: "too_long", 2: "empty", 3: "bad_number", 4: "bad_characters", 5: "changed", 6: "no_rate",
    7: "no_route",
}  # fmt: skip

# `submissions.status` of outcomes that no SMSC gave
DECREED_SENT = -21  # in doubt, and an operator decided that it was sent
DECREED_NOT_SENT = -22
CANCELLED_RETRY = -23  # the campaign ended before its next try
FOUND_BY_RECEIPT = -25  # in doubt, and a receipt came that fits no other message
NOT_SENT = -24  # claimed and not sent when the engine stopped: a retry slice has it


class CampaignState(StrEnum):
    PENDING = "Pending"
    SENDING = "Sending"
    PAUSED = "Paused"
    DONE = "Done"
    CANCELLED = "Cancelled"
    FAILED = "Failed"
    EXPIRED = "Expired"
    RETURNED = "Returned"


# what was never claimed of a campaign in these counts as cancelled
ENDED_EARLY = frozenset({CampaignState.CANCELLED, CampaignState.FAILED, CampaignState.EXPIRED})

# command -> (states it may come from, state it leads to)
TRANSITIONS: dict[str, tuple[frozenset[CampaignState], CampaignState]] = {
    "start": (frozenset({CampaignState.PENDING}), CampaignState.SENDING),
    "return": (frozenset({CampaignState.PENDING}), CampaignState.RETURNED),
    "pause": (frozenset({CampaignState.SENDING}), CampaignState.PAUSED),
    "resume": (frozenset({CampaignState.PAUSED}), CampaignState.SENDING),
    "cancel": (
        frozenset({CampaignState.PENDING, CampaignState.SENDING, CampaignState.PAUSED}),
        CampaignState.CANCELLED,
    ),
}
