"""`heliograph bench compare`: the latest ratios of this machine, held against an accepted baseline."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from bench import history
from bench.history import Entry

BASELINE = Path(__file__).with_name("baseline.json")
TOLERANCE = 0.15
LEAST_REPEATS = 5  # of a run that may become a baseline
LOWER_IS_BETTER = frozenset({"rss"})  # scenarios whose ratios are a growth
NOT_COMPARED = 2  # exit code: nothing was judged, which is no pass


@dataclass(frozen=True, slots=True)
class Verdict:
    """One ratio. `change` is now / before; None where there is nothing to judge, and `note` says why."""

    scenario: str
    ratio: str
    before: float | None
    now: float | None
    change: float | None
    fell: bool
    note: str = ""


def judge(baseline: Iterable[Entry], runs: Sequence[Entry], here: dict[str, Any]) -> list[Verdict]:
    """Each ratio of each baseline of this machine against the newest run of the same parameters. Void runs
    are passed over. A ratio that is not measured any more fell; a run that is missing is only noted."""
    verdicts = []
    for before in baseline:
        if not history.same_machine(before.machine, here):
            continue
        now = newest(runs, before, here)
        for name, value in before.ratios.items():
            if now is None:
                verdicts.append(_noted(before, name, value, "no run of these parameters"))
                continue
            if name not in now.ratios:
                verdicts.append(
                    Verdict(before.scenario, name, value, None, None, True, "not measured any more")
                )
                continue
            change = now.ratios[name] / value if value else 1.0
            worse = 1 / change if before.scenario in LOWER_IS_BETTER and change else change
            fell = worse < 1 - TOLERANCE
            verdicts.append(Verdict(before.scenario, name, value, now.ratios[name], change, fell))
    return verdicts


def newest(runs: Sequence[Entry], like: Entry, here: dict[str, Any]) -> Entry | None:
    """The last run of the same scenario, parameters and machine that is not void."""
    for each in reversed(runs):
        same = each.scenario == like.scenario and each.parameters == like.parameters
        if same and not each.void and history.same_machine(each.machine, here):
            return each
    return None


def accepted(
    old: Iterable[Entry], runs: Sequence[Entry], here: dict[str, Any], scenarios: Sequence[str]
) -> list[Entry]:
    """The baseline with the newest runs of this machine in place of its older ones; other machines' stay.
    Only whole runs: not void, with five repeats or more, with ratios."""
    kept = {_key(each): each for each in old}
    for each in runs:
        whole = each.ratios and not each.void and each.repeats >= LEAST_REPEATS
        chosen = not scenarios or each.scenario in scenarios
        if whole and chosen and history.same_machine(each.machine, here):
            kept[_key(each)] = each
    return list(kept.values())


def load(file: Path) -> list[Entry]:
    """Raises click.ClickException for a file that is no baseline."""
    try:
        values = json.loads(file.read_bytes())
        if not isinstance(values, list):
            raise TypeError("it is not a list")
        return [
            history.entry({**each, "ratios": {name: {"median": r} for name, r in each["ratios"].items()}})
            for each in values
        ]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise click.ClickException(f"{file} is no baseline: {error}") from error


def store(file: Path, entries: Iterable[Entry]) -> None:
    values = [
        {
            "scenario": each.scenario,
            "parameters": each.parameters,
            "ratios": {name: round(ratio, 4) for name, ratio in each.ratios.items()},
            "machine": {name: each.machine.get(name, "") for name in history.SAME},
            "at": each.at,
        }
        for each in sorted(entries, key=lambda each: (history.named(each.machine), each.scenario))
    ]
    file.write_text(json.dumps(values, indent=2) + "\n")


@click.command("compare")
@click.argument("scenarios", nargs=-1)
@click.option("--run", is_flag=True, help="Run the scenarios first, those of the baseline unless named.")
@click.option("--accept", is_flag=True, help="Make this machine's newest runs the baseline.")
@click.option(
    "--baseline",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="File of accepted ratios; bench/baseline.json unless given.",
)
@history.file_option
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
def compare(
    scenarios: tuple[str, ...],
    run: bool,
    accept: bool,
    baseline: Path | None,
    history_file: Path,
    as_json: bool,
) -> None:
    """Hold this machine's newest ratios against the accepted ones.

    Exits with 1 where one fell by more than 15 %, and names it; with 2 where there was nothing to compare:
    another machine, other parameters, no run. Absolute rates are not compared.
    """
    from bench.measure import machine

    file, here = baseline or BASELINE, machine()
    old = load(file)
    _known(scenarios)
    wanted = scenarios or tuple(dict.fromkeys(each.scenario for each in old if _mine(each, here)))
    earlier = sum(1 for _ in history.read(history_file)) if run else 0
    if run:
        _run(wanted, history_file)
    runs = list(history.read(history_file))[earlier:]  # an earlier run is no answer where this one broke
    if accept:
        new = accepted(old, runs, here, scenarios)
        store(file, new)
        click.echo(f"{len([each for each in new if _mine(each, here)])} baselines of this machine: {file}")
        return
    chosen = [each for each in old if not scenarios or each.scenario in scenarios]
    verdicts = judge(chosen, runs, here)
    judged = [each for each in verdicts if each.change is not None or each.fell]
    if as_json:
        click.echo(json.dumps([asdict(each) for each in verdicts]))
    else:
        click.echo(_lines(verdicts))
    if not judged:
        click.echo(_nothing(chosen, runs, here), err=True)
        sys.exit(NOT_COMPARED)
    fallen = [each for each in judged if each.fell]
    for each in fallen:
        click.echo(f"fell: {each.scenario}: {each.ratio} {_change(each)}", err=True)
    sys.exit(1 if fallen else 0)


def _run(scenarios: Sequence[str], file: Path) -> None:
    """Each in a process of its own: a void run, or one whose target is not met, ends only itself."""
    for name in scenarios:
        command = [sys.executable, "-m", "bench.cli", name, "--history", str(file)]
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        click.echo(process.stdout, err=True)


def _known(scenarios: Sequence[str]) -> None:
    from bench.cli import COMMANDS, SCENARIOS

    for name in scenarios:
        if name not in SCENARIOS and name not in COMMANDS:
            raise click.BadParameter(f"unknown scenario {name!r}; there are {', '.join(SCENARIOS)}")


def _mine(each: Entry, here: dict[str, Any]) -> bool:
    return history.same_machine(each.machine, here)


def _key(each: Entry) -> str:
    return json.dumps([each.scenario, each.parameters, history.named(each.machine)], sort_keys=True)


def _noted(before: Entry, ratio: str, value: float, note: str) -> Verdict:
    return Verdict(before.scenario, ratio, value, None, None, False, note)


def _lines(verdicts: Sequence[Verdict]) -> str:
    width = max((len(f"{each.scenario}: {each.ratio}") for each in verdicts), default=0)
    return "\n".join(f"{f'{each.scenario}: {each.ratio}':<{width}}  {_change(each)}" for each in verdicts)


def _change(each: Verdict) -> str:
    if each.change is None:
        return f"{each.before:,.3g} before; {each.note}"
    mark = "  FELL" if each.fell else ""
    return f"{each.before:,.3g} -> {each.now:,.3g} ({each.change - 1:+.1%}){mark}"


def _nothing(chosen: Sequence[Entry], runs: Sequence[Entry], here: dict[str, Any]) -> str:
    if not chosen:
        return "nothing to compare: no baseline. Measure, then: heliograph bench compare --accept"
    if not any(_mine(each, here) for each in chosen):
        others = ", ".join(sorted({history.named(each.machine) for each in chosen}))
        return (
            f"nothing to compare: this machine is {history.named(here)}, the baseline is of {others}. "
            "Ratios of another machine say nothing here; measure, then: heliograph bench compare --accept"
        )
    return f"nothing to compare: no whole run of the baseline's parameters among {len(runs)} of the history"
