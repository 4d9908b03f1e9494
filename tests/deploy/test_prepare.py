"""What a machine lacks is said in one line, before anything is half done."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDINARY = ["sh", "dirname", "id", "mktemp", "rm", "tail"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The script in a folder of its own, with a PATH of ordinary commands and nothing else."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "prepare.sh", tmp_path / "deploy")
    (tmp_path / "bin").mkdir()
    for name in ORDINARY:
        where = shutil.which(name)
        assert where
        (tmp_path / "bin" / name).symlink_to(where)
    return tmp_path


def prepare(checkout: Path, what: str) -> str:
    """Runs the script, which must fail; returns what it says."""
    ended = subprocess.run(
        ["sh", "deploy/prepare.sh", what],
        cwd=checkout,
        env={"PATH": str(checkout / "bin")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert not (checkout / ".venv").exists()
    return ended.stderr


def test_an_old_python_is_said_in_one_line(checkout: Path) -> None:
    old = checkout / "bin" / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    (line,) = prepare(checkout, "venv").splitlines()
    assert "Python 3.11, 3.12 or 3.13 is needed, and python3 is Python 3.9.2" in line


def test_a_missing_compiler_is_said_in_one_line(checkout: Path) -> None:
    (checkout / "bin" / "python3").symlink_to(sys.executable)
    (line,) = prepare(checkout, "venv").splitlines()
    assert "a C compiler is needed" in line


def test_a_missing_browser_is_said_in_one_line(checkout: Path) -> None:
    (line,) = prepare(checkout, "tools").splitlines()
    assert "Chromium" in line
