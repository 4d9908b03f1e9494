"""The texts of a campaign as its recipients would read them: rendered by the engine from what is sealed."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from control_plane.campaigns.engine_errors import engine
from control_plane.campaigns.model import Campaign
from control_plane.core import Core
from control_plane.errors import Conflict
from control_plane.workspaces.numbers import masked
from engine.core_api import schema

KEPT = 16  # campaigns; each has at most 1,000 texts of at most 2,000 characters

Key = tuple[object, str]


class Listings:
    """Asked once for each sealed campaign, however many look at it; numbers in them are masked."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._kept: OrderedDict[Key, schema.RenderedTexts] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[schema.RenderedTexts]] = {}

    def known(self, campaign: Campaign) -> schema.RenderedTexts | None:
        """What somebody has asked for already."""
        return self._kept.get(_key(campaign))

    async def of(self, campaign: Campaign) -> schema.RenderedTexts:
        """Takes seconds over millions of recipients, once. Conflict for what is not sealed."""
        if campaign.engine_id is None or not campaign.manifest_hash:
            raise Conflict("It is not submitted: nothing of it is sealed.")
        key = _key(campaign)
        if found := self._kept.get(key):
            self._kept.move_to_end(key)
            return found
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(campaign))
            task.add_done_callback(lambda _done: self._asking.pop(key, None))
        return await asyncio.shield(task)  # who leaves the page does not take it from the others

    async def search(self, campaign: Campaign, question: schema.RenderedSearch) -> schema.RenderedMatches:
        if campaign.engine_id is None:
            raise Conflict("It is not submitted: nothing of it is sealed.")
        with engine("column"):
            found = await self._core.search_texts(campaign.engine_id, question)
        return msgspec.structs.replace(found, texts=_masked(found.texts))

    async def _ask(self, campaign: Campaign) -> schema.RenderedTexts:
        assert campaign.engine_id is not None
        with engine("text"):
            found = await self._core.campaign_texts(campaign.engine_id)
        found = msgspec.structs.replace(
            found,
            texts=_masked(found.texts),
            longest=_masked(found.longest),
            costliest=_masked(found.costliest),
            sample=_masked(found.sample),
            odd=[msgspec.structs.replace(odd, texts=_masked(odd.texts)) for odd in found.odd],
        )
        self._kept[_key(campaign)] = found
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def _key(campaign: Campaign) -> Key:
    return campaign.engine_id, campaign.manifest_hash


def _masked(texts: Iterable[schema.RenderedText]) -> list[schema.RenderedText]:
    return [msgspec.structs.replace(one, msisdn=masked(one.msisdn)) for one in texts]
