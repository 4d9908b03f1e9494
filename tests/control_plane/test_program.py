"""`python -m control_plane` as a process: it starts, says where, and stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from engine.core_api.certs import make

pytestmark = pytest.mark.system

# The pages here are one that streams for ever, as a live page does, and does not listen to anybody.
PROGRAM = """
import asyncio, sys
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
import control_plane.__main__ as program

async def forever():
    yield b"first\\n"
    while True:
        await asyncio.sleep(3600)

async def stream(request):
    return StreamingResponse(forever(), media_type="text/event-stream")

program.ui_app = lambda services: Starlette(routes=[Route("/stream", stream)])
sys.exit(program.main())
"""

LIBRARY = """
import logging
import control_plane.__main__ as program

program._configure_logs()
logging.getLogger("library").warning('a "quoted" word\\nand a line')
"""


@pytest.fixture
def environment(fresh_database: str, tmp_path: Path) -> dict[str, str]:
    make(tmp_path / "certs")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HELIOGRAPH_")}
    return {
        **kept,
        "HELIOGRAPH_CONTROL_DOCUMENTS_DSN": fresh_database,
        "HELIOGRAPH_CONTROL_CERTS_DIR": str(tmp_path / "certs"),
        "HELIOGRAPH_CONTROL_DATA_DIR": str(tmp_path / "data"),
        "HELIOGRAPH_CONTROL_CORE_API_URL": "https://127.0.0.1:1",
        "HELIOGRAPH_CONTROL_UI_PORT": "0",
        "HELIOGRAPH_CONTROL_API_PORT": "0",
        "HELIOGRAPH_CONTROL_ARGON2_MEMORY_KIB": "8",
        "HELIOGRAPH_CONTROL_ARGON2_PARALLELISM": "1",
    }


@contextmanager
def running(environment: dict[str, str]) -> Iterator[tuple["subprocess.Popen[str]", dict[str, object]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline() or "{}")
    finally:
        process.kill()
        process.communicate()


def test_it_says_where_it_answers_and_who_may_begin(environment: dict[str, str]) -> None:
    with running(environment) as (process, ready):
        assert httpx.get(f"http://127.0.0.1:{ready['api']}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"http://127.0.0.1:{ready['ui']}/nothing").status_code == 404
        logins = ready["first_logins"]
        assert isinstance(logins, list)
        assert {login["role"] for login in logins} == {"Super Admin", "author", "moderator"}
        process.terminate()
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 0
        assert not any(login["password"] in errors for login in logins)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_within_three_seconds_with_a_stream_open(
    environment: dict[str, str], number: signal.Signals
) -> None:
    with (
        running(environment) as (process, ready),
        httpx.stream("GET", f"http://127.0.0.1:{ready['ui']}/stream") as answer,
    ):
        assert next(answer.iter_bytes()) == b"first\n"
        begun = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - begun < 3.0


def test_a_port_in_use_is_one_line_that_names_it(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "control_plane"],
            env={**environment, "HELIOGRAPH_CONTROL_API_PORT": port},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert port in line
    assert "HELIOGRAPH_CONTROL_API_PORT" in line


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("UI_PORT", "70000", "HELIOGRAPH_CONTROL_UI_PORT"),
        ("DOCUMENTS_DSN", "postgresql://u:s3cret@127.0.0.1:1/x", "document store"),
        ("DOCUMENTS_DSN", "mongodb://u:s3cret@127.0.0.1:1/x", "document store"),
        ("DOCUMENTS_DSN", "redis://u:s3cret@127.0.0.1:1/x", "HELIOGRAPH_CONTROL_DOCUMENTS_DSN"),
        ("CERTS_DIR", "/nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_what_is_wrong_is_one_line(environment: dict[str, str], setting: str, value: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "control_plane"],
        env={**environment, f"HELIOGRAPH_CONTROL_{setting}": value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert told in line
    assert "s3cret" not in line


def test_an_operator_gets_a_new_one_time_password(environment: dict[str, str]) -> None:
    with running(environment) as (_, ready):
        assert ready["first_logins"]
    command = [sys.executable, "-m", "control_plane", "--issue-password"]
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run([*command, "author@demo.example"], **options)  # type: ignore[call-overload]
    assert done.returncode == 0
    assert len(done.stdout.strip()) == 23
    nobody = subprocess.run([*command, "nobody@demo.example"], **options)  # type: ignore[call-overload]
    assert (nobody.returncode, nobody.stderr) == (1, "control plane: There is no such user.\n")


def test_what_libraries_log_is_a_json_line_too() -> None:
    done = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    said = json.loads(line)
    assert (said["logger"], said["level"]) == ("library", "warning")
    assert said["event"] == 'a "quoted" word\nand a line'
