"""`heliograph backup` and `heliograph restore`: both stores and the keys, in one folder."""

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from control_plane.launcher import documents_place
from control_plane.launcher.postgres import DOCUMENTS, LEDGER, PROGRAMS, Postgres, PostgresError

LEDGER_DSN = "HELIOGRAPH_ENGINE_LEDGER_DSN"
DOCUMENTS_DSN = documents_place.VARIABLE
IN_MONGODB = (
    "the documents are in MongoDB, which this command cannot copy at one moment with the ledger: end "
    "`heliograph up`, copy the documents with mongodump and the data folder as it is, and start it again "
    "(docs/documents.md has each step). Nothing was written"
)

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    envvar="HELIOGRAPH_DATA",
    help="Data folder of `heliograph up`: its databases (unless both are named) and its keys.",
)
_ledger = click.option(
    "--ledger-dsn", envvar=LEDGER_DSN, help="The ledger's PostgreSQL, where it is another."
)
_documents = click.option(
    "--documents-dsn",
    envvar=DOCUMENTS_DSN,
    help="The documents' PostgreSQL, where it is another. MongoDB is refused.",
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_data
@_ledger
@_documents
def backup(folder: Path, data: Path, ledger_dsn: str | None, documents_dsn: str | None) -> None:
    """Write both stores, as they are at one moment, and the keys to FOLDER, which must not exist.

    Everything may run meanwhile. FOLDER holds secrets: keep it as you keep the data.
    """
    if not (ledger_dsn and documents_dsn) and not (data / "postgres").is_dir():
        raise click.ClickException(f"{data} has no databases: name the data folder of `heliograph up`")
    with _stores(data, ledger_dsn, documents_dsn) as environment:
        manifest = _run(["backup", str(folder)], environment)
    size = sum(file["bytes"] for file in manifest["files"].values())
    click.echo(f"{folder}: {len(manifest['files'])} files, {size:,} bytes, as of {manifest['made_at']}")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_data
@_ledger
@_documents
@click.option(
    "--go-on",
    is_flag=True,
    help="Go on sending at the next start. Only if nothing was sent since: it would be sent again.",
)
def restore(folder: Path, data: Path, ledger_dsn: str | None, documents_dsn: str | None, go_on: bool) -> None:
    """Read a backup into a new data folder, or into two empty databases. Nothing is overwritten.

    The restored Heliograph sends nothing until `heliograph stop --lift`, and what was claimed is in doubt.
    """
    if not (ledger_dsn and documents_dsn) and (data / "postgres").exists():
        raise click.ClickException(
            f"{data} has databases: a restore overwrites nothing, name another with --data"
        )
    embedded, fresh = not (ledger_dsn and documents_dsn), not data.exists()
    try:
        with _stores(data, ledger_dsn, documents_dsn) as environment:
            manifest = _run(["restore", str(folder), *(["--go-on"] if go_on else [])], environment)
    except click.ClickException:
        if embedded:  # or the next try would find the databases of this one
            shutil.rmtree(data if fresh else data / "postgres", ignore_errors=True)
        raise
    if embedded:
        documents_place.note(data, documents_dsn)
    click.echo(f"restored as of {manifest['made_at']}")
    if fresh and not embedded:
        click.echo(f"The keys are not restored, for there is no {data}: they stand in {folder / 'keys'}.")
    if not go_on:
        click.echo(
            "Nothing is sent until `heliograph stop --lift`: what was sent since then is not in the backup."
        )


def _must_be_postgres(data: Path, documents_dsn: str | None) -> None:
    try:
        place = documents_place.of(documents_dsn) if documents_dsn else documents_place.noted(data)
    except ValueError as error:
        raise click.ClickException(f"the URL of --documents-dsn ({DOCUMENTS_DSN}) {error}") from None
    if place == documents_place.MONGODB:
        raise click.ClickException(IN_MONGODB)
    if place == documents_place.POSTGRESQL and not documents_dsn:
        raise click.ClickException(
            f"the documents of {data} are in another PostgreSQL: name it with --documents-dsn"
        )


@contextmanager
def _stores(data: Path, ledger_dsn: str | None, documents_dsn: str | None) -> Iterator[dict[str, str]]:
    """The environment that names both databases: those given, or the embedded ones, started if need be."""
    _must_be_postgres(data, documents_dsn)
    if ledger_dsn and documents_dsn:
        environment = {LEDGER_DSN: ledger_dsn, DOCUMENTS_DSN: documents_dsn}
        yield {**environment, **({"HELIOGRAPH_DATA": str(data)} if data.exists() else {})}
        return
    postgres = Postgres(data.resolve() / "postgres")

    def named() -> dict[str, str]:
        return {
            "HELIOGRAPH_POSTGRES_PROGRAMS": str(PROGRAMS),
            "HELIOGRAPH_DATA": str(data.resolve()),
            LEDGER_DSN: ledger_dsn or postgres.dsn(LEDGER),
            DOCUMENTS_DSN: documents_dsn or postgres.dsn(DOCUMENTS),
        }

    if postgres.running:
        yield named()
        return
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = os.open(data / "up.lock", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        postgres.start()
        asyncio.run(postgres.prepare((LEDGER,) if documents_dsn else (LEDGER, DOCUMENTS)))
    except (OSError, PostgresError) as error:
        raise click.ClickException(f"the databases of {data} cannot be used: {error}") from error
    try:
        yield named()
    finally:
        postgres.stop()
        os.close(lock)


def _run(arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "engine.ledger.backup", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise click.ClickException(lines[-1] if lines else "the backup program ended without a word")
    manifest: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return manifest
