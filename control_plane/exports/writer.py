"""The one task that writes exports: oldest first, page by page, each file whole or not there.

A page of records is in memory, and nothing of the pages before: ten million rows take what ten thousand do.
Whoever is killed in the middle leaves a `.part` that nobody is shown; the next start writes it anew.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import ParamSpec, TypeVar
from uuid import UUID

import msgspec
import structlog

from control_plane.audit.outbox import Event, event, with_event
from control_plane.campaigns.engine_errors import engine
from control_plane.campaigns.model import CAMPAIGNS
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.documents.change import change
from control_plane.documents.store import PAGE_LIMIT, DocumentStore
from control_plane.errors import Conflict, ControlPlaneError, EngineUnavailable, NotFound, StoreUnavailable
from control_plane.exports.files import Draft, Files, NoRoom
from control_plane.exports.model import EXPORTS, Export, Source
from control_plane.exports.sheet import Sheet
from control_plane.workspaces.key_file import KeyFile
from control_plane.workspaces.model import WORKSPACES
from engine.core_api import schema

PAGE = 5_000  # records of one question to the engine
TELL_S = 1.0  # how often the record says how far it is
RETRY_S = 2.0  # while the engine does not answer

log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class Overtaken(Exception):
    """Removed, or begun anew: what is being written is not wanted any more."""


class Writer:
    def __init__(
        self,
        store: DocumentStore,
        core: Core,
        files: Files,
        keys: KeyFile,
        clock: Clock,
        *,
        keep_s: int,
        page: int = PAGE,
        tell_s: float = TELL_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._store = store
        self._core = core
        self._files = files
        self._keys = keys
        self._clock = clock
        self._keep_s = keep_s
        self._page = page
        self._tell_s = tell_s
        self._retry_s = retry_s
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is something to write."""
        self._woken.set()

    async def off(self, act: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Work on files, not on the event loop."""
        return await asyncio.to_thread(act, *given, **named)

    async def run(self, interval_s: float) -> None:
        """Write for ever; `interval_s`: how often it is looked what is over, or left by a crash."""
        try:
            while True:
                try:
                    await self.run_once()
                except StoreUnavailable as error:
                    log.warning("exports wait", reason=str(error))
                except Exception as error:  # or nothing would be written until the next start
                    log.error("exports failed", reason=type(error).__name__, exc_info=error)
                try:
                    await asyncio.wait_for(self._woken.wait(), interval_s)
                except TimeoutError:
                    continue
        finally:
            self._files.release()

    async def run_once(self) -> int:
        """Remove what is over, then write what waits; how many were begun. None of it where another process
        has the folder."""
        self._woken.clear()
        if not await self.off(self._files.take):
            return 0
        await self.expire()
        begun = 0
        while True:
            page = await self._store.find(EXPORTS, {"open": True}, limit=PAGE_LIMIT)
            if not page.records:
                return begun
            oldest = min(page.records, key=lambda export: export.asked_at)
            begun += 1
            await self._write(oldest.id)

    async def expire(self) -> int:
        """Remove files whose time is over, and those no record knows; how many records lost theirs."""
        now, over = self._clock(), 0
        known: set[UUID] = set()
        after = None
        while True:
            page = await self._store.find(EXPORTS, {"kept": True}, limit=PAGE_LIMIT, after=after)
            for export in page.records:
                if export.remove_at is not None and export.remove_at <= now:
                    await change(self._store, EXPORTS, export.id, lambda found: _over(found, now))
                    over += 1
                else:
                    known.add(export.id)
            if page.next is None:
                break
            after = page.next
        known |= {
            one.id for one in (await self._store.find(EXPORTS, {"open": True}, limit=PAGE_LIMIT)).records
        }
        await self.off(self._files.sweep, known)
        await self._store.purge(EXPORTS, now)
        return over

    async def _write(self, export_id: UUID) -> None:
        draft: Draft | None = None
        try:
            export = await change(self._store, EXPORTS, export_id, self._begun)
            if not export.open:
                return
            draft = await self.off(self._files.begin, export_id)
            rows = await self._fill(export, draft)
            digest = await self.off(draft.finish)
            await self._finished(export, rows, draft.size_bytes, digest)
        except (Overtaken, NotFound):
            pass  # looked at again, if it is still wanted
        except NoRoom:
            await self._failed(export_id, "The disk of the control plane is almost full.")
        except OSError as error:
            log.error("an export could not be written", reason=type(error).__name__)
            await self._failed(export_id, "The file could not be written.")
        except StoreUnavailable:
            raise
        except ControlPlaneError as error:
            await self._failed(export_id, str(error))
        except Exception as error:
            log.error("an export failed", reason=type(error).__name__, exc_info=error)
            await self._failed(export_id, "Heliograph failed: its log says why.")
        finally:
            if draft is not None:
                await self.off(draft.drop)

    async def _fill(self, export: Export, draft: Draft) -> int:
        workspace = await self._store.get(WORKSPACES, export.workspace_id)
        key = self._keys.open(workspace.sealed_ctn_key)
        sheet = Sheet(export.format, key, numbers=export.numbers, texts=export.texts, bom=export.bom)
        await self.off(draft.write, sheet.head())
        rows, told = 0, time.monotonic()
        for source in export.sources:
            text = await self._text(export, source)
            cursor: str | None = None
            while True:
                page = await self._asked(export, source, cursor, rows)
                await self.off(_put, draft, sheet, source, text, page.records)
                rows += len(page.records)
                if time.monotonic() - told >= self._tell_s:
                    await self._tell(export, rows, "")
                    told = time.monotonic()
                if page.next is None:
                    break
                cursor = page.next
        return rows

    async def _asked(
        self, export: Export, source: Source, cursor: str | None, rows: int
    ) -> schema.DeliveryRecords:
        """A page of the engine, asked for until it answers."""
        while True:
            try:
                with engine():
                    return await self._core.records(source.engine_id, cursor, self._page)
            except NotFound:
                raise Conflict("The engine does not know one of its campaigns any more.") from None
            except EngineUnavailable:
                await self._tell(export, rows, "It waits for the engine, which does not answer.")
                await asyncio.sleep(self._retry_s)

    async def _text(self, export: Export, source: Source) -> str:
        if not export.texts:
            return ""
        try:
            campaign = await self._store.get(CAMPAIGNS, source.campaign_id)
        except NotFound:
            return ""
        return campaign.text if campaign.workspace_id == export.workspace_id else ""

    def _begun(self, found: Export) -> Export:
        if not found.open:
            return found
        return msgspec.structs.replace(
            found,
            state="running",
            attempt=found.attempt + 1,
            rows_done=0,
            reason="",
            started_at=self._clock(),
        )

    async def _tell(self, export: Export, rows: int, reason: str) -> None:
        """How far it is. Raises Overtaken, NotFound."""

        def decide(found: Export) -> Export:
            _require_same(export, found)
            return msgspec.structs.replace(found, rows_done=rows, reason=reason)

        await change(self._store, EXPORTS, export.id, decide)

    async def _finished(self, export: Export, rows: int, size_bytes: int, digest: str) -> None:
        """Ready in the same replace as its event: nobody is shown a file of which the audit knows nothing."""

        def decide(found: Export) -> Export:
            _require_same(export, found)
            now = self._clock()
            remove_at = datetime.fromtimestamp(now.timestamp() + self._keep_s, now.tzinfo)
            ready = msgspec.structs.replace(
                found,
                state="ready",
                rows_done=rows,
                reason="",
                finished_at=now,
                size_bytes=size_bytes,
                digest=digest,
                remove_at=remove_at,
                expires_at=max(found.expires_at, remove_at),
                open=None,
                kept=True,
            )
            details = {"rows": rows, "bytes": size_bytes, "sha256": digest, "asked_by": found.asked_by}
            return with_event(ready, _event("export.finish", ready, now, details))

        try:
            await change(self._store, EXPORTS, export.id, decide)
        except (Overtaken, NotFound):
            await self.off(self._files.remove, export.id)
            raise

    async def _failed(self, export_id: UUID, reason: str) -> None:
        def decide(found: Export) -> Export:
            if not found.open:
                return found
            now = self._clock()
            failed = msgspec.structs.replace(
                found, state="failed", reason=reason, finished_at=now, open=None, kept=None
            )
            return with_event(failed, _event("export.fail", failed, now, {"reason": reason}))

        await change(self._store, EXPORTS, export_id, decide)


def _put(draft: Draft, sheet: Sheet, source: Source, text: str, records: list[schema.DeliveryRecord]) -> None:
    draft.write(sheet.rows(source, text, records))


def _require_same(mine: Export, found: Export) -> None:
    if not found.open or found.attempt != mine.attempt:
        raise Overtaken


def _over(export: Export, now: datetime) -> Export:
    if not export.kept:
        return export
    gone = msgspec.structs.replace(
        export, state="removed", reason="Its time was over.", kept=None, attempt=export.attempt + 1
    )
    return with_event(gone, _event("export.expire", gone, now, {}))


def _event(action: str, export: Export, now: datetime, details: dict[str, object]) -> Event:
    return event(
        action,
        now,
        actor="Heliograph",
        workspace_id=export.workspace_id,
        target=export,
        target_name=export.title,
        details=details,
    )
