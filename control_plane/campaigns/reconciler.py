"""Sends again what was decided and not acknowledged, until the engine has answered all of it."""

import asyncio

import structlog

from control_plane.campaigns.model import CAMPAIGNS
from control_plane.campaigns.orders import Orders
from control_plane.documents.store import DocumentStore, VersionConflict
from control_plane.errors import EngineUnavailable, NotFound, StoreUnavailable
from control_plane.metrics import Metrics
from engine.core_api.client import CoreError

log = structlog.get_logger(__name__)


class Reconciler:
    def __init__(self, store: DocumentStore, orders: Orders, metrics: Metrics) -> None:
        self._store = store
        self._orders = orders
        self._metrics = metrics

    async def run_once(self) -> int:
        """Try every campaign with outstanding orders; how many still have some."""
        left, after = 0, None
        away = False
        while True:
            page = await self._store.find(CAMPAIGNS, {"outstanding": True}, after=after)
            for campaign in page.records:
                if away:
                    left += 1
                    continue
                try:
                    await self._orders.issue(campaign.id)
                except EngineUnavailable as error:
                    log.info("orders wait for the engine", reason=str(error))
                    # It answered, only not to this one: the others need not wait behind it.
                    away = not isinstance(error.__cause__, CoreError)
                    left += 1
                except (NotFound, VersionConflict):
                    continue
            if page.next is None:
                break
            after = page.next
        self._metrics.outstanding.set(left)
        return left

    async def run(self, interval_s: float) -> None:
        while True:
            try:
                await self.run_once()
            except StoreUnavailable as error:
                log.warning("reconciler waits", reason=str(error))
            except Exception as error:  # one bad document must not leave every later pause untold
                log.error("reconciler failed", reason=type(error).__name__, exc_info=error)
            await asyncio.sleep(interval_s)
