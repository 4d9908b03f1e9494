"""kill -9: of the engine at named points and at random moments, of PostgreSQL, of the control plane."""

import asyncio
import contextlib
from uuid import UUID

from bench.chaos.fault import fault
from bench.chaos.judge import scalar
from bench.chaos.lab import LEDGER, POLL_S, Lab, LabError, Settings
from bench.chaos.people import People
from bench.people import Stuck
from bench.simulators.smsc.behaviour import Behaviour
from engine.faults import POINTS
from engine.ledger import partitions
from engine.ledger.pool import open_pool

RANDOM_KILLS = 3


def _slow() -> Settings:
    """Long enough under way that a kill finds a full window."""
    return Settings(behaviour=Behaviour(latency_ms=60, receipt_delay_ms=100), tps=1500)


async def _die_at(lab: Lab, point: str, passes: int = 1) -> None:
    """The next life of the engine dies there, while it sends; then it goes on."""
    assert point in POINTS
    lab.engine.keep(False)
    lab.arm(point, passes)
    deaths = len(lab.engine.deaths)
    await lab.send()
    await lab.under_way(0.1)
    lab.engine.keep(True)
    await lab.crash()
    await lab.engine.back(deaths + 2, 30)
    lab.crashes += 1


@fault("crash", "kill -9 when a claim is committed and nothing of it is sent", settings=_slow)
async def kill_after_claim(lab: Lab) -> None:
    await _die_at(lab, "after_claim", 3)


@fault("crash", "kill -9 when PDUs are written and not answered", settings=_slow)
async def kill_after_write(lab: Lab) -> None:
    await _die_at(lab, "after_write", 5)


@fault("crash", "kill -9 when responses are read and not booked", settings=_slow)
async def kill_after_response(lab: Lab) -> None:
    await _die_at(lab, "after_response", 4)


@fault("crash", "kill -9 before the commit of results", settings=_slow)
async def kill_before_commit(lab: Lab) -> None:
    await _die_at(lab, "before_commit", 4)


@fault("crash", "kill -9 after the commit of results, before receipts are acknowledged", settings=_slow)
async def kill_after_commit(lab: Lab) -> None:
    await _die_at(lab, "after_commit", 4)


@fault("crash", "kill -9 when a chunk of a recipient file is committed", doubts=False)
async def kill_during_ingest(lab: Lab) -> None:
    lab.arm("during_ingest")
    await lab.crash()
    await lab.send()
    if len(lab.engine.deaths) != 2:
        raise LabError("the engine did not die there")


@fault("crash", "kill -9 while a partition is being made", doubts=False)
async def kill_during_rotation(lab: Lab) -> None:
    lab.arm("during_rotation")
    await lab.crash()
    await lab.send()  # its first slices are the day's first, and want a partition
    await lab.engine.back(2, 30)


def _unfolded() -> Settings:
    """No daily work until the fault asks for it, and then soon."""
    return Settings(engine={"RETENTION_AT": "", "VERIFY_AT": "", "DAILY_LOOK_S": "2"})


