"""`heliograph bench compare`: what fails, and what is not judged."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.compare import BASELINE, compare, load
from bench.measure import machine

PARAMETERS = {"messages": 400_000, "repeats": 5}


def line(ratio: float, **other: Any) -> dict[str, Any]:
    return {
        "scenario": "encode",
        "parameters": PARAMETERS,
        "ratios": {"c/smpplib": {"min": ratio, "median": ratio, "max": ratio}},
        "machine": machine(),
        "at": "2026-01-01T00:00:00+00:00",
        "void": "",
        **other,
    }


class Bench:
    """A history, a baseline, and the command over them."""

    def __init__(self, folder: Path) -> None:
        self.history, self.baseline = folder / "runs.jsonl", folder / "baseline.json"

    def ran(self, *lines: dict[str, Any]) -> None:
        with self.history.open("a") as file:
            file.writelines(json.dumps(each) + "\n" for each in lines)

    def compare(self, *arguments: str) -> Result:
        options = ["--history", str(self.history), "--baseline", str(self.baseline)]
        return CliRunner().invoke(compare, [*arguments, *options])


@pytest.fixture
def accepted(tmp_path: Path) -> Bench:
    """A baseline of 100."""
    one = Bench(tmp_path)
    one.ran(line(100.0))
    assert one.compare("--accept").exit_code == 0
    return one


@pytest.mark.parametrize(
    ("ratio", "code"), [(84.0, 1), (86.0, 0), (85.0, 0), (100.0, 0), (250.0, 0), (0.0, 1)]
)
def test_a_fall_of_more_than_15_percent_fails(accepted: Bench, ratio: float, code: int) -> None:
    accepted.ran(line(ratio))
    outcome = accepted.compare()
    assert outcome.exit_code == code, outcome.output
    assert ("fell: encode: c/smpplib 100 ->" in outcome.stderr) is bool(code)


def test_the_newest_run_counts(accepted: Bench) -> None:
    accepted.ran(line(50.0), line(99.0))
    assert accepted.compare().exit_code == 0
    accepted.ran(line(50.0))
    assert accepted.compare().exit_code == 1


def test_a_void_run_is_not_compared(accepted: Bench) -> None:
    accepted.ran(line(97.0), line(10.0, void="the limit client spread over 1.5 x"))
    outcome = accepted.compare()
    assert outcome.exit_code == 0
    assert "97" in outcome.output


def test_only_void_runs_are_no_pass(accepted: Bench) -> None:
    accepted.history.write_text(json.dumps(line(100.0, void="it spread")) + "\n")
    outcome = accepted.compare()
    assert outcome.exit_code == 2
    assert "nothing to compare" in outcome.stderr


def test_other_parameters_are_another_run(accepted: Bench) -> None:
    accepted.history.unlink()
    accepted.ran(line(10.0, parameters={**PARAMETERS, "messages": 5}))
    outcome = accepted.compare()
    assert outcome.exit_code == 2
    assert "no run of these parameters" in outcome.output


def test_another_machines_baseline_is_no_verdict(accepted: Bench) -> None:
    entries = json.loads(accepted.baseline.read_text())
    entries[0]["machine"]["cpu"] = "Another CPU"
    accepted.baseline.write_text(json.dumps(entries))
    accepted.ran(line(10.0))
    outcome = accepted.compare()
    assert outcome.exit_code == 2
    assert "Another CPU" in outcome.stderr
    assert "fell" not in outcome.stderr


def test_a_run_of_another_machine_is_not_held_against_ours(accepted: Bench) -> None:
    accepted.ran(line(10.0, machine={**machine(), "cpu": "Another CPU"}))
    assert accepted.compare().exit_code == 0


def test_a_ratio_that_is_not_measured_any_more_fails(accepted: Bench) -> None:
    accepted.ran(line(0, ratios={"c/other": {"median": 500.0}}))
    outcome = accepted.compare()
    assert outcome.exit_code == 1
    assert "not measured any more" in outcome.output


def test_memory_is_better_when_lower(tmp_path: Path) -> None:
    one = Bench(tmp_path)
    one.ran(line(1.0, scenario="rss"))
    one.compare("--accept")
    one.ran(line(0.5, scenario="rss"))
    assert one.compare().exit_code == 0
    one.ran(line(1.2, scenario="rss"))
    assert one.compare().exit_code == 1


def test_only_whole_runs_become_a_baseline(tmp_path: Path) -> None:
    one = Bench(tmp_path)
    one.ran(
        line(1.0, parameters={"repeats": 2}),
        line(2.0, void="it spread"),
        line(3.0, machine={**machine(), "cores": 999}),
        line(4.0, ratios={}),
    )
    outcome = one.compare("--accept")
    assert "0 baselines" in outcome.output
    assert load(one.baseline) == []
    assert one.compare().exit_code == 2


def test_accepting_keeps_what_other_machines_accepted(accepted: Bench) -> None:
    entries = json.loads(accepted.baseline.read_text())
    entries[0]["machine"]["cpu"] = "Another CPU"
    accepted.baseline.write_text(json.dumps(entries))
    accepted.ran(line(120.0))
    accepted.compare("--accept")
    assert sorted(each.ratios["c/smpplib"] for each in load(accepted.baseline)) == [100.0, 120.0]


def test_an_unknown_scenario_is_refused(accepted: Bench) -> None:
    outcome = accepted.compare("encrypt")
    assert outcome.exit_code == 2
    assert "unknown scenario 'encrypt'" in outcome.output


def test_a_named_scenario_is_compared_alone(accepted: Bench) -> None:
    accepted.ran(line(100.0, scenario="parse"))
    accepted.compare("--accept")
    accepted.ran(line(10.0, scenario="parse"))
    assert accepted.compare("encode").exit_code == 0
    assert accepted.compare("parse").exit_code == 1


def test_a_damaged_history_line_is_passed_over(accepted: Bench) -> None:
    with accepted.history.open("a") as file:
        file.write('{"scenario": "encode", "rat\n')
    outcome = accepted.compare("--json")
    assert outcome.exit_code == 0
    assert "line 2: no run" in outcome.stderr
    [verdict] = json.loads(outcome.stdout)
    assert verdict == {
        "scenario": "encode",
        "ratio": "c/smpplib",
        "before": 100.0,
        "now": 100.0,
        "change": 1.0,
        "fell": False,
        "note": "",
    }


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"scenario": "a"}]'])
def test_a_damaged_baseline_is_said(accepted: Bench, text: str) -> None:
    accepted.baseline.write_text(text)
    outcome = accepted.compare()
    assert outcome.exit_code != 0
    assert "is no baseline" in outcome.output


def test_a_run_can_be_made_on_the_way(tmp_path: Path) -> None:
    one = Bench(tmp_path)
    outcome = one.compare("encode", "--run", "--accept")
    assert outcome.exit_code == 0, outcome.output
    assert "1 baselines of this machine" in outcome.output


def test_a_run_that_breaks_is_not_passed_by_an_earlier_one(
    accepted: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.compare._run", lambda scenarios, file: None)
    outcome = accepted.compare("encode", "--run")
    assert outcome.exit_code == 2, outcome.output
    assert "no run of these parameters" in outcome.output


def test_the_baseline_that_is_shipped_can_be_read() -> None:
    assert all(each.ratios and each.repeats >= 5 for each in load(BASELINE))
