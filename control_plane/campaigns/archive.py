"""The archive: campaigns that are over, or were never sent, out of every list and whole.

Nothing is moved or copied: a flag of the document. What the engine keeps of it stays where it is, in the
workspace it was sent from; so a campaign is restored into that workspace, to its author, or to another of
its members where the author is not active there any more.
"""

from collections.abc import Mapping
from functools import partial
from typing import get_args
from uuid import UUID

import msgspec

from control_plane.access import Action, Member
from control_plane.audit.outbox import acted, with_event
from control_plane.campaigns.campaigns import Campaigns
from control_plane.campaigns.model import CAMPAIGNS, Campaign, Live
from control_plane.campaigns.reader import Id
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Page, Sort
from control_plane.documents.scope import WorkspaceScope
from control_plane.documents.store import PAGE_LIMIT, DocumentStore
from control_plane.errors import Changed, Conflict, EngineUnavailable, Forbidden, Invalid, NotFound
from control_plane.identity.model import USERS, User
from engine.core_api import schema

Users = list[User]

ARCHIVABLE = ("New", "Done", "Cancelled", "Failed", "Expired")
# Every other state a campaign is shown in, and what stands in the way.
REASONS: Mapping[str, str] = {
    "Building": "It is being prepared: withdraw it first.",
    "Pending": "It waits for a decision: withdraw it first.",
    "Starting": "It is approved and about to be sent: cancel it, or wait for its end.",
    "Sending": "It is being sent: cancel it, or wait for its end.",
    "Paused": "It is paused and may be resumed: cancel it, or wait for its end.",
}
assert set(REASONS) | set(ARCHIVABLE) | {"Returned"} >= set(get_args(schema.CampaignState))


def why_not(live: Live) -> str:
    """One sentence that says why it cannot be archived now; empty where it can."""
    if live.state in ARCHIVABLE:
        return ""
    if live.state == "Unknown":
        return "Whether it has ended is not known while the engine does not answer."
    return REASONS[
        "Starting" if live.campaign.state == "Approved" and live.state == "Pending" else live.state
    ]


class Archive:
    def __init__(self, store: DocumentStore, campaigns: Campaigns, clock: Clock) -> None:
        self._store = store
        self._campaigns = campaigns
        self._clock = clock

    async def list(self, member: Member, *, limit: int = 50, after: str | None = None) -> Page[Campaign]:
        """What is archived of those the member may see, latest first."""
        return await self._campaigns.list(member, archived=True, limit=limit, after=after)

    async def archive(self, member: Member, campaign_id: Id) -> Campaign:
        """Out of the lists; again is no fault. Conflict with the reason in a state that does not allow it,
        EngineUnavailable where the state cannot be known."""
        member.require(Action.ARCHIVE_CAMPAIGNS)
        live = await self._campaigns.live(member, campaign_id)
        seen = live.campaign
        if seen.archived:
            return seen
        if reason := why_not(live):
            raise EngineUnavailable(reason) if live.state == "Unknown" else Conflict(reason)

        def decide(found: Campaign) -> Campaign:
            if found.archived:
                return found
            if (found.state, found.engine_id) != (seen.state, seen.engine_id):
                raise Changed("campaign")  # submitted meanwhile: its state is another question now
            now = self._clock()
            kept = msgspec.structs.replace(
                found,
                archived=True,
                archived_at=now,
                archived_by=member.actor.name,
                revision=found.revision + 1,
            )
            details = {"state": live.state}
            happened = acted(
                member, "campaign.archive", now, target=found, target_name=found.name, details=details
            )
            return with_event(kept, happened)

        return await change(self._scope(member), CAMPAIGNS, seen.id, decide)

    async def owner(self, member: Member, campaign: Campaign) -> User | None:
        """Its author, if they are still active in the workspace."""
        member.require(Action.VIEW_CAMPAIGNS)
        try:
            author = await self._store.get(USERS, campaign.author_id)
        except NotFound:
            return None
        return author if _writes(author, member.workspace_id) else None

    async def owners(self, member: Member) -> Users:
        """Members who could take a campaign over, by name."""
        member.require(Action.VIEW_MEMBERS)
        found: Users = []
        after = None
        while True:
            page = await self._store.find(USERS, {}, sort=Sort("email"), limit=PAGE_LIMIT, after=after)
            found += [
                user
                for user in page.records
                if _writes(user, member.workspace_id) and member.workspace_id in user.memberships
            ]
            if page.next is None:
                return sorted(found, key=lambda user: user.name.casefold())
            after = page.next

    async def restore(self, member: Member, campaign_id: Id, owner_id: str = "") -> Campaign:
        """Back into the lists as it was. With an author who is not active any more it needs an owner.

        Invalid ("owner") without one, or with one who may not write campaigns of this workspace.
        """
        member.require(Action.ARCHIVE_CAMPAIGNS)
        seen = await self._campaigns.get(member, campaign_id)
        owner = None
        if seen.archived and await self.owner(member, seen) is None:
            owner = await self._chosen(member, owner_id)
        return await change(self._scope(member), CAMPAIGNS, seen.id, partial(self._restored, member, owner))

    async def _chosen(self, member: Member, owner_id: str) -> User:
        if not member.may(Action.VIEW_MEMBERS):
            raise Forbidden(
                "Its author is not active here any more: an administrator chooses who takes it over."
            )
        owner = next((user for user in await self.owners(member) if str(user.id) == owner_id), None)
        if owner is None:
            raise Invalid(
                {"owner": "Choose a member who may write campaigns: its author is not active here."}
            )
        return owner

    def _restored(self, member: Member, owner: User | None, found: Campaign) -> Campaign:
        if not found.archived:
            return found
        now = self._clock()
        back = msgspec.structs.replace(
            found,
            archived=None,
            archived_at=None,
            archived_by="",
            revision=found.revision + 1,
            changed_at=now,
        )
        changes: dict[str, tuple[object, object]] = {}
        if owner is not None:
            changes["author"] = (found.author, owner.name)
            # Who wrote any of it stays a contributor: they still do not decide it.
            contributors = tuple(dict.fromkeys((*found.contributors, owner.id)))
            back = msgspec.structs.replace(
                back, author_id=owner.id, author=owner.name, contributors=contributors
            )
        happened = acted(
            member, "campaign.restore", now, target=found, target_name=found.name, changes=changes
        )
        return with_event(back, happened)

    def _scope(self, member: Member) -> WorkspaceScope:
        return WorkspaceScope(self._store, member.workspace_id)


def _writes(user: User, workspace_id: UUID) -> bool:
    membership = user.memberships.get(workspace_id)
    allowed = membership is not None and Action.EDIT_CAMPAIGNS in membership.allowed
    return not user.disabled and (allowed or user.super_admin)
