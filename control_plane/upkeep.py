"""What has to be done now and then: expired sessions, forgotten failures, old audit entries are dropped."""

import asyncio

import structlog

from control_plane.audit.audit import Audit
from control_plane.clock import Clock
from control_plane.documents.store import DocumentStore
from control_plane.errors import StoreUnavailable
from control_plane.identity.model import FAILURES, LOGIN_STEPS, SESSIONS
from control_plane.joining.model import RESETS

INTERVAL_S = 600.0

log = structlog.get_logger(__name__)


async def upkeep(store: DocumentStore, audit: Audit, clock: Clock) -> None:
    while True:
        try:
            await store.purge(SESSIONS, clock())
            await store.purge(FAILURES, clock())
            await store.purge(LOGIN_STEPS, clock())
            await store.purge(RESETS, clock())
            await audit.purge(clock())
        except StoreUnavailable as error:
            log.warning("upkeep waits", reason=str(error))
        except Exception as error:  # or nothing would be dropped until the next start
            log.error("upkeep failed", reason=type(error).__name__, exc_info=error)
        await asyncio.sleep(INTERVAL_S)
