"""The states of a sender's revision, and nothing else: what may follow what. Pure functions.

Draft ──submit──> Pending ──approve──> Approved ──archive──> Archived
  ^                  │ └────reject───> Rejected ──archive──────┤
  └────withdraw──────┘                                         │
(a draft may be archived too)     what it was before <──restore┘
"""

from collections.abc import Mapping
from typing import Literal

from control_plane.errors import Conflict

SenderState = Literal["Draft", "Pending", "Approved", "Rejected", "Archived"]
Act = Literal["edit", "submit", "withdraw", "approve", "reject", "archive", "restore"]

# Restoring gives back what was archived, so it stands in no table.
TRANSITIONS: Mapping[tuple[SenderState, Act], SenderState] = {
    ("Draft", "edit"): "Draft",
    ("Draft", "submit"): "Pending",
    ("Draft", "archive"): "Archived",
    ("Pending", "withdraw"): "Draft",
    ("Pending", "approve"): "Approved",
    ("Pending", "reject"): "Rejected",
    ("Approved", "archive"): "Archived",
    ("Rejected", "archive"): "Archived",
}
REFUSALS: Mapping[Act, str] = {
    "edit": "Only a draft can be changed. What was approved or rejected stays: make a new revision.",
    "submit": "Only a draft can be submitted.",
    "withdraw": "Only a revision that waits for its decision can be withdrawn.",
    "approve": "It does not wait for a decision.",
    "reject": "It does not wait for a decision.",
    "archive": "It waits for its decision: withdraw it first, or it is archived already.",
    "restore": "Only what is archived can be restored.",
}


def after(state: SenderState, act: Act, archived_from: SenderState | None = None) -> SenderState:
    """The state that an act leads to. Conflict where it may not happen."""
    if act == "restore" and state == "Archived" and archived_from is not None:
        return archived_from
    following = TRANSITIONS.get((state, act))
    if following is None:
        raise Conflict(REFUSALS[act])
    return following
