"""People, their sessions and their failed logins, as documents."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from control_plane.access import Actor, Membership
from control_plane.audit.outbox import UNSWEPT, Audited
from control_plane.documents.records import Collection, Index, Record


class User(Audited, frozen=True, kw_only=True):
    email: str  # lower case
    name: str
    password_hash: str
    super_admin: bool = False
    must_set_password: bool = True
    disabled: bool = False
    memberships: dict[UUID, Membership] = msgspec.field(default_factory=dict)
    epoch: int = 1  # raised with each password: sessions of an earlier one are over
    created_at: datetime
    last_login_at: datetime | None = None
    sealed_totp: str = ""  # the secret, encrypted with the key file; empty: logs in without a code
    sealed_totp_offer: str = ""  # shown, and not confirmed yet
    totp_step: int = 0  # of the last code that was taken: it and those before it count no more
    recovery_hashes: tuple[str, ...] = ()  # SHA-256, hex, of the recovery codes that are left

    @property
    def has_totp(self) -> bool:
        return bool(self.sealed_totp)

    @property
    def rights(self) -> str:
        """Of what they may do now: a session whose own is another one gets a new token."""
        told = sorted((str(key), *msgspec.structs.astuple(one)) for key, one in self.memberships.items())
        return hashlib.sha256(repr((self.super_admin, told)).encode()).hexdigest()


class Session(Record, frozen=True, kw_only=True):
    token_hash: str  # SHA-256, hex; the token itself is only with the browser
    user_id: UUID
    epoch: int
    created_at: datetime
    seen_at: datetime
    expires_at: datetime  # the earlier of idle and absolute expiry
    address: str
    user_agent: str
    rights: str = ""  # User.rights when the token was made
    previous_hash: str | None = None  # of the token before: counts until then, for requests under way
    previous_until: datetime | None = None


class LoginStep(Record, frozen=True, kw_only=True):
    """The password was right, the code is still to come. Opens nothing."""

    token_hash: str
    user_id: UUID
    epoch: int
    expires_at: datetime


class Failures(Record, frozen=True, kw_only=True):
    """Failed logins of one account (known or not) or one address. `id` is derived from which."""

    failed: int
    locked_until: datetime | None = None
    expires_at: datetime


USERS = Collection("users", User, indexes=(Index(("email",), unique=True), Index(("super_admin",)), UNSWEPT))
SESSIONS = Collection(
    "sessions",
    Session,
    indexes=(
        Index(("token_hash",), unique=True),
        Index(("previous_hash",)),
        Index(("user_id",)),
        Index(("expires_at",)),
    ),
    expires=True,
)
LOGIN_STEPS = Collection(
    "login_steps",
    LoginStep,
    indexes=(Index(("token_hash",), unique=True), Index(("expires_at",))),
    expires=True,
)
FAILURES = Collection("login_failures", Failures, indexes=(Index(("expires_at",)),), expires=True)


@dataclass(frozen=True)
class LoggedIn:
    token: str  # for the cookie; not stored
    must_set_password: bool


@dataclass(frozen=True)
class Arrival:
    """Somebody whose session is good. `token`: a new one, for the cookie, where it was rotated."""

    actor: Actor
    token: str | None
    has_totp: bool


@dataclass(frozen=True)
class CodeNeeded:
    """The password was right; `token` belongs to the question for the code, and is no session."""

    token: str


@dataclass(frozen=True)
class LockedOut:
    seconds_left: int


@dataclass(frozen=True)
class Refused:
    """Wrong, whatever it was: which accounts exist is not told."""


@dataclass(frozen=True)
class FirstLogin:
    """A one-time password: shown once, stored only as its hash."""

    email: str
    password: str
    role: str
