"""`heliograph bench` runs its scenarios and prints what it promises."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import ALL, SCENARIOS, Milliseconds, bench
from bench.scenarios.large_file import LINE_BYTES, blocks
from bench.simulators.smsc.cli import smsc, witness
from bench.simulators.smsc.witness import RECORD, WitnessFile


@pytest.mark.parametrize(("scenario", "rivals"), [("encode", 2), ("parse", 2), ("submit", 3), ("parts", 2)])
def test_a_small_run_gives_json_with_rates_ratios_and_machine(scenario: str, rivals: int) -> None:
    outcome = CliRunner().invoke(bench, [scenario, "--repeats", "2", "--count", "1000", "--json"])
    assert outcome.stdout, outcome.output
    result = json.loads(outcome.stdout)
    assert outcome.exit_code == (1 if result["void"] else 0)
    assert result["scenario"] == scenario
    assert result["parameters"]["repeats"] == 2
    assert 0 < result["rate_per_s"]["min"] <= result["rate_per_s"]["median"] <= result["rate_per_s"]["max"]
    assert len(result["ratios"]) == rivals
    assert all(ratio["median"] > 0 for ratio in result["ratios"].values())
    assert result["cpu_s"] > 0
    assert result["rss_bytes"] > 10_000_000
    assert result["machine"]["cores"] >= 1


def test_submit_states_its_targets_its_cost_and_why_it_is_void() -> None:
    outcome = CliRunner().invoke(
        bench, ["submit", "--window", "10", "--repeats", "2", "--count", "2000", "--json"]
    )
    result = json.loads(outcome.stdout)
    (target,) = result["targets"]
    assert (target["name"], target["target"]) == ("limit client, window 10", 0.85)
    assert target["met"] is (target["ratio"] >= 0.85)
    assert target["ratio"] == result["ratios"]["link/limit"]["median"]
    assert result["cost"]["cpu_us"] > 0
    if "syscalls" in result["cost"]:  # where strace may trace
        assert 0.1 < result["cost"]["syscalls"] < 2, "a wake-up reads and writes a window of ten"
    limit = result["rates"]["limit"]
    assert bool(result["void"]) is (limit["max"] > 1.5 * limit["min"])


def test_with_a_round_trip_submit_goes_through_the_windows_against_the_limit_client_only() -> None:
    outcome = CliRunner().invoke(
        bench, ["submit", "--rtt", "5ms", "--quick", "--repeats", "1", "--count", "2000", "--json"]
    )
    result = json.loads(outcome.stdout)
    assert result["parameters"]["window"] == [10, 100, 1_000, 10_000]
    assert set(result["rates"]) == {
        f"{name}@{window}" for name in ("link", "limit") for window in (10, 100, 1_000, 10_000)
    }
    assert result["rates"]["link@10"]["max"] <= 10 / 0.005, "no faster than the window allows"
    assert [target["target"] for target in result["targets"]] == [0.9] * 4


@pytest.mark.parametrize(("given", "ms"), [("20ms", 20.0), ("20", 20.0), ("0.02s", 20.0), ("0", 0.0)])
def test_a_round_trip_is_given_with_its_unit(given: str, ms: float) -> None:
    assert Milliseconds().convert(given, None, None) == pytest.approx(ms)


@pytest.mark.parametrize("given", ["soon", "-1ms", "2h", "nan"])
def test_a_wrong_round_trip_is_explained(given: str) -> None:
    outcome = CliRunner().invoke(bench, ["submit", "--rtt", given])
    assert outcome.exit_code == 2
    assert "20ms" in outcome.output


def test_every_scenario_has_a_command_with_help() -> None:
    for name in [*SCENARIOS, "all"]:
        outcome = CliRunner().invoke(bench, [name, "--help"])
        assert outcome.exit_code == 0
        assert "--repeats" in outcome.output
    assert "rss" not in ALL, "a gigabyte is asked for by name only"


def test_the_memory_files_lines_are_distinct_numbers_of_one_length() -> None:
    data = b"".join(blocks(6_000))
    lines = data.splitlines(keepends=True)
    assert {len(line) for line in lines} == {LINE_BYTES}
    numbers = {line.split(b",")[0] for line in lines}
    assert len(numbers) == len(lines) == 6_000
    assert {(number[:3], len(number)) for number in numbers} == {(b"447", 12)}


def test_every_option_of_the_simulator_is_explained() -> None:
    assert all(getattr(parameter, "help", None) for parameter in smsc.params)


def test_a_wrong_error_share_is_explained() -> None:
    outcome = CliRunner().invoke(smsc, ["--error", "ten=much"])
    assert outcome.exit_code == 2
    assert "0x0B=0.02" in outcome.output
    outcome = CliRunner().invoke(smsc, ["--error", "0x0B=0.7", "--throttle-share", "0.7", "--port", "0"])
    assert outcome.exit_code == 1
    assert "more than 1" in outcome.output


def test_the_witness_is_counted_by_the_command(tmp_path: Path) -> None:
    path = tmp_path / "w"
    file = WitnessFile(path)
    file.append(RECORD.pack(5, 1, 2, 0, 1, 1, 0, 0, 1, 4, b"A", b"4477") * 3)
    file.close()
    outcome = CliRunner().invoke(witness, [str(path), "--json"])
    assert json.loads(outcome.output) == {
        "parts": 3,
        "duplicates": 2,
        "messages": 1,
        "destinations": 1,
        "first_us": 5,
        "last_us": 5,
    }
    other = tmp_path / "other"
    other.write_bytes(b"x" * 200)
    outcome = CliRunner().invoke(witness, [str(other)])
    assert outcome.exit_code == 1
    assert "not a witness file" in outcome.output
