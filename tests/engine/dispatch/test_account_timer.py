"""The timer of an account's binds, on the loop the engine runs on."""

import time
from array import array
from types import SimpleNamespace
from typing import Any, cast

import uvloop

from engine.dispatch.account import AccountBinds
from engine.dispatch.retry import Retry


class OneBind:
    """A channel whose single bind is up and takes nothing just now."""

    number = 1
    submits = bound = True
    writable = False
    free = 10

    def binds(self, _account: object, _owner: object) -> list["OneBind"]:
        return [self]

    def start(self) -> None:
        """It is up already."""

    def classify(self, _status: int) -> str:
        raise AssertionError("nothing was answered")


def test_a_wake_up_that_is_due_already_does_not_break_the_next_pump() -> None:
    uvloop.run(_pump_twice_too_late())  # its handle of a time already due knows no time


async def _pump_twice_too_late() -> None:
    nothing = cast(Any, None)
    account = SimpleNamespace(account_id=1, tps=1000, window_size=10, binds=1)
    binds = AccountBinds(
        cast(Any, account),
        cast(Any, OneBind()),
        fence=cast(Any, SimpleNamespace(deadline=float("inf"))),
        writer=nothing,
        budget=nothing,
        on_idle=nothing,
        on_low=lambda: None,
        on_down=nothing,
        on_bind=nothing,
    )
    binds.hold([1])
    binds.set_share(1000)
    late = time.monotonic() - 1
    binds.retries.add(late - 1, Retry(1, 0, array("i", [0])))
    binds.pump(late)
    binds.pump(late)
    assert binds._timer is not None
    binds._timer.cancel()
