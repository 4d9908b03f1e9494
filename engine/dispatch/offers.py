"""Slices that can be claimed on one account: express before bulk, workspaces and campaigns in fair turns, and
one slice worked by one bind."""

from collections.abc import Iterator
from typing import Generic, TypeVar
from uuid import UUID

from engine.dispatch.campaign import CampaignRun, OpenSlice
from engine.dispatch.fairness import Turns
from engine.dispatch.planner import BULK, EXPRESS

Owner = TypeVar("Owner")


class Offers(Generic[Owner]):
    """Open slices by campaign. `take` gives the next slice for the asking bind, `charge` says how much was
    claimed of it: workspaces share by weight, campaigns of one take turns."""

    def __init__(self) -> None:
        self._slices: dict[CampaignRun, list[OpenSlice]] = {}  # in turn
        self._owners: dict[OpenSlice, Owner] = {}
        self._turns = {EXPRESS: Turns(), BULK: Turns()}

    def __iter__(self) -> Iterator[CampaignRun]:
        return iter(self._slices)

    def add_campaign(self, run: CampaignRun) -> None:
        self._slices[run] = []

    def remove_campaign(self, run: CampaignRun) -> None:
        for each in self._slices.pop(run, ()):
            self._owners.pop(each, None)

    def add(self, each: OpenSlice) -> None:
        self._slices[each.run].append(each)

    def unclaimed(self, run: CampaignRun) -> int:
        return sum(each.left for each in self._slices.get(run, ()))

    def take(self, owner: Owner, *, bulk: bool = True) -> OpenSlice | None:
        """A slice this bind may claim from: its own of the campaign, else one that nobody works on. Without
        `bulk` only the express lane is asked."""
        for lane in (EXPRESS, BULK) if bulk else (EXPRESS,):
            found: dict[UUID, OpenSlice] = {}  # the first of each workspace
            weights: dict[UUID, float] = {}
            for run, slices in self._slices.items():
                workspace = run.key.workspace_id
                # one that waits for its next slice keeps its place and its credit
                if run.lane != lane or not run.running or not (slices or not run.exhausted):
                    continue
                weights[workspace] = run.weight
                each = None if workspace in found else self._of(run, owner)
                if each is not None:
                    found[workspace] = each
            if found:
                each = found[self._turns[lane].next(weights, found.keys())]
                self._owners[each] = owner
                self._slices[each.run] = self._slices.pop(each.run)  # its campaign's next turn is the last
                return each
        return None

    def turn_rows(self, each: OpenSlice, rows: int) -> int:
        """Rows of it to claim in this turn, of those that are wanted: where workspaces share, a turn's worth,
        so that no claim is many turns long."""
        return self._turns[each.run.lane].rows(each.run.key.workspace_id, each.run.weight, rows)

    def charge(self, each: OpenSlice, rows: int) -> None:
        """`rows` of it are being claimed."""
        self._turns[each.run.lane].charge(each.run.key.workspace_id, rows)

    def has(self, owner: Owner) -> bool:
        """Whether there is a slice this bind may claim from, or may when its claim or give-back is
        through."""
        return any(
            each.left and self._owners.get(each, owner) is owner
            for run, slices in self._slices.items()
            if run.running
            for each in slices
        )

    def add_unknown(self, run: CampaignRun, slices: list[OpenSlice]) -> bool:
        """Those of the campaign's slices that are not here yet; whether there were any."""
        known = {each.slice_id for each in self._slices.get(run, ())}
        fresh = [each for each in slices if each.slice_id not in known]
        for each in fresh:
            self.add(each)
        return bool(fresh)

    def drop(self, each: OpenSlice) -> None:
        """Wholly claimed, or lost to another worker."""
        self._owners.pop(each, None)
        slices = self._slices.get(each.run, [])
        if each in slices:
            slices.remove(each)

    def put_back(self, each: OpenSlice) -> None:
        """Rows of it were given back: it can be claimed again, by any bind."""
        self._owners.pop(each, None)
        slices = self._slices.get(each.run)
        if slices is not None and each.left and each not in slices:
            slices.insert(0, each)

    def disown(self, owner: Owner) -> None:
        """The bind is down: others may go on with its slices."""
        self._owners = {each: holder for each, holder in self._owners.items() if holder is not owner}

    def _of(self, run: CampaignRun, owner: Owner) -> OpenSlice | None:
        free = None
        for each in self._slices[run]:
            if each.busy or not each.left:
                continue
            holder = self._owners.get(each)
            if holder is owner:
                return each
            if holder is None and free is None:
                free = each
        return free
