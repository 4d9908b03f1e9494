"""A workspace sees its own documents and no others."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from control_plane.documents.postgres import PostgresStore
from control_plane.documents.scope import WorkspaceScope
from control_plane.errors import NotFound
from control_plane.senders.model import SENDERS, SenderRevision

HERE, THERE = uuid4(), uuid4()


def revision(clock: Any, sender: str = "Shop", **fields: object) -> SenderRevision:
    made = SenderRevision(
        id=uuid4(),
        workspace_id=HERE,
        sender=sender,
        revision=1,
        author_id=None,
        author="A",
        created_at=clock(),
    )
    return msgspec.structs.replace(made, **fields)


async def test_the_scope_adds_the_workspace_itself(postgres_store: PostgresStore, clock: Any) -> None:
    scope = WorkspaceScope(postgres_store, HERE)
    stored = await scope.insert(SENDERS, revision(clock, workspace_id=THERE))
    assert stored.workspace_id == HERE
    moved = await scope.replace(SENDERS, msgspec.structs.replace(stored, workspace_id=THERE), 1)
    assert moved.workspace_id == HERE
    assert (await scope.get(SENDERS, stored.id)).workspace_id == HERE


async def test_foreign_ids_do_not_exist(postgres_store: PostgresStore, clock: Any) -> None:
    foreign = await WorkspaceScope(postgres_store, THERE).insert(SENDERS, revision(clock))
    scope = WorkspaceScope(postgres_store, HERE)
    for act in (
        lambda: scope.get(SENDERS, foreign.id),
        lambda: scope.get(SENDERS, str(foreign.id)),
        lambda: scope.get(SENDERS, "no id at all"),
        lambda: scope.replace(SENDERS, foreign, foreign.version),
        lambda: scope.delete(SENDERS, foreign.id),
    ):
        with pytest.raises(NotFound):
            await act()
    assert await postgres_store.get(SENDERS, foreign.id) == foreign


async def test_find_and_count_see_only_the_workspace(postgres_store: PostgresStore, clock: Any) -> None:
    await WorkspaceScope(postgres_store, THERE).insert(SENDERS, revision(clock))
    scope = WorkspaceScope(postgres_store, HERE)
    assert (await scope.find(SENDERS)).records == []
    assert await scope.count(SENDERS) == 0
    assert (await scope.find(SENDERS, {"workspace_id": THERE})).records == []
    await scope.insert(SENDERS, revision(clock))
    assert await scope.count(SENDERS, {"sender": "Shop"}) == 1
