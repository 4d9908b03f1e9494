"""How much is in a workspace: numbers for those who run the installation, nothing of the content."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from control_plane.access import Action, Actor
from control_plane.campaigns.model import CAMPAIGNS
from control_plane.documents.store import DocumentStore


@dataclass(frozen=True)
class Counted:
    campaigns: int
    waiting: int  # for a decision


class Counts:
    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def of(self, actor: Actor, workspace_ids: Sequence[UUID]) -> dict[UUID, Counted]:
        """Of each: by index, for one page of them."""
        actor.require(Action.MANAGE_WORKSPACES)
        found = await asyncio.gather(*(self._counted(one) for one in workspace_ids))
        return dict(zip(workspace_ids, found, strict=True))

    async def _counted(self, workspace_id: UUID) -> Counted:
        ours = {"workspace_id": workspace_id}
        campaigns = await self._store.count(CAMPAIGNS, ours)
        return Counted(campaigns, await self._store.count(CAMPAIGNS, {**ours, "state": "Pending"}))
