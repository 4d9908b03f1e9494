"""The root of the Core API's published types.

JSON over HTTP with mutual TLS under `/core/v1`. Field names are the wire names. Times are RFC 3339 `Z`,
numbers of messages are messages unless a name says parts, money is an integer of 1/10,000 of the unit.
Every type is frozen; a new optional field is compatible, anything else is `/core/v2`.
"""

import msgspec

VERSION = 1
PREFIX = f"/core/v{VERSION}"

__all__ = ["PREFIX", "VERSION", "Problem", "Struct"]


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all wire types."""


class Problem(Struct, frozen=True, kw_only=True):
    """RFC 9457. `type` is a stable URN `urn:heliograph:problem:<name>` (docs/errors.md)."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[dict[str, str]] = []
