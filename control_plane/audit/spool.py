"""Audit events that must not wait for the document store: a local file first, then the store.

For the few acts that have to work with the store away (Stop all sending). Each line is one event, fsynced
before the act; `flush` moves them to the store in order, each exactly once by its id.
"""

import asyncio
import os
from datetime import datetime
from pathlib import Path
from uuid import uuid5

import msgspec
import structlog

from control_plane.audit.audit import Audit
from control_plane.audit.outbox import Event, event
from control_plane.clock import Clock
from control_plane.errors import StoreUnavailable

log = structlog.get_logger(__name__)

FILE_NAME = "audit.spool"
MAX_BYTES = 200_000_000
WITHOUT_STORE = "written without the documents"  # a detail of the events that no store confirmed


class SpoolFull(Exception):
    """Nothing more can be written here: the act goes on, the gap is told when the store is back."""


class Spool:
    """One file of one process. `lost` counts events that even the file could not take."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = asyncio.Lock()
        self.lost = 0

    async def write(self, happened: Event) -> bool:
        """On disk when it returns True. False: the disk refused; counted, and told at the next flush."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._append, msgspec.json.encode(happened))
            except (OSError, SpoolFull) as error:
                self.lost += 1
                log.error("an audit event could not be written", reason=type(error).__name__)
                return False
        return True

    async def flush(self, audit: Audit, now: datetime) -> int:
        """Move what is here to the store; how many. StoreUnavailable leaves all of it here."""
        async with self._lock:
            events = await asyncio.to_thread(self._read)
            if not events and not self.lost:
                return 0
            for happened in events:
                await audit.record_once(happened)
            if gap := _gap(events, self.lost, now):
                await audit.record_once(gap)
            self.lost = 0
            await asyncio.to_thread(self._path.unlink, missing_ok=True)
        return len(events)

    async def run(self, audit: Audit, clock: Clock, interval_s: float) -> None:
        """Flush for ever. The store being away is waited out."""
        while True:
            try:
                await self.flush(audit, clock())
            except StoreUnavailable:
                pass  # the sweeper says so already
            except Exception as error:  # or nothing would be moved until the next start
                log.error("audit spool failed", reason=type(error).__name__, exc_info=error)
            await asyncio.sleep(interval_s)

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size + len(line) > MAX_BYTES:
                raise SpoolFull
            os.write(descriptor, line + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _read(self) -> list[Event]:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        events = []
        for line in lines:
            try:
                if line:
                    events.append(msgspec.json.decode(line, type=Event))
            except msgspec.MsgspecError:
                self.lost += 1  # torn by a crash in its write
        return events


def _gap(events: list[Event], lost: int, now: datetime) -> Event | None:
    """The time in which acts were not confirmed by the store, if there was one."""
    without = [happened for happened in events if WITHOUT_STORE in happened.details]
    if not without and not lost:
        return None
    details = {
        "from": (without[0].at if without else now).isoformat(timespec="seconds"),
        "to": now.isoformat(timespec="seconds"),
        "events": str(len(without)),
        "lost": str(lost),
    }
    gap = event("audit.gap", now, actor="Heliograph", details=details)
    # Of its events: a flush that broke off and comes again finds it there.
    return msgspec.structs.replace(gap, id=uuid5(without[0].id, "gap")) if without else gap
