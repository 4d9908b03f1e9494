"""Campaigns as people see them: the document, the engine's half, recipients with masked numbers."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from control_plane.access import Action, Member
from control_plane.audit.audit import Audit
from control_plane.audit.outbox import Event, acted
from control_plane.campaigns.content_rules import ContentRules
from control_plane.campaigns.engine_errors import engine
from control_plane.campaigns.model import (
    CAMPAIGNS,
    Campaign,
    Live,
    MaskedRecipient,
    MaskedRecipients,
    Review,
    State,
)
from control_plane.campaigns.orders import Orders
from control_plane.campaigns.review import Reviews
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.documents.records import Page, Sort
from control_plane.documents.scope import WorkspaceScope
from control_plane.errors import EngineUnavailable, NotFound
from control_plane.senders.model import SENDERS, SenderRevision
from control_plane.senders.senders import Senders
from control_plane.templates.templates import Templates
from control_plane.workspaces.numbers import ctn_hash, last_digits
from control_plane.workspaces.workspaces import Workspaces
from engine.core_api import schema

ENGINE_IDS_LIMIT = 200  # of one question to the engine

Id = UUID | str
Lives = list[Live]
Over = list[schema.CampaignChannel]


class CampaignReader:
    """The reading half of `Campaigns`."""

    def __init__(
        self,
        core: Core,
        workspaces: Workspaces,
        senders: Senders,
        templates: Templates,
        audit: Audit,
        orders: Orders,
        reviews: Reviews,
        clock: Clock,
        seen: Callable[[Campaign], None] = lambda _campaign: None,
    ) -> None:
        self._seen = seen
        self._core = core
        self._workspaces = workspaces
        self._senders = senders
        self._templates = templates
        self._audit = audit
        self._orders = orders
        self._reviews = reviews
        self._rules = ContentRules(senders, templates, reviews)
        self._clock = clock

    async def get(self, member: Member, campaign_id: Id) -> Campaign:
        """NotFound also for somebody else's, where the member views only their own."""
        member.require(Action.VIEW_CAMPAIGNS)
        campaign = await self._scope(member).get(CAMPAIGNS, campaign_id)
        if not member.owns(campaign.author_id):
            raise NotFound(CAMPAIGNS.noun)
        self._seen(campaign)
        return campaign

    async def list(
        self,
        member: Member,
        *,
        state: State | None = None,
        archived: bool = False,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Campaign]:
        """Those that the member may see, latest change first; archived ones, or those that are not."""
        member.require(Action.VIEW_CAMPAIGNS)
        where: dict[str, object] = {"archived": True if archived else None}
        if state:
            where["state"] = state
        if not member.may(Action.VIEW_ALL_CAMPAIGNS):
            where["author_id"] = member.actor.user_id
        order_by = Sort("changed_at", descending=True)
        return await self._scope(member).find(CAMPAIGNS, where, sort=order_by, limit=limit, after=after)

    async def review(self, member: Member, campaign_id: Id) -> Review:
        """The whole content with its dry run. Takes seconds over millions of recipients, once."""
        return await self._reviewed(member, await self.get(member, campaign_id))

    async def live(self, member: Member, campaign_id: Id) -> Live:
        campaign = await self.get(member, campaign_id)
        upload = None
        if campaign.state in ("New", "Building"):
            try:
                upload = await self._reviews.upload(campaign)
            except EngineUnavailable:
                return Live(campaign, None, None, reachable=False)
        return dataclasses.replace((await self.lives(member, [campaign]))[0], upload=upload)

    async def lives(self, member: Member, campaigns: Sequence[Campaign]) -> Lives:
        """The engine's half of each, asked for together; without it where the engine does not answer."""
        member.require(Action.VIEW_CAMPAIGNS)
        assert all(campaign.workspace_id == member.workspace_id for campaign in campaigns)
        assert all(member.owns(campaign.author_id) for campaign in campaigns)
        for campaign in campaigns:
            self._seen(campaign)
        ids = [campaign.engine_id for campaign in campaigns if campaign.engine_id is not None]
        found: dict[UUID, schema.Campaign] = {}
        reachable = True
        try:
            for start in range(0, len(ids), ENGINE_IDS_LIMIT):
                with engine():
                    answer = await self._core.campaigns(ids[start : start + ENGINE_IDS_LIMIT])
                found |= {one.campaign_id: one for one in answer}
        except EngineUnavailable:
            reachable = False
        return [
            Live(
                campaign,
                found.get(campaign.engine_id) if campaign.engine_id else None,
                None,
                reachable or campaign.engine_id is None,
            )
            for campaign in campaigns
        ]

    async def series(self, member: Member, campaign_id: Id) -> schema.Series:
        engine_id = await self._engine_id(member, campaign_id)
        if engine_id is None:
            return schema.Series(points=[])
        with engine():
            return await self._core.series(engine_id)

    async def channels(self, member: Member, campaign_id: Id) -> Over:
        """Over which channels it goes, the most messages first; channel "" are rows without a route. Empty
        while that is not known."""
        engine_id = await self._engine_id(member, campaign_id)
        if engine_id is None:
            return []
        try:
            with engine():
                found = (await self._core.campaign_channels(engine_id)).channels
        except NotFound:
            return []
        return sorted(found, key=lambda one: (not one.channel, -one.rows, one.channel))

    async def message_errors(self, member: Member, campaign_id: Id) -> schema.MessageErrors:
        engine_id = await self._engine_id(member, campaign_id)
        if engine_id is None:
            return schema.MessageErrors(errors=[])
        with engine():
            return await self._core.message_errors(engine_id)

    async def upload(self, member: Member, campaign_id: Id) -> schema.Upload | None:
        """The file as the engine has it: `byte_offset` is where to go on."""
        return await self._reviews.upload(await self.get(member, campaign_id))

    async def upload_errors(
        self, member: Member, campaign_id: Id, cursor: str | None = None, limit: int = 100
    ) -> schema.JobErrors:
        campaign = await self.get(member, campaign_id)
        if campaign.upload_id is None:
            return schema.JobErrors(total=0, counts={}, errors=[], next=None)
        with engine("file"):
            return await self._core.upload_errors(campaign.upload_id, cursor, limit)

    async def job_errors(
        self, member: Member, campaign_id: Id, cursor: str | None = None, limit: int = 100
    ) -> schema.JobErrors:
        """The campaign's; before it is submitted, its file's."""
        engine_id = await self._engine_id(member, campaign_id)
        if engine_id is None:
            return await self.upload_errors(member, campaign_id, cursor, limit)
        with engine():
            return await self._core.job_errors(engine_id, cursor, limit)

    async def recipients(
        self,
        member: Member,
        campaign_id: Id,
        cursor: str | None = None,
        limit: int = 50,
        state: str | None = None,
        *,
        full: bool = False,
    ) -> MaskedRecipients:
        """A page of recipients, their numbers masked by the workspace's key; `full`: with the numbers, for
        who may view them. The view is audited first, of full numbers as one of its own."""
        member.require(Action.VIEW_RECIPIENTS)
        if full:
            member.require(Action.VIEW_NUMBERS)
        campaign = await self.get(member, campaign_id)
        if campaign.engine_id is None:
            return MaskedRecipients([], None)
        workspace = await self._workspaces.get(member)
        key = self._workspaces.ctn_key(workspace)
        viewed = "numbers.view" if full else "recipients.view"
        await self._audit.record(self._event(member, viewed, campaign))
        with engine():
            page = await self._core.recipients(campaign.engine_id, cursor, limit, state)
        return MaskedRecipients([_masked(key, one, full=full) for one in page.recipients], page.next)

    # Inside

    def _scope(self, member: Member) -> WorkspaceScope:
        return self._workspaces.scope(member)

    async def _reviewed(self, member: Member, campaign: Campaign) -> Review:
        review = await self._reviews.review(campaign, await self._sender_of(member, campaign))
        found = await self._rules.problems(member, review)
        return dataclasses.replace(review, problems={**found, **review.problems})

    async def _sender_of(self, member: Member, campaign: Campaign) -> SenderRevision | None:
        if campaign.sender_revision_id is None:
            return None
        try:
            return await self._scope(member).get(SENDERS, campaign.sender_revision_id)
        except NotFound:
            return None

    async def _engine_id(self, member: Member, campaign_id: Id) -> UUID | None:
        return (await self.get(member, campaign_id)).engine_id

    def _event(
        self,
        member: Member,
        action: str,
        campaign: Campaign,
        details: dict[str, str] | None = None,
        changes: Mapping[str, tuple[object, object]] | None = None,
    ) -> Event:
        return acted(
            member,
            action,
            self._clock(),
            target=campaign,
            target_name=campaign.name,
            details=details,
            changes=changes,
        )


def _masked(key: bytes, one: schema.Recipient, *, full: bool) -> MaskedRecipient:
    return MaskedRecipient(
        message_id=one.message_id,
        ctn_hash=ctn_hash(key, one.msisdn),
        last_digits=last_digits(one.msisdn),
        number=one.msisdn if full else "",
        state=one.state,
        parts=one.parts,
        attempts=one.attempts,
        error=one.error,
        sent_at=one.sent_at,
        done_at=one.done_at,
        corrected=one.corrected,
    )
