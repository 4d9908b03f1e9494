"""The simulator of `heliograph up` finds a port, and keeps it over a restart: the channel points there."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.launcher import up
from control_plane.launcher.ready import Program, StartError

pytestmark = pytest.mark.system


@pytest.fixture
async def smsc(tmp_path: Path) -> AsyncIterator[Program]:
    program = Program("the simulator", "bench.simulators.smsc", [], {}, tmp_path / "smsc.log")
    yield program
    await program.stop(5.0)


async def test_a_taken_port_gives_way_to_another_which_is_kept(
    smsc: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(up, "SMPP_PORT", other.getsockname()[1])
        await up._start_smsc(smsc)
        port = smsc.ready["listening"]
        assert port != other.getsockname()[1]
    await smsc.stop(5.0)
    await smsc.start()
    assert smsc.ready["listening"] == port


async def test_what_is_wrong_with_the_options_is_said(smsc: Program) -> None:
    smsc.arguments = ["--throttle-share", "7"]
    with pytest.raises(StartError, match="throttle-share"):
        await up._start_smsc(smsc)
