"""What every page says until it is over: the stops in force, and an audit that cannot be written."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from control_plane.access import Action
from control_plane.errors import ControlPlaneError
from control_plane.services import Services
from control_plane.stops.stops import INSTALLATION
from control_plane.web import format as show
from control_plane.web.latest import Latest
from control_plane.web.session import Visit
from control_plane.web.translation import _, ngettext
from engine.core_api import schema


class Banner:
    def __init__(self, services: Services) -> None:
        self._stops = services.stops
        self._workspaces = services.workspaces
        self._spool = services.spool
        self._latest = Latest(services.stops.open, keep=True)

    def stale(self) -> None:
        self._latest.stale()

    def concerns(self, visit: Visit, stop: schema.Stop | schema.StopSpec) -> bool:
        """Somebody else's workspace is nobody's business."""
        if stop.scope != "workspace" or visit.actor.may(Action.STOP_EVERYTHING):
            return True
        return any(workspace.id == stop.workspace_id for workspace in visit.workspaces)

    async def rows(self, visit: Visit) -> list[dict[str, Any]]:
        """Those that concern the visitor; first the ones that the engine has not confirmed yet."""
        specs = [spec for spec in self._stops.pending if self.concerns(visit, spec)]
        stops = [stop for stop in await self._latest.view() or [] if self.concerns(visit, stop)]
        names = await self._names(visit, [*specs, *stops])
        asked = [self._row(names, spec) for spec in specs]
        return asked + [
            {
                **self._row(names, stop),
                "id": str(stop.stop_id),
                "at": stop.stopped_at,
                "may_lift": self._stops.may_lift(visit.actor, stop),
                "above": stop.made_by == INSTALLATION,
            }
            for stop in stops
        ]

    def audit(self, visit: Visit) -> list[dict[str, Any]]:
        """That the audit goes to its file, to who may read it; that the file is full, to everybody."""
        fallback = self._spool.view()
        found = []
        if fallback.lost:
            what = ngettext(
                "%(n)s audit event is lost: neither the documents nor the fallback file took it",
                "%(n)s audit events are lost: neither the documents nor the fallback file took them",
                fallback.lost,
            ) % {"n": show.number(fallback.lost)}
            note = _("Changes are refused until it can be written again. Tell an administrator now.")
            found.append({"what": what, "note": note, "at": fallback.lost_since, "severe": True})
        may_read = visit.may(Action.VIEW_AUDIT) or visit.actor.super_admin
        if fallback.away and may_read:
            what = _("The audit is written to its fallback file: %(size)s") % {
                "size": show.size(fallback.waiting_bytes)
            }
            note = _("The documents do not answer. It is moved there by itself when they do.")
            found.append({"what": what, "note": note, "at": None, "severe": False})
        return found

    async def _names(self, visit: Visit, stops: Sequence[schema.Stop | schema.StopSpec]) -> dict[UUID, str]:
        """Of the stopped workspaces; those that are not the visitor's are asked for."""
        names = {workspace.id: workspace.name for workspace in visit.workspaces}
        if visit.actor.may(Action.MANAGE_WORKSPACES) and not visit.remembered:
            for workspace_id in {stop.workspace_id for stop in stops if stop.workspace_id} - names.keys():
                with suppress(ControlPlaneError):
                    names[workspace_id] = (await self._workspaces.look(visit.actor, workspace_id)).name
        return names

    def _row(self, names: Mapping[UUID, str], stop: schema.Stop | schema.StopSpec) -> dict[str, Any]:
        what = {
            "everything": _("All sending is stopped"),
            "channel": _("Sending over %(name)s is stopped") % {"name": stop.channel or ""},
            "workspace": _("Sending of %(name)s is stopped")
            % {"name": names.get(stop.workspace_id, stop.workspace_id) if stop.workspace_id else ""},
        }[stop.scope]
        return {"id": "", "what": what, "reason": stop.reason, "at": None, "may_lift": False, "above": False}


def may_stop(visit: Visit) -> bool:
    return visit.actor.may(Action.STOP_EVERYTHING) or visit.may(Action.STOP_WORKSPACE)
