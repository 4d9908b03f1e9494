"""The fallback file itself: lines appended by several processes and taken away by one."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

SENTINEL = b"[audit-fallback] "


class SpoolFull(Exception):
    """The file has reached its cap: nothing more is written to it."""


class SpoolFile:
    """Lines go to `name`; `take` moves that file to `moving`, where it stays until it is dropped."""

    def __init__(self, folder: Path, name: str, moving: str, max_bytes: int) -> None:
        self._folder = folder
        self._path = folder / name
        self._moving = folder / moving
        self._max_bytes = max_bytes

    def waiting_bytes(self) -> int:
        found = 0
        for path in (self._path, self._moving):
            try:
                found += path.stat().st_size
            except OSError:
                continue
        return found

    def append(self, line: bytes) -> None:
        """On disk when it returns. SpoolFull at the cap, OSError where the disk refuses; then none of it is
        there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked("lock", fcntl.LOCK_EX):
            fresh = not self._path.exists()
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                content = SENTINEL + line + b"\n"
                if size and os.pread(descriptor, 1, size - 1) != b"\n":  # torn by a crash in its write
                    content = b"\n" + content
                if self.waiting_bytes() + len(content) > self._max_bytes:
                    raise SpoolFull
                try:
                    if os.write(descriptor, content) != len(content):
                        raise OSError("a part of the line was written")
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, size)
                    raise
            finally:
                os.close(descriptor)
            if fresh:
                self._sync_folder()

    def hold(self, stack: ExitStack) -> bool:
        """Be the one that moves, while the stack is open. False: another process is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(self._locked("moving.lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def take(self) -> bool:
        """Whether there is something to move: what an earlier one left first."""
        if self._moving.exists():
            return True
        with self._locked("lock", fcntl.LOCK_EX):
            if not self._path.exists():
                return False
            self._path.rename(self._moving)
        self._sync_folder()
        return True

    def lines(self) -> Iterator[bytes]:
        with self._moving.open("rb") as file:
            for line in file:
                if text := line.strip():
                    yield text

    def identity(self) -> UUID:
        """Of what was taken: the same until it is dropped."""
        with self._moving.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        return UUID(bytes=digest[:16])

    def drop(self) -> None:
        """What was taken is in the store."""
        self._moving.unlink(missing_ok=True)
        self._sync_folder()

    @contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        descriptor = os.open(self._folder / f"{self._path.name}.{name}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
