"""The preloaded library: a program's clock and disk obey us, and only that program's."""

import subprocess
import sys
import time
from pathlib import Path

from bench.chaos.shim import Shim


def run(shim: Shim, program: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=shim.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_wall_clock_jumps_and_the_monotonic_one_does_not(tmp_path: Path) -> None:
    shim = Shim(tmp_path)
    program = "import time; print(time.time(), time.monotonic())"
    shim.clock_s = 3600.0
    wall, monotonic = map(float, run(shim, program).split())
    assert 3590 < wall - time.time() < 3610
    assert abs(monotonic - time.monotonic()) < 60
    shim.clock_s = 0.0
    assert abs(float(run(shim, program).split()[0]) - time.time()) < 60


def test_a_full_disk_lets_nothing_grow_and_what_is_there_be_changed(tmp_path: Path) -> None:
    shim = Shim(tmp_path)
    file = tmp_path / "file"
    file.write_bytes(b"a" * 100)
    shim.disk_full = True
    program = """
import errno, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
print(os.pwrite(file, b"b" * 50, 50))
for grow in (lambda: os.pwrite(file, b"c", 100), lambda: os.posix_fallocate(file, 0, 200)):
    try:
        grow()
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    assert run(shim, program, str(file)).split() == ["50", "ENOSPC", "ENOSPC"]
    assert file.read_bytes() == b"a" * 50 + b"b" * 50
    shim.disk_full = False
    run(shim, "import os, sys; os.pwrite(os.open(sys.argv[1], os.O_RDWR), b'c', 100)", str(file))
    assert file.stat().st_size == 101
