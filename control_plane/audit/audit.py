"""The audit: events stored beside the documents they tell of, and the sweeper that moves them there."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import structlog

from control_plane.access import Action, Member
from control_plane.audit.outbox import AUDIT, Audited, Event
from control_plane.documents.records import Collection, Page, Sort
from control_plane.documents.store import DocumentStore, DuplicateKey, VersionConflict
from control_plane.errors import NotFound, StoreUnavailable
from control_plane.metrics import Metrics

Events = list[Event]

log = structlog.get_logger(__name__)


class Audit:
    """`swept` are the collections whose documents carry an outbox."""

    def __init__(
        self, store: DocumentStore, swept: Iterable[Collection[Any]], metrics: Metrics | None = None
    ) -> None:
        self._store = store
        self._swept = tuple(swept)
        self._metrics = metrics

    async def record(self, happened: Event) -> None:
        """Write an event before the act it tells of (logins, views). StoreUnavailable: then do not act."""
        await self._store.insert(AUDIT, happened)
        if self._metrics is not None:
            self._metrics.audit_events.inc()

    async def record_once(self, happened: Event) -> bool:
        """Like `record`; False where the event is there, from a sweep that broke off."""
        try:
            await self.record(happened)
        except DuplicateKey:
            return False
        return True

    async def list(self, member: Member, *, limit: int = 50, after: str | None = None) -> Page[Event]:
        """The workspace's events, newest first."""
        member.require(Action.VIEW_AUDIT)
        where = {"workspace_id": member.workspace_id}
        return await self._store.find(
            AUDIT, where, sort=Sort("at", descending=True), limit=limit, after=after
        )

    async def about(self, target_id: UUID, limit: int) -> Events:
        """Events of one thing, newest first. Who may see them is the caller's question."""
        by_time = Sort("at", descending=True)
        return (await self._store.find(AUDIT, {"target_id": target_id}, sort=by_time, limit=limit)).records

    async def sweep(self) -> int:
        """Move what waits in outboxes, each event exactly once; how many were moved."""
        moved = 0
        for collection in self._swept:
            after = None
            while True:
                page = await self._store.find(collection, {"unswept": True}, limit=100, after=after)
                for record in page.records:
                    moved += await self._move(collection, record)
                if page.next is None:
                    break
                after = page.next
        return moved

    async def _move(self, collection: Collection[Any], record: Audited) -> int:
        moved = 0
        for happened in record.outbox:
            moved += await self.record_once(happened)
        emptied = msgspec.structs.replace(record, outbox=(), unswept=None)
        with suppress(VersionConflict, NotFound):  # changed meanwhile: the next sweep, which knows the ids
            await self._store.replace(collection, emptied, record.version)
        return moved

    async def run(self, interval_s: float) -> None:
        """Sweep for ever. The store being away is waited out."""
        while True:
            try:
                await self.sweep()
            except StoreUnavailable as error:
                log.warning("audit sweep waits", reason=str(error))
            except Exception as error:  # or the audit would stand still until the next start
                log.error("audit sweep failed", reason=type(error).__name__, exc_info=error)
            await asyncio.sleep(interval_s)
