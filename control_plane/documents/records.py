"""Documents as typed records, and the collections that hold them.

A record is a frozen struct. Its stored form is JSON with ids as text and, in stores without a time type,
times as RFC 3339 in milliseconds (equal width: text order is time order). None and a missing field are one.
"""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, get_args
from uuid import UUID

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A document. `version` is the store's: 1 at insert, one more with each replace."""

    id: UUID
    version: int = 0


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Index:
    """An index on top-level fields. A unique one binds only documents that have all of its fields."""

    fields: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True)
class Collection(Generic[R]):
    """A named set of records of one type; its indexes are declared beside the type."""

    name: str
    type: type[R]
    indexes: tuple[Index, ...] = ()
    expires: bool = False  # documents with `expires_at` in the past may be purged
    kind: str = ""  # what people call one of them

    def __post_init__(self) -> None:
        assert self.name.replace("_", "").isalnum(), self.name
        assert self.name.islower(), self.name
        fields = msgspec.structs.fields(self.type)
        for field in fields:
            optional = type(None) in get_args(field.type)
            assert not optional or field.default is None, f"{self.name}: {field.name} needs the default None"
        known = {field.encode_name for field in fields}
        for index in self.indexes:
            assert set(index.fields) <= known, f"{self.name}: no such field in {index.fields}"
        if self.expires:
            assert "expires_at" in known, self.name

    @property
    def noun(self) -> str:
        return self.kind or self.name.rstrip("s").replace("_", " ")


@dataclass(frozen=True)
class Sort:
    """Order by one field, which every document found has; ties by id.

    With `least` or `most`, only documents whose field is not below the one and not above the other.
    """

    field: str
    descending: bool = False
    least: Any = None
    most: Any = None


@dataclass(frozen=True)
class Page(Generic[R]):
    """Some records, and the cursor of the next page (None: there is none)."""

    records: list[R]
    next: str | None = None

    def __post_init__(self) -> None:
        assert self.next is None or self.records

    def replace(self, records: list[R]) -> "Page[R]":
        return dataclasses.replace(self, records=records)


@dataclass(frozen=True)
class Raw:
    """A document as it is stored, whatever release wrote it: `body` is JSON without id and version."""

    id: UUID
    version: int
    body: dict[str, Any]


def time_text(value: datetime) -> str:
    """`2026-01-31T10:00:00.000Z`. ValueError for a time without a zone."""
    if value.tzinfo is None:
        raise ValueError("a time without a zone")
    value = value.astimezone(UTC)
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"


def to_json(value: Any) -> Any:
    """Plain JSON values: ids and times as text, and no None at a document's top level."""
    builtin = msgspec.to_builtins(value, builtin_types=(datetime,), str_keys=True)
    if isinstance(builtin, dict):
        builtin = {name: item for name, item in builtin.items() if item is not None}
    return _times(builtin)


def _times(value: Any) -> Any:
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, dict):
        return {name: _times(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_times(item) for item in value]
    return value
