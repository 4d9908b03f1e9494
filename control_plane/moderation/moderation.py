"""The queue of campaigns, and the one decision on each: by somebody else than its authors."""

from collections.abc import Callable, Iterable
from uuid import UUID, uuid4

import msgspec
import structlog

from control_plane.access import Action, Member
from control_plane.audit.outbox import acted, with_event
from control_plane.campaigns.campaigns import Campaigns
from control_plane.campaigns.engine_errors import sentence
from control_plane.campaigns.model import CAMPAIGNS, Campaign, Decision, Note, Order, Review, Verdict
from control_plane.campaigns.orders import Orders, order, with_order
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Page, Sort
from control_plane.errors import (
    AlreadyDecided,
    Changed,
    Conflict,
    ControlPlaneError,
    Forbidden,
    Invalid,
    NotFound,
)
from control_plane.metrics import Metrics
from control_plane.moderation.content_queue import ContentQueue
from control_plane.moderation.content_queue import Verdict as Decided
from control_plane.moderation.familiar import FamiliarKind, FirstTimes, traits
from control_plane.moderation.listing import Listings
from control_plane.moderation.openings import Openings
from control_plane.workspaces.workspaces import Workspaces
from engine.core_api import schema

log = structlog.get_logger(__name__)

NOTE_LIMIT = 1000
REJECTIONS_KEPT = 50  # in a campaign's own history; the audit has all
NEIGHBOURS = 200  # of the queue, among which a page finds its next
OWN = "You wrote or submitted it: somebody else decides."


