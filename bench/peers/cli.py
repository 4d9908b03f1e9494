"""`heliograph bench peers`."""

import json
import sys
import tempfile
from pathlib import Path

import click

from bench import history
from bench.peers.catalogue import NO_CLIENT, PEERS

NO_NETWORK = 3  # exit code: nothing could be installed


@click.command("peers")
@click.option("--repeats", type=click.IntRange(1), default=None, help="Rounds of each; 5, or 2 with --quick.")
@click.option("--quick", is_flag=True, help="A small run that only shows that it works.")
@click.option(
    "--count", type=click.IntRange(1), default=None, help="Messages of ours; the slower ones get fewer."
)
@click.option(
    "--peer",
    "names",
    multiple=True,
    type=click.Choice([peer.name for peer in PEERS]),
    help="Only this library; repeatable.",
)
@click.option(
    "--wheels",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Install from this folder of wheels, without a network.",
)
@history.file_option
@history.none_option
@click.option("--json", "as_json", is_flag=True, help="JSON instead of the table.")
def peers(
    repeats: int | None,
    quick: bool,
    count: int | None,
    names: tuple[str, ...],
    wheels: Path | None,
    history_file: Path,
    no_history: bool,
    as_json: bool,
) -> None:
    """Other SMPP libraries for Python beside our link, on this machine.

    They are installed into a throw-away environment, by pip as this machine is configured, and sent through
    the same simulated SMSC. One that does not install or fails is listed with its reason. Exits with 3
    where nothing could be installed.
    """
    from bench.measure import InvalidRun, Size
    from bench.peers import run as driven
    from bench.peers.environment import Environment, NoNetwork, all_installed
    from bench.quiet import log_warnings_only
    from bench.report import table

    def say(text: str) -> None:
        click.echo(text, err=True)

    log_warnings_only()
    size = Size(repeats or (2 if quick else 5), quick, count)
    with tempfile.TemporaryDirectory(prefix="heliograph-peers-") as name:
        folder = Path(name)
        environment = Environment(folder, wheels)
        try:
            say("a throw-away environment ...")
            environment.create()
            installed = all_installed(environment, names)
            outcome = driven.run(environment, installed, folder, size, say)
        except NoNetwork as error:
            say(f"nothing could be installed: {error}")
            say(
                "Is there a package index in reach? Without one: pip download "
                f"{' '.join(peer.requirements[0] for peer in PEERS)} on a machine that has one, then give "
                "the folder with --wheels."
            )
            sys.exit(NO_NETWORK)
        except InvalidRun as error:
            raise click.ClickException(str(error)) from error
    if not no_history:
        history.append(history_file, outcome.result)
    if as_json:
        click.echo(json.dumps(outcome.result.as_dict()))
        return
    click.echo(table([outcome.result]))
    for one in outcome.measured:
        click.echo(f"{one.peer.name} {one.version}, {one.peer.licence}: {one.peer.pipelined}")
    for name, reason in {**outcome.reasons, **NO_CLIENT}.items():
        click.echo(f"not measured: {name}: {reason}")
