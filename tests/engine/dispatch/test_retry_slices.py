"""Retries that leave their claim: each part goes out until it has a result, once a try, whoever sends it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from engine.ledger import campaigns, retries
from engine.ledger.states import CANCELLED_RETRY, NOT_SENT

pytestmark = pytest.mark.system

Room = Any  # the fixtures of conftest.py
Smsc = Any
Until = Any
HERE = Path(__file__).parent
FULL = 0x14
TEMPORARY = 0x08
LONG = "{{name}} 🚀 " + "long enough for several parts of UCS-2 " * 4  # 3 parts


def boxes_full_once(smsc: Smsc, share: int) -> set[str]:
    """Every `share`-th destination has a full box at its first try."""
    refused: set[str] = set()

    def answer(number: int, destination: str) -> int:
        if int(destination) % share or destination in refused:
            return 0
        refused.add(destination)
        return FULL

    smsc.answer = answer
    return refused


def parts_of(smsc: Smsc) -> list[tuple[str, int, int]]:
    """(destination, reference, part) of every submit_sm with a UDH."""
    found = []
    for destination, body in zip(smsc.seen, smsc.bodies, strict=True):
        at = body.index(b"\x05\x00\x03")
        found.append((destination, body[at + 3], body[at + 5]))
    return found


async def waiting_slices(room: Room) -> int:
    return int(
        await room.pool.fetchval(
            "SELECT count(*) FROM slices WHERE origin_slice_id IS NOT NULL AND claimed_to < row_count"
        )
    )


async def make_due(room: Room) -> None:
    await room.pool.execute("UPDATE slices SET due_at = now() WHERE origin_slice_id IS NOT NULL")
    for engine in room.engines:
        engine.dispatcher.wake()


async def test_a_full_box_gets_its_message_later_and_the_campaign_is_done_only_then(
    room: Room, smsc: Smsc, until: Until
) -> None:
    refused = boxes_full_once(smsc, 10)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(200))
    await room.engine()
    await until(lambda: len(smsc.accepted) == 180, "the others went out")

    async def all_wait() -> bool:
        return (await room.get(campaign)).counts.retried == 20 and not await room.open_claims()

    await until(all_wait, "twenty wait in retry slices")
    waiting = await room.get(campaign)
    assert (waiting.state, waiting.counts.in_flight, waiting.counts.waiting) == ("Sending", 180, 200)
    await room.balanced(campaign)
    await make_due(room)
    done = await room.reaches(campaign, "Done")
    assert len(smsc.accepted) == 200
    assert set(smsc.accepted.values()) == {1}
    assert Counter(smsc.seen) == {number: 1 + (number in refused) for number in smsc.accepted}
    assert (done.counts.in_flight, done.counts.retried, done.counts.submissions) == (200, 20, 220)
    await room.balanced(campaign)


async def test_receipts_of_retried_messages_count_once(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.receipts = True
    boxes_full_once(smsc, 5)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(100))
    await room.engine(retry_queue_full_s=0.2)
    await room.reaches(campaign, "Done")

    async def delivered() -> bool:
        return (await room.get(campaign)).counts.delivered == 100

    await until(delivered, "all delivered")
    await room.balanced(campaign)


async def test_a_temporary_error_is_final_after_its_third_try(room: Room, smsc: Smsc) -> None:
    smsc.answer = lambda number, destination: TEMPORARY if destination.endswith("7") else 0
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(50))
    await room.engine(retry_temporary_s=6.0)
    done = await room.reaches(campaign, "Done")
    assert {count for number, count in Counter(smsc.seen).items() if number.endswith("7")} == {3}
    assert (done.counts.failed, done.counts.retried, done.counts.in_flight) == (5, 10, 45)
    await room.balanced(campaign)


async def test_only_the_refused_part_goes_again_with_the_same_reference(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: FULL if number % 3 == 1 and number < 60 else 0
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(20), LONG)
    await room.engine(retry_queue_full_s=0.2)
    await room.reaches(campaign, "Done")
    tries = Counter(parts_of(smsc))
    assert len(tries) == 60, "a part that goes again keeps its reference"
    assert sum(tries.values()) == 80
    assert set(smsc.accepted.values()) == {3}
    counts = await room.balanced(campaign)
    assert (counts.in_flight, counts.parts) == (20, 60)


async def test_a_message_counts_once_where_its_retry_ends_before_its_other_parts(
    room: Room, smsc: Smsc, until: Until
) -> None:
    """The claim's tally has given the message up to the retry slice when the held part is answered."""

    def answer(number: int, destination: str) -> int | None:
        if number >= 30:
            return 0
        return (None, FULL, 0)[number % 3]

    smsc.answer = answer
    channel = await room.channel(smsc.port, window_size=40)
    campaign = await room.campaign(channel, await room.upload(10), LONG)
    await room.engine(retry_queue_full_s=0.2)
    await until(lambda: len(smsc.seen) == 40, "the refused parts went again")
    await until(lambda: smsc.held == 10, "the others are held")

    async def retried() -> bool:
        return (await room.get(campaign)).counts.parts == 20

    await until(retried, "two parts of each are in the ledger")
    await room.balanced(campaign)
    smsc.release()
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_flight, done.counts.parts) == (10, 30)
    await room.balanced(campaign)


