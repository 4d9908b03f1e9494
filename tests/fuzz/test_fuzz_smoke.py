"""Some seconds of every fuzz target: `make fuzz MINUTES=60` is the real thing, this shows that it works."""

import shutil
import subprocess
import sys

import pytest
import run
import sanitized
import targets

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def environment():
    """Built once; some minutes where nothing was built before."""
    if shutil.which("gcc") is None:
        pytest.fail("gcc is needed: it builds the product too")
    return sanitized.build()


def test_every_target_has_its_turn():
    assert set(run.TARGETS) == set(targets.TARGETS)


@pytest.mark.parametrize("target", run.TARGETS)
def test_c_and_twin_agree_on_what_coverage_finds_and_the_sanitizers_are_silent(target, environment, tmp_path):
    assert run.fuzz(target, 2, 1, environment, tmp_path / target)


def test_the_sanitizers_see_a_planted_overflow(environment):
    """A read beyond a buffer, in the same environment: it must not pass unseen."""
    code = "import ctypes; ctypes.memmove(ctypes.create_string_buffer(4), b'x' * 4096, 4096)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 99
    assert "AddressSanitizer" in done.stderr


def test_the_extensions_are_the_sanitized_ones(environment):
    code = "import engine._fast.pdu as pdu; print(pdu.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert str(sanitized.FOLDER) in done.stdout
    symbols = subprocess.run(
        ["nm", "-D", done.stdout.strip()], capture_output=True, text=True, check=True
    ).stdout
    assert "__asan_report_load" in symbols
    assert "__ubsan_handle" in symbols


def test_a_difference_of_c_and_twin_is_found(monkeypatch):
    real = targets.PURE["lines"].scan
    monkeypatch.setattr(
        targets.PURE["lines"], "scan", lambda block, *given, **named: real(block + b"x", *given, **named)
    )
    with pytest.raises(AssertionError, match="its twin"):
        targets.lines(b"\1\0\1\0\xffab,cd\nef")
