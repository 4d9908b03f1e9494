"""`heliograph verify`: the proof that the ledger's books are right."""

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import click

from engine.core_api import schema
from engine.core_api.client import CoreClient
from engine.core_api.console_link import ask, core_link, print_json
from engine.ledger import verify as books
from engine.ledger.errors import LedgerError
from engine.ledger.migrate import check
from engine.ledger.pool import AWAY, open_pool


@click.command()
@click.option("--campaign", "campaign_id", type=click.UUID, help="Only this campaign.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Only campaigns sliced on this day (UTC).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
@click.option(
    "--dsn",
    envvar="HELIOGRAPH_ENGINE_LEDGER_DSN",
    help="The ledger's PostgreSQL itself, also with no engine running. Default: a running engine is asked.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    envvar="HELIOGRAPH_DATA",
    help="Data folder of `heliograph up`, to find the engine it runs.",
)
@click.option("--core-url", envvar="HELIOGRAPH_CORE_URL", help="The engine's Core API, https://HOST:PORT.")
@click.option(
    "--certs",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="HELIOGRAPH_CERTS_DIR",
    help="Folder of the Core API's certificates. Default: `certs` in the data folder.",
)
def verify(
    campaign_id: UUID | None,
    day: datetime | None,
    as_json: bool,
    dsn: str | None,
    data: Path,
    core_url: str | None,
    certs: Path | None,
) -> None:
    """Recount everything from its rows and name the first row that does not fit. Exits 1 if one does not."""
    spec = schema.VerifySpec(campaign_id=campaign_id, day=day.date() if day else None)
    if dsn:
        result = _of_database(dsn, spec)
    else:

        async def act(client: CoreClient) -> schema.Verification:
            return await client.verify(spec)

        result = ask(core_link(data, core_url, certs), act)
    if as_json:
        print_json(result)
    else:
        _tell(result)
    sys.exit(0 if result.holds else 1)


def _of_database(dsn: str, spec: schema.VerifySpec) -> schema.Verification:
    async def run() -> schema.Verification:
        pool = await open_pool(dsn, min_size=1, max_size=1)
        try:
            await check(pool)
            return await books.verify(pool, spec.campaign_id, spec.day)
        finally:
            await pool.close()

    try:
        return asyncio.run(run())
    except LedgerError as error:
        raise click.ClickException(str(error)) from error
    except (*AWAY, asyncpg.PostgresError) as error:
        line = " ".join(str(error).split()) or type(error).__name__
        raise click.ClickException(f"the ledger's database does not answer: {line}") from error


def _tell(result: schema.Verification) -> None:
    for day in result.days:
        click.echo(
            f"{day.day}  {day.planned:>12,} planned = {day.sent:,} sent + {day.failed:,} failed"
            f" + {day.in_doubt:,} in doubt + {day.cancelled:,} cancelled + {day.waiting:,} waiting"
        )
    for misfit in result.misfits:
        click.echo(books.sentence(misfit), err=True)
    click.echo(
        f"{result.campaigns:,} campaigns, {result.slices:,} slices, {result.messages:,} messages,"
        f" {result.submissions:,} submissions, {result.receipts:,} receipts in {result.took_s:.1f} s: "
        + ("every row fits" if result.holds else f"{len(result.misfits)} rows do not fit")
    )
