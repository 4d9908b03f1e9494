"""A forgotten password: a link by e-mail to set another. Who asks learns nothing of which accounts exist."""

import asyncio
import secrets
from contextlib import suppress
from datetime import timedelta

import msgspec
import structlog

from control_plane.audit.outbox import event, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.store import DocumentStore, DuplicateKey, VersionConflict, find_one
from control_plane.errors import Conflict, ControlPlaneError, Invalid, NotFound
from control_plane.identity.lockout import Lockout, address_key
from control_plane.identity.model import USERS, User
from control_plane.identity.passwords import Passwords, objection
from control_plane.identity.remembered import Remembered
from control_plane.identity.sessions import TOKEN_BYTES, Sessions, token_hash
from control_plane.joining.model import RESETS, PasswordReset
from control_plane.mail.mail import Mail

AT_ONCE = 100  # of those being sent

log = structlog.get_logger(__name__)


class NoReset(Conflict):
    """The link is of no reset: used, expired, replaced by a newer one, or the password was set meanwhile."""

    type = "reset-over"

    def __init__(self) -> None:
        super().__init__("This link does not count any more. Ask for a new one.")


class Resets:
    """`life_s`: how long a link counts. `lockout` bounds how often one address or account is asked for."""

    def __init__(
        self,
        store: DocumentStore,
        passwords: Passwords,
        sessions: Sessions,
        remembered: Remembered,
        lockout: Lockout,
        mail: Mail,
        clock: Clock,
        *,
        life_s: int,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._sessions = sessions
        self._remembered = remembered
        self._lockout = lockout
        self._mail = mail
        self._clock = clock
        self._life = timedelta(seconds=life_s)
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, email: str, *, address: str = "") -> None:
        """Answers before anything is looked up: neither words nor time tell whether there is an account."""
        if len(self._tasks) >= AT_ONCE:
            return  # a flood: the person asks again
        task = asyncio.create_task(self._ask(email.strip().casefold()[:254], address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Until what was asked is sent."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _ask(self, email: str, address: str) -> None:
        try:
            for key in (f"reset:{address_key(address)}", f"reset:{email}"):
                if await self._lockout.take(key, self._clock()):
                    return
            user = await find_one(self._store, USERS, {"email": email})
            if user is not None and not user.disabled:
                await self._send(user, address)
        except ControlPlaneError as error:
            log.warning("password reset not sent", reason=type(error).__name__)

    async def _send(self, user: User, address: str) -> None:
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        reset = PasswordReset(
            id=user.id, token_hash=token_hash(token), epoch=user.epoch, expires_at=now + self._life
        )
        happened = event(
            "password.reset-asked",
            now,
            address=address,
            target=user,
            target_kind="user",
            target_name=user.email,
        )
        await change(self._store, USERS, user.id, lambda found: with_event(found, happened))
        try:
            await self._store.insert(RESETS, reset)
        except DuplicateKey:
            await change(
                self._store,
                RESETS,
                user.id,
                lambda found: msgspec.structs.replace(reset, version=found.version),
            )
        await self._mail.send(
            user.email,
            "Set a new password for Heliograph",
            f"Somebody, hopefully you, asked for a new password for {user.email} on Heliograph.\n\n"
            f"To set one, open:\n{self._mail.link(f'/reset/password?token={token}')}\n\n"
            f"The link works once, until {reset.expires_at:%d %B %Y, %H:%M} UTC. "
            "If it was not you, do nothing: your password stays as it is.\n",
        )

    async def check(self, token: str) -> User:
        """Whose the link is. NoReset."""
        return (await self._valid(token))[1]

    async def set_password(self, token: str, new: str, *, address: str = "") -> User:
        """The link ends, and every session. Invalid (`new`) leaves the link as it is. NoReset."""
        reset, user = await self._valid(token)
        if problem := objection(new, email=user.email, name=user.name):
            raise Invalid({"new": problem})
        password_hash = await self._passwords.hash(new)
        try:  # of any number at once, one takes it
            await self._store.delete(RESETS, reset.id, reset.version)
        except (NotFound, VersionConflict):
            raise NoReset from None
        happened = event(
            "password.reset",
            self._clock(),
            actor_id=user.id,
            actor=user.email,
            address=address,
            target=user,
            target_name=user.email,
        )

        def renew(found: User) -> User:
            if found.epoch != reset.epoch or found.disabled:
                raise NoReset
            renewed = msgspec.structs.replace(
                found, password_hash=password_hash, must_set_password=False, epoch=found.epoch + 1
            )
            return with_event(renewed, happened)

        user = await change(self._store, USERS, user.id, renew)
        self._remembered.forget_user(user.id)
        with suppress(ControlPlaneError):
            await self._sessions.end_all(user)  # housekeeping: the raised epoch ended them
        return user

    async def _valid(self, token: str) -> tuple[PasswordReset, User]:
        reset = await find_one(self._store, RESETS, {"token_hash": token_hash(token)})
        if reset is None or reset.expires_at <= self._clock():
            raise NoReset
        try:
            user = await self._store.get(USERS, reset.id)
        except NotFound:
            raise NoReset from None
        if user.disabled or user.epoch != reset.epoch:
            raise NoReset
        return reset, user
