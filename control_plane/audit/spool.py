"""The fallback file: audit events that must not wait for the document store, or that it could not take.

Each line is `[audit-fallback]` and one event as JSON, fsynced before the act. `flush` moves them to the
store in order, each exactly once by its id, also after a kill in the middle: what is being moved stands in a
file of its own until all of it is there. What even the file could not take is counted in another,
`[audit-fallback-overflow]`, logged, and told in the audit when the store is back.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4, uuid5

import msgspec
import structlog

from control_plane.audit.outbox import WITHOUT_STORE, Event, event
from control_plane.audit.spool_file import SENTINEL, SpoolFile, SpoolFull
from control_plane.clock import Clock
from control_plane.documents.store import VersionConflict
from control_plane.errors import StoreUnavailable
from control_plane.metrics import Metrics

if TYPE_CHECKING:
    from control_plane.audit.audit import Audit

__all__ = ["FILE_NAME", "WITHOUT_STORE", "Fallback", "Spool", "SpoolFull"]

log = structlog.get_logger(__name__)

FILE_NAME = "audit.spool"
MOVING_NAME = "audit.spool.moving"
OVERFLOW_NAME = "audit.spool.overflow"
REFUSED_NAME = "audit.spool.refused"
OVERFLOW = b"[audit-fallback-overflow] "
MAX_BYTES = 200_000_000
BATCH = 200
FIRST_BYTES = 256 * 1024  # so much of it goes before a new event; more is moved beside the work


class Lost(msgspec.Struct, kw_only=True):
    """Events that nothing took."""

    id: UUID
    since: datetime
    until: datetime
    events: int


@dataclass(frozen=True)
class Fallback:
    """What the console says of it. `away`: the store did not answer when the last event was written."""

    waiting_bytes: int
    away: bool
    lost: int
    lost_since: datetime | None


class Spool:
    """`folder` may be shared by several processes. `lost` counts events that even the file could not take."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES, metrics: Metrics | None = None) -> None:
        self._file = SpoolFile(folder, FILE_NAME, MOVING_NAME, max_bytes)
        self._overflow_path = folder / OVERFLOW_NAME
        self._refused_path = folder / REFUSED_NAME
        self._metrics = metrics
        self._flushing = asyncio.Lock()
        self._lost = self._read_lost()
        self._away = self._file.waiting_bytes() > 0
        self.before_moving: Callable[[Sequence[Event]], Awaitable[None]] | None = None

    @property
    def lost(self) -> int:
        return self._lost.events if self._lost else 0

    def view(self) -> Fallback:
        waiting = self._file.waiting_bytes()
        return Fallback(
            waiting, self._away and waiting > 0, self.lost, self._lost.since if self._lost else None
        )

    async def write(self, happened: Event) -> bool:
        """On disk when it returns True. False: the disk refused; counted, and told at the next flush."""
        try:
            await asyncio.to_thread(self._file.append, msgspec.json.encode(happened))
        except (OSError, SpoolFull) as error:
            self._lose(happened, type(error).__name__)
            await asyncio.to_thread(self._keep_lost)
            return False
        if WITHOUT_STORE in happened.details:
            self._away = True
            if self._metrics is not None:
                self._metrics.audit_fallback_events.inc()
            log.warning(f"{SENTINEL.decode()}an event waits for the documents", action=happened.action)
        self._measure()
        return True

    async def flush_first(self, audit: "Audit", now: datetime) -> None:
        """Before a new event is written: what waits here is older. Not where that would take long."""
        if 0 < self._file.waiting_bytes() <= FIRST_BYTES:
            try:
                await self.flush(audit, now)
            except OSError as error:  # a disk that fails is no reason to refuse what the store takes
                log.error("the audit's fallback file cannot be moved", reason=type(error).__name__)

    async def flush(self, audit: "Audit", now: datetime) -> int:
        """Move what is here to the store; how many. StoreUnavailable leaves what is not moved here."""
        if not self.lost and not self._file.waiting_bytes():
            return 0
        async with self._flushing:
            with ExitStack() as held:
                if not self._file.hold(held):
                    return 0  # another process is at it
                moved = 0
                while await asyncio.to_thread(self._file.take):
                    moved += await self._move(audit, now)
                    await asyncio.to_thread(self._file.drop)
            await self._tell_lost(audit)
            self._away = False
            self._measure()
        return moved

    async def run(self, audit: "Audit", clock: Clock, interval_s: float) -> None:
        """Flush for ever. The store being away is waited out."""
        while True:
            try:
                await self.flush(audit, clock())
                if self.before_moving is not None:
                    await self.before_moving(())
            except StoreUnavailable:
                pass  # the sweeper says so already
            except Exception as error:  # or nothing would be moved until the next start
                log.error("audit spool failed", reason=type(error).__name__, exc_info=error)
            await asyncio.sleep(interval_s)

    async def _move(self, audit: "Audit", now: datetime) -> int:
        moved = without = lost = 0
        first: Event | None = None  # of those that no store confirmed
        for lines in _batches(self._file.lines()):
            found = [_read(line) for line in lines]
            events = [one for one in found if one is not None]
            lost += len(found) - len(events)  # torn by a crash in their write
            lost += await self._append(audit, events)
            unconfirmed = [one for one in events if WITHOUT_STORE in one.details]
            first = first or (unconfirmed[0] if unconfirmed else None)
            without += len(unconfirmed)
            moved += len(events)
        if without or lost:
            of, since = (first.id, first.at) if first else (self._file.identity(), now)
            await audit.append([_gap(of, since, now, without, lost)])
        return moved

    async def _append(self, audit: "Audit", events: Sequence[Event]) -> int:
        """How many the store refused for ever: they are put aside, or nothing behind them would be moved."""
        if self.before_moving is not None:
            await self.before_moving(events)
        try:
            await audit.append(events)
            return 0
        except (StoreUnavailable, VersionConflict):
            raise
        except Exception as error:
            log.error("the store refused audit events", reason=type(error).__name__, exc_info=error)
        refused = 0
        for happened in events:
            try:
                await audit.append([happened])
            except (StoreUnavailable, VersionConflict):
                raise
            except Exception:
                refused += 1
                await asyncio.to_thread(self._set_aside, happened)
        return refused

    def _set_aside(self, happened: Event) -> None:
        descriptor = os.open(self._refused_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(SENTINEL + msgspec.json.encode(happened) + b"\n")
            file.flush()
            os.fsync(descriptor)

    def _lose(self, happened: Event, reason: str) -> None:
        at = happened.at
        lost = self._lost or Lost(id=uuid4(), since=at, until=at, events=0)
        self._lost = Lost(id=lost.id, since=lost.since, until=at, events=lost.events + 1)
        if self._metrics is not None:
            self._metrics.audit_lost_events.inc()
        log.error(
            f"{OVERFLOW.decode()}an audit event could not be written",
            reason=reason,
            action=happened.action,
            actor_id=str(happened.actor_id or ""),
            target_id=str(happened.target_id or ""),
        )

    def _keep_lost(self) -> None:
        """So that the loss outlives this process, where the disk lets it."""
        with suppress(OSError):
            fresh = self._overflow_path.with_suffix(f".new{os.getpid()}")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(OVERFLOW + msgspec.json.encode(self._lost) + b"\n")
                file.flush()
                os.fsync(descriptor)
            fresh.replace(self._overflow_path)

    def _read_lost(self) -> Lost | None:
        try:
            return msgspec.json.decode(self._overflow_path.read_bytes().removeprefix(OVERFLOW), type=Lost)
        except (OSError, msgspec.MsgspecError):
            return None

    async def _tell_lost(self, audit: "Audit") -> None:
        lost = self._lost
        if lost is None:
            return
        await audit.append([_gap(lost.id, lost.since, lost.until, 0, lost.events)])
        late = self._lost
        if late is None or late is lost:
            self._lost = None
            await asyncio.to_thread(self._overflow_path.unlink, missing_ok=True)
        else:  # more was lost meanwhile: it is told next, under an id of its own
            self._lost = msgspec.structs.replace(late, id=uuid4(), events=late.events - lost.events)
            await asyncio.to_thread(self._keep_lost)

    def _measure(self) -> None:
        if self._metrics is not None:
            self._metrics.audit_fallback_bytes.set(self._file.waiting_bytes())


def _batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := [*islice(lines, BATCH)]:
        yield batch


def _read(line: bytes) -> Event | None:
    try:
        return msgspec.json.decode(line.removeprefix(SENTINEL), type=Event)
    except msgspec.MsgspecError:
        return None


def _gap(of: UUID, since: datetime, until: datetime, events: int, lost: int) -> Event:
    """The time in which acts were not confirmed by the store. Of what it tells: a flush that broke off and
    comes again finds it there."""
    details = {
        "from": since.isoformat(timespec="seconds"),
        "to": until.isoformat(timespec="seconds"),
        "events": str(events),
        "lost": str(lost),
    }
    gap = event("audit.gap", until, actor="Heliograph", details=details)
    return msgspec.structs.replace(gap, id=uuid5(of, "gap"))
