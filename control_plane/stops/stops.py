"""Stop all sending: of a workspace, a channel, or everything. It needs the engine only.

The documents may be away: who asks is known from their session (web/session.py), the audit event goes to the
local spool before the engine is told, and an engine that does not answer is asked again until it does.
Lifting is no emergency: it is audited in the store first, like every change.
"""

import asyncio
from uuid import UUID, uuid4

import msgspec
import structlog

from control_plane.access import MASTER_ID, Action, Actor, enter
from control_plane.audit.audit import Audit
from control_plane.audit.outbox import Event, acted
from control_plane.audit.spool import WITHOUT_STORE, Spool
from control_plane.campaigns.engine_errors import engine
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.errors import EngineUnavailable, Forbidden, Invalid, NotFound, Suspended
from engine.core_api import schema

log = structlog.get_logger(__name__)

AGAIN_S = 0.5
REASON_LIMIT = 200
INSTALLATION, WORKSPACE = "installation", "workspace"  # the rank of who made a stop; kept by the engine


class Stops:
    """`pending`: stops that were asked for and that the engine has not confirmed."""

    def __init__(self, core: Core, audit: Audit, spool: Spool, clock: Clock) -> None:
        self._core = core
        self._audit = audit
        self._spool = spool
        self._clock = clock
        self._pending: dict[UUID, schema.StopSpec] = {}
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> list[schema.StopSpec]:
        return [*self._pending.values()]

    async def open(self) -> list[schema.Stop]:
        """Stops that are not lifted, as the engine has them. EngineUnavailable."""
        with engine("stop"):
            return [stop for stop in (await self._core.stops()).stops if stop.lifted_at is None]

    async def stop(
        self,
        actor: Actor,
        scope: schema.StopScope,
        *,
        workspace_id: UUID | None = None,
        channel: str | None = None,
        reason: str = "",
        without_store: bool = False,
    ) -> schema.Stop | None:
        """The stop, in force on all workers; None: the engine did not answer and is asked again.

        Raises Forbidden, NotFound (a workspace that is not the actor's, a channel that is not there).
        """
        spec = self._spec(actor, scope, workspace_id, channel, reason)
        details = {"scope": scope, "reason": spec.reason}
        if without_store:
            details[WITHOUT_STORE] = "session as last confirmed"
        await self._spool.write(self._event(actor, "stop.order", spec, details))
        self._pending[spec.decision_id] = spec
        try:
            return await self._tell(spec)
        except EngineUnavailable:
            task = asyncio.create_task(self._until_told(spec), name="stop")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
            return None
        except BaseException:
            self._pending.pop(spec.decision_id, None)
            raise

    async def lift(self, actor: Actor, stop_id: UUID) -> schema.Stop:
        """Sending goes on where the stop held it. What the installation's administrators stopped only they
        let go on. Raises Forbidden, NotFound, StoreUnavailable."""
        stop = next((one for one in await self.open() if one.stop_id == stop_id), None)
        spec = schema.LiftSpec(decision_id=uuid4())
        if stop is None:
            actor.require(Action.STOP_EVERYTHING)
        else:
            self._require_lift(actor, stop)
            lifted = schema.StopSpec(
                decision_id=spec.decision_id,
                scope=stop.scope,
                workspace_id=stop.workspace_id,
                channel=stop.channel,
            )
            await self._audit.record(
                self._event(actor, "stop.lift", lifted, {"scope": stop.scope, "reason": stop.reason})
            )
        with engine("stop"):
            return await self._core.lift_stop(stop_id, spec)

    def may_lift(self, actor: Actor, stop: schema.Stop) -> bool:
        try:
            self._require_lift(actor, stop)
        except (Forbidden, NotFound):
            return False
        return True

    def _require_lift(self, actor: Actor, stop: schema.Stop) -> None:
        self._require(actor, stop.scope, stop.workspace_id)
        if stop.workspace_id in actor.suspended and not actor.may(Action.STOP_EVERYTHING):
            raise Suspended
        if stop.made_by == INSTALLATION:
            actor.require(Action.STOP_EVERYTHING)

    def _spec(
        self,
        actor: Actor,
        scope: schema.StopScope,
        workspace_id: UUID | None,
        channel: str | None,
        reason: str,
    ) -> schema.StopSpec:
        if scope == "channel" and not channel:
            raise Invalid({"channel": "Choose the channel."})
        if scope == "workspace" and workspace_id is None:
            raise Invalid({"workspace": "Choose the workspace."})
        self._require(actor, scope, workspace_id)
        return schema.StopSpec(
            decision_id=uuid4(),
            scope=scope,
            workspace_id=workspace_id if scope == "workspace" else None,
            channel=channel if scope == "channel" else None,
            reason=" ".join(reason.replace("\x00", "").split())[:REASON_LIMIT],
            made_by=INSTALLATION if actor.may(Action.STOP_EVERYTHING) else WORKSPACE,
        )

    @staticmethod
    def _require(actor: Actor, scope: schema.StopScope, workspace_id: UUID | None) -> None:
        if scope == "workspace" and not actor.may(Action.STOP_EVERYTHING):
            assert workspace_id is not None
            enter(actor, workspace_id).require(Action.STOP_WORKSPACE)
        elif scope != "workspace":
            actor.require(Action.STOP_EVERYTHING)

    async def _tell(self, spec: schema.StopSpec) -> schema.Stop:
        with engine("channel"):
            stop = await self._core.stop(spec)
        self._pending.pop(spec.decision_id, None)
        return stop

    async def _until_told(self, spec: schema.StopSpec) -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            try:
                await self._tell(spec)
                return
            except EngineUnavailable:
                continue
            except Exception as error:  # the engine's no: there is nothing to ask again
                self._pending.pop(spec.decision_id, None)
                log.error("a stop was refused", scope=spec.scope, reason=type(error).__name__)
                return

    def _event(self, actor: Actor, action: str, spec: schema.StopSpec, details: dict[str, str]) -> Event:
        happened = acted(
            actor,
            action,
            self._clock(),
            workspace_id=spec.workspace_id or MASTER_ID,
            target_name=spec.channel or str(spec.workspace_id or "everything"),
            details=details,
        )
        return msgspec.structs.replace(happened, target_id=spec.decision_id)
