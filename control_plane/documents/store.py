"""The document store: what every store does, and no more.

Held by one contract test (tests/control_plane/documents). Every method raises StoreUnavailable when the store
cannot be reached; reads are tried again before that.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from control_plane.documents.records import Collection, Page, R, Sort
from control_plane.errors import ControlPlaneError

PAGE_LIMIT = 1000


class VersionConflict(ControlPlaneError):
    """The document is at another version: read it again and decide again."""

    type = "changed"


class DuplicateKey(ControlPlaneError):
    """Another document has this id, or these values of a unique index."""

    type = "duplicate"


class DocumentStore(Protocol):
    """Every write is atomic on one document and durable when it returns."""

    async def ensure(self, collections: Iterable[Collection[Any]]) -> None:
        """Make what is missing of collections and indexes. Safe to repeat, and twice at once."""

    async def get(self, collection: Collection[R], record_id: UUID) -> R:
        """The record, else NotFound."""

    async def insert(self, collection: Collection[R], record: R) -> R:
        """A new record at version 1. DuplicateKey where its id or unique fields are taken."""

    async def replace(self, collection: Collection[R], record: R, expected_version: int) -> R:
        """The whole record, if it is still at `expected_version`; gives it with its new version.

        VersionConflict where another was first, NotFound where it is gone, DuplicateKey of a unique index.
        """

    async def delete(
        self, collection: Collection[R], record_id: UUID, expected_version: int | None = None
    ) -> None:
        """NotFound where it is not there; VersionConflict where a version is expected and is another."""

    async def find(
        self,
        collection: Collection[R],
        where: Mapping[str, Any],
        *,
        sort: Sort | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[R]:
        """Records whose top-level fields equal `where` (None: is missing), in order, from a cursor on.

        `after` is the `next` of a page of the same question, else Invalid. Without `sort`, by id.
        """

    async def count(self, collection: Collection[R], where: Mapping[str, Any]) -> int: ...

    async def purge(self, collection: Collection[R], before: datetime) -> int:
        """Drop what expired (`expires_at` <= before); how many. Only for collections that expire."""

    async def close(self) -> None: ...


async def find_one(store: DocumentStore, collection: Collection[R], where: Mapping[str, Any]) -> R | None:
    """The record with these values of a unique index, if there is one."""
    page = await store.find(collection, where, limit=1)
    return page.records[0] if page.records else None
