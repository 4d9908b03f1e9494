"""What the lab says of a program that ends."""

import asyncio
import textwrap
from pathlib import Path

import pytest

from bench.chaos.lab import Process

READY = 'print("{}", flush=True)\n'
LIFE = """
import os, signal, sys
from pathlib import Path
lives = Path(__file__).with_name("lives")
lives.write_text(lives.read_text() + "x" if lives.exists() else "x")
life = len(lives.read_text())
"""


@pytest.mark.parametrize(
    ("ends", "faults"),
    [
        (READY + "sys.exit('we are broken')", ["we are broken"]),
        (READY + "sys.exit(3)", []),
        (READY + "sys.exit(0)", []),
        (READY + "os.kill(os.getpid(), 9)", []),
        ("sys.exit('the database is away')", []),
    ],
)
async def test_only_a_life_that_was_ready_and_broke_counts_as_a_fault(
    tmp_path: Path, ends: str, faults: list[str]
) -> None:
    """The first life is killed, the second ends as told, the third stays."""
    second = "if life == 2:\n" + textwrap.indent(ends, "    ") + "\n"
    program = LIFE + second + READY + "signal.pause()"
    (tmp_path / "short_lived.py").write_text(program)
    process = Process("short_lived", {"PYTHONPATH": str(tmp_path)}, tmp_path / "log")
    await process.start()
    try:
        process.process_kill()
        await process.back(2, 30.0)
    finally:
        await asyncio.wait_for(process.stop(), 20.0)
    assert process.faults == faults
    assert len(process.deaths) == 2
