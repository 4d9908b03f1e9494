"""The whole path with its ledger: `heliograph demo`, against the same link without one."""

import json
import resource
import subprocess
import sys
from typing import Any

from bench.measure import InvalidRun, Round, Size, side_by_side
from bench.report import Result, compared
from bench.scenarios.messages import messages
from bench.scenarios.smsc_process import smsc
from bench.scenarios.submit import BATCH_ROWS, our_round

WINDOW = 1000
TPS = 1_000_000  # no limit of the channel's: the machine is what is measured


class Unbalanced(InvalidRun):
    """The demo's equation did not balance: its rate means nothing."""


def run(size: Size) -> Result:
    count = size.units(default=100_000, quick=5_000)
    rows = messages(BATCH_ROWS)
    outcomes: list[dict[str, Any]] = []

    def durable() -> Round:
        before = _children_cpu_s()
        outcome = demo(count)
        outcomes.append(outcome)
        return Round(outcome["submissions"], outcome["seconds"]["dispatch"], _children_cpu_s() - before)

    with smsc("--receipt-delay-ms", "200") as port:
        comparison = side_by_side(
            {"durable": durable, "submit without ledger": lambda: our_round(port, count, rows, WINDOW)},
            size.repeats,
        )
    parameters = {"recipients": count, "window": WINDOW, "tps": TPS, "repeats": size.repeats}
    last = outcomes[-1]
    return compared(
        "durable",
        "message",
        parameters,
        comparison,
        max(outcome["peak_rss_bytes"]["engine"] for outcome in outcomes),
        seconds=last["seconds"],
        peak_rss_bytes=last["peak_rss_bytes"],
    )


def demo(recipients: int) -> dict[str, Any]:
    """Runs `heliograph demo` in a process of its own. Raises Unbalanced."""
    command = [sys.executable, "-m", "control_plane.launcher.cli", "demo", "--json"]
    command += ["--recipients", str(recipients), "--tps", str(TPS), "--window", str(WINDOW)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = process.stdout.splitlines()
    if not lines:
        raise Unbalanced(f"the demo printed no result: {process.stderr[-500:]}")
    outcome: dict[str, Any] = json.loads(lines[-1])
    if process.returncode or not outcome["balanced"]:
        raise Unbalanced(outcome["first_difference"] or process.stderr[-500:])
    return outcome


def _children_cpu_s() -> float:
    """CPU of the demo and all it started and waited for: engine, control plane, PostgreSQL, simulator."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
