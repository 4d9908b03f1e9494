"""A killed engine and a database that goes away: nothing lost, nothing twice, the doubt within its bound."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def start_engine(room: Room, **changed: object) -> "subprocess.Popen[bytes]":
    settings = room.settings.model_copy(update=changed)
    given = {name: getattr(settings, name) for name in ("data_dir", "max_claimed", "poll_interval_ms")}
    given["ledger_dsn"] = settings.ledger_dsn.get_secret_value()
    environment = os.environ | {
        f"HELIOGRAPH_ENGINE_{name.upper()}": str(each) for name, each in given.items()
    }
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.Popen(
        [sys.executable, str(HERE / "engine_process.py")], env=environment, stdout=subprocess.DEVNULL
    )


@pytest.mark.parametrize("held_from", [0, 700, 1990])
async def test_a_killed_engine_loses_nothing_and_doubts_no_more_than_it_claimed(
    room: Room, smsc: Smsc, until: Any, held_from: int
) -> None:
    bound = 200
    smsc.answer = lambda number, destination: 0 if number < held_from else None
    channel = await room.channel(smsc.port, binds=2)
    campaign = await room.campaign(channel, await room.upload(2000))
    process = start_engine(room, max_claimed=bound)
    try:
        await until(lambda: smsc.held >= min(40, 2000 - held_from), "windows are full")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    smsc.answer = lambda number, destination: 0
    await room.engine(max_claimed=bound)
    done = await room.reaches(campaign, "Done")
    expected = {str(447_700_000_000 + i) for i in range(2000)}
    assert len(smsc.seen) == len(set(smsc.seen)), "sent twice"
    assert len(expected - set(smsc.seen)) <= done.counts.in_doubt <= bound, "lost"
    assert done.counts.in_doubt + done.counts.in_flight == 2000
    assert await room.open_claims() == 0
    await room.balanced(campaign)


async def test_two_engines_on_one_data_folder_are_refused(room: Room) -> None:
    await room.engine()
    with pytest.raises(Exception, match="another engine runs on the data folder"):
        await room.engine()


async def test_a_database_that_is_away_stops_feeding_and_loses_nothing(
    room_at: Any, proxy: Any, smsc: Smsc, until: Any
) -> None:
    async with room_at(proxy.dsn) as room:
        channel = await room.channel(smsc.port, tps=2000, binds=2)
        campaign = await room.campaign(channel, await room.upload(6000))
        engine = await room.engine(max_claimed=300)
        await until(lambda: len(smsc.seen) > 500, "under way")
        await proxy.cut()
        await until(lambda: engine.dispatcher.pulse().status == "degraded", "it is said")
        await until(lambda: engine.dispatcher.pulse().in_flight == 0, "what was claimed is sent")
        stopped_at = len(smsc.seen)
        assert stopped_at < 6000
        assert engine.dispatcher.pulse().binds_bound == 2
        assert engine.writer.pending <= 300
        await proxy.open()
        done = await room.reaches(campaign, "Done")
        assert len(smsc.seen) == len(set(smsc.seen)) == 6000
        assert (done.counts.in_doubt, done.counts.in_flight) == (0, 6000)
        assert await room.open_claims() == 0
        await room.balanced(campaign)
