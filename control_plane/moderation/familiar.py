"""Senders, link domains and countries that campaigns of a workspace were approved with: what is not among
them is there for the first time."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

from control_plane.access import Member
from control_plane.campaigns.model import CAMPAIGNS, Campaign
from control_plane.clock import Clock
from control_plane.documents.records import Collection, Index
from control_plane.documents.scope import Owned
from control_plane.documents.store import DuplicateKey
from control_plane.workspaces.workspaces import Workspaces
from engine.core_api import schema

FamiliarKind = Literal["sender", "domain", "country"]
VALUE_LIMIT = 255


class Familiar(Owned, frozen=True, kw_only=True):
    kind: FamiliarKind
    value: str  # countries by their calling code
    campaign_id: UUID  # the first
    at: datetime


FAMILIAR = Collection("familiar", Familiar, indexes=(Index(("workspace_id", "kind", "value"), unique=True),))


def traits(campaign: Campaign, listing: schema.RenderedTexts | None) -> dict[FamiliarKind, list[str]]:
    """What may be there for the first time. Without the listing neither domains nor countries are known."""
    hosts = [one.host for one in listing.hosts] if listing is not None else []
    countries = [one.calling_code for one in listing.countries] if listing is not None else []
    return {
        "sender": [campaign.sender],
        "domain": [*dict.fromkeys(host[:VALUE_LIMIT] for host in hosts)],
        "country": [code for code in countries if code],
    }


class FirstTimes:
    def __init__(self, workspaces: Workspaces, clock: Clock) -> None:
        self._workspaces = workspaces
        self._clock = clock

    async def of(
        self, member: Member, found: Mapping[FamiliarKind, Iterable[str]]
    ) -> dict[FamiliarKind, list[str]]:
        """Those of `found` that no approved campaign of the workspace had."""
        scope = self._workspaces.scope(member)
        new: dict[FamiliarKind, list[str]] = {}
        for kind, values in found.items():
            for value in values:
                if await scope.count(FAMILIAR, {"kind": kind, "value": value}):
                    continue
                # Of campaigns that were approved before this was kept, the sender is known all the same.
                before = {"state": "Approved", "sender": value}
                if kind == "sender" and await scope.count(CAMPAIGNS, before):
                    continue
                new.setdefault(kind, []).append(value)
        return new

    async def remember(
        self, member: Member, campaign: Campaign, found: Mapping[FamiliarKind, Iterable[str]]
    ) -> None:
        """They are familiar from now on."""
        scope = self._workspaces.scope(member)
        for kind, values in (await self.of(member, found)).items():
            for value in values:
                first = Familiar(
                    id=uuid4(),
                    workspace_id=member.workspace_id,
                    kind=kind,
                    value=value,
                    campaign_id=campaign.id,
                    at=self._clock(),
                )
                try:
                    await scope.insert(FAMILIAR, first)
                except DuplicateKey:
                    continue  # another approval said so at the same moment
