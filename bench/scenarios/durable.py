"""The whole path with its ledger (`heliograph demo`), fsync on, against Python libraries that keep nothing.

Its rate is from the approval to the last receipt in the ledger. The simulator, the database and the console
run on the same machine; the libraries have it for themselves and the simulator.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from bench.demo import SMSC
from bench.measure import InvalidRun, Round, Size, side_by_side
from bench.report import Result, Target, compared
from bench.scenarios.libraries import smpp34_round, smpplib_round
from bench.scenarios.smsc_process import smsc

WINDOW = 1000
TPS = 1_000_000  # no limit of the channel's: the machine is what is measured
OVER_LIBRARIES = 5.0
LARGE = 2_000_000  # from here on a campaign of a tenth runs beside it: a large one is as fast
AS_FAST = 0.9


class Unbalanced(InvalidRun):
    """The demo's equation did not balance: its rate means nothing."""


def run(size: Size) -> Result:
    count = size.units(default=500_000, quick=5_000)
    outcomes: list[dict[str, Any]] = []

    def durable(recipients: int) -> Round:
        outcome = demo(recipients)
        outcomes.append(outcome)
        messages = outcome["submissions"]
        cpu_s = (
            messages * sum(v for name, v in outcome["a_message"].items() if name.endswith("_cpu_us")) / 1e6
        )
        return Round(messages, messages / outcome["received_per_s"], cpu_s)

    contenders = {"durable": lambda: durable(count)}
    if count >= LARGE:
        contenders["durable, a tenth"] = lambda: durable(count // 10)
    with smsc("--receipt-delay-ms", "200", "--receipt-window", "20000") as port:
        contenders["smpplib"] = lambda: smpplib_round(port, 1_000 if size.quick else 5_000, WINDOW)
        contenders["smpp34"] = lambda: smpp34_round(port, 2_000 if size.quick else 50_000, WINDOW)
        comparison = side_by_side(contenders, size.repeats)
    fastest = min((comparison.ratios["durable/smpplib"], comparison.ratios["durable/smpp34"]),
                  key=lambda ratio: ratio.median)  # fmt: skip
    targets = [Target(name="over the fastest Python library", ratio=fastest.median, target=OVER_LIBRARIES)]
    if count >= LARGE:
        ratio = comparison.ratios["durable/durable, a tenth"]
        targets.append(Target(name="as fast as a tenth of it", ratio=ratio.median, target=AS_FAST))
    mine = [each for each in outcomes if each["recipients"] == count]
    last = mine[-1]
    return compared(
        "durable",
        "message",
        {"recipients": count, "window": WINDOW, "tps": TPS, "smsc": SMSC, "repeats": size.repeats},
        comparison,
        max(outcome["peak_rss_bytes"]["engine"] for outcome in mine),
        cost=last["a_message"],
        targets=targets,
        seconds=last["seconds"],
        peak_rss_bytes=last["peak_rss_bytes"],
    )


def demo(recipients: int, options: Sequence[str] = (), window: int = WINDOW) -> dict[str, Any]:
    """Runs `heliograph demo` in a process of its own. Raises Unbalanced."""
    command = [sys.executable, "-m", "control_plane.launcher.cli", "demo", "--json", *options]
    command += ["--recipients", str(recipients), "--tps", str(TPS), "--window", str(window)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = process.stdout.splitlines()
    if not lines:
        raise Unbalanced(f"the demo printed no result: {process.stderr[-500:]}")
    outcome: dict[str, Any] = json.loads(lines[-1])
    if process.returncode or not outcome["balanced"]:
        raise Unbalanced(outcome["first_difference"] or process.stderr[-500:])
    return outcome
