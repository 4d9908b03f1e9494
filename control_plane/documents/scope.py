"""The only way to a workspace's documents: a scope that adds the workspace itself."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from control_plane.audit.outbox import Audited
from control_plane.documents.records import Collection, Page, Sort
from control_plane.documents.store import DocumentStore
from control_plane.errors import NotFound


class Owned(Audited, frozen=True, kw_only=True):
    """A record of one workspace."""

    workspace_id: UUID


O = TypeVar("O", bound=Owned)  # noqa: E741


class WorkspaceScope:
    """The store as one workspace sees it: another workspace's ids do not exist."""

    def __init__(self, store: DocumentStore, workspace_id: UUID) -> None:
        self._store = store
        self.workspace_id = workspace_id

    async def get(self, collection: Collection[O], record_id: UUID | str) -> O:
        record = await self._store.get(collection, parse_id(collection, record_id))
        if record.workspace_id != self.workspace_id:
            raise NotFound(collection.noun)
        return record

    async def insert(self, collection: Collection[O], record: O) -> O:
        return await self._store.insert(collection, self._own(record))

    async def replace(self, collection: Collection[O], record: O, expected_version: int) -> O:
        await self.get(collection, record.id)
        return await self._store.replace(collection, self._own(record), expected_version)

    async def delete(
        self, collection: Collection[O], record_id: UUID, expected_version: int | None = None
    ) -> None:
        await self.get(collection, record_id)
        await self._store.delete(collection, record_id, expected_version)

    async def find(
        self,
        collection: Collection[O],
        where: Mapping[str, Any] | None = None,
        *,
        sort: Sort | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[O]:
        return await self._store.find(collection, self._where(where), sort=sort, limit=limit, after=after)

    async def count(self, collection: Collection[O], where: Mapping[str, Any] | None = None) -> int:
        return await self._store.count(collection, self._where(where))

    def _where(self, where: Mapping[str, Any] | None) -> dict[str, Any]:
        return {**(where or {}), "workspace_id": self.workspace_id}

    def _own(self, record: O) -> O:
        return msgspec.structs.replace(record, workspace_id=self.workspace_id)


def parse_id(collection: Collection[Any], record_id: UUID | str) -> UUID:
    """NotFound for a text that is no id: to the caller it is just another thing that does not exist."""
    if isinstance(record_id, UUID):
        return record_id
    try:
        return UUID(record_id)
    except ValueError:
        raise NotFound(collection.noun) from None
