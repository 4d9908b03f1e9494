"""Named points where a test may kill this process: `HELIOGRAPH_CRASH_AT=after_claim:3` dies by SIGKILL at the
third pass. `HELIOGRAPH_CRASH_AT=@FILE` takes the same text from a file and removes it, so that the next life
of the program goes on. Without the variable a point costs one comparison."""

import contextlib
import os
import signal
from pathlib import Path

VARIABLE = "HELIOGRAPH_CRASH_AT"

POINTS = (
    "after_claim",  # the claim is committed, nothing of it is encoded
    "after_write",  # PDUs are handed to the socket, no response yet
    "after_response",  # responses are parsed, nothing is booked
    "before_commit",  # outcomes wait for their transaction
    "after_commit",  # they are in; receipts are not acknowledged yet
    "during_ingest",  # a chunk of a recipient file is committed
    "during_rotation",  # a partition is made and not attached
    "during_fold",  # a partition is half folded
    "before_folded",  # it is filled and attached, and does not count as folded yet
    "during_migration",  # between two migrations
)


class UnknownPoint(ValueError):
    """`HELIOGRAPH_CRASH_AT` names no point."""


def _armed() -> tuple[str, int]:
    value = os.environ.get(VARIABLE, "")
    if value.startswith("@"):
        file, value = Path(value[1:]), ""
        with contextlib.suppress(FileNotFoundError):
            value = file.read_text(encoding="ascii").strip()
            file.unlink()
    if not value:
        return "", 0
    name, _, passes = value.partition(":")
    if name not in POINTS or not (passes or "1").isdigit():
        raise UnknownPoint(f"{VARIABLE}={value}: name one of {', '.join(POINTS)}, with :N for the N-th pass")
    return name, int(passes or 1)


_at, _left = _armed()


def point(name: str) -> None:
    """A point where the process may be killed."""
    if name == _at:
        _pass()


def _pass() -> None:
    global _left
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
