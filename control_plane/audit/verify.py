"""Proof of the audit's chains: each is walked from its anchor, and what does not fit is named.

It shows that nothing written was changed, taken out, swapped or put in since, as long as the heads are what
they were. Whoever can write to the database can also write a whole new chain with its head: against that,
keep the heads of earlier runs elsewhere and hold them against this one (`kept`).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from control_plane.audit.chain import chain_of, hash_of
from control_plane.audit.head import CHAINS, GENESIS, INSTALLATION_CHAIN, Head
from control_plane.audit.outbox import AUDIT, Event
from control_plane.documents.records import Collection, R, Sort
from control_plane.documents.store import DocumentStore
from control_plane.errors import NotFound
from control_plane.workspaces.model import WORKSPACES

BATCH = 500
FAULTS_TOLD = 100  # of one chain; the rest is counted
ROUNDS = 5  # a chain whose beginning expires meanwhile is walked again


@dataclass
class ChainReport:
    """`first` and `last` are numbers of entries that are there; 0: there is none."""

    chain: UUID
    name: str
    anchor: int = 0
    first: int = 0
    last: int = 0
    last_hash: str = GENESIS
    entries: int = 0
    unchained: int = 0
    faults: list[str] = field(default_factory=list)
    more_faults: int = 0

    @property
    def holds(self) -> bool:
        return not self.faults

    def fault(self, text: str) -> None:
        if len(self.faults) < FAULTS_TOLD:
            self.faults.append(text)
        else:
            self.more_faults += 1


async def verify(
    store: DocumentStore, only: UUID | None = None, kept: Mapping[UUID, tuple[int, str]] | None = None
) -> AsyncIterator[ChainReport]:
    """Every chain, or that of one workspace. `kept`: number and hash of a chain's entry as an
    earlier run had it."""
    names = {INSTALLATION_CHAIN: "the installation"}
    async for workspace in _all(store, WORKSPACES):
        names[workspace.id] = workspace.name
    async for head in _all(store, CHAINS):
        names.setdefault(head.id, f"workspace {head.id}")
    for chain in kept or {}:
        names.setdefault(chain, f"workspace {chain}")
    for chain, name in names.items():
        if only is None or chain == only:
            yield await _verify(store, chain, name, (kept or {}).get(chain))


async def _all(store: DocumentStore, collection: Collection[R]) -> AsyncIterator[R]:
    after = None
    while True:
        page = await store.find(collection, {}, limit=BATCH, after=after)
        for record in page.records:
            yield record
        if page.next is None:
            return
        after = page.next


async def _verify(store: DocumentStore, chain: UUID, name: str, kept: tuple[int, str] | None) -> ChainReport:
    for _ in range(ROUNDS):
        head = await _head(store, chain)
        report = await _walk(store, chain, name, head, kept)
        now = await _head(store, chain)
        if report.holds or (now and now.anchor_seq) == (head and head.anchor_seq):
            break
    return report


async def _head(store: DocumentStore, chain: UUID) -> Head | None:
    try:
        return await store.get(CHAINS, chain)
    except NotFound:
        return None


async def _walk(
    store: DocumentStore, chain: UUID, name: str, head: Head | None, kept: tuple[int, str] | None
) -> ChainReport:
    report = ChainReport(chain, name)
    start = head or Head(id=chain)
    report.anchor = start.anchor_seq
    seq, last = start.anchor_seq, start.anchor_hash
    async for entry in _entries(store, chain):
        assert entry.seq is not None
        if entry.seq <= start.anchor_seq:
            continue  # expired, and not yet removed
        report.entries += 1
        report.first = report.first or entry.seq
        if entry.seq > seq + 1:
            report.fault(_missing(seq + 1, entry.seq - 1))
        elif entry.seq <= seq:
            report.fault(f"{entry.seq}: there are two of this number")
        elif entry.previous != last:
            report.fault(f"{entry.seq}: does not follow the entry before it")
        if entry.hash != hash_of(entry) or chain_of(entry) != chain:
            report.fault(f"{entry.seq}: was changed after it was written ({entry.action})")
        for number, hash_ in ((start.seq, start.hash), kept or (0, "")):
            if entry.seq == number and entry.hash != hash_:
                report.fault(f"{entry.seq}: is another entry than the one that was written")
        seq, last = entry.seq, entry.hash or ""
    report.last, report.last_hash = seq, last
    furthest = max(start.seq, kept[0] if kept else 0)
    if furthest > seq:
        report.fault(f"{_missing(seq + 1, furthest)}: the end was cut off")
    if head is None and report.entries:
        report.fault("the chain's head is missing")
    where = {"workspace_id": None if chain == INSTALLATION_CHAIN else chain, "chain": None}
    report.unchained = await store.count(AUDIT, where)
    if report.unchained > start.unchained and (head is not None or report.entries):
        extra = report.unchained - start.unchained
        report.fault(f"{extra} events were put in beside the chain")
    return report


async def _entries(store: DocumentStore, chain: UUID) -> AsyncIterator[Event]:
    after = None
    while True:
        page = await store.find(AUDIT, {"chain": chain}, sort=Sort("seq"), limit=BATCH, after=after)
        for entry in page.records:
            yield entry
        if page.next is None:
            return
        after = page.next


def _missing(first: int, last: int) -> str:
    return f"{first}: is missing" if first == last else f"{first} to {last}: are missing"
