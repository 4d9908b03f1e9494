"""`heliograph bench`: measurements, each against a rival within the same run."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from bench import history

if TYPE_CHECKING:
    from bench.measure import Size
    from bench.report import Result

# name: (help, unit of --count); the module is bench.scenarios.NAME, loaded when it is called
SCENARIOS = {
    "encode": ("submit_sm encoding: C, its Python twin, smpplib.", "messages"),
    "parse": ("Reading responses and receipts: C, its Python twin, smpplib.", "PDUs"),
    "submit": (
        "Messages and receipts over TCP, no ledger: our link, the limit client in C, smpplib, smpp34.",
        "messages",
    ),
    "parts": ("Messages of several parts over TCP: PDUs a second, to those of one part.", "PDUs"),
    "durable": (
        "The whole path with its ledger (heliograph demo), and smpplib, smpp34 without one.",
        "recipients",
    ),
    "ingest": ("A recipient file into committed chunks, and pyarrow.csv only reading it.", "rows"),
    "scale": ("Messages a CPU second of the engines: workers 1 and 2, binds 1, 4 and 16.", "recipients"),
    "pace": ("The set TPS against what goes out, over ten seconds: error, gaps, largest write.", "rates"),
    "express": ("Single express messages while bulk fills the link: from accepted to the wire.", "messages"),
    "fairness": ("Workspaces' shares of a channel; one message beside fifty full tenants.", "tenants"),
    "rss": (
        "Peak memory of engine and control plane: a large upload, a small one.",
        "bytes of the large file",
    ),
}
ALONE = ("rss", "scale", "pace", "express", "fairness")  # not in `all`: long, or of another kind
ALL = tuple(name for name in SCENARIOS if name not in ALONE)
# other commands of the group, loaded when they are called
COMMANDS = {
    "plan": "bench.plan.cli:plan",
    "peers": "bench.peers.cli:peers",
    "compare": "bench.compare:compare",
    "deep": "bench.deep.cli:deep",
}


SINK = click.Option(
    ["--sink", "sink_kind"],
    type=click.Choice(["c", "simulator"]),
    default="c",
    show_default=True,
    help="What answers: the smallest SMSC in C, or the simulator.",
)


class Milliseconds(click.ParamType[float]):
    """20, 20ms, 0.02s."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip().lower()
        try:
            if text.endswith("ms"):
                found = float(text[:-2])
            else:
                found = float(text[:-1]) * 1000 if text.endswith("s") else float(text)
        except ValueError:
            found = -1.0
        if not 0 <= found <= 60_000:
            self.fail(f"{value!r} is no time such as 20ms, up to a minute", param, ctx)
        return found


# options that only one scenario has, as arguments of its `run`
OPTIONS: dict[str, list[click.Option]] = {
    "submit": [
        click.Option(
            ["--window"],
            type=click.IntRange(1, 100_000),
            help="PDUs in flight; 1,000, or with --rtt each of 10, 100, 1,000 and 10,000.",
        ),
        click.Option(
            ["--rtt", "rtt_ms"],
            type=Milliseconds(),
            default=0.0,
            help="The sink answers that much later (20ms); against the limit client only.",
        ),
        SINK,
    ],
    "parts": [SINK],
}


class Scenarios(click.Group):
    """One command a scenario, made of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*SCENARIOS, "all", *COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "all":
            return _command("all", f"{', '.join(ALL)}: one after the other.", ALL, "each scenario's own unit")
        if cmd_name in COMMANDS:
            module, name = COMMANDS[cmd_name].split(":")
            return cast(click.Command, getattr(importlib.import_module(module), name))
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
    @history.file_option
    @history.none_option
    def command(
        repeats: int | None,
        quick: bool,
        count: int | None,
        as_json: bool,
        history_file: Path,
        no_history: bool,
        **options: object,
    ) -> None:
        from bench.measure import InvalidRun, Size
        from bench.quiet import log_warnings_only
        from bench.report import table

        log_warnings_only()
        size = Size(repeats or (2 if quick else 5), quick, count)
        results, failed = [], False
        for scenario in scenarios:
            click.echo(f"{scenario} ...", err=True)
            try:
                results.append(_run(scenario, size, **options))
                if not no_history:
                    history.append(history_file, results[-1])
            except InvalidRun as error:
                click.echo(f"{scenario}: {error}", err=True)
                failed = True
        if not as_json:
            click.echo(table(results))
        elif len(scenarios) > 1:
            click.echo(json.dumps([result.as_dict() for result in results]))
        elif results:
            click.echo(json.dumps(results[0].as_dict()))
        if failed or any(result.void for result in results):
            sys.exit(1)

    if len(scenarios) == 1:
        command.params.extend(OPTIONS.get(name, []))
    return command


def _run(scenario: str, size: "Size", **options: object) -> "Result":
    run: Callable[..., Result] = importlib.import_module(f"bench.scenarios.{scenario}").run
    return run(size, **options)


if __name__ == "__main__":
    bench(prog_name="heliograph bench")
