"""What the engine is told of a campaign: stored first, sent in order, sent again until it answers.

Each order has its decision id in the document before it is sent, and the engine does a decision once. So a
request, its repetition after a crash and the reconciler may all send it.
"""

from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

import msgspec
import structlog

from control_plane.audit.outbox import event, with_event
from control_plane.campaigns.engine_errors import as_ours, passing, sentence
from control_plane.campaigns.model import CAMPAIGNS, Campaign, Note, Order, OrderKind
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.documents.change import change
from control_plane.documents.store import DocumentStore
from control_plane.errors import EngineUnavailable
from control_plane.metrics import Metrics
from engine.core_api import schema
from engine.core_api.client import CoreError, CoreUnavailable

log = structlog.get_logger(__name__)

STARTED = ("Sending", "Paused", "Done", "Cancelled", "Failed", "Expired")


def order(kind: OrderKind, target_id: UUID, by: str, at: datetime, decision_id: UUID | None = None) -> Order:
    return Order(decision_id=decision_id or uuid4(), kind=kind, target_id=target_id, by=by, at=at)


def with_order(campaign: Campaign, new: Order) -> Campaign:
    """The campaign with an order to store: send it after the replace."""
    return msgspec.structs.replace(campaign, orders=(*campaign.orders, new), outstanding=True)


class Orders:
    def __init__(self, store: DocumentStore, core: Core, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._core = core
        self._clock = clock
        self._metrics = metrics
        self.overridden: dict[UUID, datetime] = {}  # engine's campaigns that were paused past their document

    async def issue(self, campaign_id: UUID) -> tuple[Campaign, dict[UUID, schema.Problem]]:
        """Send what is outstanding, oldest first: the campaign then, and refusals by decision id.

        Raises EngineUnavailable with the rest still stored: the reconciler goes on with it.
        """
        refused: dict[UUID, schema.Problem] = {}
        campaign = await self._store.get(CAMPAIGNS, campaign_id)
        while campaign.orders:
            first = campaign.orders[0]
            answer = self._late(first) or await self._send(first)
            if isinstance(answer, schema.Problem):
                refused[first.decision_id] = answer
            now = self._clock()
            campaign = await change(
                self._store,
                CAMPAIGNS,
                campaign_id,
                partial(settled, what=first, answer=answer, now=now),
            )
        return campaign, refused

    async def attempt(self, campaign: Campaign) -> tuple[Campaign, dict[UUID, schema.Problem]]:
        """`issue`, where an engine that is away may be told later."""
        try:
            return await self.issue(campaign.id)
        except EngineUnavailable:
            return await self._store.get(CAMPAIGNS, campaign.id), {}

    async def _send(self, what: Order) -> schema.Campaign | schema.Problem | None:
        try:
            answer = await self._tell(what)
        except CoreUnavailable as error:
            self._metrics.orders.labels(what.kind, "unreachable").inc()
            raise EngineUnavailable(f"The engine does not answer: {error}") from error
        except CoreError as error:
            if passing(error.problem):
                self._metrics.orders.labels(what.kind, "unreachable").inc()
                raise as_ours(error.problem, "campaign") from error
            self._metrics.orders.labels(what.kind, "refused").inc()
            log.warning("the engine refused", order=what.kind, reason=sentence(error.problem))
            return error.problem
        self._metrics.orders.labels(what.kind, "acknowledged").inc()
        return answer

    def _late(self, what: Order) -> schema.Problem | None:
        """A resume that was stored before a pause which went to the engine directly must not undo it."""
        paused_at = self.overridden.get(what.target_id)
        if what.kind != "resume" or paused_at is None or what.at > paused_at:
            return None
        return schema.Problem(
            type="urn:heliograph:problem:conflict", title="It was paused or cancelled meanwhile.", status=409
        )

    async def _tell(self, what: Order) -> schema.Campaign | None:
        if what.kind == "discard":
            await self._core.discard_upload(what.target_id)
            return None
        if what.kind == "seal":
            assert what.spec is not None
            return await self._core.seal_campaign(what.spec)
        command = schema.CampaignCommand(
            decision_id=what.decision_id, command=what.kind, manifest_hash=what.manifest_hash
        )
        try:
            return await self._core.command(what.target_id, command)
        except CoreError:
            if what.kind == "start":
                # Refused, though it runs: it was started. Handed back to its author it would go out twice.
                there = await self._core.campaign(what.target_id)
                if there.state in STARTED:
                    return there
            raise


def settled(
    campaign: Campaign, what: Order, answer: schema.Campaign | schema.Problem | None, now: datetime
) -> Campaign:
    """The campaign after the engine's answer to one of its orders. A pure function; twice is once."""
    left = tuple(item for item in campaign.orders if item.decision_id != what.decision_id)
    if len(left) == len(campaign.orders):
        return campaign
    after = msgspec.structs.replace(campaign, orders=left, outstanding=True if left else None)
    if isinstance(answer, schema.Problem):
        return _refused(after, what, answer, now)
    if what.kind == "seal" and after.state == "Building" and after.engine_id == what.target_id:
        assert answer is not None
        return msgspec.structs.replace(
            after,
            state="Pending",
            revision=after.revision + 1,
            manifest_hash=answer.manifest_hash,
            recipients=answer.counts.accepted,
        )
    return after


def _refused(campaign: Campaign, what: Order, problem: schema.Problem, now: datetime) -> Campaign:
    """A refused seal or start gives the campaign back to its author, with the engine's reason pinned."""
    current = campaign.engine_id == what.target_id
    sent_back = current and (
        (what.kind == "seal" and campaign.state == "Building")
        or (what.kind == "start" and campaign.state == "Approved")
    )
    happened = event(
        f"campaign.{what.kind}_refused",
        now,
        actor="engine",
        workspace_id=campaign.workspace_id,
        target=campaign,
        target_name=campaign.name,
        details={"reason": sentence(problem)},
    )
    told = tuple(one for one in campaign.told if one.decision_id != what.decision_id)
    campaign = with_event(msgspec.structs.replace(campaign, told=told), happened)
    if not sent_back:
        return campaign
    back = msgspec.structs.replace(
        campaign,
        state="New",
        revision=campaign.revision + 1,
        engine_id=None,
        decision=None,
        changed_at=now,
        note=Note(text=f"The engine refused it: {sentence(problem)}", by="Heliograph", at=now),
    )
    return (
        with_order(back, order("return", what.target_id, "Heliograph", now)) if what.kind == "start" else back
    )
