"""Instructions a message of a hot function, counted by valgrind's callgrind.

The same process runs twice, with so many and with twice as many messages; the difference is the function's
alone: start, imports and making the inputs cancel out. Unlike times, counts do not depend on what else runs.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from bench.deep.work import MESSAGES

RUN_S = 600.0
COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")


class NoValgrind(Exception):
    """valgrind is not installed, or did not count; the message is one line."""


@dataclass(frozen=True, slots=True)
class Counted:
    name: str
    messages: int  # of the difference
    instructions: float  # a message


def count(name: str, rounds: int) -> Counted:
    """Raises NoValgrind."""
    if shutil.which("valgrind") is None:
        raise NoValgrind("valgrind is not installed: it comes with the system's packages")
    once, twice = _instructions(name, rounds), _instructions(name, 2 * rounds)
    messages = rounds * MESSAGES
    return Counted(name, messages, (twice - once) / messages)


def _instructions(name: str, rounds: int) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "bench.deep.counted", name, str(rounds)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("HELIOGRAPH_PURE", None)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=RUN_S, env=environment
    )
    found = COLLECTED.search(done.stderr)
    if done.returncode or found is None:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise NoValgrind(f"{name}: {last[0]}")
    return int(found.group(1))
