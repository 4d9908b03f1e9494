"""Slices that can be claimed on one account: campaigns in turn, and one slice worked by one bind."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from engine.dispatch.campaign import CampaignRun, OpenSlice

Owner = TypeVar("Owner")


class Offers(Generic[Owner]):
    """Open slices by campaign. Each claim goes to the next campaign that has something for the asking
    bind."""

    def __init__(self) -> None:
        self._slices: dict[CampaignRun, list[OpenSlice]] = {}
        self._owners: dict[OpenSlice, Owner] = {}
        self._turn: deque[CampaignRun] = deque()

    def __iter__(self) -> Iterator[CampaignRun]:
        return iter(self._slices)

    def add_campaign(self, run: CampaignRun) -> None:
        self._slices[run] = []
        self._turn.append(run)

    def remove_campaign(self, run: CampaignRun) -> None:
        for each in self._slices.pop(run, ()):
            self._owners.pop(each, None)
        if run in self._turn:
            self._turn.remove(run)

    def add(self, each: OpenSlice) -> None:
        self._slices[each.run].append(each)

    def unclaimed(self, run: CampaignRun) -> int:
        return sum(each.left for each in self._slices.get(run, ()))

    def take(self, owner: Owner) -> OpenSlice | None:
        """A slice this bind may claim from: its own of the campaign, else one that nobody works on."""
        for _ in range(len(self._turn)):
            run = self._turn[0]
            self._turn.rotate(-1)
            if not run.running:
                continue
            free = None
            for each in self._slices[run]:
                if each.busy or not each.left:
                    continue
                holder = self._owners.get(each)
                if holder is owner:
                    return each
                if holder is None and free is None:
                    free = each
            if free is not None:
                self._owners[free] = owner
                return free
        return None

    def has(self, owner: Owner) -> bool:
        """Whether there is a slice this bind may claim from, or may when its claim or give-back is
        through."""
        return any(
            each.left and self._owners.get(each, owner) is owner
            for run, slices in self._slices.items()
            if run.running
            for each in slices
        )

    def add_unknown(self, run: CampaignRun, slices: list[OpenSlice]) -> None:
        """Those of the campaign's slices that are not here yet."""
        known = {each.slice_id for each in self._slices.get(run, ())}
        for each in slices:
            if each.slice_id not in known:
                self.add(each)

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
