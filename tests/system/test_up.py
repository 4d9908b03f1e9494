"""`heliograph up`: starts everything, stops cleanly, finds all as it was, or says in one line why not."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from bench.people import Person
from bench.stack import Stack

pytestmark = pytest.mark.system


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_ctrl_c_ends_everything_within_five_seconds_and_a_second_start_finds_all_as_it_was(
    data: Path,
) -> None:
    first = Stack(data, [])
    pids = [first.ready["pid"], *first.ready["pids"].values()]
    roles = {login["role"] for login in first.ready["logins"]}
    assert len(roles) == 3
    with Person(first.ready["ui"], *first.login_of("author")) as author:
        campaign = author.create_campaign("Kept over a restart", "Hello")
    begin = time.monotonic()
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(10) == 0
    assert time.monotonic() - begin < 5
    # a zombie that waits for its reaper (PostgreSQL is not our child) runs no more: it has no program
    assert not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]

    second = Stack(data, [])
    try:
        # The author has a password of their own now; who never logged in gets a new one-time password.
        assert {login["role"] for login in second.ready["logins"]} == {
            role for role in roles if role.lower() != "author"
        }
        with Person(second.ready["ui"], *second.login_of("moderator")) as moderator:
            assert "Kept over a restart" in moderator.page(f"/campaigns/{campaign}")
    finally:
        second.stop()


def test_a_port_in_use_is_said_in_one_line_that_names_the_option(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [
                sys.executable,
                "-m",
                "control_plane.launcher.cli",
                "up",
                "--data",
                data,
                "--ui-port",
                str(port),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines() == [
        f"Error: port {port} is in use by another program: stop it, or choose another with --ui-port"
    ]


def test_health_is_told_without_a_login_and_pages_are_not(stack: Stack) -> None:
    assert httpx.get(f"{stack.ready['api']}/healthz", trust_env=False).status_code == 200
    page = httpx.get(f"{stack.ready['ui']}/campaigns", trust_env=False)
    assert page.status_code == 303
    assert page.headers["location"].startswith("/login")


def test_the_core_api_answers_nobody_without_the_control_planes_certificate(stack: Stack) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{stack.ready['core_api']}/core/v1/health", verify=False, trust_env=False)


def test_logs_are_json_lines_without_secrets_or_numbers(stack: Stack) -> None:
    for name in ("engine", "control_plane"):
        for line in (Path(stack.ready["data"]) / "logs" / f"{name}.log").read_text().splitlines():
            assert "event" in json.loads(line)
            assert not any(login["password"] in line for login in stack.ready["logins"])