async def test_another_worker_sends_what_waits_when_the_first_is_stopped(
    room: Room, smsc: Smsc, until: Until, tmp_path: Path
) -> None:
    boxes_full_once(smsc, 4)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(80))
    first = await room.engine()

    async def deferred() -> bool:
        return (await room.get(campaign)).counts.retried == 20 and not await room.open_claims()

    await until(deferred, "twenty wait")
    await first.stop()
    await room.engine(data_dir=tmp_path / "second")
    await make_due(room)
    await room.reaches(campaign, "Done")
    assert set(smsc.accepted.values()) == {1}
    assert len(smsc.accepted) == 80
    await room.balanced(campaign)


async def test_a_crash_between_the_deferral_and_its_claim_loses_and_doubts_nothing(
    room: Room, smsc: Smsc, until: Until
) -> None:
    boxes_full_once(smsc, 4)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(80))
    process = run_engine(room)
    try:

        async def deferred() -> bool:
            return (await room.get(campaign)).counts.retried == 20 and not await room.open_claims()

        await until(deferred, "twenty wait")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    await room.engine()
    await make_due(room)
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_doubt, done.counts.in_flight) == (0, 80)
    assert set(smsc.accepted.values()) == {1}
    await room.balanced(campaign)


async def test_a_crash_with_a_claim_of_a_retry_slice_doubts_exactly_its_parts(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: 0 if number % 3 != 1 else FULL
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(10), LONG)
    process = run_engine(room)
    try:

        async def deferred() -> bool:
            return (await room.get(campaign)).counts.retried == 10 and not await room.open_claims()

        await until(deferred, "ten parts wait")
        smsc.answer = lambda number, destination: None
        await make_due(room)
        await until(lambda: smsc.held == 10, "they went out and are not answered")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert done.counts.in_doubt == 10
    doubts = await room.pool.fetch("SELECT part, attempt, parts, reason FROM doubts")
    assert {tuple(row) for row in doubts} == {(2, 1, 3, "engine_restart")}
    await room.balanced(campaign)


async def test_nothing_of_a_paused_campaign_goes_again_before_it_is_resumed(
    room: Room, smsc: Smsc, until: Until
) -> None:
    boxes_full_once(smsc, 2)
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(40))
    engine = await room.engine()

    async def deferred() -> bool:
        return (await room.get(campaign)).counts.retried == 20 and not await room.open_claims()

    await until(deferred, "twenty wait")
    await room.command(campaign, "pause")
    await make_due(room)
    other = await room.campaign(channel, await room.upload(40))
    smsc.answer = lambda number, destination: 0
    await room.reaches(other, "Done")
    assert len(smsc.seen) == 80, "the other campaign's, and none of the paused one's"
    assert await waiting_slices(room) > 0
    await room.command(campaign, "resume")
    engine.dispatcher.wake()
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_flight, len(smsc.seen)) == (40, 100)
    await room.balanced(campaign)


async def test_a_cancelled_campaigns_waiting_parts_are_failed_and_nothing_waits(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: FULL if number % 3 == 1 else 0
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(10), LONG)
    single = await room.campaign(channel, await room.upload(12))
    await room.engine()

    async def deferred() -> bool:
        both = [(await room.get(one)).counts for one in (campaign, single)]
        return sum(each.retried for each in both) == 14 and not await room.open_claims()

    await until(deferred, "parts wait")
    for one in (campaign, single):
        await room.command(one, "cancel")

        async def ended(one: UUID = one) -> bool:
            counts = (await room.get(one)).counts
            return counts.waiting == counts.in_flight

        await until(ended, "nothing waits")
    counts = await room.balanced(campaign)
    alone = await room.balanced(single)
    assert counts.undelivered + alone.undelivered == 10, "some parts accepted, one given up"
    assert counts.failed + alone.failed == 4, "never accepted"
    statuses = await room.pool.fetch("SELECT status, attempt FROM submissions WHERE outcome = 1")
    assert {tuple(row) for row in statuses} == {(CANCELLED_RETRY, 1)}
    await make_due(room)
    sent = len(smsc.seen)
    await room.reaches(await room.campaign(channel, await room.upload(5)), "Sending")
    await until(lambda: len(smsc.seen) == sent + 5, "only the new campaign sends")


