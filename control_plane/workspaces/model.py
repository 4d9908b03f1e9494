"""Workspaces as documents."""

from datetime import datetime
from typing import Literal

import msgspec

from control_plane.audit.outbox import UNSWEPT, Audited
from control_plane.documents.records import Collection, Index

WorkspaceState = Literal["active", "suspended"]
RETENTION_DAYS = 90  # of the audit, unless the workspace wants longer


class QuietHours(msgspec.Struct, frozen=True, kw_only=True):
    """A time of day in the workspace's time zone, `HH:MM` each; over midnight where it begins later."""

    begin: str
    end: str

    def __str__(self) -> str:
        return f"{self.begin}-{self.end}"


class Workspace(Audited, frozen=True, kw_only=True):
    name: str
    state: WorkspaceState = "active"
    default_country: str = ""  # ISO 3166 alpha-2, for numbers without a country code
    time_zone: str = "UTC"  # IANA name; pages show times in it
    quiet_hours: QuietHours | None = None
    retention_days: int = RETENTION_DAYS  # of its audit
    authors_may_request_senders: bool = True
    own_approval: bool = False  # whether people may approve what is their own
    moderate_free_templates: bool = False  # templates with free variables or promotional ones need a decision
    require_totp: bool = False
    sealed_ctn_key: str  # the key of ctn_hash, encrypted with the key file
    created_at: datetime
    suspended_at: datetime | None = None
    suspended_by: str = ""
    suspended_why: str = ""
    master: bool | None = None  # True: its admins run the installation (`access.MASTER_ID`)

    @property
    def suspended(self) -> bool:
        return self.state == "suspended"


WORKSPACES = Collection(
    "workspaces", Workspace, indexes=(Index(("name",), unique=True), Index(("master",), unique=True), UNSWEPT)
)
