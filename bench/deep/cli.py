"""`heliograph bench deep`."""

import json
from dataclasses import asdict

import click

from bench.deep.work import WORK

ROUNDS = 20


@click.command("deep")
@click.argument("functions", nargs=-1, type=click.Choice(list(WORK)))
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=ROUNDS,
    show_default=True,
    help="Thousands of messages, and twice as many in the second run.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of the table.")
def deep(functions: tuple[str, ...], rounds: int, as_json: bool) -> None:
    """Instructions a message of the hot functions, counted by valgrind: all, or those named.

    Counts hardly differ between runs of one build, whatever else the machine does.
    """
    from bench.deep.callgrind import NoValgrind, count
    from bench.measure import machine

    counted = []
    try:
        for name in functions or WORK:
            click.echo(f"{name} ...", err=True)
            counted.append(count(name, rounds))
    except NoValgrind as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"instructions": [asdict(one) for one in counted], "machine": machine()}))
        return
    click.echo(f"{'function':<12}  {'instructions a message':>22}  what")
    for one in counted:
        what = (WORK[one.name].__doc__ or "").rstrip(".")
        click.echo(f"{one.name:<12}  {one.instructions:>22,.0f}  {what}")
