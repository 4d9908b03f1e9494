"""Sessions on the server: the browser has a random token, the store its hash."""

import hashlib
import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from control_plane.documents.store import DocumentStore, VersionConflict, find_one
from control_plane.errors import NotFound
from control_plane.identity.model import SESSIONS, Session, User

SEEN_EVERY = timedelta(minutes=1)  # how exactly `seen_at` follows: not a write a request
TOKEN_BYTES = 32
REFUSED_KEPT = 100_000
USER_AGENT_LIMIT = 200
GRACE = timedelta(seconds=30)  # how long the token before a rotation still counts


class Sessions:
    def __init__(self, store: DocumentStore, *, idle_s: int, absolute_s: int) -> None:
        self._store = store
        self._idle = timedelta(seconds=idle_s)
        self._absolute = timedelta(seconds=absolute_s)
        self._refused: set[str] = set()  # hashes of tokens logged out with the store away

    async def begin(self, user: User, now: datetime, *, address: str, user_agent: str) -> str:
        """The token of a new session."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        session = Session(
            id=uuid4(),
            token_hash=token_hash(token),
            user_id=user.id,
            epoch=user.epoch,
            created_at=now,
            seen_at=now,
            expires_at=now + min(self._idle, self._absolute),
            address=address,
            user_agent=user_agent[:USER_AGENT_LIMIT],
            rights=user.rights,
        )
        await self._store.insert(SESSIONS, session)
        return token

    async def find(self, token: str, now: datetime, *, seen: bool = True) -> Session | None:
        """The session of a token, if it is not over; using it keeps it from idling out, unless not `seen`."""
        if token_hash(token) in self._refused:
            return None
        session = await self._of(token, now)
        if session is None or session.expires_at <= now:
            return None
        if seen and now - session.seen_at >= min(SEEN_EVERY, self._idle / 2):
            expires_at = min(now + self._idle, session.created_at + self._absolute)
            used = msgspec.structs.replace(session, seen_at=now, expires_at=expires_at)
            with suppress(VersionConflict, NotFound):  # another request of the browser was first, or a logout
                session = await self._store.replace(SESSIONS, used, session.version)
        return session

    async def rotate(self, session: Session, token: str, user: User, now: datetime) -> str | None:
        """A new token where the person's rights changed; None where they did not, or another request made it.

        The token before counts for some seconds more, with the rights of now: a browser has several requests
        under way, and only one of their answers brings the new token.
        """
        if session.rights == user.rights or session.token_hash != token_hash(token):
            return None
        new = secrets.token_urlsafe(TOKEN_BYTES)
        rotated = msgspec.structs.replace(
            session,
            token_hash=token_hash(new),
            rights=user.rights,
            previous_hash=session.token_hash,
            previous_until=now + GRACE,
        )
        try:
            await self._store.replace(SESSIONS, rotated, session.version)
        except (VersionConflict, NotFound):
            return None
        return new

    async def of(self, user_id: UUID, now: datetime) -> list[Session]:
        """Those that are not over, the last seen first."""
        found: list[Session] = []
        after = None
        while True:
            page = await self._store.find(SESSIONS, {"user_id": user_id}, after=after)
            found += [session for session in page.records if session.expires_at > now]
            after = page.next
            if after is None:
                return sorted(found, key=lambda session: session.seen_at, reverse=True)

    async def _of(self, token: str, now: datetime) -> Session | None:
        key = token_hash(token)
        session = await self._by_hash(key)
        if session is None or session.token_hash == key:
            return session
        return session if session.previous_until is not None and now < session.previous_until else None

    async def _by_hash(self, key: str) -> Session | None:
        """Of a token, or of the one before its rotation, however long ago."""
        session = await find_one(self._store, SESSIONS, {"token_hash": key})
        return session or await find_one(self._store, SESSIONS, {"previous_hash": key})

    async def end(self, token: str, now: datetime) -> Session | None:
        session = await self._of(token, now)
        if session is not None:
            await self.drop(session)
        return session

    def refuse(self, token: str) -> None:
        """Let it count no more here, until it is ended in the store (`refused`)."""
        if len(self._refused) < REFUSED_KEPT:
            self._refused.add(token_hash(token))

    async def refused(self) -> list[Session]:
        """Those that are still in the store; what is not there any more is forgotten."""
        found = []
        for key in [*self._refused]:
            session = await self._by_hash(key)
            if session is None:
                self._refused.discard(key)
            else:
                found.append(session)
        return found

    async def end_by_id(self, session_id: UUID) -> None:
        with suppress(NotFound):
            await self._store.delete(SESSIONS, session_id)

    async def end_all(self, user: User) -> None:
        """Housekeeping after a new password: the raised epoch has ended them already."""
        while page := (await self._store.find(SESSIONS, {"user_id": user.id})).records:
            for session in page:
                await self.drop(session)

    async def drop(self, session: Session) -> None:
        try:
            await self._store.delete(SESSIONS, session.id)
        except NotFound:
            return


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
