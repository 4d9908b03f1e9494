"""The fake engine's operations: stops, doubts, error maps, orphan receipts, inbound messages.

What only a real engine can produce (doubts, codes seen, orphans) tests put in.
"""

from datetime import UTC, datetime
from typing import NoReturn
from uuid import UUID

import msgspec

from engine.core_api import schema
from engine.core_api.client import CoreError, CoreUnavailable

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES: dict[schema.ErrorClass, str] = {
    "session": "The message is sent again on another bind; this bind stops.",
    "throttle": "The bind pauses for a second and slows down; the message is sent again.",
    "queue_full": "That message is sent again in 5 to 15 minutes.",
    "temporary": "The message is tried up to 3 times.",
    "channel": "The message goes over the next channel of its route, else it fails.",
    "permanent": "The message fails at once.",
}


def refuse(name: str, status: int, detail: str, field: str = "") -> NoReturn:
    problem = f"urn:heliograph:problem:{name}"
    errors = [{"field": field, "detail": detail}] if field else []
    raise CoreError(schema.Problem(type=problem, title=name, status=status, detail=detail, errors=errors))


class FakeReach:
    """`away`: nothing is reached."""

    def __init__(self) -> None:
        self.away = False
        self.done: list[str] = []  # commands that had an effect, in order

    def _reach(self) -> None:
        if self.away:
            raise CoreUnavailable("the engine cannot be reached")


