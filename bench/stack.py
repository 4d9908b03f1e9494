"""A whole Heliograph of our own: `heliograph up` in a folder, on free ports.

It knows the programs' present pids also after `up` has started one again, so that whoever breaks things may
break the same thing twice.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.measure import peak_rss_bytes
from engine.core_api.client import CoreClient

MEASURED = ("engine", "control_plane")  # the programs whose memory we promise something of
STOP_TIMEOUT_S = 10.0


class StackError(Exception):
    """Heliograph did not start, or a program did not come back."""


class Stack:
    """Starts at once and returns when everything is ready. `environment` reaches all programs."""

    def __init__(
        self,
        folder: Path,
        options: list[str],
        *,
        environment: Mapping[str, str] | None = None,
        workers: int | None = None,
    ) -> None:
        self.data = folder
        command = [sys.executable, "-m", "control_plane.launcher.cli", "up", "--json"]
        command += ["--data", str(folder), "--ui-port", "0", "--api-port", "0", *options]
        if workers is not None:
            command += ["--workers", str(workers)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise StackError("Heliograph did not start: see the line above")
        self.ready: dict[str, Any] = json.loads(line)
        self.pids: dict[str, int] = dict(self.ready["pids"])
        self.restarts: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._follow, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def witness(self) -> Path:
        """The simulator's file of what it accepted."""
        return self.data / "witness.log"

    def log(self, name: str) -> Path:
        return self.data / "logs" / f"{name}.log"

    def login_of(self, role: str) -> tuple[str, str]:
        """(e-mail, one-time password) of the demo workspace's member with this role."""
        login = next(login for login in self.ready["logins"] if login["role"].lower() == role)
        return login["email"], login["password"]

    @contextlib.asynccontextmanager
    async def core(self) -> AsyncIterator[CoreClient]:
        """The engine's Core API, with the certificates of this folder."""
        client = CoreClient(self.ready["core_api"], self.data / "certs")
        try:
            yield client
        finally:
            await client.close()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal to a program by name; returns the pid it went to."""
        pid = self.pids[name]
        os.kill(pid, number)
        return pid

    def restarted(self, name: str, dead: int, timeout_s: float = 60.0) -> int:
        """Waits until `up` has started `name` again; returns its new pid. Raises StackError."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self.pids[name] == dead:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise StackError(f"{name} was not started again within {timeout_s:.0f} s")
            return self.pids[name]

    def peak_rss_bytes(self) -> dict[str, int]:
        """Highest resident memory so far."""
        return {name: peak_rss_bytes(self.pids[name]) for name in MEASURED if name in self.pids}

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def _follow(self) -> None:
        """`up` says in a JSON line what it has started again."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if "restarted" in said:
                with self._changed:
                    self.pids[said["restarted"]] = said["pid"]
                    self.restarts.append(said)
                    self._changed.notify_all()
