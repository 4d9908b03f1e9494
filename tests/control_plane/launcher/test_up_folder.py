"""`heliograph up` and its data folder: one at a time, and one line where it cannot be used."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from control_plane.launcher.up import up

FREE = ["--ui-port", "0", "--api-port", "0"]


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = CliRunner().invoke(up, ["--data", str(tmp_path / "file" / "data"), *FREE])
    assert ended.exit_code == 1
    assert ended.output.splitlines() == [
        f"Error: cannot write to {tmp_path}/file/data/logs (Not a directory): "
        "choose another folder with --data"
    ]


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    with (folder / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_second_one_on_the_same_folder_is_refused_before_it_starts_anything(tmp_path: Path) -> None:
    with _held(tmp_path):
        ended = CliRunner().invoke(up, ["--data", str(tmp_path), *FREE])
    assert ended.exit_code == 1
    assert ended.output.splitlines() == [
        f"Error: Heliograph runs on {tmp_path} already: stop it, or choose another folder with --data"
    ]
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("option", ["--ui-port", "--api-port", "--tps", "--window"])
def test_numbers_out_of_range_are_refused(tmp_path: Path, option: str) -> None:
    ended = CliRunner().invoke(up, ["--data", str(tmp_path), option, "-1"])
    assert ended.exit_code == 2
    assert option in ended.output
