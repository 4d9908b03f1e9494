"""A worker that keeps a bind but has no part of the account's TPS any more leaves its work to the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Callable[..., Any]


async def test_a_campaign_ends_though_the_tps_was_lowered_below_one_a_worker(
    room: Room, smsc: Smsc, until: Until, tmp_path: Path
) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, tps=12, binds=2, window_size=1)
    for name in ("one", "two"):
        await room.engine(data_dir=tmp_path / name, poll_interval_ms=50, slice_rows=2)

    async def shares() -> list[int]:
        rows = await room.pool.fetch(
            "SELECT count(s.number) AS held FROM workers w"
            " LEFT JOIN shares s ON s.worker_id = w.worker_id AND s.kind = 'tps' GROUP BY w.worker_id"
        )
        return sorted(row["held"] for row in rows)

    async def even() -> bool:
        return await shares() == [6, 6]

    async def one_has_it() -> bool:
        return await shares() == [0, 1]

    await until(even, "even parts")
    await until(lambda: smsc.bound["esme"] == 2, "both are bound")
    # the one that will keep the TPS takes no work at first
    await room.pool.execute(
        "INSERT INTO bind_controls (account_id, number, drained)"
        " SELECT b.account_id, b.number, true FROM shares b JOIN shares t USING (account_id, worker_id)"
        " WHERE b.kind = 'bind' AND t.kind = 'tps' AND t.number = 1"
    )
    binds = [each.binds for engine in room.engines for each in engine.dispatcher._working.values()]
    await until(lambda: any(sender.drained for each in binds for sender in each.senders), "drained")
    campaign = await room.campaign(channel, await room.upload(10))
    await until(lambda: smsc.held == 1, "the other has begun")
    await room.pool.execute("DELETE FROM bind_controls")
    await room.pool.execute("UPDATE accounts SET tps = 1, version = version + 1")
    for engine in room.engines:
        engine.dispatcher.wake()
    await until(one_has_it, "one has all of the TPS")
    smsc.answer = lambda number, destination: 0
    smsc.release()
    await room.reaches(campaign, "Done")
    assert len(smsc.seen) == len(set(smsc.seen)) == 10
    assert await room.open_claims() == 0
    await room.balanced(campaign)
