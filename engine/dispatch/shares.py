"""Who of several workers gets which of an account's binds and TPS shares. Pure; the ledger commits it.

Every worker reckons the same parts from the same rows, gives back what is too much and takes what is free.
Nobody takes from a worker whose lease holds.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

TPS_SHARES = 12  # divides evenly among 2, 3, 4 and 6 workers


@dataclass(frozen=True, slots=True)
class Change:
    """Numbers to give back, and free ones to take."""

    give: tuple[int, ...] = ()
    take: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.give or self.take)


def tps_shares(tps: int) -> int:
    """Into how many shares an account's TPS is divided: one a TPS unit where there are few."""
    return min(TPS_SHARES, tps)


def quotas(held: Mapping[int, int], total: int, turn: int = 0) -> dict[int, int]:
    """Even parts of `total` by worker id. `held`: what each has now.

    What cannot be divided stays where more is held already, so that nothing moves back and forth; else it
    goes by turn, so that many accounts with one bind spread over the workers.
    """
    if not held:
        return {}
    even, left = divmod(total, len(held))
    ids = sorted(held)
    place = {worker: (at - turn) % len(ids) for at, worker in enumerate(ids)}
    first = sorted(ids, key=lambda worker: (-held[worker], place[worker]))
    return {worker: even + (rank < left) for rank, worker in enumerate(first)}


def change(
    me: int, holders: Mapping[int, int | None], workers: Collection[int], total: int, turn: int = 0
) -> Change:
    """What worker `me` does about one account's shares of a kind.

    `holders`: holder by number, None where free. `workers`: those among whom it is divided; another one's
    shares stay its own until it gives them back.
    """
    mine = sorted(number for number, holder in holders.items() if holder == me)
    beyond = [number for number in mine if number > total]
    mine = mine[: len(mine) - len(beyond)]
    if me not in workers:
        return Change(give=(*mine, *beyond))
    held = dict.fromkeys(workers, 0)
    for number, holder in holders.items():
        if holder in held and number <= total:
            held[holder] += 1
    quota = quotas(held, total, turn)[me]
    free = sorted(number for number, holder in holders.items() if holder is None and number <= total)
    return Change(
        give=(*mine[quota:], *beyond),
        take=tuple(free[: max(0, quota - len(mine))]),
    )
