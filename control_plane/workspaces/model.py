"""Workspaces as documents."""

from datetime import datetime

from control_plane.audit.outbox import UNSWEPT, Audited
from control_plane.documents.records import Collection, Index


class Workspace(Audited, frozen=True, kw_only=True):
    name: str
    default_country: str = ""  # ISO 3166 alpha-2, for numbers without a country code
    time_zone: str = "UTC"  # IANA name; pages show times in it
    sealed_ctn_key: str  # the key of ctn_hash, encrypted with the key file
    created_at: datetime
    master: bool | None = None  # True: its admins run the installation (`access.MASTER_ID`)


WORKSPACES = Collection(
    "workspaces", Workspace, indexes=(Index(("name",), unique=True), Index(("master",), unique=True), UNSWEPT)
)
