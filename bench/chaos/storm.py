"""Kill after kill, of whatever runs, until there were enough."""

import asyncio
from collections import Counter

from bench.chaos.lab import Lab, LabError

POINTS = ("after_claim", "after_write", "after_response", "before_commit", "after_commit")
ARMED_S = 8.0  # an engine that does not come to its point in this time is killed where it is
MOST_PASSES = 4


class Storm:
    """`await rage()`, then `killed` says what and where."""

    def __init__(self, lab: Lab, kills: int) -> None:
        self._lab = lab
        self._kills = kills
        self.done = 0
        self.killed: Counter[str] = Counter()

    async def rage(self) -> None:
        lab = self._lab
        await lab.start_control_plane()
        await lab.under_way(0.02)
        while self.done < self._kills:
            await asyncio.sleep(lab.random.uniform(0.05, 0.8))
            match lab.random.choices(("engine", "point", "postgres", "control_plane"), (4, 4, 2, 1))[0]:
                case "engine":
                    await lab.crash()
                    self._count("engine at random")
                case "point":
                    await self._at_a_point()
                case "postgres":
                    await lab.database.kill()
                    await lab.database.start()
                    self._count("postgres")
                case _:
                    await self._control_plane()

    async def _at_a_point(self) -> None:
        """Two kills: one that arms the next life, and its death at the point."""
        lab = self._lab
        point = lab.random.choice(POINTS)
        lab.arm(point, lab.random.randint(1, MOST_PASSES))
        deaths = len(lab.engine.deaths)
        await lab.crash()
        self._count("engine at random")
        if self.done >= self._kills:
            return
        try:
            await lab.engine.back(deaths + 2, ARMED_S)
        except LabError:
            await lab.crash()
            self._count("engine at random")
        else:
            lab.crashes += 1
            self._count(point)

    async def _control_plane(self) -> None:
        control_plane = self._lab.control_plane
        assert control_plane is not None
        deaths = len(control_plane.deaths)
        control_plane.process_kill()
        await control_plane.back(deaths + 1)
        self._count("control plane")

    def _count(self, what: str) -> None:
        self.done += 1
        self.killed[what] += 1

    def bound(self) -> int:
        """Each crash of the engine, and each session that broke, may double what was claimed."""
        return self._lab.crashes * self._lab.settings.max_claimed
