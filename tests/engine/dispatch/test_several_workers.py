"""Several workers on one ledger: they share one operator's limits, and take over from each other."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from engine.ledger import leases

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any
Start = Callable[..., "subprocess.Popen[bytes]"]

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
LEASE = {"lease_s": 2.0, "lease_margin_s": 0.5}  # the shortest there is
BOUND = 200


@pytest.fixture
def start(room: Room, tmp_path: Path) -> Iterator[Start]:
    """Engines as processes of their own, each with its folder."""
    started: list[subprocess.Popen[bytes]] = []

    def start_engine(name: str, **changed: object) -> "subprocess.Popen[bytes]":
        settings = room.settings
        given = {
            "data_dir": tmp_path / name,
            "key_file": settings.secrets_key_file,
            "ledger_dsn": settings.ledger_dsn.get_secret_value(),
            "poll_interval_ms": 100,
            "max_claimed": BOUND,
            **LEASE,
            **changed,
        }
        environment = os.environ | {
            f"HELIOGRAPH_ENGINE_{key.upper()}": str(value) for key, value in given.items()
        }
        environment["PYTHONPATH"] = str(ROOT)
        process = subprocess.Popen(
            [sys.executable, str(HERE / "engine_process.py")], env=environment, stdout=subprocess.DEVNULL
        )
        started.append(process)
        return process

    yield start_engine
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@pytest.fixture
async def pair(room: Room, tmp_path: Path) -> Callable[..., Any]:
    """Two engines in this process."""

    async def two(**changed: Any) -> list[Any]:
        return [
            await room.engine(data_dir=tmp_path / name, poll_interval_ms=100, **changed)
            for name in ("one", "two")
        ]

    return two


async def holders(room: Room, kind: str) -> list[int]:
    """How many shares each living worker has, smallest first."""
    rows = await room.pool.fetch(
        "SELECT count(s.number) AS held FROM workers w"
        " LEFT JOIN shares s ON s.worker_id = w.worker_id AND s.kind = $1"
        " WHERE w.stopped_at IS NULL AND w.lease_until > now() GROUP BY w.worker_id",
        kind,
    )
    return sorted(row["held"] for row in rows)


async def all_accounted_for(room: Room, smsc: Smsc, campaign: UUID, rows: int, in_doubt: int) -> None:
    """Nothing twice, nothing lost, at most so many in doubt, and the books balance."""
    done = await room.get(campaign)
    expected = {str(447_700_000_000 + i) for i in range(rows)}
    assert len(smsc.seen) == len(set(smsc.seen)), "sent twice"
    assert set(smsc.seen) <= expected
    assert len(expected - set(smsc.seen)) <= done.counts.in_doubt <= in_doubt, "lost"
    assert await room.open_claims() == 0
    await room.balanced(campaign)


async def test_two_workers_send_every_row_once_and_both_have_a_part(
    room: Room, smsc: Smsc, until: Until, pair: Any
) -> None:
    smsc.receipts = True
    channel = await room.channel(smsc.port, tps=2000, binds=2)
    await pair()

    async def divided() -> bool:
        return await holders(room, "bind") == [1, 1] and await holders(room, "tps") == [6, 6]

    await until(divided, "even parts")
    campaign = await room.campaign(channel, await room.upload(6000))
    await room.reaches(campaign, "Done")
    assert len(smsc.seen) == len(smsc.accepted) == 6000
    workers = await room.pool.fetch("SELECT worker_id, count(*) FROM claims GROUP BY worker_id")
    assert len(workers) == 2
    assert min(smsc.by_session.values()) >= 1500, "neither starves"
    slices = await room.pool.fetchval("SELECT sum(row_count) FROM slices")
    assert slices == 6000, "no row was released twice"

    async def delivered() -> bool:
        return (await room.get(campaign)).counts.delivered == 6000

    await until(delivered, "receipts of one's messages by the other's bind count too")
    await all_accounted_for(room, smsc, campaign, 6000, 0)


async def test_the_tps_of_an_account_is_never_exceeded_by_two_workers_together(
    room: Room, smsc: Smsc, until: Until, tmp_path: Path
) -> None:
    """Also while one comes and takes its part, and while it goes and the other takes it back."""
    tps = 400
    channel = await room.channel(smsc.port, tps=tps, binds=2)
    campaign = await room.campaign(channel, await room.upload(2400))
    await room.engine(data_dir=tmp_path / "one", poll_interval_ms=50)
    await until(lambda: len(smsc.seen) > 300, "one is under way")
    second = await room.engine(data_dir=tmp_path / "two", poll_interval_ms=50)
    await until(lambda: len(smsc.seen) > 1300, "both are")
    assert smsc.by_session[max(smsc.by_session)] > 200
    await second.stop()
    await room.reaches(campaign, "Done")
    for start in smsc.at:
        in_second = sum(start <= at < start + 1 for at in smsc.at)
        assert in_second <= tps * 1.1 + 3, "what jitter of this process may add, as with one worker"
    await all_accounted_for(room, smsc, campaign, 2400, 0)


async def test_never_more_sessions_than_the_account_permits_however_workers_come_and_go(
    room: Room, smsc: Smsc, until: Until, tmp_path: Path
) -> None:
    channel = await room.channel(smsc.port, tps=3000, binds=3)
    campaign = await room.campaign(channel, await room.upload(4000))
    engines = []
    for number, expected in enumerate(([3], [1, 2], [1, 1, 1])):
        engines.append(await room.engine(data_dir=tmp_path / str(number), poll_interval_ms=50))

        async def divided(expected: list[int] = expected) -> bool:
            return await holders(room, "bind") == expected and smsc.bound["esme"] == 3

        await until(divided, f"binds divided {expected}")
    await engines[0].stop()

    async def taken_over() -> bool:
        return await holders(room, "bind") == [1, 2] and smsc.bound["esme"] == 3

    await until(taken_over, "the rest take over")
    await room.reaches(campaign, "Done")
    assert smsc.most_bound == 3
    await all_accounted_for(room, smsc, campaign, 4000, 0)


async def test_with_one_bind_one_worker_sends_and_the_other_waits_for_it(
    room: Room, smsc: Smsc, until: Until, tmp_path: Path
) -> None:
    channel = await room.channel(smsc.port, tps=1000)
    campaign = await room.campaign(channel, await room.upload(3000))
    first = await room.engine(data_dir=tmp_path / "one", poll_interval_ms=50)
    second = await room.engine(data_dir=tmp_path / "two", poll_interval_ms=50)
    await until(lambda: len(smsc.seen) > 300, "under way")
    assert smsc.most_bound == 1
    assert second.dispatcher.pulse().binds_total == 1
    assert (await room.get(campaign)).reason == "", "another worker's bind is enough"
    await first.stop()
    await room.reaches(campaign, "Done")
    assert smsc.most_bound == 1
    await all_accounted_for(room, smsc, campaign, 3000, 0)


async def test_any_worker_tells_the_figures_of_all(room: Room, smsc: Smsc, until: Until, pair: Any) -> None:
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, tps=1000, binds=2, window_size=20)
    engines = await pair()

    async def divided() -> bool:
        return await holders(room, "bind") == [1, 1]

    await until(divided, "one bind each")
    await room.campaign(channel, await room.upload(2000))
    await until(lambda: smsc.held == 40, "both windows are full")
    for each in engines:
        pulse = each.dispatcher.pulse
        await until(lambda pulse=pulse: pulse().in_flight == 40, "in flight of both")
        assert (pulse().binds_bound, pulse().binds_total) == (2, 2)
        binds = {bind.number: bind for bind in each.dispatcher.binds()}
        assert {number: bind.state for number, bind in binds.items()} == {1: "bound", 2: "bound"}
        assert {bind.in_flight for bind in binds.values()} == {20}
        assert {bind.worker for bind in binds.values()} == {one.worker.name for one in engines}
        assert sum(bind.tps_limit for bind in binds.values()) == pytest.approx(1000)
    smsc.answer = lambda number, destination: 0
    smsc.release()
    campaign = UUID(str(await room.pool.fetchval("SELECT campaign_id FROM campaigns")))
    for each in engines:
        rate = each.dispatcher.rate_per_s
        own = [working.runs for working in each.dispatcher._working.values()]
        await until(
            lambda rate=rate, own=own: (
                any(
                    0 < run.accepted.per_s(asyncio.get_running_loop().time()) < rate(campaign)
                    for runs in own
                    for run in runs.values()
                )
                or smsc.accepted.total() == 2000
            ),
            "the campaign's rate is that of both",
        )
    await room.reaches(campaign, "Done")


@pytest.mark.parametrize("seen", [300, 900])
async def test_a_killed_worker_is_taken_over_and_its_doubts_stay_within_its_bound(
    room: Room, smsc: Smsc, until: Until, start: Start, seen: int
) -> None:
    """kill -9, and it does not come back: lease and margin later the other has its bind, TPS and slices."""
    channel = await room.channel(smsc.port, tps=600, binds=2)
    campaign = await room.campaign(channel, await room.upload(2000))
    processes = [start("one"), start("two")]
    await until(lambda: smsc.bound["esme"] == 2 and len(smsc.seen) > seen, "both are under way")
    processes[0].kill()
    processes[0].wait()
    await room.reaches(campaign, "Done")

    async def all_its() -> bool:
        return await holders(room, "bind") == [2] and await holders(room, "tps") == [12]

    await until(all_its, "the survivor has everything")
    assert smsc.most_bound <= 2
    await all_accounted_for(room, smsc, campaign, 2000, BOUND)


async def test_a_worker_stopped_past_its_lease_sends_nothing_more_and_its_late_results_count(
    room: Room, smsc: Smsc, until: Until, start: Start
) -> None:
    """SIGSTOP, and back after the other took over: responses that waited in its socket resolve doubts."""
    hold = True
    smsc.answer = lambda number, destination: None if hold and number >= 400 else 0
    channel = await room.channel(smsc.port, tps=2000, binds=2, window_size=50)
    stopped, other = start("one"), start("two")

    async def divided() -> bool:
        return smsc.bound["esme"] == 2 and await holders(room, "tps") == [6, 6]

    await until(divided, "even parts")
    campaign = await room.campaign(channel, await room.upload(5000))
    await until(lambda: smsc.held == 100, "both windows are full")
    stopped.send_signal(signal.SIGSTOP)
    hold = False
    smsc.release()

    async def taken_over() -> bool:
        return (await room.get(campaign)).counts.in_doubt > 0

    await until(taken_over, "its claims are in doubt")
    doubted = (await room.get(campaign)).counts.in_doubt
    await room.reaches(campaign, "Done")
    sent = len(smsc.seen)
    stopped.send_signal(signal.SIGCONT)
    assert await asyncio.to_thread(stopped.wait, 20) == 3, "lease lost"
    assert len(smsc.seen) == sent, "it sent nothing more"

    async def resolved() -> bool:
        return (await room.get(campaign)).counts.in_doubt <= doubted - 50

    await until(resolved, "its late results are appended")
    assert other.poll() is None
    await all_accounted_for(room, smsc, campaign, 5000, doubted - 50)


async def test_slices_of_a_worker_that_lost_its_bind_are_sent_by_the_other(
    room: Room, smsc: Smsc, until: Until, pair: Any
) -> None:
    """It lives and renews, but has no session: what it released must not wait for it."""
    smsc.answer = lambda number, destination: None
    channel = await room.channel(smsc.port, tps=4000, binds=2, window_size=20)
    engines = await pair()

    async def divided() -> bool:
        return await holders(room, "bind") == [1, 1]

    await until(divided, "one bind each")
    campaign = await room.campaign(channel, await room.upload(3000))
    await until(lambda: smsc.held == 40, "both are under way")
    account = await room.pool.fetchval("SELECT account_id FROM accounts")
    working = engines[0].dispatcher._working[account]
    (number,) = working.binds.held
    # its link is closed under it, and stays so
    for bind in working.binds.held_binds:
        await bind.stop(0.1)
    smsc.answer = lambda number, destination: 0
    smsc.release()
    await room.reaches(campaign, "Done")
    released = await room.pool.fetch("SELECT DISTINCT worker_id FROM slices")
    assert len(released) == 2
    assert number in working.binds.held
    await all_accounted_for(room, smsc, campaign, 3000, 20)


async def test_a_database_that_is_away_past_the_leases_ends_no_worker(
    room: Room, room_at: Any, proxy: Any, smsc: Smsc, until: Until, tmp_path: Path
) -> None:
    """Nobody could renew: whoever is back first must not call the others dead."""
    async with room_at(proxy.dsn) as cut_off:
        channel = await room.channel(smsc.port, tps=1000, binds=2)
        campaign = await room.campaign(channel, await room.upload(5000))
        engines = [
            await cut_off.engine(data_dir=tmp_path / name, poll_interval_ms=50, **LEASE)
            for name in ("one", "two")
        ]
        await until(lambda: smsc.bound["esme"] == 2 and len(smsc.seen) > 500, "under way")
        await proxy.cut()

        async def leases_are_over() -> bool:
            query = "SELECT bool_and(lease_until < now() - interval '0.5 s') FROM workers"
            return bool(await room.pool.fetchval(query))

        await until(leases_are_over, "nobody has a lease")
        count = len(smsc.seen)
        assert count < 5000
        assert smsc.bound["esme"] == 2, "the sessions stay, for receipts"
        await proxy.open()
        await room.reaches(campaign, "Done")
        assert not any(engine.dispatcher.lost.is_set() for engine in engines)
        await all_accounted_for(room, smsc, campaign, 5000, 0)


async def test_a_table_read_before_a_bind_was_given_back_does_not_open_it_again(
    room: Room, smsc: Smsc, until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look was on its way when the bind left: it may be another worker's by now."""
    channel = await room.channel(smsc.port, tps=1000, binds=2)
    first = await room.engine(data_dir=tmp_path / "one", poll_interval_ms=60_000)
    await until(lambda: smsc.bound["esme"] == 2, "all is ours")
    gate, look = asyncio.Event(), leases.look

    async def slowly(*given: Any, **named: Any) -> Any:
        table = await look(*given, **named)
        await gate.wait()
        return table

    other = await room.pool.fetchval(
        "INSERT INTO workers (name, epoch, lease_until) VALUES ('two', 99, now() + interval '1 hour')"
        " RETURNING worker_id"
    )
    await first.dispatcher._sharing.look()  # begins to give one back
    monkeypatch.setattr(leases, "look", slowly)
    stale = asyncio.create_task(first.dispatcher._sharing.look())

    async def given_back() -> bool:
        return await holders(room, "bind") == [0, 1]

    await until(given_back, "one bind is free")
    await room.pool.execute("UPDATE shares SET worker_id = $1 WHERE worker_id IS NULL", other)
    gate.set()
    await stale
    (working,) = first.dispatcher._working.values()
    assert len(working.binds.held) == 1, channel
    await until(lambda: smsc.bound["esme"] == 1, "its session is closed")
