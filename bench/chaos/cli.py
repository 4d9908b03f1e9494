"""`heliograph chaos`: break everything under traffic, and judge by what the SMSC saw."""

import json
import sys
from pathlib import Path
from typing import Any

import click
import uvloop

from bench.chaos.fault import GROUPS, Fault, table
from bench.chaos.report import write_report
from bench.chaos.run import Played, kill_often, play_all
from bench.chaos.soak import soak
from engine import log

SUMS = (
    "accepted",
    "submissions",
    "witness_parts",
    "lost",
    "unseen",
    "duplicates",
    "duplicate_bound",
    "in_doubt",
    "receipts_lost",
)


@click.command()
@click.option(
    "--kills", type=click.IntRange(1), help="kill -9 so often, of whatever runs, at random moments."
)
@click.option("--faults", help="Names or groups, with commas between, or all. --list names them.")
@click.option(
    "--minutes", type=click.FloatRange(0.1), help="Go on with changing seeds so long, and watch memory."
)
@click.option("--seed", default=1, show_default=True, help="The same seed plays the same.")
@click.option(
    "--recipients", type=click.IntRange(10), help="Messages: 20000 for --kills, 3000 for each fault."
)
@click.option("--list", "as_list", is_flag=True, help="Name the faults and end.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep logs and data of what broke here."
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the table into this Markdown file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def chaos(
    kills: int | None,
    faults: str | None,
    minutes: float | None,
    seed: int,
    recipients: int | None,
    as_list: bool,
    keep: Path | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Break a Heliograph of its own under traffic: nothing is lost, nothing doubled beyond the bound."""
    if as_list:
        for fault in table().values():
            click.echo(f"{fault.name:<32} {fault.summary}")
        return
    if kills is None and faults is None and minutes is None:
        raise click.UsageError("give --kills N, --faults all|NAME,... or --minutes M")
    log.configure("error")
    if minutes is not None:
        _soak(minutes, seed, quiet=as_json)
    outcome: dict[str, Any] = {}
    if kills is not None:
        outcome = uvloop.run(kill_often(kills, seed, recipients or 20_000, keep))
    chosen = _chosen(faults) if faults is not None else []
    played = uvloop.run(_play(chosen, seed, recipients or 3_000, keep, quiet=as_json)) if chosen else []
    if played:
        outcome = _sum(outcome, played, seed)
    if report is not None:
        write_report(report, outcome, played)
    click.echo(json.dumps(outcome, indent=None if as_json else 2))
    sys.exit(0 if outcome["holds"] else 1)


def _soak(minutes: float, seed: int, *, quiet: bool) -> None:
    def told(number: int, name: str, differences: list[str]) -> None:
        state = "; ".join(differences) or "holds"
        click.echo(f"round {number}: {name}: {state}", err=True)

    outcome = uvloop.run(soak(minutes, seed, None if quiet else told))
    click.echo(json.dumps(outcome.as_dict(), indent=None if quiet else 2))
    sys.exit(0 if outcome.holds else 1)


def _chosen(names: str) -> list[Fault]:
    known = table()
    if names == "all":
        return list(known.values())
    chosen = []
    for name in names.split(","):
        if name in GROUPS:
            chosen += [fault for fault in known.values() if fault.group == name]
        elif name in known:
            chosen.append(known[name])
        else:
            raise click.BadParameter(f"{name!r} is no fault and no group: see --list", param_hint="--faults")
    return chosen


async def _play(
    faults: list[Fault], seed: int, recipients: int, keep: Path | None, *, quiet: bool
) -> list[Played]:
    def told(played: Played) -> None:
        state = "not played" if played.not_played else "holds" if played.holds else "BROKEN"
        why = played.not_played or "; ".join(played.verdict.differences)
        click.echo(f"{played.name:<32} {state:<10} {played.took_s:5.1f} s  {why}", err=True)

    return await play_all(faults, seed, recipients, None if quiet else told, keep)


def _sum(outcome: dict[str, Any], played: list[Played], seed: int) -> dict[str, Any]:
    each = [one.as_dict() for one in played]
    total = {name: outcome.get(name, 0) + sum(one[name] for one in each) for name in SUMS}
    broken = [one.name for one in played if not one.holds and not one.not_played]
    return {
        **total,
        "balanced": outcome.get("balanced", True) and all(one["balanced"] for one in each),
        "kills": outcome.get("kills", 0) + sum(one["crashes"] for one in each),
        "seed": seed,
        "holds": outcome.get("holds", True) and not broken,
        "broken": broken,
        "not_played": [one.name for one in played if one.not_played],
        "storm": outcome or None,
        "faults": each,
    }
