"""An erasure as a document: what was done about a number, never the number."""

from datetime import datetime
from typing import Literal

import msgspec

from control_plane.audit.outbox import UNSWEPT
from control_plane.documents.records import Collection, Index
from control_plane.documents.scope import Owned

State = Literal["begun", "done", "refused"]


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. `hash` is SHA-256 over the JSON of all else, keys in order, hex; it stands in the audit
    too, whose entries are chained."""

    certificate_id: str
    workspace: str
    everywhere: bool  # of the whole installation, also what belongs to no workspace
    ctn_hash: str  # of the number, under the key of this workspace
    number_hash: str  # the same of the engine's, under its own
    engine_record: str
    reason: str
    asked_at: datetime
    done_at: datetime
    by: str
    found: dict[str, int]  # by store, before
    erased: dict[str, int]
    left: dict[str, int]  # by store, looked for again afterwards
    exports_removed: int
    exports_begun_anew: int
    audit_entries: int  # that tell of the number by ctn_hash alone
    audit_numbers: int  # that hold the number itself; nothing writes such entries
    notes: tuple[str, ...]
    hash: str = ""


class Erasure(Owned, frozen=True, kw_only=True):
    """Its id is the decision's: sent twice, it is done once."""

    state: State = "begun"
    ctn_hash: str
    everywhere: bool = False
    reason: str = ""
    asked_at: datetime
    by: str
    answer: str = ""  # why it was refused
    certificate: Certificate | None = None


ERASURES = Collection(
    "erasures", Erasure, indexes=(Index(("workspace_id", "asked_at")), UNSWEPT), kind="erasure"
)
