"""`heliograph audit`: the proof that the audit is what was written."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from control_plane.audit.head import INSTALLATION_CHAIN
from control_plane.audit.verify import ChainReport
from control_plane.audit.verify import verify as walk
from control_plane.documents.choice import open_store
from control_plane.documents.store import DocumentStore, find_one
from control_plane.errors import StoreUnavailable
from control_plane.launcher.postgres import DOCUMENTS, Postgres, PostgresError
from control_plane.settings import PREFIX
from control_plane.workspaces.model import WORKSPACES

INSTALLATION = "installation"


@click.group()
def audit() -> None:
    """Prove the audit."""


@audit.command()
@click.option("--workspace", help="Only this workspace's chain: its name, its id, or `installation`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the chains' heads to a new file: keep it where the database's administrators cannot write.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also hold the chains against a file that --save wrote earlier.",
)
@click.option(
    "--documents-dsn",
    envvar=f"{PREFIX}DOCUMENTS_DSN",
    help="The documents' database. Default: that of the Heliograph that runs on the data folder.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    envvar="HELIOGRAPH_DATA",
    help="Data folder of `heliograph up`.",
)
def verify(
    workspace: str | None,
    as_json: bool,
    save: Path | None,
    against: Path | None,
    documents_dsn: str | None,
    data: Path,
) -> None:
    """Walk every hash chain from its anchor and name each entry that is missing or was changed.

    Exits 1 if there is one. Everything may run meanwhile.
    """
    try:
        dsn = documents_dsn or Postgres(data.resolve() / "postgres").dsn(DOCUMENTS)
        kept = _read_heads(against) if against else {}
        reports = asyncio.run(_verify(dsn, workspace, kept, as_json))
        if save:
            _save(reports, save)
    except (StoreUnavailable, PostgresError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"holds": _holds(reports), "chains": [_json(one) for one in reports]}))
    elif _holds(reports):
        entries = sum(one.entries for one in reports)
        click.echo(f"OK: {len(reports)} chains, {entries:,} entries, nothing missing, nothing changed.")
    sys.exit(0 if _holds(reports) else 1)


async def _verify(
    dsn: str, workspace: str | None, kept: dict[UUID, tuple[int, str]], quiet: bool
) -> list[ChainReport]:
    store = await open_store(dsn, connections=2)
    try:
        only = await _chain(store, workspace) if workspace else None
        reports = []
        async for report in walk(store, only, kept):
            reports.append(report)
            if not quiet:
                _tell(report)
        return reports
    finally:
        await store.close()


async def _chain(store: DocumentStore, wanted: str) -> UUID:
    if wanted == INSTALLATION:
        return INSTALLATION_CHAIN
    found = await find_one(store, WORKSPACES, {"name": wanted})
    if found is not None:
        return found.id
    try:
        return UUID(wanted)
    except ValueError:
        raise click.ClickException(f"there is no workspace {wanted}") from None


def _tell(report: ChainReport) -> None:
    span = f"{report.first} to {report.last}" if report.entries else "none"
    line = f"{report.name}: {'OK' if report.holds else 'NOT OK'}, {report.entries:,} entries ({span})"
    if report.anchor:
        line += f", {report.anchor:,} expired"
    if report.unchained:
        line += f", {report.unchained:,} older than the chain"
    click.echo(line)
    for fault in report.faults:
        click.echo(f"  {fault}")
    if report.more_faults:
        click.echo(f"  and {report.more_faults:,} more")


def _holds(reports: list[ChainReport]) -> bool:
    return all(report.holds for report in reports)


def _json(report: ChainReport) -> dict[str, Any]:
    return {
        "chain": str(report.chain),
        "name": report.name,
        "holds": report.holds,
        "anchor": report.anchor,
        "first": report.first,
        "last": report.last,
        "last_hash": report.last_hash,
        "entries": report.entries,
        "unchained": report.unchained,
        "faults": [*report.faults, *([f"and {report.more_faults} more"] if report.more_faults else [])],
    }


def _save(reports: list[ChainReport], file: Path) -> None:
    heads = {str(one.chain): [one.last, one.last_hash] for one in reports if one.last}
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(f"cannot write {file}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as out:
        json.dump({"heads": heads}, out)


def _read_heads(file: Path) -> dict[UUID, tuple[int, str]]:
    try:
        heads = json.loads(file.read_text())["heads"]
        return {UUID(chain): (int(seq), str(hash_)) for chain, (seq, hash_) in heads.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"{file} is no file of --save") from error
