"""A preloaded library in a program under test: its wall clock jumps and its disk fills when we say so."""

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
PAGE = struct.Struct("=qq")  # nanoseconds the wall clock is off, whether the disk is full


class NoCompiler(Exception):
    """There is no C compiler: clock jumps and a full disk cannot be played here."""


class Shim:
    """One program's. `environment` goes to the program; then set `clock_s` and `disk_full` while it runs."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise NoCompiler("no C compiler here")
        library = folder / "shim.so"
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
        if not library.exists():
            subprocess.run(command, check=True, capture_output=True)
        self._path = folder / f"shim-{os.urandom(4).hex()}.page"
        self._path.write_bytes(bytes(mmap.PAGESIZE))
        self._path.chmod(0o644)
        with self._path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), PAGE.size)
        self.environment = {"LD_PRELOAD": str(library), "HELIOGRAPH_CHAOS_PAGE": str(self._path)}
        self._clock_s = 0.0
        self._disk_full = False

    @property
    def clock_s(self) -> float:
        """How far the program's wall clock is off."""
        return self._clock_s

    @clock_s.setter
    def clock_s(self, value: float) -> None:
        self._clock_s = value
        self._store()

    @property
    def disk_full(self) -> bool:
        return self._disk_full

    @disk_full.setter
    def disk_full(self, value: bool) -> None:
        self._disk_full = value
        self._store()

    def _store(self) -> None:
        self._page[: PAGE.size] = PAGE.pack(round(self._clock_s * 1e9), self._disk_full)