class FakeOperations(FakeReach):
    def __init__(self) -> None:
        super().__init__()
        self.held: list[schema.DoubtGroup] = []
        self.seen_codes: dict[str, list[schema.ErrorCode]] = {}
        self.orphan_receipts: list[schema.Orphan] = []
        self.inbound_messages: list[schema.Inbound] = []
        self._stops: dict[UUID, schema.Stop] = {}
        self._maps: dict[tuple[str, str, str], schema.ErrorCode] = {}

    async def stops(self) -> schema.Stops:
        self._reach()
        return schema.Stops(stops=sorted(self._stops.values(), key=lambda stop: stop.lifted_at is not None))

    async def stop(self, spec: schema.StopSpec) -> schema.Stop:
        self._reach()
        if spec.channel is not None and not self._knows_channel(spec.channel):
            refuse("not-found", 404, f"no channel {spec.channel}")
        if spec.decision_id not in self._stops:
            self._stops[spec.decision_id] = schema.Stop(
                stop_id=spec.decision_id,
                scope=spec.scope,
                workspace_id=spec.workspace_id,
                channel=spec.channel,
                reason=spec.reason,
                stopped_at=STARTED,
                lifted_at=None,
                made_by=spec.made_by,
            )
            self.done.append("stop")
        return self._stops[spec.decision_id]

    async def lift_stop(self, stop_id: UUID, spec: schema.LiftSpec) -> schema.Stop:
        self._reach()
        if stop_id not in self._stops:
            refuse("not-found", 404, "no such stop")
        self._stops[stop_id] = msgspec.structs.replace(self._stops[stop_id], lifted_at=STARTED)
        self.done.append("lift")
        return self._stops[stop_id]

    async def doubts(self, campaign_id: UUID | None = None) -> schema.DoubtGroups:
        self._reach()
        groups = [group for group in self.held if campaign_id in (None, group.campaign_id)]
        return schema.DoubtGroups(
            groups=groups, messages=sum(group.messages for group in groups), resending=0
        )

    async def resolve_doubts(self, spec: schema.DoubtResolution) -> schema.DoubtResolved:
        self._reach()
        group = next((group for group in self.held if group.key == spec.key), None)
        if group is None:
            refuse("not-found", 404, "no such group")
        if spec.action not in group.actions:
            refuse("conflict", 409, "not possible now")
        if spec.action == "leave":
            at = self.held.index(group)
            self.held[at] = msgspec.structs.replace(group, left=True)
        else:
            self.held.remove(group)
        self.done.append(f"doubts {spec.action}")
        return schema.DoubtResolved(
            key=spec.key,
            action=spec.action,
            messages=group.messages,
            parts=group.parts,
            campaign_state=group.campaign_state,
        )

    async def channel_errors(self, name: str) -> schema.ChannelErrors:
        self._reach()
        self._require_channel(name)
        mapped = {key[1:]: entry for key, entry in self._maps.items() if key[0] == name}
        codes = [mapped.get((code.context, code.code), code) for code in self.seen_codes.get(name, [])]
        codes += [entry for key, entry in mapped.items() if all(key != (c.context, c.code) for c in codes)]
        return schema.ChannelErrors(
            channel=name,
            tripped="",
            tripped_at=None,
            codes=codes,
            unmapped=[code for code in codes if not code.mapped and not code.built_in and code.count],
        )

    async def put_channel_error(self, name: str, spec: schema.ErrorCodeSpec) -> schema.ErrorCode:
        known = await self.channel_errors(name)
        if not spec.code:
            refuse("invalid", 422, "a code is needed", "code")
        found = next(
            (one for one in known.codes if (one.context, one.code) == (spec.context, spec.code)), None
        )
        entry = schema.ErrorCode(
            context=spec.context,
            code=spec.code,
            name=found.name if found else spec.code,
            error_class=spec.error_class,
            effect=CLASSES[spec.error_class],
            meaning=spec.meaning,
            note=spec.note,
            mapped=True,
            built_in=found.built_in if found else False,
            count=found.count if found else 0,
            last_at=found.last_at if found else None,
            version=(found.version if found else 0) + 1,
        )
        self._maps[(name, spec.context, spec.code)] = entry
        self.done.append("classify")
        return entry

    async def delete_channel_error(self, name: str, context: schema.MappedContext, code: str) -> None:
        await self.channel_errors(name)
        if self._maps.pop((name, context, code), None) is None:
            refuse("not-found", 404, "no such entry")

    async def import_channel_errors(
        self, name: str, spec: schema.ErrorCodeImport
    ) -> schema.ErrorCodeImported:
        await self.channel_errors(name)
        lines = [line.split(",") for line in spec.csv.splitlines() if line.strip()]
        if any(len(line) < 2 or line[1] not in CLASSES for line in lines):
            refuse("invalid", 422, "line 1: unknown class", "csv")
        for code, kind, *rest in lines:
            await self.put_channel_error(
                name,
                schema.ErrorCodeSpec(
                    decision_id=spec.decision_id,
                    context=spec.context,
                    code=code,
                    error_class=kind,  # type: ignore[arg-type]
                    meaning=rest[0] if rest else "",
                ),
            )
        return schema.ErrorCodeImported(added=len(lines), changed=0, unchanged=0)

    async def reset_channel(self, name: str, spec: schema.ChannelReset) -> None:
        self._reach()
        self._require_channel(name)
        self.done.append("reset")

    async def orphans(
        self,
        *,
        account: str | None = None,
        age: schema.OrphanAge | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> schema.Orphans:
        self._reach()
        found = [
            one for one in self.orphan_receipts if account in (None, one.account) and age in (None, one.age)
        ]
        counts = {kind: sum(one.age == kind for one in self.orphan_receipts) for kind in ("waiting", "aged")}
        return schema.Orphans(orphans=found[:limit], next=None, **counts)

    async def retry_orphans(self, spec: schema.OrphanRetry) -> schema.OrphanRetried:
        self._reach()
        wanted = spec.orphan_ids
        found = [one for one in self.orphan_receipts if wanted is None or one.orphan_id in wanted]
        self.done.append("retry orphans")
        return schema.OrphanRetried(orphans=len(found))

    async def inbound(
        self, *, account: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> schema.InboundPage:
        self._reach()
        found = [one for one in self.inbound_messages if account in (None, one.account)]
        return schema.InboundPage(messages=found[:limit], next=None)

    def _knows_channel(self, name: str) -> bool:
        raise NotImplementedError

    def _require_channel(self, name: str) -> None:
        if not self._knows_channel(name):
            refuse("not-found", 404, f"no channel {name}")
