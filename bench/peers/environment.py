"""The throw-away environment: one virtual environment, each library in a folder of its own beside it.

The package index is the machine's own (pip's configuration and environment), or a folder of wheels.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.peers.catalogue import PEERS, Peer

INSTALL_S = 300.0
CHECK_S = 60.0


class NoNetwork(Exception):
    """No library could be fetched."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A peer's folder and versions, or why there is none."""

    peer: Peer
    folder: Path
    version: str = ""
    reason: str = ""


class Environment:
    """Made in `folder`; whoever made the folder removes it."""

    def __init__(self, folder: Path, wheels: Path | None = None) -> None:
        self._folder = folder
        self._wheels = wheels
        self.python = folder / "environment" / "bin" / "python"

    def create(self) -> None:
        """Raises NoNetwork where not even an empty environment can be made."""
        made = self._run([sys.executable, "-m", "venv", str(self._folder / "environment")], INSTALL_S)
        if made.returncode:
            raise NoNetwork(f"no virtual environment: {last_line(made)}")

    def install(self, peer: Peer) -> Installed:
        """Never raises: what went wrong is the peer's `reason`."""
        target = self._folder / "peers" / peer.name
        command = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--no-input", "--retries", "1", "--timeout", "20", "--target", str(target)]
        if self._wheels is not None:
            command += ["--no-index", "--find-links", str(self._wheels.resolve())]
        try:
            done = self._run([*command, *peer.requirements], INSTALL_S)
        except subprocess.TimeoutExpired:
            return Installed(peer, target, reason=f"not installed within {INSTALL_S:.0f} s")
        if done.returncode:
            return Installed(peer, target, reason=f"does not install: {last_line(done)}")
        return Installed(peer, target, version=self._version(peer, target))

    def run(
        self, one: Installed, arguments: list[str], timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """Its driver. Raises subprocess.TimeoutExpired."""
        driver = Path(__file__).parent / "drivers" / one.peer.driver
        return self._run(
            [str(self.python), str(driver), *arguments], timeout_s, {"PYTHONPATH": str(one.folder)}
        )

    def _version(self, peer: Peer, target: Path) -> str:
        name = peer.requirements[0].split(">")[0]
        code = (
            "import importlib.metadata as m, sys; "
            "print(next(m.distributions(name=sys.argv[1], path=[sys.argv[2]])).version)"
        )
        shown = self._run([str(self.python), "-c", code, name, str(target)], CHECK_S)
        return shown.stdout.strip() or "unknown"

    def _run(
        self, command: list[str], timeout_s: float, environment: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        ours = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env={**ours, **(environment or {})},
        )


def last_line(done: "subprocess.CompletedProcess[str]") -> str:
    """What a program said last, without addresses: an index's name is the machine's own business."""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    words = (lines[-1] if lines else f"exit code {done.returncode}").split()
    return " ".join("..." if "://" in word else word for word in words)[:300]


def all_installed(environment: Environment, names: tuple[str, ...]) -> list[Installed]:
    """Those named, or all. Raises NoNetwork where none of them installs."""
    wanted = [peer for peer in PEERS if not names or peer.name in names]
    found = [environment.install(peer) for peer in wanted]
    if all(one.reason for one in found):
        raise NoNetwork(found[0].reason)
    return found
