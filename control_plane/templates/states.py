"""The states of a template's version, and nothing else: what may follow what. Pure functions.

saved ──wrong──> FAILED <──withdraw──┐
  ├───right─────────────────────> APPROVED
  └───needs a moderator──> PENDING ──approve──> APPROVED
                              └──────reject───> REJECTED
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from control_plane.errors import Conflict

Status = Literal["PENDING", "APPROVED", "REJECTED", "FAILED"]
Act = Literal["approve", "reject", "withdraw"]

TRANSITIONS: Mapping[tuple[Status, Act], Status] = {
    ("PENDING", "approve"): "APPROVED",
    ("PENDING", "reject"): "REJECTED",
    ("PENDING", "withdraw"): "FAILED",
}


def first(problems: Sequence[str], asks: Sequence[str]) -> Status:
    """Of a version that is saved: by what is wrong with it, and why a moderator has to see it."""
    if problems:
        return "FAILED"
    return "PENDING" if asks else "APPROVED"


def after(status: Status, act: Act) -> Status:
    """The status that an act leads to. Conflict where it may not happen."""
    following = TRANSITIONS.get((status, act))
    if following is None:
        raise Conflict("It does not wait for a decision.")
    return following
