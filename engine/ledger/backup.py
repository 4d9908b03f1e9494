"""Backup and restore of both stores, while everything runs.

The two databases have no common snapshot, so one is made: nothing is written to the documents for the moments
in which both snapshots are taken. What the pair holds is what a power cut at that moment would have left: a
campaign that is approved in the documents and not yet known to the ledger is ordered again by the reconciler,
as after a crash. Run by `heliograph backup` and `heliograph restore` as `python -m engine.ledger.backup`.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from engine import __version__
from engine.ledger.errors import LedgerError
from engine.ledger.migrate import latest, migrate, schema_version
from engine.ledger.sql import load

FORMAT = 1
MANIFEST = "manifest.json"
LOCK_TIMEOUT_MS = 2_000  # documents are not written meanwhile
LOCK_TRIES = 10
NO_KEYS = ("certs", "postgres")  # their keys are made anew
_KEY = re.compile(r"keys/([^/\\\x00-\x1f]+)/[^/\\\x00-\x1f]+\.key")


class BackupError(LedgerError):
    """A backup was not made, or cannot be restored; the message is one line for a person."""

    problem = "backup"


@dataclass(frozen=True, slots=True)
class Stores:
    """The two databases, and where pg_dump and pg_restore are (None: on the PATH)."""

    ledger_dsn: str
    documents_dsn: str
    programs: Path | None = None

    def dsns(self) -> dict[str, str]:
        return {"documents": self.documents_dsn, "ledger": self.ledger_dsn}

    def program(self, name: str) -> str:
        found = str(self.programs / name) if self.programs else shutil.which(name)
        if not found:
            raise BackupError(f"{name} is not installed: it comes with PostgreSQL's client programs")
        return found


async def backup(stores: Stores, folder: Path, keys: Path | None = None) -> dict[str, Any]:
    """Write both stores, and the key files found under `keys`, to `folder`, which must not exist yet.

    The folder appears whole or not at all. Returns its manifest. Raises BackupError.
    """
    _must_be_new(folder, "backup")
    draft = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    try:
        draft.mkdir(parents=True, mode=0o700)
        async with _snapshots(stores) as (snapshots, version):
            made_at = datetime.now(UTC)
            await asyncio.gather(
                *(_dump(stores, name, snapshots[name], draft / f"{name}.dump") for name in stores.dsns())
            )
        for source in _key_files(keys) if keys else ():
            copy = draft / "keys" / source.relative_to(keys)  # type: ignore[arg-type]
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            copy.touch(mode=0o600)
            copy.write_bytes(source.read_bytes())
        manifest = {
            "format": FORMAT,
            "heliograph": __version__,
            "made_at": made_at.isoformat(),
            "schema_version": version,
            "files": {
                str(file.relative_to(draft)): {"bytes": file.stat().st_size, "sha256": _sha256(file)}
                for file in sorted(draft.rglob("*"))
                if file.is_file()
            },
        }
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        for file in (*(path for path in draft.rglob("*") if path.is_file()), draft):
            _sync(file)
        draft.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        raise BackupError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


async def restore(
    stores: Stores, folder: Path, keys: Path | None = None, *, go_on: bool = False
) -> dict[str, Any]:
    """Read a backup into two empty databases, its key files to `keys`. Returns its manifest.

    Nothing is sent until an operator lifts the stop that is set: what was sent after the backup is not in it
    and would be sent again. `go_on` leaves the stop out. What was claimed is in doubt, as after a crash.
    Raises BackupError.
    """
    manifest = read(folder)
    if manifest["schema_version"] > latest():
        raise BackupError(
            f"the backup has schema {manifest['schema_version']}, this release {latest()}: use a newer one"
        )
    for name, dsn in stores.dsns().items():
        await _must_be_empty(name, dsn)
    placed = {}
    for name in manifest["files"]:
        if name.startswith("keys/") and keys is not None:
            placed[folder / name] = keys / Path(name).relative_to("keys")
    for target in placed.values():
        _must_be_new(target, "restore")
    for name in stores.dsns():
        await _run(
            stores.program("pg_restore"),
            *("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"),
            *("--dbname", stores.dsns()[name], str(folder / f"{name}.dump")),
        )
    for source, target in placed.items():
        _place(source, target)
    await migrate(stores.ledger_dsn)
    await _settle_down(stores.ledger_dsn, manifest["made_at"], go_on=go_on)
    return manifest


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a backup whose files are all there and unchanged, and named as `backup` names them: who
    may write the folder does not choose what a restore writes. Raises BackupError."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        if manifest["format"] != FORMAT:
            raise BackupError(f"{folder} has format {manifest['format']}, this release reads {FORMAT}")
        if not isinstance(manifest["schema_version"], int) or not datetime.fromisoformat(manifest["made_at"]):
            raise TypeError
        dumps = {"documents.dump", "ledger.dump"}
        if not dumps <= manifest["files"].keys():
            raise BackupError(f"{folder} is no whole backup: its manifest does not name both dumps")
        for name, written in manifest["files"].items():
            if name not in dumps and not _is_key(name):
                raise BackupError(f"{name!r} is no file of a backup: its manifest is not ours")
            if any((folder / part).is_symlink() for part in (name, *list(Path(name).parents)[:-1])):
                raise BackupError(f"{folder / name} is a link: a backup holds none")
            if _sha256(folder / name) != written["sha256"]:
                raise BackupError(f"{folder / name} is not what was written: the backup is damaged")
    except OSError as error:
        raise BackupError(f"{folder} is no whole backup: {error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{folder} is no backup: {MANIFEST} cannot be read") from error
    return manifest


@asynccontextmanager
async def _snapshots(stores: Stores) -> AsyncIterator[tuple[dict[str, str], int]]:
    """Exported snapshots of both databases at one moment, and the ledger's schema version."""
    async with AsyncExitStack() as held:
        connections = {}
        for name, dsn in stores.dsns().items():
            connections[name] = await _connect(name, dsn)
            held.push_async_callback(connections[name].close)
        writers = await _connect("documents", stores.documents_dsn)
        held.push_async_callback(writers.close)
        async with writers.transaction():
            await _lock_out_writers(writers)
            snapshots = {}
            for name, connection in connections.items():
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                snapshots[name] = await connection.fetchval(load("backup")["export"])
            version = await schema_version(connections["ledger"])
        yield snapshots, version


