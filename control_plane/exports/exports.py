"""Exports as people see them: asked for, listed, downloaded, removed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import msgspec

from control_plane.access import Action, Member
from control_plane.audit.audit import Audit
from control_plane.audit.outbox import acted, event, with_event
from control_plane.campaigns.campaigns import Campaigns
from control_plane.campaigns.model import CAMPAIGNS, Campaign
from control_plane.campaigns.reader import Id
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Page, Sort
from control_plane.documents.scope import WorkspaceScope
from control_plane.documents.store import PAGE_LIMIT, DocumentStore
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.exports.files import Files
from control_plane.exports.model import EXPORTS, Export, Format, Source
from control_plane.exports.writer import Writer

MOST_CAMPAIGNS = 1_000  # of a period
MOST_OPEN = 5  # of one person, waiting or being written
REMEMBERED = timedelta(days=7)  # the record, after its file has gone
Found = list[Export]
Sent = list[Campaign]
FORMATS: tuple[Format, ...] = ("csv", "txt")


class Exports:
    def __init__(
        self,
        store: DocumentStore,
        campaigns: Campaigns,
        audit: Audit,
        files: Files,
        writer: Writer,
        clock: Clock,
        *,
        keep_s: int,
    ) -> None:
        self._store = store
        self._campaigns = campaigns
        self._audit = audit
        self._files = files
        self._writer = writer
        self._clock = clock
        self._keep = timedelta(seconds=keep_s)

    async def ask_campaign(
        self,
        member: Member,
        campaign_id: Id,
        *,
        kind: str = "csv",
        numbers: bool = False,
        texts: bool = False,
        bom: bool = False,
    ) -> Export:
        """Queue the records of one campaign. Conflict where nothing of it was handed to the engine."""
        member.require(Action.EXPORT_RECORDS)
        campaign = await self._campaigns.get(member, campaign_id)
        if campaign.engine_id is None or campaign.state != "Approved":
            raise Conflict("Nothing of it was sent yet, so it has no delivery records.")
        return await self._ask(member, [campaign], campaign.name, kind, numbers=numbers, texts=texts, bom=bom)

    async def ask_period(
        self,
        member: Member,
        begin: datetime,
        end: datetime,
        *,
        title: str,
        kind: str = "csv",
        numbers: bool = False,
        texts: bool = False,
        bom: bool = False,
    ) -> Export:
        """Queue the records of every campaign that was submitted in [begin, end) and approved.

        Without the right to see everybody's: of the member's own. Invalid for none, or more than 1,000.
        """
        member.require(Action.EXPORT_RECORDS)
        if end <= begin:
            raise Invalid({"to": "The last day is not before the first."})
        found = await self._submitted(member, begin, end)
        if not found:
            raise Invalid({"from": "No campaign was sent in these days."})
        return await self._ask(member, found, title, kind, numbers=numbers, texts=texts, bom=bom)

    async def list(self, member: Member, *, limit: int = 50, after: str | None = None) -> Page[Export]:
        """The member's own, latest first."""
        member.require(Action.EXPORT_RECORDS)
        return await self._scope(member).find(
            EXPORTS,
            {"asked_by_id": member.actor.user_id},
            sort=Sort("asked_at", descending=True),
            limit=limit,
            after=after,
        )

    def reachable(self, member: Member, export: Export) -> bool:
        """Whether its file may leave to this member: the same person, in the session that asked."""
        actor = member.actor
        return (export.asked_by_id, export.session_id) == (actor.user_id, actor.session_id)

    async def file(self, member: Member, export_id: Id) -> tuple[Export, Path]:
        """A file that is ready, audited before it leaves. NotFound for another person or session.

        Rights are asked again: who may not see numbers any more gets none.
        """
        member.require(Action.EXPORT_RECORDS)
        export = await self._scope(member).get(EXPORTS, export_id)
        path = self._files.path(export.id)
        over = export.remove_at is not None and export.remove_at <= self._clock()
        if not self.reachable(member, export) or export.state != "ready" or over or not path.is_file():
            raise NotFound("export")
        if export.numbers:
            member.require(Action.VIEW_NUMBERS)
        details = {**_details(export), "rows": export.rows_done, "sha256": export.digest}
        await self._audit.record(
            acted(
                member,
                "export.download",
                self._clock(),
                target=export,
                target_name=export.title,
                details=details,
            )
        )
        return export, path

    async def remove(self, member: Member, export_id: Id) -> Export:
        """Take back what one asked for: the file goes, or is not written. Again is no fault."""
        member.require(Action.EXPORT_RECORDS)
        seen = await self._scope(member).get(EXPORTS, export_id)
        if seen.asked_by_id != member.actor.user_id:
            raise NotFound("export")
        now = self._clock()

        def decide(found: Export) -> Export:
            if found.state == "removed":
                return found
            happened = acted(member, "export.remove", now, target=found, target_name=found.title)
            return with_event(removed(found, "You removed it.", now), happened)

        gone = await change(self._store, EXPORTS, seen.id, decide)
        self._files.remove(seen.id)
        return gone

    async def forget(self, words: Sequence[bytes], workspace_id: UUID | None) -> tuple[int, int]:
        """For an erasure: files with any of the words go, what is being written begins anew. (gone, anew)"""
        where = {} if workspace_id is None else {"workspace_id": workspace_id}
        gone = anew = 0
        now = self._clock()

        def drop(found: Export) -> Export:
            why = "A person's number in it was erased."
            happened = event(
                "export.remove",
                now,
                actor="Heliograph",
                workspace_id=found.workspace_id,
                target=found,
                target_name=found.title,
                details={"reason": why},
            )
            return with_event(removed(found, why, now), happened)

        def again(found: Export) -> Export:
            if not found.open:
                return found
            return msgspec.structs.replace(found, state="queued", attempt=found.attempt + 1, rows_done=0)

        # What is written first: once it is whole it is looked into like the others.
        for export in await self._all({**where, "open": True}):
            anew += (await change(self._store, EXPORTS, export.id, again)).open is True
        self._writer.wake()
        for export in await self._all({**where, "kept": True}):
            if await self._writer.off(self._files.holds, export.id, words):
                await change(self._store, EXPORTS, export.id, drop)
                self._files.remove(export.id)
                gone += 1
        return gone, anew

    async def holding(self, words: Sequence[bytes], workspace_id: UUID | None) -> Found:
        """Exports whose files have any of the words."""
        where = {} if workspace_id is None else {"workspace_id": workspace_id}
        return [
            export
            for export in await self._all({**where, "kept": True})
            if await self._writer.off(self._files.holds, export.id, words)
        ]

    async def _ask(
        self,
        member: Member,
        campaigns: Sequence[Campaign],
        title: str,
        kind: str,
        *,
        numbers: bool,
        texts: bool,
        bom: bool,
    ) -> Export:
        if numbers:
            member.require(Action.VIEW_NUMBERS)
        chosen = next((known for known in FORMATS if known == kind), None)
        if chosen is None:
            raise Invalid({"format": "Choose CSV or text."})
        asked = await self._scope(member).count(EXPORTS, {"asked_by_id": member.actor.user_id, "open": True})
        if asked >= MOST_OPEN:
            raise Conflict(f"You have {MOST_OPEN} exports that are not written yet. Wait for one of them.")
        now = self._clock()
        export = Export(
            id=uuid4(),
            workspace_id=member.workspace_id,
            title=file_title(title),
            format=chosen,
            numbers=numbers,
            texts=texts,
            bom=bom and chosen == "csv",
            sources=tuple(_source(campaign) for campaign in campaigns),
            asked_at=now,
            asked_by_id=member.actor.user_id,
            asked_by=member.actor.email,
            session_id=member.actor.session_id,
            rows_all=sum(campaign.recipients for campaign in campaigns),
            open=True,
            expires_at=now + self._keep + REMEMBERED,
        )
        happened = acted(
            member, "export.ask", now, target=export, target_name=export.title, details=_details(export)
        )
        stored = await self._scope(member).insert(EXPORTS, with_event(export, happened))
        self._writer.wake()
        return stored

    async def _submitted(self, member: Member, begin: datetime, end: datetime) -> Sent:
        everybody = member.may(Action.VIEW_ALL_CAMPAIGNS)
        found: Sent = []
        after = None
        while True:
            page = await self._scope(member).find(
                CAMPAIGNS,
                {"state": "Approved"},
                sort=Sort("changed_at", descending=True),
                limit=PAGE_LIMIT,
                after=after,
            )
            found += [
                campaign
                for campaign in page.records
                if campaign.engine_id is not None
                and campaign.submitted_at is not None
                and begin <= campaign.submitted_at < end
                and (everybody or campaign.author_id == member.actor.user_id)
            ]
            if len(found) > MOST_CAMPAIGNS:
                raise Invalid({"to": f"More than {MOST_CAMPAIGNS} campaigns: choose fewer days."})
            if page.next is None:
                return sorted(found, key=lambda campaign: campaign.submitted_at or begin)
            after = page.next

    async def _all(self, where: dict[str, object]) -> Found:
        found: Found = []
        after = None
        while True:
            page = await self._store.find(EXPORTS, where, limit=PAGE_LIMIT, after=after)
            found += page.records
            if page.next is None:
                return found
            after = page.next

    def _scope(self, member: Member) -> WorkspaceScope:
        return WorkspaceScope(self._store, member.workspace_id)


def removed(export: Export, reason: str, now: datetime) -> Export:
    """Without its file: that goes after this is stored."""
    return msgspec.structs.replace(
        export,
        state="removed",
        reason=reason,
        finished_at=export.finished_at or now,
        attempt=export.attempt + 1,
        open=None,
        kept=None,
    )


def file_title(name: str) -> str:
    """A name that every file system takes; never empty."""
    kept = "".join(letter if letter.isalnum() or letter in " -_" else " " for letter in name)
    return "-".join(kept.split())[:80].strip("-_") or "records"


def _source(campaign: Campaign) -> Source:
    assert campaign.engine_id is not None
    return Source(
        campaign_id=campaign.id,
        engine_id=campaign.engine_id,
        name=campaign.name,
        sender=campaign.sender,
        recipients=campaign.recipients,
    )


def _details(export: Export) -> dict[str, object]:
    return {
        "campaigns": len(export.sources),
        "format": export.format,
        "recipients": "whole numbers" if export.numbers else "masked",
    }
