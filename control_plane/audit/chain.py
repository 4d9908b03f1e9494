"""The hash chains: one a workspace, one for what belongs to none. An entry holds the hash of the one before.

An entry takes the next number of its chain by the unique index (chain, seq): of several processes one wins
and the others look again. What is written is therefore in the order of writing, without a gap. The head (the
last number and hash known) is kept beside the entries, so that a tail that was cut off is missed.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import msgspec
import orjson

from control_plane.audit.head import CHAINS, GENESIS, INSTALLATION_CHAIN, Head
from control_plane.audit.outbox import AUDIT, Event, event
from control_plane.audit.retention import Retention
from control_plane.documents.change import change
from control_plane.documents.records import Sort, to_json
from control_plane.documents.store import DocumentStore, DuplicateKey, VersionConflict
from control_plane.errors import NotFound

ATTEMPTS = 1000  # each lost race is another process's entry
START = "audit.chain_start"


class Chains:
    def __init__(self, store: DocumentStore, retention: Retention) -> None:
        self._store = store
        self._retention = retention
        self._locks: dict[UUID, asyncio.Lock] = {}  # of this process: only others are raced with

    async def append(self, events: Sequence[Event]) -> int:
        """Write each event once, by its id, in the order given; how many were not there yet.

        StoreUnavailable: some may be written; the same call again writes the rest.
        """
        by_chain: dict[UUID, list[Event]] = {}
        for happened in events:
            by_chain.setdefault(chain_of(happened), []).append(happened)
        written = 0
        for chain, group in by_chain.items():
            async with self._locks.setdefault(chain, asyncio.Lock()):
                written += await self._append(chain, group)
        return written

    async def _append(self, chain: UUID, events: Sequence[Event]) -> int:
        days = await self._retention.days(chain)
        head = await self._head(chain, events[0].at)
        seq, last, written = head.seq, head.hash, 0
        if head.unchained and not seq:
            first = _start(chain, head.unchained, events[0].at)
            seq, last, _ = await self._write(first, chain, 0, GENESIS, days)
        for happened in events:
            seq, last, new = await self._write(happened, chain, seq, last, days)
            written += new
        if seq > head.seq:
            await self._advance(head, seq, last)
        return written

    async def _write(
        self, happened: Event, chain: UUID, seq: int, last: str, days: int
    ) -> tuple[int, str, bool]:
        """After the entry `seq` with the hash `last`, or later where others were first. Number and hash of
        the last entry then, and whether the event is new."""
        for _ in range(ATTEMPTS):
            entry = sealed(happened, chain, seq + 1, last, days)
            try:
                await self._store.insert(AUDIT, entry)
            except DuplicateKey:
                if await self._is_there(happened.id):
                    return seq, last, False
                known = seq
                seq, last = await self.tail(chain)
                if seq <= known:
                    raise
                continue
            return seq + 1, entry.hash or "", True
        raise VersionConflict("The audit keeps growing.")

    async def tail(self, chain: UUID) -> tuple[int, str]:
        """Number and hash of the last entry that is there."""
        newest = Sort("seq", descending=True)
        found = (await self._store.find(AUDIT, {"chain": chain}, sort=newest, limit=1)).records
        return (found[0].seq or 0, found[0].hash or "") if found else (0, GENESIS)

    async def _is_there(self, event_id: UUID) -> bool:
        try:
            await self._store.get(AUDIT, event_id)
        except NotFound:
            return False
        return True

    async def _head(self, chain: UUID, at: datetime) -> Head:
        try:
            return await self._store.get(CHAINS, chain)
        except NotFound:
            pass
        workspace = None if chain == INSTALLATION_CHAIN else chain
        earlier = await self._store.count(AUDIT, {"workspace_id": workspace, "chain": None})
        seq, last = await self.tail(chain)
        try:
            return await self._store.insert(CHAINS, Head(id=chain, seq=seq, hash=last, unchained=earlier))
        except DuplicateKey:
            return await self._store.get(CHAINS, chain)

    async def _advance(self, head: Head, seq: int, last: str) -> None:
        def further(found: Head) -> Head:
            return found if found.seq >= seq else msgspec.structs.replace(found, seq=seq, hash=last)

        try:
            await self._store.replace(CHAINS, further(head), head.version)
        except VersionConflict:
            await change(self._store, CHAINS, head.id, further)


def chain_of(happened: Event) -> UUID:
    return happened.workspace_id or INSTALLATION_CHAIN


def sealed(happened: Event, chain: UUID, seq: int, previous: str, days: int) -> Event:
    """The event as an entry of the chain."""
    entry = msgspec.structs.replace(
        happened,
        version=0,
        chain=chain,
        seq=seq,
        previous=previous,
        hash=None,
        expires_at=happened.at + timedelta(days=days),
    )
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def hash_of(entry: Event) -> str:
    return hashlib.sha256(canonical(entry)).hexdigest()


def canonical(entry: Event) -> bytes:
    """JSON in UTF-8 without spaces, names sorted, times in milliseconds; no `hash`, no `version`, and nothing
    that is empty: a field that a later release adds changes no earlier hash."""
    fields = to_json(entry)
    del fields["version"]
    fields.pop("hash", None)
    return orjson.dumps(
        {name: value for name, value in fields.items() if value not in ("", [], {})},
        option=orjson.OPT_SORT_KEYS,
    )


def _start(chain: UUID, earlier: int, at: datetime) -> Event:
    """The first entry where the audit is older than its chain."""
    workspace = None if chain == INSTALLATION_CHAIN else chain
    started = event(
        START, at, actor="Heliograph", workspace_id=workspace, details={"earlier events": earlier}
    )
    return msgspec.structs.replace(started, id=uuid5(chain, START))
