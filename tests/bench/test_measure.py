"""Comparing contenders within one run, and reading memory."""

import os
import subprocess
import sys

import pytest

from bench.measure import Round, Size, Spread, peak_rss_bytes, side_by_side, timed
from bench.report import Target, compared, table


def test_ratios_are_paired_by_round() -> None:
    ours = iter([Round(100, 1.0, 0.5), Round(400, 1.0, 0.7), Round(900, 1.0, 0.9)])
    theirs = iter([Round(10, 1.0, 9.0), Round(10, 1.0, 9.0), Round(300, 1.0, 9.0)])
    comparison = side_by_side({"a": lambda: next(ours), "b": lambda: next(theirs)}, 3)
    assert comparison.rates == {"a": Spread(100, 400, 900), "b": Spread(10, 10, 300)}
    assert comparison.ratios == {"a/b": Spread(3, 10, 40)}
    assert comparison.cpu_s == 0.7


def test_any_two_contenders_are_paired_and_a_unit_has_its_processor_time() -> None:
    ours = iter([Round(100, 1.0, 0.5), Round(400, 1.0, 0.8), Round(900, 1.0, 0.9)])
    theirs = iter([Round(10, 1.0, 9.0), Round(10, 1.0, 9.0), Round(300, 1.0, 9.0)])
    comparison = side_by_side({"a": lambda: next(ours), "b": lambda: next(theirs)}, 3)
    assert comparison.ratio("b", "a") == Spread(0.025, 0.1, pytest.approx(1 / 3))
    assert comparison.cpu_us == pytest.approx(2000.0)


@pytest.mark.parametrize(("slowest", "void"), [(100, False), (67, False), (66, True)])
def test_a_run_is_void_where_the_limit_client_itself_was_not_steady(slowest: int, void: bool) -> None:
    rates = iter([100, slowest])
    comparison = side_by_side(
        {"link": lambda: Round(1, 1.0, 0.0), "limit": lambda: Round(next(rates), 1.0, 0.0)}, 2
    )
    assert bool(comparison.void("limit")) is void
    if void:
        assert "1.52x" in comparison.void("limit")


def test_every_other_round_runs_in_reverse_order() -> None:
    order: list[str] = []

    def contender(name: str) -> Round:
        order.append(name)
        return Round(1, 1.0, 0.0)

    side_by_side({name: lambda name=name: contender(name) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabc"


def test_no_repeats_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        side_by_side({"a": lambda: Round(1, 1.0, 0.0)}, 0)


def test_a_timed_round_counts_its_units_and_its_cpu() -> None:
    def work() -> int:
        return len([None for _ in range(300_000)])

    one = timed(work)
    assert one.units == 300_000
    assert one.cpu_s > 0
    assert one.rate_per_s == pytest.approx(300_000 / one.seconds)


def test_the_peak_of_another_process_is_read_and_outlives_what_it_freed() -> None:
    code = "import sys; x = bytearray(b'x') * 80_000_000; del x; print('ready', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert 80_000_000 < peak_rss_bytes(process.pid) < 200_000_000
    process.communicate()
    with pytest.raises(ProcessLookupError):
        peak_rss_bytes(process.pid)


def test_our_own_peak_is_the_kernels() -> None:
    assert peak_rss_bytes() == pytest.approx(peak_rss_bytes(os.getpid()), rel=0.2)


def test_sizes_prefer_what_was_asked_for() -> None:
    assert Size().units(default=100, quick=5) == 100
    assert Size(quick=True).units(default=100, quick=5) == 5
    assert Size(quick=True, count=7).units(default=100, quick=5) == 7


def test_a_table_shows_rates_and_ratios() -> None:
    turns = iter([2000.0, 500.0])
    comparison = side_by_side(
        {name: lambda: Round(round(next(turns)), 1.0, 1.0) for name in ("ours", "theirs")}, 1
    )
    shown = table([compared("submit", "message", {"window": 10}, comparison, 64 << 20, note="x")])
    lines = shown.splitlines()
    assert lines[2].split()[:6] == ["submit", "ours", "message", "2,000", "2,000", "2,000"]
    assert "4.00x (4.00-4.00)" in lines[3]
    assert lines[-1] == "submit: note = x"


def test_a_table_says_what_a_unit_costs_which_targets_were_met_and_why_it_is_void() -> None:
    comparison = side_by_side({"ours": lambda: Round(1, 1.0, 1.0)}, 1)
    targets = [
        Target(name="the limit", ratio=0.9, target=0.85),
        Target(name="the library", ratio=29.9, target=30),
    ]
    result = compared(
        "submit", "message", {}, comparison, 0, cost={"cpu_us": 0.5}, targets=targets, void="it was busy"
    )
    shown = table([result])
    assert "submit: cost of one message: 0.5 cpu_us" in shown
    assert "the limit: 0.9 of 0.85, met" in shown
    assert "the library: 29.9 of 30, NOT met" in shown
    assert "VOID: it was busy" in shown
    assert [target["met"] for target in result.as_dict()["targets"]] == [True, False]
