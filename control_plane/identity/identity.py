"""Who somebody is: login, session, password."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar
from uuid import UUID, uuid4, uuid5

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
    LOGIN_STEPS,
    SESSIONS,
    USERS,
    Arrival,
    CodeNeeded,
    LockedOut,
    LoggedIn,
    LoginStep,
    Refused,
    Session,
    User,
)
from control_plane.identity.passwords import Passwords, objection, one_time
from control_plane.identity.remembered import Remembered
from control_plane.identity.sessions import TOKEN_BYTES, USER_AGENT_LIMIT, Sessions, token_hash
from control_plane.identity.totp import Totp, WrongCode
from control_plane.metrics import Metrics

EMAIL_LIMIT = 254
LOGGED_OUT = "login.ended"
LOGOUT_PATIENCE_S = 1.0  # how long the store may take before the logout does without it
CODE_WITHIN = timedelta(minutes=5)  # of the password
T = TypeVar("T")
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
        totp: Totp,
    ) -> None:
        self._spool = spool
        self._totp = totp
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
    ) -> LoggedIn | CodeNeeded | LockedOut | Refused:
        """A new session, also where one was already (`previous_token`, which ends); or a code is needed."""
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
        if user.has_totp:
            # Not cleared: else a known password would forgive wrong codes for ever.
            for key in keys:
                await self._lockout.give_back(key)
            await self._rehash(user, password)
            return await self._ask_code(user)
        await self._rehash(user, password)
        return await self._let_in(user, keys, address, user_agent, previous_token)

    async def login_code(
        self, step_token: str, code: str, *, address: str, user_agent: str, previous_token: str | None = None
    ) -> LoggedIn | LockedOut | Refused | None:
        """The second step of a login. None where there is no first one any more; wrong codes count as
        failures."""
        step = await find_one(self._store, LOGIN_STEPS, {"token_hash": token_hash(step_token)})
        if step is None or step.expires_at <= self._clock():
            return None
        try:
            user = await self._store.get(USERS, step.user_id)
        except NotFound:
            return None
        if user.disabled or user.epoch != step.epoch or not user.has_totp:
            return None
        keys = (address_key(address), account_key(user.email))
        if left_s := await self._take(keys):
            self._metrics.logins.labels("locked").inc()
            return LockedOut(left_s)
        try:
            taken = await self._totp.take(user, code)
        except WrongCode:
            return await self._failed(keys, user.email, address, user_agent)
        with suppress(NotFound):
            await self._store.delete(LOGIN_STEPS, step.id)
        # The epoch stays that of the verified password, as in `login`.
        user = msgspec.structs.replace(taken, epoch=step.epoch)
        return await self._let_in(user, keys, address, user_agent, previous_token)

    async def _ask_code(self, user: User) -> CodeNeeded:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        step = LoginStep(
            id=uuid4(),
            token_hash=token_hash(token),
            user_id=user.id,
            epoch=user.epoch,
            expires_at=self._clock() + CODE_WITHIN,
        )
        await self._store.insert(LOGIN_STEPS, step)
        return CodeNeeded(token)

    async def _let_in(
        self, user: User, keys: tuple[str, str], address: str, user_agent: str, previous_token: str | None
    ) -> LoggedIn:
        """All that was asked for is right."""
        await self._lockout.give_back(keys[0])
        await self._lockout.clear(keys[1])
        await self._audit.record(
            _from(
                user_agent,
                event(
                    "login.succeeded",
                    self._clock(),
                    actor_id=user.id,
                    actor=user.email,
                    address=address,
                    target=user,
                ),
            )
        )
        user = await self._seen(user)
        if previous_token:
            await self._sessions.end(previous_token, self._clock())
        token = await self._sessions.begin(user, self._clock(), address=address, user_agent=user_agent)
        self._metrics.logins.labels("succeeded").inc()
        return LoggedIn(token, user.must_set_password)

    async def confirm(self, actor: Actor, password: str) -> None:
        """That it is really them. Invalid (`old`), Forbidden while locked."""
        await self._confirm(await self._store.get(USERS, actor.user_id), password, actor.address)

    async def confirm_code_within(self, actor: Actor, act: Callable[[], Awaitable[T]]) -> T:
        """Something that takes a code: a wrong one counts as a failed login. Invalid (`code`), Forbidden."""
        keys = (address_key(actor.address), account_key(actor.email))
        if left_s := await self._take(keys):
            raise Forbidden(f"Too many failed attempts. Try again in {left_s} s.")
        wrong = False
        try:
            return await act()
        except WrongCode as error:
            wrong = True
            raise Invalid({"code": str(error)}) from None
        finally:
            if not wrong:
                for key in keys:
                    await self._lockout.give_back(key)

    async def welcome(self, user: User, *, address: str, user_agent: str) -> str:
        """The token of a first session, of somebody whose account was made this moment."""
        now = self._clock()
        happened = event(
            "login.succeeded", now, actor_id=user.id, actor=user.email, address=address, target=user
        )
        await self._audit.record(_from(user_agent, happened))
        self._metrics.logins.labels("succeeded").inc()
        return await self._sessions.begin(user, now, address=address, user_agent=user_agent)

    async def actor(
        self, token: str | None, *, address: str = "", user_agent: str = "", request_id: str = ""
    ) -> Actor | None:
        """Who a session's token belongs to; None where there is no such session any more.

        The rest is the request's, for the audit.
        """
        found = await self.arrive(
            token, address=address, user_agent=user_agent, request_id=request_id, rotate=False
        )
        return found.actor if found is not None else None

    async def arrive(
        self,
        token: str | None,
        *,
        address: str = "",
        user_agent: str = "",
        request_id: str = "",
        rotate: bool = True,
    ) -> Arrival | None:
        """As `actor`; with `rotate`, the new token of a session whose person's rights changed."""
        if not token:
            return None
        now = self._clock()
        session = await self._sessions.find(token, now)
        user = await self._user_of(session) if session is not None else None
        if session is None or user is None:
            self._remembered.forget(token)
            return None
        renewed = await self._sessions.rotate(session, token, user, now) if rotate else None
        if renewed:
            self._remembered.forget(token)
        actor = Actor(
            user_id=user.id,
            email=user.email,
            name=user.name,
            super_admin=user.super_admin,
            must_set_password=user.must_set_password,
            memberships=user.memberships,
            session_id=session.id,
            address=address or session.address,
            user_agent=user_agent[:USER_AGENT_LIMIT],
            request_id=request_id,
        )
        return Arrival(actor, renewed, user.has_totp)

    async def _user_of(self, session: Session) -> User | None:
        try:
            user = await self._store.get(USERS, session.user_id)
        except NotFound:
            return None
        return None if user.disabled or session.epoch != user.epoch else user

    async def sessions(self, actor: Actor) -> list[Session]:
        """The actor's own, the last seen first; those of an earlier password are over."""
        user = await self._store.get(USERS, actor.user_id)
        found = await self._sessions.of(actor.user_id, self._clock())
        return [session for session in found if session.epoch == user.epoch]

    async def revoke(self, actor: Actor, session_id: UUID) -> None:
        """End one of the actor's own sessions, from its next request on. NotFound for those of others."""
        for session in await self.sessions(actor):
            if session.id == session_id:
                return await self._revoke(actor, [session])
        raise NotFound("session")

    async def revoke_others(self, actor: Actor) -> int:
        """All of the actor's own but this one; how many."""
        others = [one for one in await self.sessions(actor) if one.id != actor.session_id]
        await self._revoke(actor, others)
        return len(others)

    async def _revoke(self, actor: Actor, sessions: list[Session]) -> None:
        for session in sessions:
            details = {"address": session.address, "user_agent": session.user_agent}
            await self._audit.record(acted(actor, "session.revoke", self._clock(), details=details))
            await self._sessions.drop(session)
        self._remembered.forget_user(actor.user_id)

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
                await self._sessions.end(token, self._clock())
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

    async def issue_password(self, email: str, *, by: Actor | None = None) -> str:
        """A one-time password in place of whatever there was (the operator's way back in). NotFound."""
        user = await find_one(self._store, USERS, {"email": email.strip().casefold()})
        if user is None:
            raise NotFound("user")
        password = one_time()
        password_hash = await self._passwords.hash(password)
        happened = (
            acted(by, "password.issued", self._clock(), target=user, target_name=user.email)
            if by is not None
            else event("password.issued", self._clock(), actor="operator", target=user)
        )

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

    async def _rehash(self, user: User, password: str) -> None:
        """With today's costs, while the password is at hand."""
        if not self._passwords.outdated(user.password_hash):
            return
        renewed = await self._passwords.hash(password)

        def kept(found: User) -> User:
            if found.password_hash != user.password_hash:
                return found
            return msgspec.structs.replace(found, password_hash=renewed)

        await change(self._store, USERS, user.id, kept)

    async def _seen(self, user: User) -> User:
        now = self._clock()
        changed = await change(
            self._store, USERS, user.id, lambda found: msgspec.structs.replace(found, last_login_at=now)
        )
        # The epoch stays that of the verified password: one changed meanwhile ends this login too.
        return msgspec.structs.replace(changed, epoch=user.epoch)


def _from(user_agent: str, happened: Event) -> Event:
    return msgspec.structs.replace(happened, user_agent=clean(user_agent[:USER_AGENT_LIMIT]))


def _shown(email: str) -> str:
    """What was typed, if it is an address: people type passwords into the wrong field."""
    return email if "@" in email else "***"
