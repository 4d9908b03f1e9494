"""Secrets at rest: Fernet with a key file of mode 0600."""

import hmac
import os
import stat
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from engine.ledger.errors import KeyFileUnsafe, WrongKey


class SecretBox:
    """Encrypts with the key in `path`; the file is made where it is missing, in an existing folder.

    Raises KeyFileUnsafe where others may read it or it holds no key.
    """

    def __init__(self, path: Path) -> None:
        key = _key(path)
        self._fernet = Fernet(key)
        self._hash_key = hmac.digest(key, b"keyed hash", "sha256")

    def encrypt(self, secret: str) -> bytes:
        return self._fernet.encrypt(secret.encode())

    def decrypt(self, encrypted: bytes) -> str:
        """Raises WrongKey."""
        try:
            return self._fernet.decrypt(bytes(encrypted)).decode()
        except InvalidToken:
            raise WrongKey("a secret was encrypted with another key file") from None

    def keyed_hash(self, value: str) -> bytes:
        """HMAC-SHA256 of a value, 32 bytes: tells two values apart without telling either."""
        return hmac.digest(self._hash_key, value.encode(), "sha256")

    def __repr__(self) -> str:
        return "SecretBox()"


def _key(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    key = Fernet.generate_key()
    with os.fdopen(descriptor, "wb") as file:
        file.write(key + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return key


def _read(path: Path) -> bytes:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeyFileUnsafe(f"{path} has mode {mode:04o}: only its owner may read it (chmod 600)")
    key = path.read_bytes().strip()
    try:
        Fernet(key)
    except ValueError:
        raise KeyFileUnsafe(f"{path} holds no key") from None
    return key
