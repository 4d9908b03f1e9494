"""The table of docs/reliability.md, and the sums of many faults."""

import inspect
import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.chaos.cli import chaos
from bench.chaos.fault import table
from bench.chaos.faults import crash
from bench.chaos.judge import Verdict
from bench.chaos.report import BEGIN, END, write_report
from bench.chaos.run import Played
from bench.chaos.soak import Soak, Steady
from engine.faults import POINTS


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


def test_what_was_not_played_again_keeps_its_row_in_the_faults_order(tmp_path: Path) -> None:
    file = tmp_path / "reliability.md"
    storm = {"kills": 3, "recipients": 10, "killed": {"postgres": 3}}
    write_report(file, storm | played("").as_dict(), [])
    write_report(file, {}, [played("smsc_silent", in_doubt=1), played("kill_engine", in_doubt=2)])
    write_report(file, {}, [played("smsc_silent", in_doubt=3), played("kill_postgres", in_doubt=4)])
    file.write_text(file.read_text().replace("| `kill_postgres`", "| `gone_by_now` |\n| `kill_postgres`"))
    write_report(file, {}, [played("kill_after_claim")])
    rows = [line.split("|") for line in file.read_text().splitlines() if line.startswith("| ")]
    assert [(row[1].strip(), row[8].strip()) for row in rows[1:]] == [
        ("3 kills", "0"),
        ("`kill_after_claim`", "0"),
        ("`kill_engine`", "2"),
        ("`kill_postgres`", "4"),
        ("`smsc_silent`", "3"),
    ]


def test_every_fault_has_a_group_and_a_sentence_and_a_name_of_its_own() -> None:
    faults = table()
    assert len(faults) >= 50
    assert len({fault.summary for fault in faults.values()}) == len(faults)
    groups = {fault.group for fault in faults.values()}
    assert groups == {"crash", "process", "database", "wire", "smsc", "routes"}


def test_every_crash_point_of_the_engine_is_died_at_by_a_fault() -> None:
    table()
    source = inspect.getsource(crash)
    assert [point for point in POINTS if f'"{point}"' not in source] == []


def test_the_list_names_every_fault() -> None:
    outcome = CliRunner().invoke(chaos, ["--list"])
    assert {line.split()[0] for line in outcome.output.splitlines()} == set(table())


@pytest.mark.parametrize("options", [[], ["--faults", "nothing"], ["--faults", "kill_engine,nothing"]])
def test_what_is_not_a_fault_is_said_in_one_line(options: list[str]) -> None:
    outcome = CliRunner().invoke(chaos, options)
    assert outcome.exit_code == 2
    assert "Error:" in outcome.output
    assert not outcome.output.startswith("{")


def test_a_soak_with_a_storm_in_it_prints_as_json() -> None:
    outcome = Soak(7, 1.0, Steady(Verdict(accepted=5)), [{"round": 6, "killed": Counter({"postgres": 2})}])
    told = json.loads(json.dumps(outcome.as_dict()))
    assert told["rounds"] == [{"round": 6, "killed": {"postgres": 2}}]
    assert told["steady"]["verdict"]["accepted"] == 5
    assert told["holds"] is True


def test_a_verdict_holds_only_without_a_difference() -> None:
    assert played("kill_engine").holds
    broken = played("kill_engine")
    broken.verdict.differences.append("3 lost")
    assert not broken.holds
    assert json.loads(json.dumps(broken.as_dict()))["differences"] == ["3 lost"]