async def _die_in_the_fold(lab: Lab, point: str) -> None:
    """The day's partition is closed over two settled campaigns; the life that folds it dies, the next one
    folds it once."""
    half = max(1, lab.rows // 2)
    for rows in (half, lab.rows - half):
        await lab.send(rows)
    await lab.finish()
    await _sql(lab, "SELECT bool_and(settled_at IS NOT NULL) FROM campaigns", "the campaigns are settled")
    engine = lab.engine
    deaths = len(engine.deaths)
    engine.keep(False)
    engine.process_kill()
    await engine.dead()
    pool = await open_pool(lab.database.dsn(LEDGER), min_size=1)
    try:
        async with pool.acquire() as connection, connection.transaction():
            await partitions.allot(connection, [1], rotate_rows=1)
        await partitions.index_closed(pool)
    finally:
        await pool.close()
    engine.environment["HELIOGRAPH_ENGINE_RETENTION_AT"] = "00:00"
    lab.arm(point)
    engine.keep(True)
    await engine.back(deaths + 2, 30)
    lab.crashes += 2
    await _sql(lab, "SELECT count(*) > 0 FROM retention_runs", "the round after the kill")
    rounds, folded, done = await scalar(
        lab.database.dsn(LEDGER),
        """SELECT ARRAY[(SELECT count(*) FROM retention_runs WHERE body->'folded' <> '[]'),
                        (SELECT count(*) FROM submission_partitions WHERE folded_at IS NOT NULL),
                        (SELECT count(*) FROM messages_done)]""",
    )
    if (rounds, folded, done) != (1, 1, lab.rows):
        raise LabError(f"{done} messages of {lab.rows} in {folded} folded partitions after {rounds} folds")


async def _sql(lab: Lab, query: str, what: str, timeout_s: float = 30.0) -> None:
    """Until this query says true."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not await scalar(lab.database.dsn(LEDGER), query):
        if asyncio.get_running_loop().time() > deadline:
            raise LabError(f"waited {timeout_s:.0f} s in vain: {what}")
        await asyncio.sleep(POLL_S)


@fault("crash", "kill -9 while a partition is being folded", settings=_unfolded, doubts=False)
async def kill_during_fold(lab: Lab) -> None:
    await _die_in_the_fold(lab, "during_fold")


@fault("crash", "kill -9 when a partition is filled and not folded yet", settings=_unfolded, doubts=False)
async def kill_before_folded(lab: Lab) -> None:
    await _die_in_the_fold(lab, "before_folded")


@fault("crash", "kill -9 between two migrations", doubts=False)
async def kill_during_migration(lab: Lab) -> None:
    lab.engine.keep(False)
    lab.engine.process_kill()
    await lab.engine.dead()
    await lab.recreate(LEDGER)
    lab.arm("during_migration", 2)
    lab.engine.keep(True)
    await lab.engine.back(2, 30)
    await lab.seed_channel()
    await lab.send()


@fault("crash", "kill -9 of the engine at random moments", settings=_slow)
async def kill_engine(lab: Lab) -> None:
    await lab.send()
    for turn in range(RANDOM_KILLS):
        await lab.under_way(0.1 + 0.2 * turn)
        await asyncio.sleep(lab.random.uniform(0.0, 0.3))
        await lab.crash()


@fault("crash", "kill -9 of the engine; what is in doubt is sent again", settings=_slow, policy="resend")
async def kill_engine_resend(lab: Lab) -> None:
    await kill_engine(lab)


@fault("crash", "kill -9 of PostgreSQL", settings=_slow)
async def kill_postgres(lab: Lab) -> None:
    await lab.send()
    for turn in range(RANDOM_KILLS):
        await lab.under_way(0.1 + 0.2 * turn)
        await asyncio.sleep(lab.random.uniform(0.0, 0.3))
        await lab.database.kill()
        await lab.database.start()


@fault("crash", "kill -9 of the control plane between approval and start")
async def kill_control_plane(lab: Lab) -> None:
    control_plane = await lab.start_control_plane()
    people = await asyncio.to_thread(People, control_plane.ready)
    try:
        numbers = lab.new_numbers(lab.rows)
        campaign = await asyncio.to_thread(people.submit, numbers)
        approving = asyncio.create_task(asyncio.to_thread(people.approve, campaign))
        await asyncio.sleep(lab.random.uniform(0.0, 0.06))
        control_plane.process_kill()
        await asyncio.gather(approving, return_exceptions=True)
        await control_plane.back(1)
        # either the approval was stored, and is carried out, or it was not, and the moderator decides again
        with contextlib.suppress(Stuck):
            await asyncio.to_thread(people.approve, campaign)
    finally:
        await asyncio.to_thread(people.close)
    await lab.adopt(UUID(campaign), numbers)


@fault("crash", "kill -9 of the control plane at random moments while an author makes a campaign")
async def kill_control_plane_at_random(lab: Lab) -> None:
    control_plane = await lab.start_control_plane()
    people = await asyncio.to_thread(People, control_plane.ready)
    numbers = lab.new_numbers(lab.rows)
    try:
        for turn in range(RANDOM_KILLS):
            making = asyncio.create_task(asyncio.to_thread(people.submit, numbers))
            await asyncio.sleep(lab.random.uniform(0.0, 0.5))
            control_plane.process_kill()
            await asyncio.gather(making, return_exceptions=True)
            await control_plane.back(turn + 1)
        campaign = await asyncio.to_thread(people.submit, numbers)
        await asyncio.to_thread(people.approve, campaign)
    finally:
        await asyncio.to_thread(people.close)
    await lab.adopt(UUID(campaign), numbers)
