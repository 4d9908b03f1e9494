"""Routes over the channels: for the installation's admins, every change audited; and where a number goes."""

from typing import NoReturn
from uuid import UUID

import msgspec

from control_plane.access import Action, Actor, Member
from control_plane.audit.audit import Audit
from control_plane.audit.commands import Commands, target_id
from control_plane.audit.outbox import Event
from control_plane.campaigns.engine_errors import engine
from control_plane.channels.changes import differences
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.errors import Invalid, NotFound
from engine.core_api import schema

HISTORY = 20
ANY = "any"
FIELDS = ("name", "channels")  # of which the engine's refusals begin with the name


class Routing:
    """Every call takes who asks, and asks whether they may."""

    def __init__(self, core: Core, audit: Audit, clock: Clock) -> None:
        self._core = core
        self._commands = Commands(audit, clock)

    async def every(self, actor: Actor) -> list[schema.Route]:
        """By prefix and position."""
        actor.require(Action.MANAGE_CHANNELS)
        with engine("route"):
            return await self._core.routes()

    async def route(self, actor: Actor, route_id: int) -> schema.Route:
        found = next((one for one in await self.every(actor) if one.route_id == route_id), None)
        if found is None:
            raise NotFound("route")
        return found

    async def offered(self, member: Member) -> list[schema.Route]:
        """Enabled routes that a campaign of the workspace may go by, with what they are for."""
        member.require(Action.VIEW_CHANNELS)
        with engine("route"):
            routes = await self._core.routes()
        ours = (None, member.workspace_id)
        return [one for one in routes if one.enabled and one.workspace_id in ours]

    async def create(self, actor: Actor, spec: schema.RouteSpec) -> schema.Route:
        """Once for each decision id. Invalid names the field, where the engine says which."""
        actor.require(Action.MANAGE_CHANNELS)
        async with self._commands.audited(actor, "route.create", "route", spec.name, _said(spec)):
            try:
                with engine("route"):
                    return await self._core.put_route(None, spec)
            except Invalid as error:
                _by_field(error)

    async def change(self, actor: Actor, before: schema.Route, spec: schema.RouteSpec) -> schema.Route:
        """`spec.version` is what the change was made on: Conflict where the route has gone on since."""
        actor.require(Action.MANAGE_CHANNELS)
        details = differences(told(before), told(spec))
        if not details and spec.version == before.version:
            return before
        async with self._commands.audited(
            actor, "route.change", "route", before.name, details, known_as=_key(before.route_id)
        ):
            try:
                with engine("route"):
                    return await self._core.put_route(before.route_id, spec)
            except Invalid as error:
                _by_field(error)

    async def switch(
        self, actor: Actor, route_id: int, version: int | None, *, enabled: bool, decision_id: UUID
    ) -> schema.Route:
        """On or off; `version` None: as it is now."""
        before = await self.route(actor, route_id)
        spec = spec_of(before, decision_id)
        changed = msgspec.structs.replace(
            spec, enabled=enabled, version=before.version if version is None else version
        )
        return await self.change(actor, before, changed)

    async def delete(self, actor: Actor, route_id: int, version: int | None) -> None:
        """Campaigns that began keep their plan."""
        before = await self.route(actor, route_id)
        async with self._commands.audited(
            actor, "route.delete", "route", before.name, _said(before), known_as=_key(route_id)
        ):
            await self._core.delete_route(route_id, before.version if version is None else version)

    async def explain(self, actor: Actor, question: schema.RouteQuestion) -> schema.RouteExplanation:
        """Over all routes."""
        actor.require(Action.MANAGE_CHANNELS)
        with engine("route"):
            return await self._core.explain_route(question)

    async def explain_ours(self, member: Member, question: schema.RouteQuestion) -> schema.RouteExplanation:
        """For a message of the member's workspace. Routes that were not taken are nobody else's business."""
        member.require(Action.VIEW_CHANNELS)
        with engine("route"):
            found = await self._core.explain_route(
                msgspec.structs.replace(question, workspace_id=member.workspace_id)
            )
        return msgspec.structs.replace(found, considered=[one for one in found.considered if one.matches])

    async def history(self, actor: Actor, route_id: int) -> list[Event]:
        """Who changed it, under whatever name, newest first. Its creation stands in the audit only: it had no
        id before."""
        actor.require(Action.MANAGE_CHANNELS)
        return await self._commands.audit.about(target_id("route", _key(route_id)), HISTORY)


def _key(route_id: int) -> str:
    """No route's name: those hold no NUL."""
    return f"id\0{route_id}"


def spec_of(route: schema.Route, decision_id: UUID) -> schema.RouteSpec:
    """A route as it would be written again."""
    kept = {name: getattr(route, name) for name in route.__struct_fields__ if name != "route_id"}
    return schema.RouteSpec(decision_id=decision_id, **kept)


def told(route: schema.Route | schema.RouteSpec) -> dict[str, object]:
    """What the audit says of a route."""
    return {
        "name": route.name,
        "prefix": route.prefix or ANY,
        "position": route.position,
        "workspace": route.workspace_id or ANY,
        "category": ANY if route.category is None else route.category or "none",
        "senders": route.sender_kind or ANY,
        "lane": route.lane or ANY,
        "state": "on" if route.enabled else "off",
        "channels": ", ".join(f"{one.tier}: {one.channel} × {one.weight}" for one in route.channels),
    }


def _said(route: schema.Route | schema.RouteSpec) -> dict[str, object]:
    """Of a route that comes or goes: what it says, not what it leaves open."""
    return {name: value for name, value in told(route).items() if value != ANY}


def _by_field(error: Invalid) -> NoReturn:
    """The engine names the field first: `channels: one stands twice`."""
    named: dict[str, str] = {}
    for field, words in error.errors.items():
        known, colon, rest = words.partition(": ")
        named |= {known: rest} if colon and known in FIELDS else {field: words}
    raise Invalid(named) from error
