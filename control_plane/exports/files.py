"""The files of exports: readable by this user alone, whole or not there."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

FOLDER = "exports"
PART = ".part"
LOCK = ".lock"
BLOCK = 1 << 20
KEEP_FREE = 1 << 30  # bytes of the disk that an export leaves: the audit's spool lies there too


class NoRoom(OSError):
    """The disk is almost full."""


class Files:
    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER
        self._lock: int | None = None

    def path(self, export_id: UUID) -> Path:
        """Of a whole file."""
        return self._folder / str(export_id)

    def take(self) -> bool:
        """Whether this process writes the files of this folder. Kept until `release` or the process's end."""
        if self._lock is None:
            self._make()
            descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def begin(self, export_id: UUID) -> "Draft":
        """A file from its beginning; what was written of it before goes."""
        self._make()
        return Draft(self.path(export_id).with_suffix(PART), self.path(export_id))

    def remove(self, export_id: UUID) -> None:
        for path in (self.path(export_id), self.path(export_id).with_suffix(PART)):
            path.unlink(missing_ok=True)

    def sweep(self, known: Collection[UUID]) -> int:
        """Drop files that no record knows; how many."""
        dropped = 0
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name != LOCK and path.stem not in {str(one) for one in known}:
                    path.unlink(missing_ok=True)
                    dropped += 1
        return dropped

    def holds(self, export_id: UUID, words: Iterable[bytes]) -> bool:
        """Whether any of the words stands in the file; a file that is not there holds nothing."""
        wanted = tuple(words)
        overlap = max(map(len, wanted)) - 1
        try:
            with self.path(export_id).open("rb") as file:
                tail = b""
                while block := file.read(BLOCK):
                    seen = tail + block
                    if any(word in seen for word in wanted):
                        return True
                    tail = seen[-overlap:]
        except FileNotFoundError:
            return False
        return False

    def _make(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)


class Draft:
    """A file that is being written. It has its name only when all of it is on the disk."""

    def __init__(self, part: Path, whole: Path) -> None:
        self._part, self._whole = part, whole
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, content: bytes) -> None:
        """Raises OSError, also NoRoom."""
        if shutil.disk_usage(self._part.parent).free < KEEP_FREE + len(content):
            raise NoRoom("the disk is almost full")
        self._file.write(content)
        self._digest.update(content)
        self.size_bytes += len(content)

    def finish(self) -> str:
        """On the disk, under its name. Its SHA-256 in hex."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._whole)
        folder = os.open(self._whole.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self._digest.hexdigest()

    def drop(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)
