"""The table of docs/reliability.md, and the sums of many faults."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.chaos.cli import chaos
from bench.chaos.fault import table
from bench.chaos.judge import Verdict
from bench.chaos.report import BEGIN, END, write_report
from bench.chaos.run import Played


def played(name: str, **verdict: int) -> Played:
    return Played(name, 7, 3000, "hold", Verdict(**verdict), crashes=2)  # type: ignore[arg-type]


def test_the_table_takes_the_place_of_the_one_there_is_and_leaves_the_text(tmp_path: Path) -> None:
    file = tmp_path / "reliability.md"
    file.write_text(f"# Before\n\n{BEGIN}\nwas here\n{END}\n\nAfter\n")
    one = played("kill_engine", lost=3, duplicates=1, duplicate_bound=9, in_doubt=4)
    other = Played("smsc_silent", 7, 3000, "hold", Verdict(), not_played="no compiler")
    write_report(file, {}, [one, other])
    text = file.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\n\nAfter\n")
    assert "was here" not in text
    row = "7 | 3,000 | 2 | 3 | 1 (9) | 4 | 0 | yes |"
    assert f"| `kill_engine` | kill -9 of the engine at random moments | {row}" in text
    assert "not played: no compiler" in text
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(columns) == 1, "every row has every column"


def test_every_fault_has_a_group_and_a_sentence_and_a_name_of_its_own() -> None:
    faults = table()
    assert len(faults) >= 50
    assert len({fault.summary for fault in faults.values()}) == len(faults)
    groups = {fault.group for fault in faults.values()}
    assert groups == {"crash", "process", "database", "wire", "smsc"}


def test_the_list_names_every_fault() -> None:
    outcome = CliRunner().invoke(chaos, ["--list"])
    assert {line.split()[0] for line in outcome.output.splitlines()} == set(table())


@pytest.mark.parametrize("options", [[], ["--faults", "nothing"], ["--faults", "kill_engine,nothing"]])
def test_what_is_not_a_fault_is_said_in_one_line(options: list[str]) -> None:
    outcome = CliRunner().invoke(chaos, options)
    assert outcome.exit_code == 2
    assert "Error:" in outcome.output
    assert not outcome.output.startswith("{")


def test_a_verdict_holds_only_without_a_difference() -> None:
    assert played("kill_engine").holds
    broken = played("kill_engine")
    broken.verdict.differences.append("3 lost")
    assert not broken.holds
    assert json.loads(json.dumps(broken.as_dict()))["differences"] == ["3 lost"]
