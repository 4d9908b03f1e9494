"""The simulator as a process of its own, as the scenarios need it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def smsc(*options: str) -> Iterator[int]:
    """Starts the simulated SMSC; gives its port. Raises RuntimeError if it does not start."""
    with smsc_process(*options) as (port, _pid):
        yield port


@contextmanager
def smsc_process(*options: str) -> Iterator[tuple[int, int]]:
    """Starts the simulated SMSC; gives its port and process id. Raises RuntimeError if it does not start."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.simulators.smsc", "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the simulated SMSC did not start: see its error above")
        yield json.loads(line)["listening"], process.pid
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
