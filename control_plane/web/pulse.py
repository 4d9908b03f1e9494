"""The top bar's live pulse."""

from dataclasses import dataclass

from control_plane.campaigns.engine_errors import engine
from control_plane.core import Core
from control_plane.web.latest import Latest
from control_plane.web.translation import _
from engine.core_api import schema


@dataclass(frozen=True)
class PulseView:
    in_flight: int
    sent_per_s: float
    delivered_per_s: float
    tone: str
    icon: str
    word: str


class Pulse:
    """None: the engine does not answer."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._latest = Latest(self._ask)

    async def view(self) -> PulseView | None:
        pulse = await self._latest.view()
        return _view(pulse) if pulse is not None else None

    async def _ask(self) -> schema.Pulse:
        with engine():
            return await self._core.pulse()


def _view(pulse: schema.Pulse) -> PulseView:
    if pulse.status != "ok":
        look = ("held", "held", _("Engine %(status)s") % {"status": pulse.status})
    elif pulse.binds_total and pulse.binds_bound == 0:
        look = ("failed", "failed", _("No bind"))
    elif pulse.binds_bound < pulse.binds_total:
        bound = {"bound": pulse.binds_bound, "total": pulse.binds_total}
        look = ("held", "held", _("%(bound)d of %(total)d bound") % bound)
    else:
        look = ("delivered", "delivered", _("Bound") if pulse.binds_total else _("Ready"))
    return PulseView(pulse.in_flight, pulse.sent_per_s, pulse.delivered_per_s, *look)