async def _lock_out_writers(connection: "asyncpg.Connection[Any]") -> None:
    queries = load("backup")
    tables = ", ".join(row["name"] for row in await connection.fetch(queries["tables"]))
    if not tables:
        return
    await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
    for left in reversed(range(LOCK_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {tables} IN SHARE MODE")
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if not left:
                raise BackupError("the documents are being written without a pause: try again") from None
        else:
            return


async def _connect(name: str, dsn: str) -> "asyncpg.Connection[Any]":
    try:
        return await asyncpg.connect(dsn)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise BackupError(f"the {name} database does not answer: {' '.join(str(error).split())}") from error


async def _dump(stores: Stores, name: str, snapshot: str, file: Path) -> None:
    await _run(
        stores.program("pg_dump"),
        *("--format", "custom", "--compress", "gzip:1", "--no-owner", "--no-privileges"),
        *("--snapshot", snapshot, "--file", str(file), "--dbname", stores.dsns()[name]),
    )


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=sys.stderr, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        words = " ".join(said.decode(errors="replace").split())
        raise BackupError(f"{Path(command[0]).name} failed: {words or process.returncode}")


async def _must_be_empty(name: str, dsn: str) -> None:
    connection = await _connect(name, dsn)
    try:
        if await connection.fetch(load("backup")["tables"]):
            raise BackupError(f"the {name} database is not empty: a restore overwrites nothing")
    finally:
        await connection.close()


async def _settle_down(dsn: str, made_at: str, *, go_on: bool) -> None:
    """The restored workers are dead, and nothing is sent until somebody says so."""
    queries = load("backup")
    connection = await _connect("ledger", dsn)
    try:
        async with connection.transaction():
            await connection.execute(queries["end_workers"])
            if not go_on:
                reason = f"restored from the backup of {made_at}: what was sent since then is not in it"
                await connection.execute(queries["stop"], uuid4(), reason, uuid4())
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def _is_key(name: str) -> bool:
    found = _KEY.fullmatch(name)
    return found is not None and found[1] not in (".", "..", *NO_KEYS)


def _place(source: Path, target: Path) -> None:
    """A key file, for its owner only; never through a link that waits in its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BackupError(f"cannot write {target}: {error.strerror}") from error
    with open(handle, "wb") as file:
        file.write(source.read_bytes())


def _must_be_new(path: Path, what: str) -> None:
    if path.exists() or path.is_symlink():
        raise BackupError(f"{path} exists: a {what} overwrites nothing")


def _key_files(folder: Path) -> list[Path]:
    """Keys of secrets at rest; those of the Core API's certificates are made anew."""
    return [path for path in sorted(folder.glob("*/*.key")) if path.parent.name not in NO_KEYS]


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main() -> None:
    """`backup FOLDER` or `restore FOLDER [--go-on]`, with the stores in the environment; one JSON line, or
    one line of what is wrong."""
    environment = os.environ
    programs = environment.get("HELIOGRAPH_POSTGRES_PROGRAMS")
    stores = Stores(
        environment["HELIOGRAPH_ENGINE_LEDGER_DSN"],
        environment["HELIOGRAPH_CONTROL_DOCUMENTS_DSN"],
        Path(programs) if programs else None,
    )
    keys = Path(environment["HELIOGRAPH_DATA"]) if environment.get("HELIOGRAPH_DATA") else None
    verb, folder = sys.argv[1], Path(sys.argv[2]).absolute()
    try:
        if verb == "backup":
            manifest = asyncio.run(backup(stores, folder, keys))
        else:
            manifest = asyncio.run(restore(stores, folder, keys, go_on="--go-on" in sys.argv))
    except (LedgerError, asyncpg.PostgresError) as error:
        sys.exit(" ".join(str(error).split()))
    print(json.dumps(manifest))


if __name__ == "__main__":
    main()
