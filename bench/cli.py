"""`heliograph bench`: measurements, each against a rival within the same run."""

import importlib
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bench.measure import Size
    from bench.report import Result

# name: (help, unit of --count); the module is bench.scenarios.NAME, loaded when it is called
SCENARIOS = {
    "encode": ("submit_sm encoding: C, its Python twin, smpplib.", "messages"),
    "parse": ("Reading responses and receipts: C, its Python twin, smpplib.", "PDUs"),
    "submit": ("Messages and receipts over TCP, no ledger: our link, smpplib.", "messages"),
    "durable": ("The whole path with its ledger (heliograph demo), and the link without one.", "recipients"),
    "ingest": ("A recipient file into committed chunks, and pyarrow.csv only reading it.", "rows"),
    "rss": (
        "Peak memory of engine and control plane: a large upload, a small one.",
        "bytes of the large file",
    ),
}
ALL = tuple(name for name in SCENARIOS if name != "rss")


class Scenarios(click.Group):
    """One command a scenario, made of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*SCENARIOS, "all"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "all":
            return _command("all", f"{', '.join(ALL)}: one after the other.", ALL, "each scenario's own unit")
        if cmd_name not in SCENARIOS:
            return None
        about, unit = SCENARIOS[cmd_name]
        return _command(cmd_name, about, (cmd_name,), unit)


@click.group(cls=Scenarios)
def bench() -> None:
    """Measure Heliograph on this machine: a table, or JSON."""


def _command(name: str, about: str, scenarios: tuple[str, ...], unit: str) -> click.Command:
    @click.command(name, help=about)
    @click.option(
        "--repeats",
        type=click.IntRange(1),
        default=None,
        help="Rounds of each contender; 5, or 2 with --quick.",
    )
    @click.option("--quick", is_flag=True, help="A small run that only shows that it works.")
    @click.option("--count", type=click.IntRange(1), default=None, help=f"How much: {unit}.")
    @click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="JSON instead of the table: an object, for `all` an array of them.",
    )
    def command(repeats: int | None, quick: bool, count: int | None, as_json: bool) -> None:
        from bench.measure import InvalidRun, Size
        from bench.report import table

        _log_warnings_only()
        size = Size(repeats or (2 if quick else 5), quick, count)
        results, failed = [], False
        for scenario in scenarios:
            click.echo(f"{scenario} ...", err=True)
            try:
                results.append(_run(scenario, size))
            except InvalidRun as error:
                click.echo(f"{scenario}: {error}", err=True)
                failed = True
        if not as_json:
            click.echo(table(results))
        elif len(scenarios) > 1:
            click.echo(json.dumps([result.as_dict() for result in results]))
        elif results:
            click.echo(json.dumps(results[0].as_dict()))
        if failed:
            sys.exit(1)

    return command


def _run(scenario: str, size: "Size") -> "Result":
    run: Callable[[Size], Result] = importlib.import_module(f"bench.scenarios.{scenario}").run
    return run(size)


def _log_warnings_only() -> None:
    """Standard output is the result's; the engine's log of each link would only stand in its way."""
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.getLogger("smpp").setLevel(logging.WARNING)


if __name__ == "__main__":
    bench(prog_name="heliograph bench")
