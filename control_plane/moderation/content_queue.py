"""Sender revisions and templates that wait for a decision: the second tab of the queue.

Each kind keeps its own rules, pages and decisions; here they are only listed together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from control_plane.access import Member
from control_plane.documents.records import Collection, Page
from control_plane.errors import NotFound
from control_plane.senders.model import SENDERS, SenderRevision
from control_plane.templates.model import SMS_TEMPLATES, TemplateVersion
from control_plane.workspaces.workspaces import Workspaces


class Pending(Protocol):
    """What `Senders` and the templates offer: both ask for the member's right to decide themselves."""

    async def pending(self, member: Member, *, limit: int = 50, after: str | None = None) -> Page[Any]: ...
    async def pending_count(self, member: Member) -> int: ...


@dataclass(frozen=True)
class Waiting:
    """Something that waits, as the tab shows it."""

    kind: str
    id: UUID
    name: str
    detail: str
    author: str
    author_id: UUID | None
    at: datetime
    href: str


@dataclass(frozen=True)
class Verdict:
    """A decision by somebody: `approved` or `rejected`."""

    name: str
    verdict: str
    by: str


@dataclass(frozen=True)
class ContentKind:
    """One kind of content. `decided` gives a record's verdict and who gave it, None while it waits."""

    kind: str
    source: Pending
    collection: Collection[Any]
    shown: Callable[[Any], Waiting]
    decided: Callable[[Any], tuple[str, str] | None]


class ContentQueue:
    def __init__(self, workspaces: Workspaces, kinds: list[ContentKind]) -> None:
        self._workspaces = workspaces
        self._kinds = {kind.kind: kind for kind in kinds}

    async def count(self, member: Member) -> int:
        return sum([await kind.source.pending_count(member) for kind in self._kinds.values()])

    async def waiting(self, member: Member, limit: int = 50) -> list[Waiting]:
        """The longest wait first, at most `limit` of each kind."""
        found: list[Waiting] = []
        for kind in self._kinds.values():
            found += [kind.shown(one) for one in (await kind.source.pending(member, limit=limit)).records]
        return sorted(found, key=lambda one: one.at)

    async def verdict(self, member: Member, kind: str, record_id: str) -> Verdict | None:
        """What became of one that was in the queue a moment ago."""
        known = self._kinds.get(kind)
        if known is None:
            return None
        try:
            record = await self._workspaces.scope(member).get(known.collection, record_id)
        except NotFound:
            return None
        decided = known.decided(record)
        return Verdict(known.shown(record).name, *decided) if decided is not None else None


def sender_kind(source: Pending) -> ContentKind:
    def shown(one: SenderRevision) -> Waiting:
        return Waiting(
            kind="sender",
            id=one.id,
            name=one.sender,
            detail=one.purpose,
            author=one.author,
            author_id=one.author_id,
            at=one.created_at,
            href=f"/moderation/senders/{one.id}",
        )

    def decided(one: SenderRevision) -> tuple[str, str] | None:
        verdict = "approved" if one.was_approved else "rejected"
        return (verdict, one.decided_by) if one.decided_at is not None else None

    return ContentKind("sender", source, SENDERS, shown, decided)


def template_kind(source: Pending) -> ContentKind:
    def shown(one: TemplateVersion) -> Waiting:
        return Waiting(
            kind="template",
            id=one.id,
            name=one.name,
            detail=one.content.body,
            author=one.author,
            author_id=one.author_id,
            at=one.created_at,
            href=f"/moderation/templates/{one.id}",
        )

    def decided(one: TemplateVersion) -> tuple[str, str] | None:
        verdict = "approved" if one.status == "APPROVED" else "rejected"
        return (verdict, one.decided_by) if one.decided_at is not None else None

    return ContentKind("template", source, SMS_TEMPLATES, shown, decided)
