"""Traffic that belongs to no campaign: orphan receipts, inbound messages, PDU traces. Views are audited."""

from uuid import UUID, uuid4

import msgspec

from control_plane.access import Action, Actor
from control_plane.audit.audit import Audit
from control_plane.audit.commands import Commands
from control_plane.campaigns.engine_errors import engine
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.workspaces.numbers import masked
from engine.core_api import schema


class Traffic:
    """Numbers leave here masked."""

    def __init__(self, core: Core, audit: Audit, clock: Clock) -> None:
        self._core = core
        self._commands = Commands(audit, clock)

    async def orphans(
        self,
        actor: Actor,
        *,
        account: str | None,
        age: schema.OrphanAge | None,
        cursor: str | None,
        limit: int,
    ) -> schema.Orphans:
        actor.require(Action.VIEW_TRAFFIC)
        with engine("orphan receipt"):
            page = await self._core.orphans(account=account, age=age, cursor=cursor, limit=limit)
        shown = [msgspec.structs.replace(one, msisdn=_masked(one.msisdn)) for one in page.orphans]
        return msgspec.structs.replace(page, orphans=shown)

    async def retry_orphans(self, actor: Actor, account: str | None) -> int:
        """Look once more for all open ones' messages; how many are tried."""
        actor.require(Action.VIEW_TRAFFIC)
        spec = schema.OrphanRetry(decision_id=uuid4(), account=account)
        async with self._commands.audited(actor, "orphans.retry", "account", account or "all"):
            return (await self._core.retry_orphans(spec)).orphans

    async def inbound(
        self, actor: Actor, *, account: str | None, cursor: str | None, limit: int
    ) -> schema.InboundPage:
        """What people wrote; that somebody read it is told."""
        actor.require(Action.VIEW_TRAFFIC)
        async with self._commands.audited(actor, "inbound.view", "account", account or "all"):
            page = await self._core.inbound(account=account, cursor=cursor, limit=limit)
        shown = [msgspec.structs.replace(one, msisdn=_masked(one.msisdn)) for one in page.messages]
        return msgspec.structs.replace(page, messages=shown)

    async def traces(self, actor: Actor) -> list[schema.Trace]:
        actor.require(Action.VIEW_TRAFFIC)
        with engine("trace"):
            return (await self._core.traces()).traces

    async def trace(self, actor: Actor, trace_id: int, after: int = 0) -> schema.TracePdus:
        actor.require(Action.VIEW_TRAFFIC)
        with engine("trace"):
            return await self._core.trace(trace_id, after)

    async def start_trace(
        self,
        actor: Actor,
        scope: str,
        *,
        account: str = "",
        number: int | None = None,
        msisdn: str = "",
        message_id: UUID | None = None,
        seconds: int = 300,
    ) -> schema.Trace:
        """Invalid names the fields that are wrong."""
        actor.require(Action.VIEW_TRAFFIC)
        spec = schema.TraceSpec(
            decision_id=uuid4(),
            scope=scope,  # type: ignore[arg-type]  # the engine refuses what is none
            account=account,
            number=number,
            msisdn=msisdn,
            message_id=message_id,
            seconds=seconds,
        )
        details = {"scope": scope, "bind": number or "", "number": msisdn, "message": message_id or ""}
        async with self._commands.audited(actor, "trace.start", "account", account, details):
            return await self._core.start_trace(spec)

    async def end_trace(self, actor: Actor, trace_id: int) -> None:
        actor.require(Action.VIEW_TRAFFIC)
        async with self._commands.audited(actor, "trace.end", "trace", str(trace_id)):
            await self._core.end_trace(trace_id)


def _masked(number: str) -> str:
    return masked(number) if number else ""
