"""`heliograph up` with a program killed in the middle of a campaign: it goes on by itself, and all balances.

The witness file outlives the simulator and is written before each answer: it says what was really accepted.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.people import Person, Stuck
from bench.simulators.smsc.witness import read as read_witness
from bench.stack import Stack

pytestmark = pytest.mark.system

ROWS = 4_000
MAX_CLAIMED = 500
WINDOW = 100
PATIENCE_S = 60.0
POLL_S = 0.05


@dataclass(frozen=True)
class Running:
    """A Heliograph of its own with one campaign that is being sent."""

    stack: Stack
    author: Person
    campaign: str

    def status(self) -> dict[str, Any] | None:
        """None while the engine is away."""
        try:
            return self.author.status(self.campaign)
        except Stuck:
            return None

    def until(self, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            status = self.status()
            if status is not None and holds(status):
                return status
            time.sleep(POLL_S)
        raise AssertionError(f"waited in vain: {what}; {status}")

    def kill(self, program: str) -> None:
        os.kill(self.stack.ready["pids"][program], signal.SIGKILL)

    def equation(self) -> dict[str, Any]:
        return self.author.equation(
            self.campaign, Path(self.stack.ready["data"]), self.stack.ready["core_api"]
        )

    def witness(self) -> Any:
        return read_witness(Path(self.stack.ready["data"]) / "witness.log")


@pytest.fixture
def sending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A campaign of some seconds, a good part of it accepted, the window full of what is not answered yet."""
    monkeypatch.setenv("HELIOGRAPH_ENGINE_MAX_CLAIMED", str(MAX_CLAIMED))
    smsc = "--latency-ms 100 --receipt-share 1.0 --receipt-delay-ms 100 --seed 5"
    file = "".join(f"{447_700_900_000 + i},Ada {i}\n" for i in range(ROWS)).encode()
    with ExitStack() as closing:
        stack = Stack(tmp_path / "data", ["--tps", "2000", "--window", str(WINDOW), "--smsc", smsc])
        closing.callback(stack.stop)
        author = closing.enter_context(Person(stack.ready["ui"], *stack.login_of("author")))
        moderator = closing.enter_context(Person(stack.ready["ui"], *stack.login_of("moderator")))
        campaign = author.create_campaign("Broken in the middle", "Hello {{name}}")
        content = b"msisdn,name\n" + file
        author.upload(campaign, "break.csv", len(content), iter([content]))
        author.submit(campaign)
        moderator.approve(campaign)
        running = Running(stack, author, campaign)
        running.until(lambda status: status["counts"]["parts"] > ROWS // 10, "under way")
        yield running


def assert_nothing_lost_or_doubled(running: Running, most_in_doubt: int, least_in_doubt: int = 1) -> None:
    equation, witness = running.equation(), running.witness()
    counts = equation["counted"]
    assert equation["balanced"], equation["first_difference"]
    assert counts["accepted"] == equation["rows"] == ROWS
    # an SMSC that is leaving refuses what comes after its unbind (ESME_RINVBNDSTS): those go again
    assert counts["submissions"] == counts["parts"] + counts["retried"], "every part has one row, accepted"
    assert least_in_doubt <= counts["in_doubt"] <= most_in_doubt
    assert counts["waiting"] == counts["in_flight"], "every row has a result or is in doubt"
    assert witness.duplicates == 0
    assert counts["parts"] <= witness.parts <= counts["parts"] + counts["in_doubt"]
    assert witness.destinations == witness.parts


def test_a_killed_engine_goes_on_by_itself_and_doubts_at_most_what_it_had_claimed(sending: Running) -> None:
    sending.kill("engine")
    sending.until(lambda status: status["state"] == "Done", "the campaign is Done")
    assert_nothing_lost_or_doubled(sending, MAX_CLAIMED)


def test_a_killed_smsc_costs_no_message_but_doubts_of_one_window(sending: Running) -> None:
    sending.kill("smsc")
    sending.until(lambda status: status["state"] == "Done", "the campaign is Done")
    assert_nothing_lost_or_doubled(sending, WINDOW)


def test_a_killed_database_is_started_again_and_nothing_is_lost_or_doubled(sending: Running) -> None:
    dead = sending.stack.kill("postgres")
    assert sending.stack.restarted("postgres", dead) != dead
    sending.until(lambda status: status["state"] == "Done", "the campaign is Done")
    assert_nothing_lost_or_doubled(sending, MAX_CLAIMED, least_in_doubt=0)
    verified = subprocess.run(
        [
            sys.executable,
            "-m",
            "control_plane.launcher.cli",
            "verify",
            "--json",
            "--data",
            sending.stack.data,
        ],
        capture_output=True,
        text=True,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)["messages"] == ROWS


def test_nothing_outlives_a_killed_launcher_and_the_next_start_goes_on(sending: Running) -> None:
    ready = sending.stack.ready
    sending.stack.process.kill()
    deadline = time.monotonic() + PATIENCE_S
    # the database stays: the next start finds it, with the transactions it had begun
    programs = [pid for name, pid in ready["pids"].items() if name != "postgres"]
    while alive := [pid for pid in programs if Path(f"/proc/{pid}/exe").exists()]:
        assert time.monotonic() < deadline, f"still there: {alive}"
        time.sleep(POLL_S)
    again = Stack(Path(ready["data"]), ["--tps", "2000", "--window", str(WINDOW)])
    try:
        sending.author.move_to(again.ready["ui"])
        running = Running(again, sending.author, sending.campaign)
        running.until(lambda status: status["state"] == "Done", "the campaign is Done")
        assert_nothing_lost_or_doubled(running, MAX_CLAIMED, least_in_doubt=0)
    finally:
        again.stop()
