"""Read, decide, replace: the one way a document is changed."""

from collections.abc import Callable
from typing import Protocol, TypeVar
from uuid import UUID

from control_plane.documents.records import Collection, Record
from control_plane.documents.store import VersionConflict

C = TypeVar("C", bound=Record)
ATTEMPTS = 100  # each lost race is somebody else's progress; this many in a row is a defect


class Replaces(Protocol[C]):
    """A store or a scope."""

    async def get(self, collection: Collection[C], record_id: UUID, /) -> C: ...
    async def replace(self, collection: Collection[C], record: C, expected_version: int, /) -> C: ...


async def change(
    store: Replaces[C], collection: Collection[C], record_id: UUID, decide: Callable[[C], C]
) -> C:
    """Replace the document by what `decide` makes of it, deciding again whenever another was first.

    `decide` raises to refuse; giving back the same object changes nothing. VersionConflict after 100
    lost races.
    """
    for _ in range(ATTEMPTS):
        found = await store.get(collection, record_id)
        decided = decide(found)
        if decided is found:
            return found
        try:
            return await store.replace(collection, decided, found.version)
        except VersionConflict:
            continue
    raise VersionConflict(f"The {collection.noun} keeps changing.")
