"""`heliograph certs`: the certificates of the Core API."""

from pathlib import Path

import click

from engine.core_api.certs import days_left, make


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", "hosts", multiple=True, help="A further name or address of the engine. Repeatable.")
def certs(folder: Path, hosts: tuple[str, ...]) -> None:
    """Make, or renew, the Core API's certificates in FOLDER.

    Run it on the engine's machine; the control plane needs ca.crt and heliograph-control-plane.crt and .key.
    """
    written = make(folder, list(hosts))
    for path in sorted(folder.glob("*.crt")):
        click.echo(f"{path}: {'written' if path in written else 'kept'}, {days_left(path)} days left")
