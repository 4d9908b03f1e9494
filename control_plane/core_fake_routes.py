"""The fake engine's routes: kept, versioned, and asked. Every channel can send."""

from uuid import UUID

import msgspec

from control_plane.core_fake_channels import FakeChannels
from control_plane.core_fake_operations import refuse
from engine.core_api import schema


class FakeRoutes(FakeChannels):
    def __init__(self) -> None:
        super().__init__()
        self._routes: dict[int, schema.Route] = {}
        self._route_answers: dict[UUID, schema.Route] = {}

    async def routes(self) -> list[schema.Route]:
        self._reach()
        return sorted(self._routes.values(), key=lambda one: (one.prefix, one.position, one.route_id))

    async def put_route(self, route_id: int | None, spec: schema.RouteSpec) -> schema.Route:
        self._reach()
        if spec.decision_id in self._route_answers:
            return self._route_answers[spec.decision_id]
        self._check_channels(spec)
        known = self._known(route_id, spec.version) if route_id is not None else None
        if any(one.name == spec.name and one.route_id != route_id for one in self._routes.values()):
            refuse("bad-route", 422, f"name: there is a route {spec.name!r} already")
        kept = schema.Route(
            route_id=known.route_id if known else len(self._routes) + 1,
            name=spec.name,
            position=spec.position,
            prefix=spec.prefix,
            workspace_id=spec.workspace_id,
            category=spec.category,
            sender_kind=spec.sender_kind,
            lane=spec.lane,
            enabled=spec.enabled,
            version=known.version + 1 if known else 1,
            channels=spec.channels,
        )
        self._routes[kept.route_id] = self._route_answers[spec.decision_id] = kept
        self.done.append("put route")
        return kept

    async def delete_route(self, route_id: int, version: int) -> None:
        self._reach()
        del self._routes[self._known(route_id, version).route_id]
        self.done.append("delete route")

    async def explain_route(self, question: schema.RouteQuestion) -> schema.RouteExplanation:
        """By the longest prefix alone, among enabled routes of any workspace or the question's."""
        number = question.msisdn.removeprefix("+")
        fitting = [
            one
            for one in await self.routes()
            if one.enabled
            and number.startswith(one.prefix)
            and one.workspace_id in (None, question.workspace_id)
            and one.category in (None, question.category)
        ]
        taken = max(fitting, key=lambda one: len(one.prefix), default=None)
        considered = [
            schema.RouteChoice(
                route=one.name,
                prefix=one.prefix,
                matches=one is taken,
                why="taken" if one is taken else f"the number does not begin with {one.prefix}",
            )
            for one in self._routes.values()
        ]
        if taken is None:
            return schema.RouteExplanation(
                channel="", route="", why="no route leads there", order=[], considered=considered
            )
        return schema.RouteExplanation(
            channel=taken.channels[0].channel,
            route=taken.name,
            why=f"longest prefix {taken.prefix} on route {taken.name!r}",
            order=taken.channels,
            considered=considered,
        )

    def _check_channels(self, spec: schema.RouteSpec) -> None:
        names = [each.channel for each in spec.channels]
        if len(set(names)) < len(names):
            refuse("bad-route", 422, "channels: one stands twice")
        if unknown := [name for name in names if not self._knows_channel(name)]:
            refuse("bad-route", 422, f"channels: no channel {', '.join(map(repr, unknown))}")

    def _known(self, route_id: int, version: int | None) -> schema.Route:
        if route_id not in self._routes:
            refuse("not-found", 404, f"no route {route_id}")
        found = self._routes[route_id]
        if found.version != version:
            refuse("changed", 409, f"route {route_id} is at version {found.version}, not {version}")
        return msgspec.structs.replace(found)
