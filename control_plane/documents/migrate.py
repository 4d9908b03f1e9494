"""Documents of an earlier release are brought to this one's form, at start and before anything else.

The migrations run in their order; the schema document counts those that are finished. Nothing is locked: a
document is replaced only at the version that was read, and what was read counts only while the schema
document still stood at this migration afterwards. So a process that was overtaken never applies an old
migration to a newer document, and one that was killed is taken up where it stood by whoever starts next.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol
from uuid import UUID

import msgspec
import structlog

from control_plane.documents import migrations as package
from control_plane.documents.records import Collection, Raw, Record
from control_plane.documents.store import DocumentStore, DuplicateKey, VersionConflict
from control_plane.errors import NotFound

PAGE = 200  # documents read at once
_MODULE = re.compile(r"m(\d{4})_(\w+)")

log = structlog.get_logger(__name__)


class SchemaTooNew(Exception):
    """The documents are of a newer release: this one would not understand them, and does not start."""


class Schema(Record, frozen=True, kw_only=True):
    """How many migrations the documents have been through."""

    number: int = 0


SCHEMA = Collection("schema", Schema)
SCHEMA_ID = UUID("73636865-6d61-8000-8000-000000000000")  # of the one document there is


class Migratable(DocumentStore, Protocol):
    """A store that also gives documents as they are stored."""

    async def raw(self, name: str, after: UUID | None, limit: int) -> list[Raw]:
        """Documents of a collection (none where there is no such one yet) by id, from `after` on."""

    async def replace_raw(self, name: str, document: Raw) -> bool:
        """A new body for the document at this very version, which is raised; False where it is another."""


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    collection: str
    migrate: Callable[[dict[str, Any]], dict[str, Any]]


def migrations() -> list[Migration]:
    """All of this release, from 1 on without a gap. Raises ValueError where one is missing or twice there."""
    found = []
    for module in iter_modules(package.__path__):
        match = _MODULE.fullmatch(module.name)
        if match is None:
            raise ValueError(f"{module.name} is not named like a migration")
        loaded = import_module(f"{package.__name__}.{module.name}")
        found.append(Migration(int(match[1]), match[2], loaded.COLLECTION, loaded.migrate))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("the migrations' numbers have a gap, or one is there twice")
    return found


async def migrate(store: Migratable, known: Sequence[Migration] | None = None) -> int:
    """Bring the documents to this release's schema; returns its number. Raises SchemaTooNew."""
    known = migrations() if known is None else known
    await store.ensure([SCHEMA])
    while True:
        schema = await _schema(store)
        if schema.number > len(known):
            raise SchemaTooNew(
                f"the documents have schema {schema.number}, this release {len(known)}: start the newer one"
            )
        if schema.number == len(known):
            return schema.number
        migration = known[schema.number]
        changed = await _apply(store, migration)
        if changed is not None and await _finish(store, schema) and changed:
            log.info("documents migrated", number=migration.number, name=migration.name, changed=changed)


async def _apply(store: Migratable, migration: Migration) -> int | None:
    """How many documents were changed; None where another process has finished this migration meanwhile."""
    changed, after = 0, None
    while documents := await store.raw(migration.collection, after, PAGE):
        if (await _schema(store)).number >= migration.number:
            return None
        for document in documents:
            migrated = migration.migrate(document.body)
            if migrated != document.body:
                raised = Raw(document.id, document.version, migrated)
                if not await store.replace_raw(migration.collection, raised):
                    break  # changed since it was read: from here again
                changed += 1
            after = document.id
    return changed


async def _schema(store: Migratable) -> Schema:
    try:
        return await store.get(SCHEMA, SCHEMA_ID)
    except NotFound:
        return Schema(id=SCHEMA_ID)


async def _finish(store: Migratable, schema: Schema) -> bool:
    """Count the migration. False where another process did."""
    with suppress(DuplicateKey, VersionConflict):
        counted = msgspec.structs.replace(schema, number=schema.number + 1)
        if schema.version:
            await store.replace(SCHEMA, counted, schema.version)
        else:
            await store.insert(SCHEMA, counted)
        return True
    return False