async def test_a_failed_campaign_ends_with_nothing_waiting(room: Room, smsc: Smsc, until: Until) -> None:
    smsc.answer = lambda number, destination: 0 if number < 100 else None
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(300))
    engine = await room.engine()
    await until(lambda: smsc.held == 20, "under way")
    async with room.pool.acquire() as connection:
        assert await campaigns.fail(connection, campaign, "a chunk is gone")
    engine.dispatcher.wake()

    async def cancelled() -> bool:
        return (await room.get(campaign)).counts.cancelled == 180

    await until(cancelled, "what was never claimed is counted")
    smsc.release()

    async def nothing_waits() -> bool:
        counts = (await room.get(campaign)).counts
        return bool(counts.waiting == counts.in_flight == 120)

    await until(nothing_waits, "the rest has its responses")
    await room.balanced(campaign)


async def test_a_stop_defers_what_was_refused_and_doubts_nothing(
    room: Room, smsc: Smsc, until: Until
) -> None:
    smsc.answer = lambda number, destination: 0x58
    channel = await room.channel(smsc.port)
    campaign = await room.campaign(channel, await room.upload(20))
    first = await room.engine()
    await until(lambda: len(smsc.seen) >= 20, "all are refused")
    await first.stop(1.0)
    counts = await room.balanced(campaign)
    assert (counts.in_doubt, counts.waiting) == (0, 20)
    unsent = await room.pool.fetchval("SELECT count(*) FROM submissions WHERE status = $1", NOT_SENT)
    assert unsent == await room.pool.fetchval(
        "SELECT coalesce(sum(row_count), 0) FROM slices WHERE origin_slice_id IS NOT NULL"
    )
    smsc.answer = lambda number, destination: 0
    await room.engine()
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_flight, set(smsc.accepted.values())) == (20, {1})
    await room.balanced(campaign)


async def test_a_claim_whose_answer_came_never_is_taken_up_again(
    room: Room, smsc: Smsc, until: Until
) -> None:
    """Committed after its answer was lost and after we asked for it: open, and unknown to the worker."""
    smsc.answer = lambda number, destination: 0 if number < 50 else None
    channel = await room.channel(smsc.port, tps=100)
    campaign = await room.campaign(channel, await room.upload(300))
    engine = await room.engine()
    await until(lambda: smsc.held > 0, "under way")
    lost = await room.pool.fetchrow(
        "WITH moved AS (UPDATE slices s SET claimed_to = claimed_to + 10 WHERE slice_id ="
        "                   (SELECT max(slice_id) FROM slices WHERE claimed_to + 10 <= row_count)"
        "               RETURNING slice_id, claimed_to)"
        " INSERT INTO claims (slice_id, row_start, row_end, worker_id, epoch, account_id, bind_number,"
        "                     claimed_at)"
        " SELECT slice_id, claimed_to - 10, claimed_to, $1, $2, 1, 1, now() - interval '1 minute' FROM moved"
        " RETURNING claim_id",
        engine.worker.worker_id,
        engine.worker.epoch,
    )
    for working in engine.dispatcher._working.values():
        working.feeder._aftercare._stranded_at = 0.0
    smsc.answer = lambda number, destination: 0
    smsc.release()
    done = await room.reaches(campaign, "Done")
    assert (done.counts.in_flight, set(smsc.accepted.values())) == (300, {1})
    assert await room.pool.fetchval("SELECT closed_at FROM claims WHERE claim_id = $1", lost["claim_id"])
    await room.balanced(campaign)


def test_pairs_are_packed_little_endian() -> None:
    rows = retries.unpack("i", b"\x01\0\0\0\x00\x01\0\0")
    assert list(rows) == [1, 256]
    assert retries.pack(rows) == b"\x01\0\0\0\x00\x01\0\0"


def run_engine(room: Room) -> "subprocess.Popen[bytes]":
    environment = os.environ | {
        "HELIOGRAPH_ENGINE_DATA_DIR": str(room.settings.data_dir),
        "HELIOGRAPH_ENGINE_POLL_INTERVAL_MS": str(room.settings.poll_interval_ms),
        "HELIOGRAPH_ENGINE_LEDGER_DSN": room.settings.ledger_dsn.get_secret_value(),
        "PYTHONPATH": str(HERE.parents[2]),
    }
    return subprocess.Popen(
        [sys.executable, str(HERE / "engine_process.py")], env=environment, stdout=subprocess.DEVNULL
    )
