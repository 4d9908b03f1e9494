"""Commands to the engine that no document carries: the audit event is stored before the engine is told."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID, uuid5

import msgspec

from control_plane.access import MASTER_ID, Actor
from control_plane.audit.audit import Audit
from control_plane.audit.outbox import Event, acted
from control_plane.campaigns.engine_errors import engine
from control_plane.clock import Clock
from control_plane.errors import ControlPlaneError, EngineUnavailable


def target_id(kind: str, name: str) -> UUID:
    """Of a thing that the engine knows by its name, or by a number where names change: the same always, so
    that its events are found."""
    return uuid5(MASTER_ID, f"{kind}:{name}")


class Commands:
    """Who may is asked before, by the caller."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self.audit = audit
        self._clock = clock

    @asynccontextmanager
    async def audited(
        self,
        actor: Actor,
        action: str,
        kind: str,
        name: str,
        details: Mapping[str, object] | None = None,
        *,
        workspace_id: UUID = MASTER_ID,
        known_as: str = "",
    ) -> AsyncIterator[None]:
        """Around a call of the Core API. StoreUnavailable before it: nothing was done.

        What the engine refuses is told too, and what became of it where it did not answer. `known_as`: by
        which the events are found, else the name.
        """
        target = target_id(kind, known_as or name)

        async def tell(action: str, details: Mapping[str, object] | None) -> None:
            happened = self._event(actor, action, kind, name, details, workspace_id)
            await self.audit.record(msgspec.structs.replace(happened, target_id=target))

        await tell(action, details)
        try:
            with engine(kind):
                yield
        except EngineUnavailable:
            await tell(f"{action}_unanswered", {"reason": ""})
            raise
        except ControlPlaneError as error:
            await tell(f"{action}_refused", {"reason": str(error)})
            raise

    def _event(
        self,
        actor: Actor,
        action: str,
        kind: str,
        name: str,
        details: Mapping[str, object] | None,
        workspace_id: UUID,
    ) -> Event:
        return acted(
            actor,
            action,
            self._clock(),
            workspace_id=workspace_id,
            target_kind=kind,
            target_name=name,
            details=details,
        )
