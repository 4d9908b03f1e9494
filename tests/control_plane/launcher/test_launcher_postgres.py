"""The embedded server comes back from every way to die, with what was committed."""

import asyncio
import os
import signal
import subprocess
import sys

import asyncpg
import psutil
import pytest

from control_plane.launcher import postgres as launcher_postgres
from control_plane.launcher.postgres import LEDGER, Postgres


@pytest.fixture
def server(tmp_path):
    server = Postgres(tmp_path / "postgres")
    server.start()
    asyncio.run(server.prepare())
    yield server
    server.stop()


def ask(server, statement):
    async def run():
        connection = await asyncpg.connect(server.dsn(LEDGER))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def is_alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def end(pid, with_signal):
    """Kill a process that is not our child, and wait for its end (it may stay a zombie)."""
    os.kill(pid, with_signal)
    asyncio.run(asyncio.wait_for(launcher_postgres._end_of(pid), 20))


def test_a_killed_postmaster_is_started_again_with_all_that_was_committed(server):
    ask(server, "CREATE TABLE kept AS SELECT 1 AS a")
    before = server.pid
    end(before, signal.SIGKILL)
    assert not server.running
    server.start()
    assert server.running
    assert server.pid != before
    assert ask(server, "SELECT count(*) FROM kept") == 1


def test_a_busy_child_of_a_killed_postmaster_is_ended_before_the_lock_is_taken_away(server, monkeypatch):
    monkeypatch.setattr(launcher_postgres, "LEFTOVER_S", 0.3)
    children = [child.pid for child in psutil.Process(server.pid).children()]
    os.kill(children[0], signal.SIGSTOP)  # it does not see its postmaster die
    end(server.pid, signal.SIGKILL)
    server.start()
    assert ask(server, "SELECT 1") == 1
    assert not [pid for pid in children if is_alive(pid)]


def test_a_lock_file_that_names_another_program_or_a_zombie_is_stale(server, tmp_path):
    lock = tmp_path / "postgres" / "postmaster.pid"
    end(server.pid, signal.SIGKILL)
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)  # ended and not reaped
    for number in (os.getpid(), zombie.pid):
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(number), *lines[1:]]) + "\n")
        assert not server.running
        server.start()
        assert ask(server, "SELECT 1") == 1
        end(server.pid, signal.SIGKILL)
    zombie.wait()
    server.start()


def test_a_half_written_lock_file_does_not_hold_the_start_up(server, tmp_path):
    end(server.pid, signal.SIGKILL)
    (tmp_path / "postgres" / "postmaster.pid").write_text("")
    server.start()
    assert ask(server, "SELECT 1") == 1


def test_stopping_a_dead_server_does_not_wait_for_it(server):
    end(server.pid, signal.SIGKILL)
    server.stop()
    assert not server.running


def test_a_second_launcher_finds_the_running_server(server, tmp_path):
    other = Postgres(tmp_path / "postgres")
    assert other.running
    other.start()
    assert other.pid == server.pid


def test_a_server_that_dies_twice_is_kept(server):
    async def story():
        told, pids = [], asyncio.Queue()
        keeping = asyncio.create_task(server.keep(told.append, pids.put_nowait))
        before = server.pid
        for _ in range(2):
            os.kill(server.pid, signal.SIGKILL)
            after = await asyncio.wait_for(pids.get(), 60)
            assert after not in (before, None)
            before = after
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        return told

    told = asyncio.run(story())
    assert len(told) == 2
    assert all("PostgreSQL ended unexpectedly" in line for line in told)
    assert ask(server, "SELECT 1") == 1
