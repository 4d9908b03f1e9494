"""`heliograph bench plan` from its command line, on real components."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import history
from bench.cli import bench
from bench.plan.disk import file_system, quantile
from bench.plan.durable import steady_rate, text_of
from bench.plan.run import ceiling_window
from engine._fast import text as texts

ARGUMENTS = ["plan", "--target-tps", "200", "--rtt", "10", "--p99-ms", "500", "--window", "20", "--quick"]


@pytest.mark.slow
@pytest.mark.system
def test_a_quick_plan_measures_all_and_leaves_its_report_and_nothing_else(
    tmp_path: Path, history_file: Path
) -> None:
    report = tmp_path / "plan.html"
    data = tmp_path / "data"
    outcome = CliRunner().invoke(
        bench, [*ARGUMENTS, "--data", str(data), "--report", str(report), "--parts", "2", "--json"]
    )
    assert outcome.exit_code in (0, 1), outcome.output
    plan = json.loads(outcome.stdout)
    assert plan["advice"]["reachable"] is (outcome.exit_code == 0)
    assert plan["ramps"][0]["bound_per_s"] == 2000
    assert plan["durable"]["messages"] == 500
    assert plan["durable"]["submits"] - plan["durable"]["throttled"] == 1000, "two parts each"
    for each in (plan["durable"], plan["ceiling"]):
        assert each["wal_bytes"] > 50
        assert each["table_bytes"] > 50
        assert each["closed_bytes"] > 0
        assert each["cpu_us"]["engine"] > 0
    assert plan["disk"]["commit_p50_ms"] > 0
    assert "capacity plan" in report.read_text("utf-8")
    assert list(data.iterdir()) == []
    [run] = history.read(history_file)
    assert run.scenario == "plan"


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(bench, [*ARGUMENTS, "--report", str(tmp_path / "no" / "plan.html")])
    assert outcome.exit_code == 2
    assert "no folder" in outcome.output


@pytest.mark.parametrize(
    "wrong", [["--rtt", "0"], ["--target-tps", "0"], ["--parts", "11"], ["--window", "0"]]
)
def test_senseless_goals_are_refused(wrong: list[str]) -> None:
    outcome = CliRunner().invoke(bench, [*ARGUMENTS, *wrong])
    assert outcome.exit_code == 2


@pytest.mark.parametrize("parts", range(1, 11))
def test_a_text_has_as_many_parts_as_asked_for(parts: int) -> None:
    assert texts.parts(text_of(parts).replace("{{name}}", "Ada")) == parts
    assert texts.parts(text_of(parts).replace("{{name}}", "Maria del Carmen")) == parts


@pytest.mark.parametrize(("rtt_ms", "window"), [(1, 1000), (50, 5000), (1000, 20_000)])
def test_a_campaign_without_a_limit_is_not_limited_by_its_window(rtt_ms: float, window: int) -> None:
    assert ceiling_window(rtt_ms) == window


def test_the_steady_rate_leaves_out_begin_and_end() -> None:
    seen = [(0.0, 0), (1.0, 50), (2.0, 300), (3.0, 500), (4.0, 700), (9.0, 1000)]
    assert steady_rate(seen) == 200
    assert steady_rate([(0.0, 0), (2.0, 1000), (5.0, 1000)]) == 500, "too few looks: from begin to end"
    stood = [(0.0, 0), (1.0, 500), (1.1, 500), (1.2, 500), (2.0, 1000)]
    assert steady_rate(stood) == 500, "no progress between the looks: from begin to end"


def test_the_disks_file_system_is_that_of_its_mount(tmp_path: Path) -> None:
    assert file_system(Path("/proc")) == "proc"
    assert file_system(tmp_path / "not" / "yet") != ""
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
