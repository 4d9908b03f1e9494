"""What every store does alike: field names are checked, cursors are made and read."""

import base64
import binascii
from typing import Any
from uuid import UUID

import msgspec
import orjson

from control_plane.documents.records import Collection, Record, Sort, to_json
from control_plane.errors import Invalid

LARGEST = 2**63  # integers of both stores are smaller, on either side of zero


def field_name(collection: Collection[Any], name: str) -> str:
    """The name, if the record has such a field: nothing else may get into a query."""
    known = {field.encode_name for field in msgspec.structs.fields(collection.type)}
    assert name in known, f"{collection.name} has no field {name}"
    assert name not in ("id", "version"), name
    return name


def index_name(collection: Collection[Any], fields: tuple[str, ...], *, unique: bool) -> str:
    return f"{collection.name}_{'_'.join(fields)}{'_unique' if unique else ''}"


def cursor(last: Record, sort: Sort | None) -> str:
    """Where the page that ends with `last` is followed by the next."""
    value = to_json(getattr(last, sort.field)) if sort else None
    return base64.urlsafe_b64encode(orjson.dumps([value, str(last.id)])).decode()


def read_cursor(after: str, sort: Sort | None) -> tuple[str | int | float | bool | None, UUID]:
    """The value of the sorted field (None without one) and the id after which to go on; else Invalid."""
    try:
        value, last_id = orjson.loads(base64.urlsafe_b64decode(after))
        if (value is None) != (sort is None):
            raise ValueError("a cursor of another list")
        if isinstance(value, list | dict) or (isinstance(value, str) and "\0" in value):
            raise ValueError("no value of a field that is sorted by")
        if isinstance(value, int | float) and not -LARGEST <= value < LARGEST:
            raise ValueError("no number of ours")
        return value, UUID(last_id)
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise Invalid({"after": "This is not a cursor of this list."}) from None
