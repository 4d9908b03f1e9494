"""What was measured here so far: one JSON line a run, so that a run can be held against earlier ones."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bench.report import Result

DEFAULT = Path("var/bench/history.jsonl")
ENVIRONMENT = "HELIOGRAPH_BENCH_HISTORY"
SAME = ("cpu", "cores", "python")  # what makes two machines the same for a ratio


@dataclass(frozen=True, slots=True)
class Entry:
    """A run as the history has it. `ratios` are medians."""

    scenario: str
    parameters: dict[str, Any]
    ratios: dict[str, float]
    machine: dict[str, Any]
    at: str
    void: str = ""

    @property
    def repeats(self) -> int:
        """0 where the run does not say."""
        found = self.parameters.get("repeats", 0)
        return found if isinstance(found, int) else 0


class Damaged(ValueError):
    """A line that is no run."""


file_option = click.option(
    "--history",
    "history_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT,
    show_default=True,
    envvar=ENVIRONMENT,
    help=f"File of JSON lines, one a run; {ENVIRONMENT} names another.",
)
none_option = click.option("--no-history", is_flag=True, help="Do not keep the run in the history.")


def append(file: Path, result: "Result") -> None:
    """One line, in one write. A file that cannot be written is said and costs no result."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "heliograph": version("heliograph"),
        **result.as_dict(),
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, _cut_off(descriptor) + json.dumps(line).encode() + b"\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        click.echo(f"history not written: {error}", err=True)


def _cut_off(descriptor: int) -> bytes:
    """A line end, where a crash left a line without one: it must not take the next run with it."""
    size = os.fstat(descriptor).st_size
    return b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""


def read(file: Path) -> Iterator[Entry]:
    """Runs, oldest first. A damaged line is named on standard error and passed over: a machine that went
    down in the middle of a write loses that run, no other."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield entry(json.loads(line))
        except (ValueError, RecursionError) as error:
            click.echo(f"{file}, line {number}: no run ({error})", err=True)


def entry(values: Any) -> Entry:
    """Raises Damaged."""
    try:
        ratios = {str(name): float(spread["median"]) for name, spread in values["ratios"].items()}
        return Entry(
            scenario=str(values["scenario"]),
            parameters=dict(values["parameters"]),
            ratios=ratios,
            machine=dict(values["machine"]),
            at=str(values.get("at", "")),
            void=str(values.get("void", "")),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error


def same_machine(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Processor, cores and Python's minor version: a new kernel or patch is the same machine."""
    return _machine_key(one) == _machine_key(other)


def _machine_key(machine: dict[str, Any]) -> tuple[str, ...]:
    values = {name: str(machine.get(name, "")) for name in SAME}
    values["python"] = ".".join(values["python"].split(".")[:2])
    return tuple(values.values())


def named(machine: dict[str, Any]) -> str:
    cpu, cores, python = _machine_key(machine)
    return f"{cpu}, {cores} cores, Python {python}"
