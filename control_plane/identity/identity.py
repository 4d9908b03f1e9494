"""Who somebody is: login, session, password."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid5

import msgspec

from control_plane.access import Actor
from control_plane.audit.audit import Audit
from control_plane.audit.outbox import WITHOUT_STORE, Event, acted, clean, event, with_event
from control_plane.audit.spool import Spool
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.store import DocumentStore, find_one
from control_plane.errors import Forbidden, Invalid, NotFound, StoreUnavailable
from control_plane.identity.lockout import Lockout, account_key, address_key
from control_plane.identity.model import (
    SESSIONS,
    USERS,
    LockedOut,
    LoggedIn,
    Refused,
    User,
)
from control_plane.identity.passwords import Passwords, objection, one_time
from control_plane.identity.remembered import Remembered
from control_plane.identity.sessions import USER_AGENT_LIMIT, Sessions
from control_plane.metrics import Metrics

EMAIL_LIMIT = 254
LOGGED_OUT = "login.ended"
LOGOUT_PATIENCE_S = 1.0  # how long the store may take before the logout does without it
PASSWORD_LIMIT = 1000  # longer ones are not even hashed


class Identity:
    def __init__(
        self,
        store: DocumentStore,
        audit: Audit,
        passwords: Passwords,
        sessions: Sessions,
        lockout: Lockout,
        clock: Clock,
        metrics: Metrics,
        remembered: Remembered,
        spool: Spool,
    ) -> None:
        self._spool = spool
        self._remembered = remembered
        self._store = store
        self._audit = audit
        self._passwords = passwords
        self._sessions = sessions
        self._lockout = lockout
        self._clock = clock
        self._metrics = metrics

    async def login(
        self, email: str, password: str, *, address: str, user_agent: str, previous_token: str | None = None
    ) -> LoggedIn | LockedOut | Refused:
        """A new session, also where one was already (`previous_token`, which ends)."""
        email = email.strip().casefold()[:EMAIL_LIMIT]
        keys = (address_key(address), account_key(email))
        if left_s := await self._take(keys):
            self._metrics.logins.labels("locked").inc()
            return LockedOut(left_s)
        user = await find_one(self._store, USERS, {"email": email})
        stored = user.password_hash if user is not None and not user.disabled else None
        right = await self._passwords.verify(stored, password[:PASSWORD_LIMIT])
        if not right or user is None:
            return await self._failed(keys, email, address, user_agent)
        await self._lockout.give_back(keys[0])
        await self._lockout.clear(keys[1])
        await self._audit.record(
            _from(
                user_agent,
                event(
                    "login.succeeded",
                    self._clock(),
                    actor_id=user.id,
                    actor=email,
                    address=address,
                    target=user,
                ),
            )
        )
        user = await self._seen(user, password)
        if previous_token:
            await self._sessions.end(previous_token)
        token = await self._sessions.begin(user, self._clock(), address=address, user_agent=user_agent)
        self._metrics.logins.labels("succeeded").inc()
        return LoggedIn(token, user.must_set_password)

    async def actor(
        self, token: str | None, *, address: str = "", user_agent: str = "", request_id: str = ""
    ) -> Actor | None:
        """Who a session's token belongs to; None where there is no such session any more.

        The rest is the request's, for the audit.
        """
        actor = await self._actor(token, address) if token else None
        if actor is not None:
            user_agent = user_agent[:USER_AGENT_LIMIT]
            actor = msgspec.structs.replace(actor, user_agent=user_agent, request_id=request_id)
        if actor is None and token:
            self._remembered.forget(token)
        return actor

    async def _actor(self, token: str, address: str) -> Actor | None:
        session = await self._sessions.find(token, self._clock())
        if session is None:
            return None
        try:
            user = await self._store.get(USERS, session.user_id)
        except NotFound:
            return None
        if user.disabled or session.epoch != user.epoch:
            return None
        return Actor(
            user_id=user.id,
            email=user.email,
            name=user.name,
            super_admin=user.super_admin,
            must_set_password=user.must_set_password,
            memberships=user.memberships,
            session_id=session.id,
            address=address or session.address,
        )

    async def logout(self, token: str | None) -> None:
        """Always works. With the documents away the session counts no more from now on, and is ended in them
        as soon as they are back: the event in the fallback file says which."""
        if not token:
            return
        known = self._remembered.known(token)
        self._remembered.forget(token)
        happened: Event | None = None
        try:
            async with asyncio.timeout(LOGOUT_PATIENCE_S):
                session = await self._sessions.find(token, self._clock(), seen=False)
                if session is None:
                    return
                happened = self._ended(session.id, session.user_id, session.address)
                await self._audit.record_once(happened)
                await self._sessions.end(token)
        except (StoreUnavailable, TimeoutError):
            self._sessions.refuse(token)
            if happened is None and known is not None:
                actor = known.actor
                happened = self._ended(actor.session_id, actor.user_id, actor.address, actor.email)
            if happened is not None:  # else who knows whose it is: not everybody may fill the file
                details = {WITHOUT_STORE: "session as last confirmed"}
                await self._spool.write(msgspec.structs.replace(happened, details=details))

    async def end_logged_out(self, events: Sequence[Event]) -> None:
        """End the sessions whose logout waited for the documents, before its event is moved there."""
        for happened in events:
            if happened.action == LOGGED_OUT and happened.target_id is not None:
                await self._sessions.end_by_id(happened.target_id)
        for session in await self._sessions.refused():
            await self._audit.append([self._ended(session.id, session.user_id, session.address)])
            await self._sessions.end_by_id(session.id)

    def _ended(self, session_id: UUID, user_id: UUID, address: str, email: str = "") -> Event:
        """The same of a session however often it is told."""
        now = self._clock()
        happened = event(
            LOGGED_OUT, now, actor_id=user_id, actor=email, address=address, target_kind="session"
        )
        return msgspec.structs.replace(happened, id=uuid5(session_id, LOGGED_OUT), target_id=session_id)

    async def set_password(self, actor: Actor, old: str | None, new: str) -> LoggedIn:
        """A new password and a new session; every earlier session of this person ends.

        `old` may be None only for a first password. Raises Invalid (`old`, `new`), Forbidden while locked.
        """
        user = await self._store.get(USERS, actor.user_id)
        if old is None and not user.must_set_password:
            raise Invalid({"old": "Enter your present password."})
        if old is not None:
            await self._confirm(user, old, actor.address)
        if problem := objection(new, email=user.email, name=user.name):
            raise Invalid({"new": problem})
        if await self._passwords.verify(user.password_hash, new):
            raise Invalid({"new": "That is the present one: choose another."})
        password_hash = await self._passwords.hash(new)
        now = self._clock()
        happened = acted(actor, "password.set", now, target=user)

        def renew(found: User) -> User:
            if found.epoch != user.epoch:
                raise Invalid({"new": "The password was changed meanwhile. Log in again."})
            renewed = msgspec.structs.replace(
                found, password_hash=password_hash, must_set_password=False, epoch=found.epoch + 1
            )
            return with_event(renewed, happened)

        session = await self._store.get(SESSIONS, actor.session_id)
        user = await change(self._store, USERS, user.id, renew)
        self._remembered.forget_user(user.id)
        await self._sessions.end_all(user)
        token = await self._sessions.begin(user, now, address=session.address, user_agent=session.user_agent)
        return LoggedIn(token, must_set_password=False)

    async def issue_password(self, email: str) -> str:
        """A one-time password in place of whatever there was (the operator's way back in). NotFound."""
        user = await find_one(self._store, USERS, {"email": email.strip().casefold()})
        if user is None:
            raise NotFound("user")
        password = one_time()
        password_hash = await self._passwords.hash(password)
        happened = event("password.issued", self._clock(), actor="operator", target=user)

        def renew(found: User) -> User:
            renewed = msgspec.structs.replace(
                found, password_hash=password_hash, must_set_password=True, epoch=found.epoch + 1
            )
            return with_event(renewed, happened)

        user = await change(self._store, USERS, user.id, renew)
        self._remembered.forget_user(user.id)
        await self._sessions.end_all(user)
        await self._lockout.clear(account_key(user.email))
        return password

    async def names(self, user_ids: set[UUID]) -> dict[UUID, str]:
        """Names of people, for lists."""
        found = {}
        for user_id in user_ids:
            try:
                found[user_id] = (await self._store.get(USERS, user_id)).name
            except NotFound:
                continue
        return found

    async def _take(self, keys: tuple[str, str]) -> int:
        address, account = keys
        if left_s := await self._lockout.take(address, self._clock()):
            return left_s
        if left_s := await self._lockout.take(account, self._clock()):
            await self._lockout.give_back(address)
            return left_s
        return 0

    async def _failed(
        self, keys: tuple[str, str], email: str, address: str, user_agent: str
    ) -> LockedOut | Refused:
        failed = event(
            "login.failed", self._clock(), actor=_shown(email), address=address, target_kind="user"
        )
        await self._audit.record(_from(user_agent, failed))
        now = self._clock()
        left_s = max([await self._lockout.left(key, now) for key in keys])
        self._metrics.logins.labels("failed").inc()
        return LockedOut(left_s) if left_s else Refused()

    async def _confirm(self, user: User, password: str, address: str) -> None:
        keys = (address_key(address), account_key(user.email))
        if left_s := await self._take(keys):
            raise Forbidden(f"Too many failed attempts. Try again in {left_s} s.")
        if not await self._passwords.verify(user.password_hash, password[:PASSWORD_LIMIT]):
            raise Invalid({"old": "That is not your present password."})
        for key in keys:
            await self._lockout.give_back(key)

    async def _seen(self, user: User, password: str) -> User:
        now = self._clock()
        renewed = (
            await self._passwords.hash(password) if self._passwords.outdated(user.password_hash) else None
        )

        def seen(found: User) -> User:
            kept = renewed if renewed and found.password_hash == user.password_hash else found.password_hash
            return msgspec.structs.replace(found, last_login_at=now, password_hash=kept)

        # The epoch stays that of the verified password: one changed meanwhile ends this login too.
        changed = await change(self._store, USERS, user.id, seen)
        return msgspec.structs.replace(changed, epoch=user.epoch)


def _from(user_agent: str, happened: Event) -> Event:
    return msgspec.structs.replace(happened, user_agent=clean(user_agent[:USER_AGENT_LIMIT]))


def _shown(email: str) -> str:
    """What was typed, if it is an address: people type passwords into the wrong field."""
    return email if "@" in email else "***"
