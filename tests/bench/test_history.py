"""The history of runs: one line each, and what a damaged one costs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import history
from bench.cli import bench
from bench.measure import Spread
from bench.report import Result


def result(scenario: str = "encode") -> Result:
    ratios = {"c/twin": Spread(1.0, 2.0, 3.0)}
    return Result(scenario, "PDU", {"repeats": 5}, Spread(1, 2, 3), 0.1, 1, ratios=ratios)


def test_each_run_is_a_line_and_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "runs.jsonl"
    history.append(file, result("encode"))
    history.append(file, result("parse"))
    runs = list(history.read(file))
    assert [each.scenario for each in runs] == ["encode", "parse"]
    assert runs[0].ratios == {"c/twin": 2.0}
    assert runs[0].repeats == 5
    assert runs[0].at.endswith("+00:00")


def test_a_scenario_adds_its_run_and_keeps_it_out_on_request(history_file: Path) -> None:
    arguments = ["encode", "--repeats", "1", "--count", "200", "--json"]
    assert CliRunner().invoke(bench, [*arguments, "--no-history"]).exit_code == 0
    assert not history_file.exists()
    assert CliRunner().invoke(bench, arguments).exit_code == 0
    [run] = history.read(history_file)
    assert (run.scenario, run.parameters["messages"]) == ("encode", 200)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        '"x"',
        '{"scenario": "a"}',
        '{"scenario": "a", "ratios": {"b": 2}}',
        "\x00\xff",
        "9" * 5000,
        '{"scenario": "a", "parameters": {}, "machine": {}, "ratios": {"b": {"median": "fast"}}}',
        "[" * 100_000,
    ],
    ids=range(10),
)
def test_a_damaged_line_is_named_and_costs_no_other(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "runs.jsonl"
    history.append(file, result("encode"))
    with file.open("a", encoding="utf-8") as out:
        out.write(line + "\n")
    history.append(file, result("parse"))
    assert [each.scenario for each in history.read(file)] == ["encode", "parse"]
    assert "line 2: no run" in capsys.readouterr().err


def test_a_line_cut_off_by_a_crash_does_not_take_the_next_run_with_it(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    history.append(file, result("encode"))
    file.write_bytes(file.read_bytes() + b'{"scenario": "pa')  # no line end
    history.append(file, result("submit"))
    assert [each.scenario for each in history.read(file)] == ["encode", "submit"]


def test_a_history_that_cannot_be_written_costs_no_result(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    outcome = CliRunner().invoke(
        bench, ["encode", "--repeats", "1", "--count", "200", "--json", "--history", str(blocked / "x")]
    )
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout)["scenario"] == "encode"
    assert "history not written" in outcome.stderr


def test_no_history_is_no_error(tmp_path: Path) -> None:
    assert list(history.read(tmp_path / "none")) == []


def test_a_machine_is_known_by_processor_cores_and_python() -> None:
    here = {"cpu": "A", "cores": 2, "python": "3.11.7", "system": "Linux 6.1"}
    assert history.same_machine(here, {**here, "python": "3.11.9", "system": "Linux 6.2"})
    for other in ({"cpu": "B"}, {"cores": 4}, {"python": "3.12.0"}):
        assert not history.same_machine(here, {**here, **other})
