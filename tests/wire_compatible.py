"""A MongoDB-wire-compatible server for tests: a process of its own on a free port, its data in a folder."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from pymongo import MongoClient

PROGRAM = shutil.which("secantusd-py", path=str(Path(sys.executable).parent)) or "secantusd-py"
PATIENCE_MS = 30_000


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class WireServer:
    """Starts at once. `kill` and `start` again: the same port, the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: str = "", options: str = "") -> str:
        return f"mongodb://127.0.0.1:{self.port}/{database}{options}"

    def start(self) -> None:
        """Returns when it answers."""
        with (self._folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(PROGRAM, "--host", "127.0.0.1", "--port", str(self.port)),
                    *("--storage-path", str(self._folder / "data"), "--cache-size", "256M"),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        try:
            with MongoClient[dict[str, object]](self.url(), serverSelectionTimeoutMS=PATIENCE_MS) as client:
                client.admin.command("ping")
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """As a power cut of the process: nothing is said to it, nothing is written any more."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def drop(url: str) -> None:
    """The database that the URL names is no more."""
    with MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=PATIENCE_MS) as client:
        client.drop_database(client.get_default_database().name)
