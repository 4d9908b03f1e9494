"""A Super Admin's looks into workspaces that are not theirs, in the audit of each."""

from collections import OrderedDict
from datetime import datetime, timedelta
from uuid import UUID

from control_plane.access import Actor, Member
from control_plane.audit.audit import Audit
from control_plane.audit.outbox import acted
from control_plane.clock import Clock
from control_plane.workspaces.model import Workspace

AGAIN = timedelta(minutes=5)  # a page that refreshes itself is one look as long
KEPT = 10_000


class Looks:
    """Written before what is looked at is read. A tenant sees who looked, at what, and when."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._seen: OrderedDict[tuple[UUID, UUID, str], datetime] = OrderedDict()

    async def opened(self, actor: Actor, workspace: Workspace) -> None:
        """They chose it as the workspace that they work in."""
        if not actor.super_admin or workspace.id in actor.memberships:
            return
        about = {"workspace_id": workspace.id, "target": workspace, "target_name": workspace.name}
        await self._audit.record(acted(actor, "workspace.opened", self._clock(), **about))  # type: ignore[arg-type]

    async def at(self, member: Member, path: str) -> None:
        """They look at a page of it: at `path`, without its query, which may hold what was searched."""
        if not member.visitor:
            return
        now, key = self._clock(), (member.actor.session_id, member.workspace_id, path)
        last = self._seen.get(key)
        if last is not None and now - last < AGAIN:
            return
        await self._audit.record(
            acted(member, "workspace.viewed", now, target_kind="workspace", details={"page": path})
        )
        self._seen[key] = now
        self._seen.move_to_end(key)
        while len(self._seen) > KEPT:
            self._seen.popitem(last=False)
