"""Accounts at SMSCs and the channels over them: for the installation's admins, every change audited."""

from typing import Any
from uuid import uuid4

import msgspec

from control_plane.access import Action, Actor
from control_plane.audit.audit import Audit
from control_plane.audit.commands import Commands, target_id
from control_plane.audit.outbox import Event
from control_plane.campaigns.engine_errors import engine
from control_plane.channels.changes import differences
from control_plane.clock import Clock
from control_plane.core import BindControl, Core
from control_plane.errors import Invalid
from engine.core_api import schema

RESERVED = ("new", "test")  # parts of the console's addresses
PLAIN = (
    "host",
    "port",
    "system_id",
    "system_type",
    "bind_mode",
    "interface_version",
    "tps",
    "binds",
    "window_size",
)
HISTORY = 20


class Channels:
    """Every call takes who asks, and asks whether they may."""

    def __init__(self, core: Core, audit: Audit, clock: Clock) -> None:
        self._core = core
        self._commands = Commands(audit, clock)

    # Accounts

    async def accounts(self, actor: Actor) -> list[schema.Account]:
        actor.require(Action.MANAGE_CHANNELS)
        with engine("account"):
            return (await self._core.accounts()).accounts

    async def account(self, actor: Actor, name: str) -> schema.Account:
        actor.require(Action.MANAGE_CHANNELS)
        with engine("account"):
            return await self._core.account(name)

    async def create_account(self, actor: Actor, spec: schema.AccountSpec) -> schema.Account:
        """Invalid names the fields, Conflict where the name is taken."""
        actor.require(Action.MANAGE_CHANNELS)
        check_name(spec.name)
        details = {name: getattr(spec, name) for name in PLAIN}
        details |= spec.settings | dict.fromkeys(spec.secrets, "set")
        command = schema.AccountCommand(decision_id=uuid4(), account=spec)
        async with self._commands.audited(actor, "account.create", "account", spec.name, details):
            return await self._core.create_account(command)

    async def change_account(
        self,
        actor: Actor,
        name: str,
        version: int,
        fields: dict[str, Any],
        *,
        password: str = "",
        secrets: dict[str, str] | None = None,
    ) -> schema.Account:
        """`fields` of AccountChange, `settings` whole. Only what differs is sent and told; Conflict where
        somebody was first."""
        before = await self.account(actor, name)
        changed = {key: value for key, value in fields.items() if getattr(before, key) != value}
        given: dict[str, Any] = {**changed}
        plain = {key: value for key, value in changed.items() if key != "settings"}
        details = differences({key: getattr(before, key) for key in plain}, plain)
        details |= differences(before.settings, changed.get("settings", before.settings))
        if password:
            given["password"], details["password"] = password, "changed"
        if secrets:
            given["secrets"] = secrets
            details |= dict.fromkeys(secrets, "changed")
        if not given and version == before.version:
            return before
        change = schema.AccountChange(decision_id=uuid4(), version=version, **given)
        async with self._commands.audited(actor, "account.change", "account", name, details):
            return await self._core.change_account(name, change)

    async def clone_account(self, actor: Actor, name: str, new_name: str) -> schema.Account:
        """A copy with its secrets, disabled until somebody enables it."""
        actor.require(Action.MANAGE_CHANNELS)
        check_name(new_name)
        command = schema.CloneCommand(decision_id=uuid4(), name=new_name)
        async with self._commands.audited(actor, "account.clone", "account", new_name, {"of": name}):
            return await self._core.clone_account(name, command)

    async def drain(self, actor: Actor, name: str, *, drained: bool) -> None:
        """No new messages go over it, its binds stay for receipts; or the other way round."""
        await self.account(actor, name)
        spec = schema.ControlSpec(decision_id=uuid4())
        action = "account.drain" if drained else "account.undrain"
        async with self._commands.audited(actor, action, "account", name):
            await self._core.drain(name, spec, drained=drained)

    async def control_bind(self, actor: Actor, name: str, number: int, action: BindControl) -> None:
        await self.account(actor, name)
        spec = schema.ControlSpec(decision_id=uuid4())
        details = {"bind": number}
        async with self._commands.audited(actor, f"account.{action}_bind", "account", name, details):
            await self._core.control_bind(name, number, action, spec)

    async def test_account(self, actor: Actor, name: str) -> schema.BindReport:
        """Binds beside what is bound, looks, and unbinds; nothing is submitted."""
        await self.account(actor, name)
        async with self._commands.audited(actor, "account.test_bind", "account", name):
            return await self._core.test_account(name)

    async def test_bind(self, actor: Actor, spec: schema.AccountSpec) -> schema.BindReport:
        """The same with an account that is not stored."""
        actor.require(Action.MANAGE_CHANNELS)
        details = {"host": spec.host, "port": spec.port, "system_id": spec.system_id}
        async with self._commands.audited(actor, "account.test_bind", "account", spec.name, details):
            return await self._core.test_bind(spec)

    async def ids(self, actor: Actor, name: str) -> schema.AccountIds:
        """What its receipts taught: bases of message ids, the zone of their dates."""
        actor.require(Action.MANAGE_CHANNELS)
        with engine("account"):
            return await self._core.account_ids(name)

    async def reset_ids(self, actor: Actor, name: str) -> None:
        await self.account(actor, name)
        spec = schema.IdReset(decision_id=uuid4())
        async with self._commands.audited(actor, "account.reset_ids", "account", name):
            await self._core.reset_account_ids(name, spec)

    # Channels

    async def all(self) -> list[schema.Channel]:
        """For whoever may look; who may is the page's question."""
        with engine("channel"):
            return await self._core.channels()

    async def channel(self, actor: Actor, name: str) -> schema.Channel:
        actor.require(Action.MANAGE_CHANNELS)
        with engine("channel"):
            return await self._core.channel(name)

    async def create_channel(self, actor: Actor, spec: schema.ChannelSpec) -> schema.Channel:
        actor.require(Action.MANAGE_CHANNELS)
        check_name(spec.name)
        command = schema.ChannelCommand(decision_id=uuid4(), channel=spec)
        details = {"account": spec.account, **spec.settings}
        async with self._commands.audited(actor, "channel.create", "channel", spec.name, details):
            return await self._core.create_channel(command)

    async def change_channel(
        self, actor: Actor, name: str, version: int, fields: dict[str, Any]
    ) -> schema.Channel:
        before = await self.channel(actor, name)
        changed = {key: value for key, value in fields.items() if getattr(before, key) != value}
        if not changed and version == before.version:
            return before
        plain = {key: value for key, value in changed.items() if key != "settings"}
        details = differences({key: getattr(before, key) for key in plain}, plain)
        details |= differences(before.settings, changed.get("settings", before.settings))
        change = schema.ChannelChange(decision_id=uuid4(), version=version, **changed)
        async with self._commands.audited(actor, "channel.change", "channel", name, details):
            return await self._core.change_channel(name, change)

    async def clone_channel(self, actor: Actor, name: str, new_name: str) -> schema.Channel:
        actor.require(Action.MANAGE_CHANNELS)
        check_name(new_name)
        command = schema.CloneCommand(decision_id=uuid4(), name=new_name)
        async with self._commands.audited(actor, "channel.clone", "channel", new_name, {"of": name}):
            return await self._core.clone_channel(name, command)

    async def send_test(
        self, actor: Actor, name: str, *, msisdn: str, sender: str, text: str, alphabet: bool
    ) -> schema.TestMessage:
        """One message outside any campaign, recorded by the engine before it is written."""
        await self.channel(actor, name)
        spec = schema.TestMessageSpec(
            decision_id=uuid4(),
            msisdn=msisdn,
            sender=sender,
            text="" if alphabet else text,
            alphabet=alphabet,
        )
        details = {"to": msisdn, "sender": sender, "text": "test alphabet" if alphabet else "own text"}
        async with self._commands.audited(actor, "channel.test_message", "channel", name, details):
            return await self._core.send_test(name, spec)

    async def tests(self, actor: Actor, name: str) -> list[schema.TestMessage]:
        actor.require(Action.MANAGE_CHANNELS)
        with engine("channel"):
            return (await self._core.test_messages(name)).messages

    # What forms are made of

    async def account_settings(self, actor: Actor) -> list[schema.Setting]:
        actor.require(Action.MANAGE_CHANNELS)
        with engine("setting"):
            return await self._core.account_settings()

    async def message_settings(self, actor: Actor) -> list[schema.Setting]:
        actor.require(Action.MANAGE_CHANNELS)
        with engine("setting"):
            return await self._core.message_settings()

    async def presets(self, actor: Actor) -> list[schema.Preset]:
        actor.require(Action.MANAGE_CHANNELS)
        with engine("preset"):
            return await self._core.presets()

    async def history(self, actor: Actor, kind: str, name: str) -> list[Event]:
        """Who changed it, newest first."""
        actor.require(Action.MANAGE_CHANNELS)
        return await self._commands.audit.about(target_id(kind, name), HISTORY)


def check_name(name: str, field: str = "name") -> None:
    """Invalid where no address of the console could have the name."""
    try:
        msgspec.convert({"name": name, "account": "x"}, schema.ChannelSpec)
    except msgspec.ValidationError:
        raise Invalid(
            {field: "1 to 64 characters, without / ? # % \\ and without spaces at the ends."}
        ) from None
    if name.casefold() in RESERVED:
        raise Invalid({field: f"{name} is a word of the console itself: choose another."})
