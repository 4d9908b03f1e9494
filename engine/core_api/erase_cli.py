"""`heliograph erase`: one person's number, out of everything the engine keeps."""

from uuid import uuid4

import click

from engine.core_api import schema
from engine.core_api.console_link import CoreLink, ask, core_options, print_json


@click.command()
@core_options
@click.argument("number")
@click.option("--reason", default="", help="Kept beside the erasure; it must not name the person.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def erase(link: CoreLink, number: str, reason: str, as_json: bool) -> None:
    """Erase NUMBER (with its country code) from messages, receipts, inbound and recipient files.

    Refused while a campaign that may still send holds it. May be repeated. Backups are not touched.
    """
    spec = schema.ErasureSpec(decision_id=uuid4(), msisdn=number, reason=reason)
    done = ask(link, lambda client: client.erase(spec))
    if as_json:
        print_json(done)
        return
    for table, count in sorted(done.erased.items()):
        click.echo(f"{table}: {count:,}")
    click.echo(f"erased (record {done.erasure_id})" if done.erased else "nothing held that number")
