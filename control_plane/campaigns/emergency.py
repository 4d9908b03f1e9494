"""Pause and cancel with the documents away: the engine is told directly, the audit by the fallback file.

Who asks is known from their session, the campaign from the last time this process read it; of one that it has
not read, the engine says whose workspace it is of. A resume that was stored before and not yet sent is
dropped when it is a pause's turn: see Orders.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

import msgspec

from control_plane.access import Action, Member
from control_plane.audit.outbox import WITHOUT_STORE, acted
from control_plane.audit.spool import Spool
from control_plane.campaigns.engine_errors import engine
from control_plane.campaigns.model import Campaign
from control_plane.campaigns.orders import Orders
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.errors import Conflict, ControlPlaneError, EngineUnavailable, NotFound
from engine.core_api import schema

KEPT = 10_000
FITS = {"pause": ("Building", "Sending"), "cancel": ("Building", "Sending", "Paused")}

Emergency = Literal["pause", "cancel"]


@dataclass(frozen=True)
class Known:
    workspace_id: UUID
    engine_id: UUID | None
    name: str
    people: frozenset[UUID]  # who wrote any of it


class Emergencies:
    def __init__(self, core: Core, spool: Spool, orders: Orders, clock: Clock) -> None:
        self._core = core
        self._spool = spool
        self._orders = orders
        self._clock = clock
        self._known: OrderedDict[UUID, Known] = OrderedDict()

    def saw(self, campaign: Campaign) -> None:
        """Remember a campaign that was just read."""
        people = frozenset((campaign.author_id, *campaign.contributors))
        self._known[campaign.id] = Known(campaign.workspace_id, campaign.engine_id, campaign.name, people)
        self._known.move_to_end(campaign.id)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    async def command(self, member: Member, campaign_id: str, control: Emergency) -> schema.Campaign:
        """The engine's campaign after it. Forbidden, NotFound, Conflict where it does not send,
        EngineUnavailable: not done, for there is no document that could carry the order."""
        member.require(Action.CONTROL_CAMPAIGNS)
        try:
            wanted = UUID(campaign_id)
        except ValueError:
            raise NotFound("campaign") from None
        known = self._known.get(wanted)
        if known is not None:
            self._require(member, known)
            if known.engine_id is None:
                raise Conflict(f"A campaign that is not sending cannot {control}.")
        elif not member.may(Action.VIEW_ALL_CAMPAIGNS):
            raise NotFound("campaign")
        engine_id = known.engine_id if known is not None and known.engine_id is not None else wanted
        with engine():
            there = await self._core.campaign(engine_id)
        if there.workspace_id != member.workspace_id:
            raise NotFound("campaign")
        if there.state not in FITS[control]:
            raise Conflict(f"A campaign in {there.state} cannot {control}.")
        await self._tell(member, f"campaign.{control}", wanted, there.name)
        self._orders.overridden[engine_id] = self._clock()
        try:
            with engine():
                return await self._core.command(
                    engine_id, schema.CampaignCommand(decision_id=uuid4(), command=control)
                )
        except EngineUnavailable:
            await self._tell(member, f"campaign.{control}_unanswered", wanted, there.name)
            raise
        except ControlPlaneError:
            await self._tell(member, f"campaign.{control}_refused", wanted, there.name)
            raise

    async def _tell(self, member: Member, action: str, campaign_id: UUID, name: str) -> None:
        """Whether or not the file takes it: what is lost is counted."""
        details = {WITHOUT_STORE: "session as last confirmed"}
        happened = acted(member, action, self._clock(), target_name=name, details=details)
        await self._spool.write(msgspec.structs.replace(happened, target_id=campaign_id))

    @staticmethod
    def _require(member: Member, known: Known) -> None:
        own = member.actor.user_id in known.people
        if known.workspace_id != member.workspace_id or not (own or member.may(Action.VIEW_ALL_CAMPAIGNS)):
            raise NotFound("campaign")
