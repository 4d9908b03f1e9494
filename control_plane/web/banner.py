"""The stops in force, as every page says them until they are lifted."""

from typing import Any

from control_plane.access import Action
from control_plane.services import Services
from control_plane.stops.stops import INSTALLATION
from control_plane.web.latest import Latest
from control_plane.web.session import Visit
from control_plane.web.translation import _
from engine.core_api import schema


class Banner:
    def __init__(self, services: Services) -> None:
        self._stops = services.stops
        self._latest = Latest(services.stops.open, keep=True)

    def stale(self) -> None:
        self._latest.stale()

    def concerns(self, visit: Visit, stop: schema.Stop | schema.StopSpec) -> bool:
        """Somebody else's workspace is nobody's business."""
        if stop.scope != "workspace":
            return True
        return any(workspace.id == stop.workspace_id for workspace in visit.workspaces)

    async def rows(self, visit: Visit) -> list[dict[str, Any]]:
        """Those that concern the visitor; first the ones that the engine has not confirmed yet."""
        asked = [self._row(visit, spec) for spec in self._stops.pending if self.concerns(visit, spec)]
        stops = await self._latest.view() or []
        return asked + [
            {
                **self._row(visit, stop),
                "id": str(stop.stop_id),
                "at": stop.stopped_at,
                "may_lift": self._stops.may_lift(visit.actor, stop),
                "above": stop.made_by == INSTALLATION,
            }
            for stop in stops
            if self.concerns(visit, stop)
        ]

    def _row(self, visit: Visit, stop: schema.Stop | schema.StopSpec) -> dict[str, Any]:
        names = {workspace.id: workspace.name for workspace in visit.workspaces}
        what = {
            "everything": _("All sending is stopped"),
            "channel": _("Sending over %(name)s is stopped") % {"name": stop.channel or ""},
            "workspace": _("Sending of %(name)s is stopped")
            % {"name": names.get(stop.workspace_id, "") if stop.workspace_id else ""},
        }[stop.scope]
        return {"id": "", "what": what, "reason": stop.reason, "at": None, "may_lift": False, "above": False}


def may_stop(visit: Visit) -> bool:
    return visit.actor.may(Action.STOP_EVERYTHING) or visit.may(Action.STOP_WORKSPACE)
