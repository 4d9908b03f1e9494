"""Sessions that were valid a moment ago, in memory: who may stop the sending, and pause or cancel a campaign,
while the documents are away.

Only that (see web/session.py), only for a bounded time since the store last confirmed them, and only as many
as fit. Logging out, a new password and a session the store no longer knows end them here too.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from control_plane.access import Actor
from control_plane.identity.sessions import token_hash
from control_plane.workspaces.model import Workspace

KEPT = 1_000


@dataclass(frozen=True)
class Known:
    actor: Actor
    workspaces: list[Workspace]
    confirmed_at: datetime


class Remembered:
    """`life_s`: how long after its last confirmation a session counts."""

    def __init__(self, life_s: int) -> None:
        self._life = timedelta(seconds=life_s)
        self._known: OrderedDict[str, Known] = OrderedDict()

    def keep(self, token: str, actor: Actor, workspaces: list[Workspace], now: datetime) -> None:
        key = token_hash(token)
        self._known[key] = Known(actor, workspaces, now)
        self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def find(self, token: str, now: datetime) -> Known | None:
        known = self._known.get(token_hash(token))
        if known is None or now - known.confirmed_at > self._life:
            return None
        return known

    def known(self, token: str) -> Known | None:
        """However long ago it was confirmed: for what anybody may, as logging out."""
        return self._known.get(token_hash(token))

    def forget(self, token: str) -> None:
        self._known.pop(token_hash(token), None)

    def forget_user(self, user_id: UUID) -> None:
        for key in [key for key, known in self._known.items() if known.actor.user_id == user_id]:
            del self._known[key]
