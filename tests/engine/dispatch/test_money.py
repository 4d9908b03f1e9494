"""Money of running campaigns: claims reserve, acceptances charge, everything else gives back."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from engine.core_api import schema
from engine.dispatch import claims
from engine.dispatch.pricing import NO_PRICE_LIST
from engine.ledger import doubts, prices, wallets
from engine.ledger.verify import verify

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PRICE = 250
FULL = 0x14
LONG = "{{name}} 🚀 " + "long enough for several parts of UCS-2 " * 4  # 3 parts


async def credit(room: Room, amount: int) -> None:
    spec = schema.TransactionSpec(
        decision_id=uuid4(), amount=amount, currency="EUR", actor="admin@demo.example"
    )
    await wallets.transact(room.pool, room.workspace, spec)
    for engine in room.engines:
        engine.dispatcher.wake()


async def publish(room: Room, prefix: str = "", price: int = PRICE) -> None:
    rates = [schema.Rate(prefix=prefix, price=price)]
    await prices.publish(room.pool, schema.RateSheetSpec(decision_id=uuid4(), rates=rates))


async def wallet(room: Room) -> schema.Wallet:
    return await wallets.wallet(room.pool, room.workspace)


async def holds(room: Room) -> None:
    result = await verify(room.pool)
    assert result.holds, result.misfits


def start_engine(room: Room) -> "subprocess.Popen[bytes]":
    settings = room.settings
    environment = os.environ | {
        "HELIOGRAPH_ENGINE_DATA_DIR": str(settings.data_dir),
        "HELIOGRAPH_ENGINE_LEDGER_DSN": settings.ledger_dsn.get_secret_value(),
        "HELIOGRAPH_ENGINE_MAX_CLAIMED": "200",
        "HELIOGRAPH_ENGINE_POLL_INTERVAL_MS": "200",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, str(HERE / "engine_process.py")], env=environment, stdout=subprocess.DEVNULL
    )


async def test_a_campaign_is_charged_for_every_accepted_part(room: Room, smsc: Smsc) -> None:
    smsc.answer = lambda number, destination: 0x0B if destination.endswith("7") else 0
    await publish(room)
    await credit(room, 10**6)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(50), LONG)
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert done.counts.charged == 45 * 3 * PRICE
    found = await wallet(room)
    assert (found.charged, found.reserved, found.balance) == (45 * 3 * PRICE, 0, 10**6 - 45 * 3 * PRICE)
    await holds(room)


async def test_a_workspace_without_a_wallet_is_not_charged(room: Room, smsc: Smsc) -> None:
    await publish(room)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(20))
    await room.engine()
    assert (await room.reaches(campaign, "Done")).counts.charged == 0
    assert not await room.pool.fetchval("SELECT sum(cost) FROM submissions")
    await holds(room)


async def test_no_balance_pauses_and_a_credit_lets_it_go_on_to_the_last_message(
    room: Room, smsc: Smsc
) -> None:
    await publish(room)
    await credit(room, 33 * PRICE + 1)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(100))
    await room.engine()
    paused = await room.reaches(campaign, "Paused")
    assert paused.reason == wallets.NO_BALANCE
    await credit(room, 67 * PRICE - 1)
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_flight, done.counts.charged) == (100, 100 * PRICE)
    assert set(smsc.accepted.values()) == {1}
    found = await wallet(room)
    assert (found.balance, found.reserved) == (0, 0)
    await holds(room)


async def test_a_refund_lets_it_go_on_too(room: Room, smsc: Smsc, until: Until) -> None:
    """The wallet pays three messages; the operator refuses them, and their money pays what is left."""
    smsc.answer = lambda number, destination: None
    await publish(room)
    await credit(room, 3 * PRICE)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(5))
    await room.engine()
    assert (await room.reaches(campaign, "Paused")).reason == wallets.NO_BALANCE

    async def all_out() -> bool:
        return smsc.held == 3

    await until(all_out, "three messages out")
    smsc.answer = lambda number, destination: 0
    smsc.release(0x0B)
    done = await room.reaches(campaign, "Done")
    assert (done.counts.failed, done.counts.charged) == (3, 2 * PRICE)
    found = await wallet(room)
    assert (found.balance, found.reserved) == (PRICE, 0)
    await holds(room)


async def test_two_workers_share_one_small_wallet_to_the_last_coin(
    room: Room, smsc: Smsc, tmp_path: Path
) -> None:
    await publish(room)
    await credit(room, 60 * PRICE)
    channel = await room.channel(smsc.port, binds=2)
    campaign = await room.campaign(channel, await room.upload(90))
    for name in ("one", "two"):
        await room.engine(data_dir=tmp_path / name, poll_interval_ms=100)
    paused = await room.reaches(campaign, "Paused")
    assert paused.reason == wallets.NO_BALANCE
    await credit(room, 30 * PRICE)
    done = await room.reaches(campaign, "Done")
    assert done.counts.charged == 90 * PRICE
    found = await wallet(room)
    assert (found.balance, found.reserved) == (0, 0)
    await holds(room)


async def test_without_a_price_list_it_waits_and_numbers_without_a_rate_are_rejected(
    room: Room, smsc: Smsc
) -> None:
    await credit(room, 10**6)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(200))
    await room.engine()
    paused = await room.reaches(campaign, "Paused")
    assert paused.reason == NO_PRICE_LIST
    await publish(room, "4477000000")  # the first hundred; nobody resumes it
    done = await room.reaches(campaign, "Done")
    assert (done.counts.failed, done.counts.charged) == (100, 100 * PRICE)
    status = await room.pool.fetch("SELECT DISTINCT status, cost FROM submissions WHERE outcome = 1")
    assert [tuple(row) for row in status] == [(-16, 0)]
    await holds(room)


async def test_a_retry_is_reserved_anew_and_charged_once(room: Room, smsc: Smsc) -> None:
    refused: set[str] = set()

    def answer(number: int, destination: str) -> int:
        if int(destination) % 5 or destination in refused:
            return 0
        refused.add(destination)
        return FULL

    smsc.answer = answer
    await publish(room)
    await credit(room, 10**6)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(100))
    await room.engine(retry_queue_full_s=0.2)
    done = await room.reaches(campaign, "Done")
    assert (done.counts.retried, done.counts.charged) == (20, 100 * PRICE)
    assert (await wallet(room)).reserved == 0
    await holds(room)


async def test_a_pause_gives_back_what_was_not_sent(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.answer = lambda number, destination: 0 if number < 100 else None
    await publish(room)
    await credit(room, 10**6)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(500))
    await room.engine()
    await until(lambda: smsc.held == 20, "the window is full")
    await room.command(campaign, "pause")

    async def only_the_window() -> bool:
        found = await wallet(room)
        return (found.charged, found.reserved) == (100 * PRICE, 20 * PRICE)

    await until(only_the_window, "the rest is given back")
    smsc.answer = lambda number, destination: 0
    smsc.release()
    await room.command(campaign, "resume")
    done = await room.reaches(campaign, "Done")
    assert done.counts.charged == 500 * PRICE
    await holds(room)


async def test_a_lost_answer_to_the_claims_commit_keeps_no_money(
    room: Room, smsc: Smsc, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = []
    commit = claims.commit

    async def loses_the_first(*given: Any) -> claims.Committed:
        done = await commit(*given)
        if not lost:
            lost.append(done)
            raise ConnectionError("the answer is lost")
        return done

    monkeypatch.setattr(claims, "commit", loses_the_first)
    await publish(room)
    await credit(room, 300 * PRICE)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(300))
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert lost
    assert lost[0].ids
    assert done.counts.charged == 300 * PRICE
    found = await wallet(room)
    assert (found.balance, found.reserved) == (0, 0)
    await holds(room)


@pytest.mark.parametrize("action", ["count_as_sent", "count_as_not_sent", "resend"])
async def test_a_killed_engine_keeps_the_money_of_doubts_until_they_are_decided(
    room: Room, smsc: Smsc, until: Until, action: str
) -> None:
    smsc.answer = lambda number, destination: 0 if number < 300 else None
    await publish(room)
    await credit(room, 10**6)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(1000))
    process = start_engine(room)
    try:
        await until(lambda: smsc.held == 20, "the window is full")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    smsc.answer = lambda number, destination: 0
    engine = await room.engine(max_claimed=200)
    done = await room.reaches(campaign, "Done")
    doubted, found = done.counts.in_doubt, await wallet(room)
    assert 20 <= doubted <= 200
    assert (found.reserved, found.charged) == (doubted * PRICE, (1000 - doubted) * PRICE)
    await holds(room)
    await decide(room, campaign, action, engine.worker.worker_id)
    engine.dispatcher.wake()
    done = await room.reaches(campaign, "Done")
    found = await wallet(room)
    paid = 1000 - (doubted if action == "count_as_not_sent" else 0)
    assert (found.reserved, found.charged, done.counts.charged) == (0, paid * PRICE, paid * PRICE)
    await holds(room)


async def decide(room: Room, campaign: UUID, action: Any, worker_id: int) -> None:
    for group in (await doubts.groups(room.pool, campaign)).groups:
        spec = schema.DoubtResolution(decision_id=uuid4(), key=group.key, action=action)
        await doubts.resolve(room.pool, spec, worker_id)


@pytest.mark.parametrize(
    ("falsified", "check"),
    [
        ("UPDATE wallets SET free = free + 1", "wallet"),
        ("UPDATE wallets SET credited = credited + 1, free = free + 1", "wallet"),
        ("UPDATE wallet_lots SET charged = charged + 1, free = free - 1", "charged"),
        ("UPDATE wallet_lots SET reserved = reserved + 1, free = free - 1", "reserved"),
        ("UPDATE submissions SET cost = cost + 1 WHERE row_no = 3", "cost"),
        ("UPDATE campaign_stats SET charged = charged + 1", "statistics"),
    ],
)
async def test_verify_finds_money_that_does_not_add_up(
    room: Room, smsc: Smsc, falsified: str, check: str
) -> None:
    await publish(room)
    await credit(room, 10**6)
    campaign = await room.campaign(await room.channel(smsc.port), await room.upload(10))
    await room.engine()
    await room.reaches(campaign, "Done")
    await holds(room)
    await room.pool.execute(falsified)
    assert check in {misfit.check for misfit in (await verify(room.pool)).misfits}
