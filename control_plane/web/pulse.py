"""The top bar's live pulse: one question a second to the engine, whoever and however many look."""

import asyncio
import time
from dataclasses import dataclass

from control_plane.campaigns.engine_errors import engine
from control_plane.core import Core
from control_plane.errors import ControlPlaneError
from control_plane.web.translation import _
from engine.core_api import schema

FRESH_S = 1.0
PATIENCE_S = 0.8  # a page does not wait longer for it


@dataclass(frozen=True)
class PulseView:
    in_flight: int
    sent_per_s: float
    delivered_per_s: float
    tone: str
    icon: str
    word: str


class Pulse:
    """The last answer, asked again when it is older than a second. None: the engine does not answer."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._asked_at = float("-inf")
        self._last: schema.Pulse | None = None
        self._asking: asyncio.Task[None] | None = None

    async def view(self) -> PulseView | None:
        if self._asking is None and time.monotonic() - self._asked_at > FRESH_S:
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=PATIENCE_S)
        return _view(self._last) if self._last is not None else None

    async def _ask(self) -> None:
        try:
            with engine():
                self._last = await self._core.pulse()
        except ControlPlaneError:
            self._last = None
        finally:
            self._asked_at = time.monotonic()
            self._asking = None


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
