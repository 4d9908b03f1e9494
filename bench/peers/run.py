"""All peers and our link in one run: the same sink, the same messages, one bind, a receipt a message."""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.limit.programs import sink
from bench.measure import Comparison, Contender, InvalidRun, Round, Size, peak_rss_bytes, side_by_side
from bench.peers.environment import Environment, Installed, last_line
from bench.report import Result, compared
from bench.scenarios.messages import messages, rendered
from bench.scenarios.submit import BATCH_ROWS, our_round
from engine._fast import text as texts

WINDOW = 1000
TRIAL = 200  # messages that show whether a driver works at all
TRIAL_S = 30.0
ROUND_S = 300.0
SEVERAL = 3
SOME = 1000  # different messages in the file
OURS = "heliograph"

Say = Callable[[str], None]


@dataclass
class Peers:
    """What came of it. `reasons`: of those that could not be measured."""

    result: Result
    measured: list[Installed]
    reasons: dict[str, str] = field(default_factory=dict)


class DriverFailed(InvalidRun):
    """A peer's driver ended without its result."""


def run(
    environment: Environment, installed: Sequence[Installed], folder: Path, size: Size, say: Say
) -> Peers:
    """Tries each peer with a few messages, then runs those that work side by side with our link.

    Raises InvalidRun where none works, or our own link fails.
    """
    count = size.units(default=400_000, quick=20_000)
    file = folder / "messages.json"
    write_messages(file)
    reasons = {one.peer.name: one.reason for one in installed if one.reason}
    rows = messages(BATCH_ROWS)
    with sink() as smsc:

        def contender(one: Installed, units: int, timeout_s: float) -> Round:
            return drive(environment, one, smsc.port, units, file, timeout_s)

        measured = []
        for one in installed:
            if one.reason:
                continue
            say(f"{one.peer.name} {one.version}: tried ...")
            try:
                contender(one, TRIAL, TRIAL_S)
            except DriverFailed as error:
                reasons[one.peer.name] = str(error)
            else:
                measured.append(one)
        comparison, failed = _compare(
            measured, contender, lambda: our_round(smsc.port, count, rows), count, size, say
        )
    reasons |= failed
    measured = [one for one in measured if one.peer.name not in reasons]
    if not measured:
        raise InvalidRun("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
    parameters = {
        "messages": count,
        "peer_messages": {one.peer.name: share(one, count) for one in measured},
        "window": WINDOW,
        "receipts": "one a message, acknowledged",
        "repeats": size.repeats,
    }
    result = compared(
        "peers",
        "message",
        parameters,
        comparison,
        peak_rss_bytes(),
        versions={one.peer.name: one.version for one in measured},
        not_measured=reasons,
    )
    return Peers(result, measured, reasons)


def _compare(
    measured: Sequence[Installed],
    contender: Callable[[Installed, int, float], Round],
    ours: Contender,
    count: int,
    size: Size,
    say: Say,
) -> tuple[Comparison, dict[str, str]]:
    """A peer that fails in a long run leaves it; the others begin again without it."""
    failed: dict[str, str] = {}
    while True:
        left = [one for one in measured if one.peer.name not in failed]
        contenders: dict[str, Contender] = {OURS: ours}
        for one in left:
            contenders[one.peer.name] = _named(one, contender, share(one, count))
        say(f"side by side: {', '.join(contenders)} ...")
        try:
            return side_by_side(contenders, size.repeats), failed
        except PeerFailed as error:
            failed[error.name] = str(error)
            say(f"{error.name}: {error}")


class PeerFailed(DriverFailed):
    """The same, with its name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def _named(one: Installed, contender: Callable[[Installed, int, float], Round], units: int) -> Contender:
    def turn() -> Round:
        try:
            return contender(one, units, ROUND_S)
        except DriverFailed as error:
            raise PeerFailed(one.peer.name, str(error)) from error

    return turn


def share(one: Installed, count: int) -> int:
    """Its messages: its share of them, but several windows."""
    return max(SEVERAL * WINDOW, round(count * one.peer.share))


def drive(
    environment: Environment, one: Installed, port: int, units: int, file: Path, timeout_s: float
) -> Round:
    """One turn of a peer's driver. Raises DriverFailed."""
    arguments = [str(port), str(units), str(WINDOW), str(file)]
    try:
        done = environment.run(one, arguments, timeout_s)
    except subprocess.TimeoutExpired as error:
        raise DriverFailed(f"{units:,} messages were not done within {timeout_s:.0f} s") from error
    try:
        told = json.loads(done.stdout.splitlines()[-1])
        turn = Round(int(told["units"]), float(told["seconds"]), float(told["cpu_s"]))
    except (IndexError, ValueError, KeyError, TypeError):
        raise DriverFailed(f"its driver failed: {last_line(done)}") from None
    if turn.units != units or turn.seconds <= 0:
        raise DriverFailed(f"{turn.units:,} of {units:,} messages")
    return turn


def write_messages(file: Path) -> None:
    """[number, text, octets in hex, data_coding] of each: what our link sends."""
    rows = []
    for number, text in rendered(0, SOME):
        septets = texts.encode_gsm(text)
        octets = texts.encode_ucs2(text) if septets is None else septets
        rows.append([number, text, octets.hex(), 8 if septets is None else 0])
    file.write_text(json.dumps(rows), "utf-8")
