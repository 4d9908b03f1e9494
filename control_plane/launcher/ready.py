"""Starting one of our programs: wait for its first JSON line, and say in one line why it did not come."""

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60.0


PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """In the child: SIGTERM when the launcher dies, however it dies: nothing is left behind (on Linux)."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class StartError(Exception):
    """A program did not start; the message is one line for a person."""


class Program:
    """A child process whose standard output begins with one JSON line when it is ready.

    Its log (standard error) goes to `log`; the rest of its standard output follows there.
    """

    def __init__(
        self, name: str, module: str, arguments: list[str], environment: Mapping[str, str], log: Path
    ):
        self.name = name
        self.ready: dict[str, Any] = {}
        self._module = module
        self.arguments = arguments
        self.environment = dict(environment)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._copying: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Returns when the program is ready. Raises StartError."""
        with self._log.open("ab") as log:
            begin = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                *self.arguments,
                env={**os.environ, **self.environment},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # Ctrl-C in the terminal goes to us alone: we stop the programs in their order.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), START_TIMEOUT_S)
        except TimeoutError:
            await self.stop(1.0)
            raise StartError(
                f"{self.name} was not ready within {START_TIMEOUT_S:.0f} s: see {self._log}"
            ) from None
        if not line:
            await self._process.wait()
            raise StartError(f"{self.name} did not start: {self._last_words(begin)}")
        self.ready = json.loads(line)
        # What follows on standard output goes to the log, or a full pipe would stop the program.
        self._copying = asyncio.create_task(self._copy(self._process.stdout))

    async def wait(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, timeout_s: float) -> None:
        """SIGTERM, then SIGKILL to what is still there after `timeout_s`."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), timeout_s)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _copy(self, stream: asyncio.StreamReader) -> None:
        with self._log.open("ab") as log:
            while data := await stream.read(65536):
                log.write(data)
                log.flush()

    def _last_words(self, begin: int) -> str:
        """The last line the program wrote; ours end with one clear line, JSON logs with an `event`."""
        with self._log.open("rb") as log:
            log.seek(begin)
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        if not lines:
            return f"it ended without a word, see {self._log}"
        try:
            event = json.loads(lines[-1])
            return str(event.get("event", lines[-1]))
        except (ValueError, AttributeError):
            return lines[-1]
