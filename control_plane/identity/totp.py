"""Codes of an authenticator app (TOTP, RFC 6238: 30 s, six digits, SHA-1), and recovery codes beside them.

A code counts once: the time step of the last one that was taken is kept with the person, and it and those
before it count no more. The secret is encrypted with the key file.
"""

import hashlib
import hmac
import io
import secrets
from dataclasses import dataclass
from datetime import datetime

import msgspec
import pyotp
import segno

from control_plane.access import Actor
from control_plane.audit.outbox import Event, acted, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.store import DocumentStore
from control_plane.errors import Conflict, ControlPlaneError
from control_plane.identity.model import USERS, User
from control_plane.identity.passwords import ONE_TIME_ALPHABET
from control_plane.workspaces.key_file import KeyFile

STEP_S = 30
DRIFT_STEPS = 1  # how far a phone's clock may be off, either way
RECOVERY_CODES = 10
ISSUER = "Heliograph"


class WrongCode(ControlPlaneError):
    """Neither a code of now that was not taken yet, nor a recovery code that is left."""

    type = "wrong-code"


@dataclass(frozen=True)
class Offer:
    """A secret that is shown and not confirmed yet. `uri` is what the app scans."""

    secret: str
    uri: str

    @property
    def spoken(self) -> str:
        """In groups of four, to be typed."""
        return " ".join(self.secret[at : at + 4] for at in range(0, len(self.secret), 4))


class Totp:
    def __init__(self, store: DocumentStore, keys: KeyFile, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock

    async def offer(self, actor: Actor) -> Offer:
        """The secret to confirm: the one that was shown before, else a new one. Conflict where one is on."""
        sealed = self._keys.seal(pyotp.random_base32().encode())

        def offered(found: User) -> User:
            if found.has_totp:
                raise Conflict("Codes are on already. Turn them off first.")
            return (
                found if found.sealed_totp_offer else msgspec.structs.replace(found, sealed_totp_offer=sealed)
            )

        user = await change(self._store, USERS, actor.user_id, offered)
        secret = self._keys.open(user.sealed_totp_offer).decode()
        uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER)
        return Offer(secret, uri)

    async def confirm(self, actor: Actor, code: str) -> list[str]:
        """From now on a login asks for a code. The recovery codes, shown once. WrongCode, Conflict."""
        codes, now = [recovery_code() for _ in range(RECOVERY_CODES)], self._clock()
        happened = acted(actor, "totp.enable", now, target_kind="user", target_name=actor.email)

        def confirmed(found: User) -> User:
            if found.has_totp or not found.sealed_totp_offer:
                raise Conflict("There is nothing to confirm: begin again.")
            step = matching_step(self._keys.open(found.sealed_totp_offer).decode(), code, now, 0)
            if step is None:
                raise WrongCode("That is not the code the app shows now.")
            on = msgspec.structs.replace(
                found,
                sealed_totp=found.sealed_totp_offer,
                sealed_totp_offer="",
                totp_step=step,
                recovery_hashes=tuple(recovery_hash(one) for one in codes),
            )
            return with_event(on, happened)

        await change(self._store, USERS, actor.user_id, confirmed)
        return codes

    async def recovery_left(self, actor: Actor) -> int:
        return len((await self._store.get(USERS, actor.user_id)).recovery_hashes)

    async def take(self, user: User, code: str) -> User:
        """Use a code up: of any number at once, one takes it. WrongCode."""
        now = self._clock()
        return await change(self._store, USERS, user.id, lambda found: self._taken(found, code, now))

    async def disable(self, actor: Actor, code: str) -> None:
        """Logins ask for no code any more. WrongCode."""
        now = self._clock()
        happened = acted(actor, "totp.disable", now, target_kind="user", target_name=actor.email)
        await change(
            self._store, USERS, actor.user_id, lambda found: without(self._taken(found, code, now), happened)
        )

    def _taken(self, found: User, code: str, now: datetime) -> User:
        if not found.has_totp:
            raise WrongCode("No code is asked for.")
        secret = self._keys.open(found.sealed_totp).decode()
        step = matching_step(secret, code, now, found.totp_step)
        if step is not None:
            return msgspec.structs.replace(found, totp_step=step)
        used = recovery_hash(code)
        left = tuple(one for one in found.recovery_hashes if not hmac.compare_digest(one, used))
        if len(left) == len(found.recovery_hashes):
            raise WrongCode("That is not the code.")
        return msgspec.structs.replace(found, recovery_hashes=left)


def without(user: User, happened: Event) -> User:
    """The person with codes off."""
    off = msgspec.structs.replace(user, sealed_totp="", sealed_totp_offer="", totp_step=0, recovery_hashes=())
    return with_event(off, happened)


def matching_step(secret: str, code: str, now: datetime, after: int) -> int | None:
    """The time step around `now`, later than `after`, whose code this is."""
    code, present = "".join(code.split()), int(now.timestamp()) // STEP_S
    if not (code.isascii() and code.isdigit()):
        return None
    totp, found = pyotp.TOTP(secret), None
    for step in range(present - DRIFT_STEPS, present + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step), code) and step > after:
            found = step
    return found


def recovery_code() -> str:
    """15 characters in groups of five: 74 bits, so its plain hash is enough."""
    return "-".join("".join(secrets.choice(ONE_TIME_ALPHABET) for _ in range(5)) for _ in range(3))


def recovery_hash(code: str) -> str:
    plain = "".join(code.casefold().split()).replace("-", "")
    return hashlib.sha256(plain.encode()).hexdigest()


def qr_image(uri: str) -> bytes:
    """SVG, dark on white whatever the theme: apps read it so."""
    drawn = io.BytesIO()
    segno.make(uri, error="m").save(drawn, kind="svg", scale=5, border=4, dark="#000", light="#fff")
    return drawn.getvalue()
