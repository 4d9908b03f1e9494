"""A fault: what is done to a lab while it sends, and what may come of it at most."""

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.chaos.lab import Lab, Settings

Play = Callable[[Lab], Awaitable[None]]

GROUPS = ("crash", "process", "database", "wire", "smsc", "routes")


@dataclass(frozen=True)
class Fault:
    """`play(lab)` sends and breaks. `policy` is the campaigns' in-doubt policy; under `resend` each crash and
    each lost session may cost `max_claimed` duplicates, under `hold` none."""

    name: str
    group: str
    summary: str
    play: Play
    settings: Callable[[], Settings] = Settings
    policy: str = "hold"
    finish_s: float = 40.0
    may_fail: bool = False  # messages may end as FAILED
    doubts: bool = True  # messages may end in doubt
    settles: bool = False  # every receipt finds its message: the ledger's states are the SMSC's


FAULTS: dict[str, Fault] = {}


def fault(
    group: str,
    summary: str,
    *,
    settings: Callable[[], Settings] = Settings,
    policy: str = "hold",
    finish_s: float = 40.0,
    may_fail: bool = False,
    doubts: bool = True,
    settles: bool | None = None,
) -> Callable[[Play], Play]:
    """Enters a function under its own name into the table. Without doubts it settles."""

    def enter(play: Play) -> Play:
        name = play.__name__
        assert name not in FAULTS, name
        FAULTS[name] = Fault(
            name,
            group,
            summary,
            play,
            settings,
            policy,
            finish_s,
            may_fail,
            doubts,
            not doubts if settles is None else settles,
        )
        return play

    return enter


def table() -> dict[str, Fault]:
    """All of them, by name."""
    for group in GROUPS:
        importlib.import_module(f"bench.chaos.faults.{group}")
    return FAULTS
