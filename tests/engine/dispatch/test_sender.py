"""What one bind writes next."""

from array import array
from types import SimpleNamespace
from typing import Any, cast

from engine.dispatch.pacer import Pacer
from engine.dispatch.planner import EXPRESS
from engine.dispatch.retry import Retry, RetryQueue
from engine.dispatch.sender import OVERDUE_S, Sender


class Recording(Sender):
    """Notes what is written instead of encoding it."""

    wrote: list[str]

    def _write(self, claim: Any, most: int) -> int:
        self.wrote.append("express")
        self.express -= most
        return most

    def _resend(self, retry: Retry) -> int:
        self.wrote.append("retry")
        return len(retry.indices)


def test_a_retry_waits_for_express_but_not_for_ever() -> None:
    bind = SimpleNamespace(free=1, submits=True, bound=True, writable=True)
    shared = SimpleNamespace(
        pacer=Pacer(10), retries=RetryQueue(), fence=SimpleNamespace(deadline=float("inf")), claims={}
    )
    sender = Recording(cast(Any, bind), 1, cast(Any, shared), cast(Any, None))
    sender.wrote, sender.express = [], 1000
    sender.queue.append(cast(Any, SimpleNamespace(slice=SimpleNamespace(run=SimpleNamespace(lane=EXPRESS)))))
    shared.retries.add(100.0, Retry(1, 0, array("i", [0])))
    for second in range(100, 112):
        sender.pump(float(second))
    assert sender.wrote.index("retry") == int(OVERDUE_S)
    assert sender.wrote.count("express") == 11
