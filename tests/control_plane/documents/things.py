"""Documents of every kind of field, for the tests of stores."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec

from control_plane.documents.records import Collection, Index, Record

START = datetime(2026, 1, 1, 10, 0, 0, 123000, tzinfo=UTC)


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    label: str = ""


class Thing(Record, frozen=True, kw_only=True):
    name: str
    group: UUID | None = None
    number: int = 0
    flag: bool | None = None
    at: datetime = START
    expires_at: datetime | None = None
    inner: Inner | None = None
    tags: tuple[str, ...] = ()
    roles: dict[UUID, str] = msgspec.field(default_factory=dict)
    notes: dict[str, str] = msgspec.field(default_factory=dict)


THINGS = Collection(
    "things",
    Thing,
    indexes=(Index(("name",), unique=True), Index(("group", "number"), unique=True), Index(("at",))),
    expires=True,
)


def thing(name: str, **fields: object) -> Thing:
    return msgspec.structs.replace(Thing(id=uuid4(), name=name), **fields)
