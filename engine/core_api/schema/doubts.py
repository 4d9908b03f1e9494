"""Messages in doubt: claimed, and nobody knows whether the operator took them. Decided by group."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from engine.core_api.schema.base import Struct

__all__ = ["DoubtAction", "DoubtGroup", "DoubtGroups", "DoubtPolicy", "DoubtResolution", "DoubtResolved"]

DoubtPolicy = Literal["hold", "resend", "await_receipt"]
DoubtAction = Literal["resend", "count_as_sent", "count_as_not_sent", "leave"]


class DoubtGroup(Struct, frozen=True, kw_only=True):
    """The doubts of one campaign that one fault left on one bind. `key` names the group in a resolution."""

    key: str
    campaign_id: UUID
    workspace_id: UUID
    campaign: str  # its name
    campaign_state: str
    account: str  # "" where it is not known
    bind_number: int  # 0 where it is not known
    worker: str
    reason: Literal["no_response", "connection_lost", "engine_restart"]
    event: str  # the fault: a minute, or the worker that died
    first_at: datetime
    last_at: datetime
    messages: int
    parts: int  # in doubt; a message whose parts nobody knows counts as one
    policy: DoubtPolicy
    left: bool  # an operator looked and left them
    actions: list[DoubtAction]  # what is possible now
    recommended: DoubtAction
    why: str  # one sentence


class DoubtGroups(Struct, frozen=True, kw_only=True):
    """Newest first. `resending`: messages in doubt that are on their way again."""

    groups: list[DoubtGroup]
    messages: int
    resending: int


class DoubtResolution(Struct, frozen=True, kw_only=True):
    """`resend` sends exactly the parts without a result again; the other two end the doubt by decree."""

    decision_id: UUID
    key: str
    action: DoubtAction


class DoubtResolved(Struct, frozen=True, kw_only=True):
    """What the decision met; messages that were answered meanwhile are not among them."""

    key: str
    action: DoubtAction
    messages: int
    parts: int
    campaign_state: str
