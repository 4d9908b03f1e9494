"""How long audit entries are kept, and their removal when the time is over.

An entry gets its end when it is written and keeps it: another retention counts for what is written from
then on. Entries go from the chain's beginning only, so one that is kept longer keeps those after it; the
number and hash of the last that went stay as the chain's anchor.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from uuid import UUID

import msgspec

from control_plane.audit.head import CHAINS, Head
from control_plane.audit.outbox import AUDIT, Event
from control_plane.documents.change import change
from control_plane.documents.records import Sort
from control_plane.documents.store import DocumentStore
from control_plane.errors import NotFound
from control_plane.workspaces.model import WORKSPACES

DEFAULT_DAYS = 90
LEAST_DAYS, MOST_DAYS = 1, 3_660
FRESH_S = 30.0  # how soon another retention counts in every process
BATCH = 500


@dataclass(frozen=True)
class Preset:
    """A retention with the reason for it. `name` is stable, `title` and `reason` are for people."""

    name: str
    title: str
    days: int
    reason: str


PRESETS = (
    Preset("default", "Default", DEFAULT_DAYS, "Three months."),
    Preset("pci", "PCI DSS", 365, "PCI DSS 4.0, 10.5.1: at least 12 months."),
    Preset("sox", "SOX", 2_557, "17 CFR 210.2-06: seven years."),
)


class Retention:
    """`installation_days`: of events that belong to no workspace."""

    def __init__(self, store: DocumentStore, installation_days: int = DEFAULT_DAYS) -> None:
        self._store = store
        self._installation_days = installation_days
        self._known: dict[UUID, tuple[float, int]] = {}

    async def days(self, chain: UUID) -> int:
        """Of a workspace by its id; asked of the store at most every 30 s."""
        if not chain.int:
            return self._installation_days
        asked_at, days = self._known.get(chain, (float("-inf"), DEFAULT_DAYS))
        if time.monotonic() - asked_at > FRESH_S:
            try:
                workspace = await self._store.get(WORKSPACES, chain)
                days = workspace.retention_days
            except NotFound:
                days = DEFAULT_DAYS
            self._known[chain] = (time.monotonic(), days)
        return days

    async def purge(self, now: datetime) -> int:
        """Drop what expired; how many. Safe to break off and to repeat, and in several processes."""
        gone, after = 0, None
        while True:
            page = await self._store.find(CHAINS, {}, limit=BATCH, after=after)
            for head in page.records:
                gone += await self._purge_chain(head, now)
                if head.unchained:
                    gone += await self._purge_unchained(head.id, now)
            if page.next is None:
                return gone
            after = page.next

    async def _purge_chain(self, head: Head, now: datetime) -> int:
        gone = 0
        while True:
            page = await self._store.find(AUDIT, {"chain": head.id}, sort=Sort("seq"), limit=BATCH)
            over = [*takewhile(partial(_over, head.anchor_seq, now), page.records)]
            if not over:
                return gone
            last = over[-1]

            def anchored(found: Head, last: Event = last) -> Head:
                assert last.seq is not None
                if last.seq <= found.anchor_seq:
                    return found
                moved = msgspec.structs.replace(found, anchor_seq=last.seq, anchor_hash=last.hash)
                if last.seq > found.seq:
                    moved = msgspec.structs.replace(moved, seq=last.seq, hash=last.hash)
                return moved

            # The anchor first: what is left of entries below it is nothing the chain needs.
            head = await change(self._store, CHAINS, head.id, anchored)
            gone += await self._drop(over)
            if len(over) < len(page.records):
                return gone

    async def _purge_unchained(self, chain: UUID, now: datetime) -> int:
        """Events of a time before there were chains: by the retention of today."""
        before = now - timedelta(days=await self.days(chain))
        gone, oldest = 0, Sort("at", most=before)
        while True:
            where = {"workspace_id": chain if chain.int else None, "chain": None}
            found = (await self._store.find(AUDIT, where, sort=oldest, limit=BATCH)).records
            if not found:
                return gone
            gone += await self._drop(found)

    async def _drop(self, entries: Sequence[Event]) -> int:
        gone = 0
        for entry in entries:
            try:
                await self._store.delete(AUDIT, entry.id)
            except NotFound:  # another process was here
                continue
            gone += 1
        return gone


def _over(anchor_seq: int, now: datetime, entry: Event) -> bool:
    assert entry.seq is not None
    return entry.seq <= anchor_seq or (entry.expires_at is not None and entry.expires_at <= now)
