"""Lockout: after three failed logins of one account, or from one address, a minute's wait.

An attempt is counted before the password is looked at and given back when it was right: of any number
of attempts made at once, no more than three are ever looked at. Accounts that do not exist lock alike.
"""

import hashlib
import ipaddress
import math
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from control_plane.documents.change import change
from control_plane.documents.store import DocumentStore, DuplicateKey
from control_plane.errors import NotFound
from control_plane.identity.model import FAILURES, Failures

FORGET_AFTER = timedelta(hours=1)  # failures older than this do not add up


class Lockout:
    def __init__(self, store: DocumentStore, *, failures: int = 3, lock_s: int = 60) -> None:
        self._store = store
        self._limit = failures
        self._lock = timedelta(seconds=lock_s)

    async def take(self, key: str, now: datetime) -> int:
        """Count an attempt. Seconds left where it is locked (then it is not counted), else 0."""
        left_s = 0

        def count(found: Failures) -> Failures:
            nonlocal left_s
            left_s = seconds_left(found, now)
            if left_s:
                return found
            over = found.locked_until is not None or found.expires_at <= now
            failed = 1 if over else found.failed + 1
            return self._counted(found, failed, now)

        record_id = _id(key)
        while True:
            try:
                await change(self._store, FAILURES, record_id, count)
                return left_s
            except NotFound:
                first = self._counted(Failures(id=record_id, failed=0, expires_at=now), 1, now)
                try:
                    await self._store.insert(FAILURES, first)
                    return 0
                except DuplicateKey:
                    continue

    async def give_back(self, key: str) -> None:
        """The attempt was no failure."""

        def uncount(found: Failures) -> Failures:
            return msgspec.structs.replace(found, failed=max(0, found.failed - 1), locked_until=None)

        try:
            await change(self._store, FAILURES, _id(key), uncount)
        except NotFound:
            return

    async def clear(self, key: str) -> None:
        """A login succeeded: what failed before does not count."""
        try:
            await self._store.delete(FAILURES, _id(key))
        except NotFound:
            return

    async def left(self, key: str, now: datetime) -> int:
        try:
            return seconds_left(await self._store.get(FAILURES, _id(key)), now)
        except NotFound:
            return 0

    def _counted(self, found: Failures, failed: int, now: datetime) -> Failures:
        locked = now + self._lock if failed >= self._limit else None
        until = now + FORGET_AFTER
        return msgspec.structs.replace(found, failed=failed, locked_until=locked, expires_at=until)


def seconds_left(failures: Failures, now: datetime) -> int:
    if failures.locked_until is None or failures.locked_until <= now:
        return 0
    return math.ceil((failures.locked_until - now).total_seconds())


def account_key(email: str) -> str:
    return f"account:{email.strip().casefold()}"


def address_key(address: str) -> str:
    """IPv6 by its /64: a host has 2**64 of them."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"address:{address}"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return f"address:{parsed.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"


def _id(key: str) -> UUID:
    return UUID(bytes=hashlib.sha256(key.encode()).digest()[:16])
