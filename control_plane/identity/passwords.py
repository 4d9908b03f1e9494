"""Passwords: argon2id in a thread, a policy, and one-time ones."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH = 12
MAX_LENGTH = 200
CONCURRENT = 2  # hashes at once: each takes a core and 64 MiB
ONE_TIME_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # read aloud and typed: nothing that looks like another


class Passwords:
    """`memory_kib` and `time_cost` as RFC 9106 names them."""

    def __init__(self, *, time_cost: int = 3, memory_kib: int = 64 * 1024, parallelism: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism)
        self._turn = asyncio.Semaphore(CONCURRENT)
        self._dummy = self._hasher.hash(secrets.token_urlsafe(16))

    async def hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the one. Without a stored hash the same work is done, and the answer is no."""
        async with self._turn:
            matches = await asyncio.to_thread(self._matches, stored or self._dummy, password)
        return matches and stored is not None

    def outdated(self, stored: str) -> bool:
        """Hashed with other costs than today's: hash it again while the password is at hand."""
        return self._hasher.check_needs_rehash(stored)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def objection(password: str, *, email: str, name: str) -> str | None:
    """What is wrong with a new password, in one sentence."""
    if len(password) < MIN_LENGTH:
        return f"Use at least {MIN_LENGTH} characters."
    if len(password) > MAX_LENGTH:
        return f"Use at most {MAX_LENGTH} characters."
    lower = password.casefold()
    if len(set(lower)) < 5:
        return "Use more different characters."
    for known in (
        email.casefold(),
        email.partition("@")[0].casefold(),
        *name.casefold().split(),
        "heliograph",
    ):
        if len(known) >= 4 and known in lower and len(lower) - len(known) < MIN_LENGTH - 4:
            return "Do not build it on your name, your address or the product's name."
    return None


def one_time() -> str:
    """20 characters in groups of five: 99 bits."""
    groups = ("".join(secrets.choice(ONE_TIME_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)
