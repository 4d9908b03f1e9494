"""The audit: events written before the act, and the sweeper that moves those that documents carry."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import structlog

from control_plane.access import Action, Member
from control_plane.audit.chain import Chains
from control_plane.audit.outbox import AUDIT, WITHOUT_STORE, Audited, Event
from control_plane.audit.retention import Retention
from control_plane.documents.records import Collection, Page, Sort
from control_plane.documents.store import DocumentStore, VersionConflict
from control_plane.errors import NotFound, StoreUnavailable
from control_plane.metrics import Metrics

if TYPE_CHECKING:
    from control_plane.audit.spool import Spool

Events = list[Event]
SWEPT_AT_ONCE = 100

log = structlog.get_logger(__name__)


class Audit:
    """`swept` are the collections whose documents carry an outbox. `spool` takes what the store cannot."""

    def __init__(
        self,
        store: DocumentStore,
        swept: Iterable[Collection[Any]],
        metrics: Metrics | None = None,
        spool: "Spool | None" = None,
        retention: Retention | None = None,
    ) -> None:
        self._store = store
        self._swept = tuple(swept)
        self._metrics = metrics
        self._spool = spool
        self.retention = retention or Retention(store)
        self._chains = Chains(store, self.retention)

    async def record(self, happened: Event) -> None:
        """Write an event before the act it tells of (logins, views, exports, commands to the engine).

        With the store away it goes to the fallback file. StoreUnavailable: nothing took it, so do not act.
        """
        try:
            if self._spool is not None:
                await self._spool.flush_first(self, happened.at)
            await self.append([happened])
        except StoreUnavailable:
            if self._spool is None:
                raise
            details = {**happened.details, WITHOUT_STORE: "the store did not answer"}
            if not await self._spool.write(msgspec.structs.replace(happened, details=details)):
                raise

    async def record_once(self, happened: Event) -> bool:
        """To the store or not at all; False where the event is there already."""
        return await self.append([happened]) == 1

    async def append(self, events: Sequence[Event]) -> int:
        """Each event once, in the order given; how many were new. Never to the file: StoreUnavailable."""
        written = await self._chains.append(events) if events else 0
        if self._metrics is not None:
            self._metrics.audit_events.inc(written)
        return written

    async def list(self, member: Member, *, limit: int = 50, after: str | None = None) -> Page[Event]:
        """The workspace's events, newest first."""
        member.require(Action.VIEW_AUDIT)
        where = {"workspace_id": member.workspace_id}
        return await self._store.find(
            AUDIT, where, sort=Sort("at", descending=True), limit=limit, after=after
        )

    async def about(self, target_id: UUID, limit: int, workspace_id: UUID | None = None) -> Events:
        """Events of one thing, newest first; with `workspace_id` only that workspace's. Who may see them is
        the caller's question."""
        where: dict[str, UUID] = {"target_id": target_id}
        if workspace_id is not None:
            where["workspace_id"] = workspace_id
        by_time = Sort("at", descending=True)
        return (await self._store.find(AUDIT, where, sort=by_time, limit=limit)).records

    async def sweep(self) -> int:
        """Move what waits in outboxes, each event once, as it happened; how many were moved."""
        moved, more = 0, True
        while more:
            waiting: list[tuple[Collection[Any], Audited]] = []
            more = False
            for collection in self._swept:
                page = await self._store.find(collection, {"unswept": True}, limit=SWEPT_AT_ONCE)
                waiting += [(collection, record) for record in page.records]
                more = more or page.next is not None
            events = sorted((one for _, record in waiting for one in record.outbox), key=lambda one: one.at)
            moved += await self.append(events)
            emptied = [await self._empty(collection, record) for collection, record in waiting]
            more = more and any(emptied)
        return moved

    async def _empty(self, collection: Collection[Any], record: Audited) -> bool:
        emptied = msgspec.structs.replace(record, outbox=(), unswept=None)
        # Changed meanwhile: the next sweep, which knows the ids.
        with suppress(VersionConflict, NotFound):
            await self._store.replace(collection, emptied, record.version)
            return True
        return False

    async def purge(self, now: datetime) -> int:
        """Drop entries whose time is over; how many."""
        return await self.retention.purge(now)

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
