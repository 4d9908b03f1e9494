"""Secrets at rest: encrypted with the key of a file that stays outside the store."""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

NAME = "control.key"


class KeyFileError(Exception):
    """The key file cannot be read, or it is not the one the secrets were encrypted with."""


class KeyFile:
    """Fernet (AES-128-CBC, HMAC-SHA-256); the key is made in `folder` at the first start, mode 0600."""

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fernet = Fernet(_read_or_make(path))
        except (OSError, ValueError) as error:
            raise KeyFileError(f"{path}: {error}") from error
        self._path = path

    def seal(self, secret: bytes) -> str:
        return self._fernet.encrypt(secret).decode()

    def open(self, sealed: str) -> bytes:
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise KeyFileError(f"{self._path} is not the key this was encrypted with") from None


def _read_or_make(path: Path) -> bytes:
    temporary = path.with_suffix(f".{os.getpid()}")
    if not path.exists():
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, Fernet.generate_key())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(temporary, path)  # never over a key another process made meanwhile
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_bytes().strip()
