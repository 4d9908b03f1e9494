"""Named queries: every statement of the ledger stands in `queries/*.sql` under a `-- name: <name>` line."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def load(file: str) -> Mapping[str, str]:
    """Queries of `queries/<file>.sql` by name. Raises ValueError where a name stands twice."""
    text = (resources.files("engine.ledger") / "queries" / f"{file}.sql").read_text("utf-8")
    pieces = _NAME.split(text)
    queries: dict[str, str] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if name in queries:
            raise ValueError(f"{file}.sql names {name} twice")
        queries[name] = body.strip().rstrip(";")
    return MappingProxyType(queries)
