"""Stops, as this worker obeys them: what is covered is cut at once, what waits for a next try is deferred."""

from collections.abc import Mapping

import structlog

from engine.dispatch.working import Working
from engine.ledger import stops
from engine.ledger.claims import ClaimInfo
from engine.ledger.pool import Pool

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.4  # and when told: within a second nothing goes out any more, also where nobody hears


class Halt:
    """`look` brings the accounts at work to what the open stops say."""

    def __init__(self, pool: Pool, working: Mapping[int, Working]) -> None:
        self.covered = stops.Covered()
        self._pool = pool
        self._working = working

    async def look(self) -> bool:
        """Whether something was stopped or lifted since the last look."""
        covered = await stops.covered(self._pool)
        changed = covered != self.covered
        if changed:
            log.warning(
                "stops",
                everything=covered.everything,
                workspaces=len(covered.workspaces),
                channels=len(covered.channels),
            )
        self.covered = covered
        self.apply()
        return changed

    def apply(self) -> None:
        """Campaigns that are covered are cut. Before that, what waits for its next try is deferred to retry
        slices, which no claim takes now: what a cut leaves of a message that was begun may go out until the
        next look."""
        if not self.covered:
            return
        for working in self._working.values():
            working.binds.defer(self._holds)
            for run in list(working.runs.values()):
                if self.covered.holds(run.key.workspace_id, run.key.channel_id):
                    working.cut(run)
                    working.runs.pop(run.leg, None)

    def _holds(self, info: ClaimInfo) -> bool:
        return self.covered.holds(info.workspace_id, info.channel_id)
