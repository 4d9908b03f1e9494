"""What is done about each error code of a channel's operator: the map over the built-in table."""

from uuid import uuid4

from control_plane.access import Action, Actor
from control_plane.audit.audit import Audit
from control_plane.audit.commands import Commands
from control_plane.campaigns.engine_errors import engine
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.errors import Invalid
from engine.core_api import schema

CSV_LIMIT = 200_000


class ErrorMaps:
    def __init__(self, core: Core, audit: Audit, clock: Clock) -> None:
        self._core = core
        self._commands = Commands(audit, clock)

    async def of(self, actor: Actor, channel: str) -> schema.ChannelErrors:
        actor.require(Action.MANAGE_CHANNELS)
        with engine("channel"):
            return await self._core.channel_errors(channel)

    async def classify(
        self,
        actor: Actor,
        channel: str,
        *,
        context: schema.MappedContext,
        code: str,
        error_class: schema.ErrorClass,
        meaning: str = "",
        note: str = "",
    ) -> schema.ErrorCode:
        """From the next message on, the code is treated as its class says."""
        await self.of(actor, channel)
        spec = schema.ErrorCodeSpec(
            decision_id=uuid4(),
            context=context,
            code=code.strip(),
            error_class=error_class,
            meaning=meaning.strip(),
            note=note.strip(),
        )
        details = {"context": context, "code": spec.code, "class": error_class, "meaning": spec.meaning}
        async with self._commands.audited(actor, "channel.classify_error", "channel", channel, details):
            return await self._core.put_channel_error(channel, spec)

    async def forget(self, actor: Actor, channel: str, context: schema.MappedContext, code: str) -> None:
        """Back to what the built-in table says of it."""
        await self.of(actor, channel)
        details = {"context": context, "code": code}
        async with self._commands.audited(actor, "channel.forget_error", "channel", channel, details):
            await self._core.delete_channel_error(channel, context, code)

    async def load(
        self, actor: Actor, channel: str, context: schema.MappedContext, csv: str
    ) -> schema.ErrorCodeImported:
        """A table of codes; nothing is stored where a line is wrong (Invalid says which)."""
        await self.of(actor, channel)
        if not csv.strip() or len(csv) > CSV_LIMIT:
            raise Invalid(
                {"csv": f"Paste lines of code, class, meaning, note; at most {CSV_LIMIT:,} characters."}
            )
        spec = schema.ErrorCodeImport(decision_id=uuid4(), context=context, csv=csv)
        details = {"context": context, "lines": len(csv.splitlines())}
        async with self._commands.audited(actor, "channel.import_errors", "channel", channel, details):
            return await self._core.import_channel_errors(channel, spec)

    async def reset(self, actor: Actor, channel: str) -> None:
        """A channel that the breaker stopped sends again."""
        await self.of(actor, channel)
        spec = schema.ChannelReset(decision_id=uuid4())
        async with self._commands.audited(actor, "channel.reset_breaker", "channel", channel):
            await self._core.reset_channel(channel, spec)
