"""What the micro benches time and valgrind counts does its work, and the counts say something."""

import shutil
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import bench
from bench.deep import callgrind
from bench.deep.work import MESSAGES, WORK

MADE = {
    "encode": lambda made: made.count,
    "parse": lambda made: len(made.resp_sequence),
    "receipts": lambda made: made.verdict.count(2),
    "window": lambda made: made.status.count(0),
    "normalise": lambda made: made[1].count(0),
    "lines": lambda made: made.lines,
}


@pytest.mark.parametrize("name", WORK)
def test_a_hot_function_does_the_same_on_c_and_twin_each_time(name: str) -> None:
    c, twin = WORK[name](False), WORK[name](True)
    first: Any = c()
    assert _plain(first) == _plain(c()) == _plain(twin())
    if name in MADE:
        assert MADE[name](first) == MESSAGES


def _plain(made: Any) -> Any:
    if isinstance(made, bytearray):
        return bytes(made)
    slots = getattr(made, "__slots__", ())
    return {name: _plain(getattr(made, name)) for name in slots} or repr(made)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_instructions_are_the_functions_alone() -> None:
    few = callgrind.count("lines", 2)
    assert few.messages == 2 * MESSAGES
    assert 50 < few.instructions < 5_000, "start and imports of Python are millions"


def test_without_valgrind_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    outcome = CliRunner().invoke(bench, ["deep", "lines"])
    assert outcome.exit_code == 1
    assert "valgrind is not installed" in outcome.output


def test_an_unknown_function_is_refused() -> None:
    assert CliRunner().invoke(bench, ["deep", "compress"]).exit_code == 2
