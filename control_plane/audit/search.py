"""Questions to the audit: filters, a search in names, newest first, page by page.

Every filter is an equality on an indexed field, and the period a range of the time everything is sorted by.
The search in names reads on until a page is full, at most so far at once: a page answers in the same time
however long the audit is, and says how far it looked.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from control_plane.access import MASTER_ID, Action, Member
from control_plane.audit.outbox import AUDIT, Event
from control_plane.documents.records import Sort
from control_plane.documents.store import DocumentStore

BLOCK = 200
SCAN_LIMIT = 10_000


@dataclass(frozen=True)
class Question:
    """What is empty asks nothing. `until` is inclusive. `installation`: what belongs to no workspace."""

    actor: str = ""  # an e-mail address
    action: str = ""
    kind: str = ""
    target: UUID | None = None
    address: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    installation: bool = False

    def facts(self) -> dict[str, str]:
        """What was asked for, for the audit of an export."""
        named = {
            "actor": self.actor,
            "action": self.action,
            "kind": self.kind,
            "target": str(self.target or ""),
            "address": self.address,
            "since": self.since.isoformat() if self.since else "",
            "until": self.until.isoformat() if self.until else "",
            "text": self.text,
            "of": "installation" if self.installation else "",
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class Answer:
    """`next` is None where there is no more; `scanned` counts what was looked at."""

    events: list[Event]
    next: str | None
    scanned: int


class Searches:
    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def page(self, member: Member, asked: Question, limit: int, after: str | None = None) -> Answer:
        """About `limit` events: of a search in names up to a block more. Invalid for a foreign cursor."""
        where, sort = _query(member, asked)
        block = BLOCK if asked.text else limit
        found: list[Event] = []
        scanned = 0
        while True:
            page = await self._store.find(AUDIT, where, sort=sort, limit=block, after=after)
            found += [one for one in page.records if matches(one, asked.text)]
            scanned += len(page.records)
            after = page.next
            if after is None or len(found) >= limit or scanned >= SCAN_LIMIT:
                return Answer(found, after, scanned)

    async def every(self, member: Member, asked: Question) -> AsyncIterator[list[Event]]:
        """All of it, in blocks."""
        where, sort = _query(member, asked)
        after = None
        while True:
            page = await self._store.find(AUDIT, where, sort=sort, limit=BLOCK, after=after)
            yield [one for one in page.records if matches(one, asked.text)]
            if page.next is None:
                return
            after = page.next


def _query(member: Member, asked: Question) -> tuple[dict[str, Any], Sort]:
    member.require(Action.VIEW_AUDIT)
    whole = asked.installation and member.workspace_id == MASTER_ID
    where: dict[str, Any] = {"workspace_id": None if whole else member.workspace_id}
    actor = asked.actor.casefold() if "@" in asked.actor else asked.actor  # e-mails are in lower case
    where |= {"actor": actor} if actor else {}
    where |= {"action": asked.action} if asked.action else {}
    where |= {"target_kind": asked.kind} if asked.kind else {}
    where |= {"target_id": asked.target} if asked.target else {}
    where |= {"address": asked.address} if asked.address else {}
    return where, Sort("at", descending=True, least=asked.since, most=asked.until)


def matches(event: Event, text: str) -> bool:
    if not text:
        return True
    wanted = text.casefold()
    return any(wanted in part.casefold() for part in _words(event))


def _words(event: Event) -> Iterator[str]:
    yield event.target_name
    yield event.actor
    yield event.action
    yield from event.details.values()
    for before, after in event.changes.values():
        yield before
        yield after
