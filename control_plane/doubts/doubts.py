"""Messages in doubt, by group: whoever runs the workspace decides what becomes of them."""

from uuid import UUID, uuid4

from control_plane.access import Action, Member
from control_plane.audit.audit import Audit
from control_plane.audit.commands import Commands
from control_plane.campaigns.engine_errors import engine
from control_plane.campaigns.model import CAMPAIGNS
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.errors import Conflict, NotFound
from control_plane.workspaces.workspaces import Workspaces
from engine.core_api import schema


class Doubts:
    """Only of the member's workspace, and of the campaigns that they see: others do not exist here."""

    def __init__(self, core: Core, audit: Audit, workspaces: Workspaces, clock: Clock) -> None:
        self._core = core
        self._workspaces = workspaces
        self._commands = Commands(audit, clock)

    async def groups(self, member: Member, engine_id: UUID | None = None) -> list[schema.DoubtGroup]:
        """Newest first; `engine_id`: of one campaign, by its id in the engine."""
        member.require(Action.VIEW_CAMPAIGNS)
        with engine("campaign"):
            found = await self._core.doubts(engine_id)
        groups = [group for group in found.groups if group.workspace_id == member.workspace_id]
        if member.may(Action.VIEW_ALL_CAMPAIGNS):
            return groups
        own = await self.campaign_ids(member, groups)
        return [group for group in groups if group.campaign_id in own]

    async def campaign_ids(self, member: Member, groups: list[schema.DoubtGroup]) -> dict[UUID, UUID]:
        """The console's campaign of each of the engine's, of those that the member sees: they differ after a
        second submission."""
        scope, found = self._workspaces.scope(member), {}
        for engine_id in {group.campaign_id for group in groups}:
            page = await scope.find(CAMPAIGNS, {"engine_id": engine_id}, limit=1)
            if page.records and member.owns(page.records[0].author_id):
                found[engine_id] = page.records[0].id
        return found

    async def resolve(
        self, member: Member, key: str, action: schema.DoubtAction, seen_messages: int
    ) -> schema.DoubtResolved:
        """Decide on a group as it was seen. Conflict where it has grown since or no longer allows it."""
        member.require(Action.RESOLVE_DOUBTS)
        group = next((group for group in await self.groups(member) if group.key == key), None)
        if group is None:
            raise NotFound("group of messages in doubt")
        if group.messages > seen_messages:
            raise Conflict(
                "More messages of this group are in doubt since you looked. Look again, then decide."
            )
        if action not in group.actions:
            raise Conflict("That is not possible for this group any more.")
        spec = schema.DoubtResolution(decision_id=uuid4(), key=key, action=action)
        details = {
            "action": action,
            "messages": group.messages,
            "account": group.account,
            "bind": group.bind_number,
            "reason": group.reason,
            "event": group.event,
        }
        async with self._commands.audited(
            member.actor,
            "doubts.resolve",
            "campaign",
            group.campaign,
            details,
            workspace_id=member.workspace_id,
        ):
            return await self._core.resolve_doubts(spec)
