"""The two C programs, compiled at first use, and run."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from bench.measure import InvalidRun, Round

HERE = Path(__file__).parent
FLAGS = ("-O2", "-std=gnu11")
CLIENT_TIMEOUT_S = 300.0

Receipts = Literal["none", "text", "tlv", "both"]


class NoCompiler(InvalidRun):
    """There is no C compiler: nothing can be compared with the limit here."""


def program(name: Literal["client", "sink"]) -> Path:
    """The executable, built where it is not there yet. Raises NoCompiler, CalledProcessError."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompiler("the limit client needs a C compiler")
    sources = [HERE / f"{name}.c", HERE / "pdu.h"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heliograph" / "limit"
    built = folder / f"{name}-{digest}"
    if not built.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{built.name}.{os.getpid()}"
        subprocess.run(
            [compiler, *FLAGS, "-o", str(unfinished), str(sources[0])], check=True, capture_output=True
        )
        unfinished.replace(built)
    return built


class Sink:
    """A running sink."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process = process
        self.pid = process.pid
        self.port = port

    def counts(self) -> dict[str, int]:
        """Of the connection that closed next; waits for it."""
        assert self._process.stdout is not None
        counts: dict[str, int] = json.loads(self._process.stdout.readline())
        return counts


@contextmanager
def sink(receipts: Receipts = "both", rtt_us: int = 0) -> Iterator[Sink]:
    """Runs a sink that accepts all; `rtt_us` microseconds before each response. Raises NoCompiler."""
    process = subprocess.Popen(
        [str(program("sink")), "--receipts", receipts, "--rtt-us", str(rtt_us)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield Sink(process, json.loads(process.stdout.readline())["listening"])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def limit_round(
    port: int, count: int, window: int, pdus: Path, receipts: bool = True
) -> tuple[Round, dict[str, Any]]:
    """The limit client's turn, and all that it counted. Raises InvalidRun.

    pdus: a file of submit_sm, more of them than the window, with sequence_numbers from 1; sent over and over.
    """
    command = [str(program("client")), str(port), str(count), str(window), str(int(receipts)), str(pdus)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, check=False)
    if ran.returncode:
        raise InvalidRun(f"the limit client ended with {ran.returncode}: {ran.stderr.strip()}")
    counted = json.loads(ran.stdout)
    if counted["accepted"] != count:
        raise InvalidRun(f"{counted['accepted']} of {count} messages of the limit client accepted")
    return Round(count, counted["seconds"], counted["cpu_s"]), counted
