"""`heliograph bench plan`."""

import json
import shlex
import sys
from pathlib import Path

import click

from bench import history

WIDEST_LIMIT_MS = 20.0  # above the round trip, where no limit is given and the round trip is short


@click.command("plan")
@click.option(
    "--target-tps",
    type=click.FloatRange(1),
    required=True,
    help="Messages a second that are wanted.",
)
@click.option(
    "--rtt", "rtt_ms", type=click.FloatRange(0.1, 10_000), required=True, help="Round trip to the SMSC, ms."
)
@click.option(
    "--tps-per-bind",
    type=click.FloatRange(1),
    default=None,
    help="submit_sm a second that the operator grants a bind; the whole target unless given.",
)
@click.option(
    "--p99-ms",
    type=click.FloatRange(0.1),
    default=None,
    help="Limit of the 99th percentile of the response time; twice the round trip, or 20 ms more than it.",
)
@click.option(
    "--parts", type=click.IntRange(1, 10), default=1, show_default=True, help="Parts a message has."
)
@click.option(
    "--recipients",
    type=click.IntRange(1),
    default=None,
    help="Messages a day, for the disk; eight hours at the target unless given.",
)
@click.option(
    "--retention-days",
    type=click.IntRange(1),
    default=400,
    show_default=True,
    help="Days that messages are kept, for the disk.",
)
@click.option(
    "--window",
    "windows",
    type=click.IntRange(1, 100_000),
    multiple=True,
    help="Window to measure; repeatable. 10, 30, 100, 300 and 1,000 unless given.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    envvar="HELIOGRAPH_DATA",
    help="Folder on the disk to be measured; what is made in it is removed.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default=None,
    help="Write the report into this HTML file.",
)
@history.file_option
@history.none_option
@click.option("--quick", is_flag=True, help="A short run that only shows that it works.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
def plan(
    target_tps: float,
    rtt_ms: float,
    tps_per_bind: float | None,
    p99_ms: float | None,
    parts: int,
    recipients: int | None,
    retention_days: int,
    windows: tuple[int, ...],
    data: Path,
    report: Path | None,
    history_file: Path,
    no_history: bool,
    quick: bool,
    as_json: bool,
) -> None:
    """Measure what this machine sends, and say what a target takes: binds, window, workers, disk.

    Two to four minutes. Exits with 1 where the target is not reached here. docs/capacity.md explains it.
    """
    from bench.measure import InvalidRun
    from bench.plan.measured import Goal
    from bench.plan.page import html
    from bench.plan.run import QUICK, WINDOWS, Pace, make
    from bench.plan.words import lines
    from bench.quiet import log_warnings_only

    if report is not None and not report.parent.is_dir():
        raise click.BadParameter(f"no folder {report.parent}", param_hint="--report")
    log_warnings_only()
    goal = Goal(
        target_tps=target_tps,
        rtt_ms=rtt_ms,
        tps_per_bind=tps_per_bind or target_tps * parts,
        p99_ms=p99_ms or max(2 * rtt_ms, rtt_ms + WIDEST_LIMIT_MS),
        parts=parts,
        recipients_per_day=recipients or 0,
        retention_days=retention_days,
    )
    command = "heliograph bench plan " + shlex.join(_arguments())
    try:
        made = make(
            goal,
            windows or WINDOWS,
            data,
            QUICK if quick else Pace(),
            command.strip(),
            lambda text: click.echo(text, err=True),
            quick=quick,
        )
    except InvalidRun as error:
        raise click.ClickException(str(error)) from error
    if not no_history:
        history.append(history_file, made.result())
    if report is not None:
        report.write_text(html(made), "utf-8")
        click.echo(f"report: {report}", err=True)
    click.echo(json.dumps(made.as_dict()) if as_json else lines(made))
    sys.exit(0 if made.advice.reachable else 1)


def _arguments() -> list[str]:
    """What stands behind `plan` on the command line, as it was given."""
    given = sys.argv[1:]
    return given[given.index("plan") + 1 :] if "plan" in given else []
