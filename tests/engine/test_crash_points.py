"""Crash points: one life dies at its pass, the next one does not; without the variable nothing happens."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from engine import faults
for turn in range(4):
    faults.point("after_write")
    print(turn, flush=True)
    faults.point("after_claim")
"""


def run(at: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"HELIOGRAPH_CRASH_AT": at}, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("at", "turns"),
    [("after_write", 0), ("after_write:3", 2), ("after_claim:2", 2), ("during_fold", 4), ("", 4)],
)
def test_a_process_dies_by_sigkill_at_the_pass_of_its_point(at: str, turns: int) -> None:
    ended = run(at)
    assert ended.stdout.split() == [str(turn) for turn in range(turns)]
    assert ended.returncode == (0 if turns == 4 else -signal.SIGKILL)


def test_a_point_from_a_file_strikes_one_life_only(tmp_path: Path) -> None:
    file = tmp_path / "crash"
    file.write_text("after_write:2\n")
    assert run(f"@{file}").returncode == -signal.SIGKILL
    assert not file.exists()
    assert run(f"@{file}").returncode == 0


@pytest.mark.parametrize("at", ["nowhere", "after_write:x", "after_write:-1"])
def test_an_unknown_point_is_refused_at_the_start(at: str) -> None:
    ended = run(at)
    assert ended.returncode == 1
    assert "UnknownPoint" in ended.stderr