class Moderation:
    """`content`: sender revisions and templates that wait. `listings`: the texts, for who decides on them."""

    def __init__(
        self,
        workspaces: Workspaces,
        campaigns: Campaigns,
        orders: Orders,
        listings: Listings,
        openings: Openings,
        first_times: FirstTimes,
        content: ContentQueue,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._workspaces = workspaces
        self._campaigns = campaigns
        self._orders = orders
        self._listings = listings
        self._openings = openings
        self._first_times = first_times
        self.content = content
        self._clock = clock
        self._metrics = metrics

    async def queue(self, member: Member, *, limit: int = 50, after: str | None = None) -> Page[Campaign]:
        """What waits for a decision, the longest wait first."""
        member.require(Action.DECIDE_CAMPAIGNS)
        scope = self._workspaces.scope(member)
        return await scope.find(
            CAMPAIGNS, {"state": "Pending"}, sort=Sort("submitted_at"), limit=limit, after=after
        )

    async def count(self, member: Member) -> int:
        """How many wait; 0 for those who do not decide."""
        if not member.may(Action.DECIDE_CAMPAIGNS):
            return 0
        return await self._workspaces.scope(member).count(CAMPAIGNS, {"state": "Pending"})

    async def waiting(self, member: Member) -> int:
        """All that waits for this member: campaigns, sender revisions and templates."""
        if not member.may(Action.DECIDE_CAMPAIGNS):
            return 0
        return await self.count(member) + await self.content.count(member)

    async def decided(self, member: Member, campaign_ids: Iterable[str]) -> dict[str, Decided | None]:
        """Of campaigns that were in the queue a moment ago and wait no longer: the decision, None where there
        is none (withdrawn, deleted)."""
        member.require(Action.DECIDE_CAMPAIGNS)
        scope = self._workspaces.scope(member)
        found: dict[str, Decided | None] = {}
        for campaign_id in campaign_ids:
            try:
                campaign = await scope.get(CAMPAIGNS, campaign_id)
            except NotFound:
                found[campaign_id] = None
                continue
            if campaign.state != "Pending":
                one = campaign.decision
                found[campaign_id] = Decided(campaign.name, one.verdict, one.by) if one else None
        return found

    async def neighbours(self, member: Member, campaign: Campaign) -> tuple[Campaign | None, Campaign | None]:
        """The ones before and after it among the first of the queue."""
        waiting = (await self.queue(member, limit=NEIGHBOURS)).records
        at = next((i for i, one in enumerate(waiting) if one.id == campaign.id), None)
        if at is None:  # decided meanwhile: the next is the one that waits longest
            return None, waiting[0] if waiting else None
        following = waiting[at + 1] if at + 1 < len(waiting) else None
        return waiting[at - 1] if at else None, following

    async def open(self, member: Member, campaign_id: UUID | str) -> tuple[Campaign, str]:
        """The campaign as it stands, and the proof that this member opened it: what approving asks for. The
        proof is empty where there is nothing for them to decide."""
        member.require(Action.DECIDE_CAMPAIGNS)
        campaign = await self._campaigns.get(member, campaign_id)
        return campaign, "" if self.why_not(member, campaign) else self._openings.issue(member, campaign)

    async def texts(self, member: Member, campaign: Campaign) -> schema.RenderedTexts:
        """What its recipients would read. Takes seconds over millions of recipients, once."""
        member.require(Action.DECIDE_CAMPAIGNS)
        return await self._listings.of(campaign)

    def known_texts(self, campaign: Campaign) -> schema.RenderedTexts | None:
        return self._listings.known(campaign)

    async def search(
        self, member: Member, campaign: Campaign, question: schema.RenderedSearch
    ) -> schema.RenderedMatches:
        member.require(Action.DECIDE_CAMPAIGNS)
        return await self._listings.search(campaign, question)

    async def first_times(
        self, member: Member, campaign: Campaign, listing: schema.RenderedTexts | None
    ) -> dict[FamiliarKind, list[str]]:
        """Sender, link domains and countries that no approved campaign of the workspace had."""
        member.require(Action.DECIDE_CAMPAIGNS)
        return await self._first_times.of(member, traits(campaign, listing))

    async def last_approved(self, member: Member, campaign: Campaign) -> Campaign | None:
        """Of the same author: what this one is compared with."""
        member.require(Action.DECIDE_CAMPAIGNS)
        where = {"author_id": campaign.author_id, "state": "Approved"}
        newest = Sort("submitted_at", descending=True)
        page = await self._workspaces.scope(member).find(CAMPAIGNS, where, sort=newest, limit=2)
        return next((one for one in page.records if one.id != campaign.id), None)

    async def review(self, member: Member, campaign_id: UUID | str) -> Review:
        """The content that would be sent, with its dry run."""
        member.require(Action.DECIDE_CAMPAIGNS)
        return await self._campaigns.review(member, campaign_id)

    def why_not(self, member: Member, campaign: Campaign) -> str:
        """Why this member may not decide it: a sentence, empty where they may."""
        if not member.may(Action.DECIDE_CAMPAIGNS):
            return "Your role does not decide campaigns."
        if member.actor.user_id in campaign.contributors:
            return OWN
        return "" if campaign.state == "Pending" else "It does not wait for a decision."

    async def approve(self, member: Member, campaign_id: UUID | str, revision: int, opened: str) -> Campaign:
        """Approve what was looked at (`revision`): stored, then the engine is told, now or when it is back.

        `opened` is the proof that `open` gave. Raises AlreadyDecided for all but the first of any number of
        decisions, Changed where it is not what was looked at, NotOpened without the proof, Forbidden for
        one's own, Conflict where the engine refuses to start it.
        """
        now = self._clock()
        decision_id = uuid4()

        def decide(found: Campaign) -> Campaign:
            engine_id = self._decidable(member, found, revision)
            self._openings.check(member, found, opened)
            decision = self._decision(member, found, "approved", decision_id)
            start = Order(
                decision_id=decision_id,
                kind="start",
                target_id=engine_id,
                by=member.actor.name,
                at=now,
                manifest_hash=found.manifest_hash,
            )
            approved = msgspec.structs.replace(found, state="Approved", decision=decision, note=None)
            return with_order(self._touched(member, approved, "campaign.approve"), start)

        campaign = await self._decide(member, campaign_id, decide, "approved")
        campaign, refused = await self._orders.attempt(campaign)
        if problem := refused.get(decision_id):
            raise Conflict(f"The engine did not start it: {sentence(problem)}")
        await self._remember(member, campaign)
        return campaign

    async def _remember(self, member: Member, campaign: Campaign) -> None:
        """What was shown is familiar from now on. Where that fails it is only flagged once more."""
        try:
            found = traits(campaign, self._listings.known(campaign))
            await self._first_times.remember(member, campaign, found)
        except ControlPlaneError as error:
            log.warning("first times not kept", reason=str(error))

    async def reject(self, member: Member, campaign_id: UUID | str, revision: int, note: str) -> Campaign:
        """Send it back to its author with a note, which stays pinned. Raises as `approve`."""
        note = note.strip()
        if not note:
            raise Invalid({"note": "Say why, so that it can be put right."})
        if len(note) > NOTE_LIMIT:
            raise Invalid({"note": f"Use at most {NOTE_LIMIT:,} characters."})
        now = self._clock()
        decision_id = uuid4()

        def decide(found: Campaign) -> Campaign:
            engine_id = self._decidable(member, found, revision)
            decision = self._decision(member, found, "rejected", decision_id, note)
            taken = order("return", engine_id, member.actor.name, now, decision_id)
            pinned = Note(text=note, by=member.actor.name, at=now)
            back = msgspec.structs.replace(
                found,
                state="New",
                decision=decision,
                rejections=(*found.rejections, decision)[-REJECTIONS_KEPT:],
                note=pinned,
                engine_id=None,
                manifest_hash="",
            )
            return with_order(self._touched(member, back, "campaign.reject", note), taken)

        campaign = await self._decide(member, campaign_id, decide, "rejected")
        return (await self._orders.attempt(campaign))[0]

    async def _decide(
        self,
        member: Member,
        campaign_id: UUID | str,
        decide: Callable[[Campaign], Campaign],
        verdict: Verdict,
    ) -> Campaign:
        member.require(Action.DECIDE_CAMPAIGNS)
        scope = self._workspaces.scope(member)
        campaign = await scope.get(CAMPAIGNS, campaign_id)
        try:
            decided = await change(scope, CAMPAIGNS, campaign.id, decide)
        except AlreadyDecided:
            self._metrics.decisions.labels("late").inc()
            raise
        self._metrics.decisions.labels(verdict).inc()
        return decided

    def _decidable(self, member: Member, found: Campaign, revision: int) -> UUID:
        if found.state in ("Approved", "New") and found.decision is not None:
            raise AlreadyDecided(found.decision.by, found.decision.at, found.decision.verdict)
        if found.state != "Pending" or found.engine_id is None:
            raise Conflict("It does not wait for a decision.")
        if member.actor.user_id in found.contributors:
            raise Forbidden(OWN)
        if found.revision != revision:
            raise Changed("campaign")
        return found.engine_id

    def _decision(
        self, member: Member, found: Campaign, verdict: Verdict, decision_id: UUID, note: str = ""
    ) -> Decision:
        return Decision(
            decision_id=decision_id,
            verdict=verdict,
            by_id=member.actor.user_id,
            by=member.actor.name,
            at=self._clock(),
            note=note,
            manifest_hash=found.manifest_hash,
        )

    def _touched(self, member: Member, campaign: Campaign, action: str, note: str = "") -> Campaign:
        now = self._clock()
        happened = acted(
            member,
            action,
            now,
            target=campaign,
            target_name=campaign.name,
            details={"note": note} if note else {},
        )
        touched = msgspec.structs.replace(campaign, revision=campaign.revision + 1, changed_at=now)
        return with_event(touched, happened)
