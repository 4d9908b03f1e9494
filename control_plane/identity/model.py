"""People, their sessions and their failed logins, as documents."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from control_plane.access import Membership
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


class Session(Record, frozen=True, kw_only=True):
    token_hash: str  # SHA-256, hex; the token itself is only with the browser
    user_id: UUID
    epoch: int
    created_at: datetime
    seen_at: datetime
    expires_at: datetime  # the earlier of idle and absolute expiry
    address: str
    user_agent: str


class Failures(Record, frozen=True, kw_only=True):
    """Failed logins of one account (known or not) or one address. `id` is derived from which."""

    failed: int
    locked_until: datetime | None = None
    expires_at: datetime


USERS = Collection("users", User, indexes=(Index(("email",), unique=True), Index(("super_admin",)), UNSWEPT))
SESSIONS = Collection(
    "sessions",
    Session,
    indexes=(Index(("token_hash",), unique=True), Index(("user_id",)), Index(("expires_at",))),
    expires=True,
)
FAILURES = Collection("login_failures", Failures, indexes=(Index(("expires_at",)),), expires=True)


@dataclass(frozen=True)
class LoggedIn:
    token: str  # for the cookie; not stored
    must_set_password: bool


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
