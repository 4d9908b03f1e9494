"""Whatever the order of results, receipts, repeats, corrections, late answers and crashes: statistics ==
recount."""

import asyncio
import contextlib
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_world import make_driver, make_worker

from engine.core_api import schema
from engine.ledger import doubts, settle
from engine.ledger.errors import DoubtGone, WrongState
from engine.ledger.matcher import Matcher
from engine.ledger.pool import open_pool
from engine.ledger.recovery import recover
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter

ACCEPTED, FAILED, RETRY, THROTTLED, DOUBT, DEFERRED = range(6)
ROWS = 2

steps = st.one_of(
    st.tuples(
        st.just("result"),
        st.integers(0, ROWS * 3),
        st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 5]),
        st.booleans(),
    ),
    st.tuples(
        st.just("receipt"), st.integers(0, ROWS * 3), st.sampled_from([0, 1, 1, 2, 2, 2]), st.booleans()
    ),
    st.tuples(st.just("late"), st.integers(0, ROWS * 3), st.sampled_from([0, 0, 1, 3]), st.booleans()),
    st.tuples(
        st.sampled_from(
            ["flush", "flush", "again", "again", "resend", "sweep", "finish", "settle", "crash", "evict"]
        )
    ),
)


class Story:
    """Plays steps that a well-behaved dispatch and a badly behaved SMSC can produce."""

    def __init__(self, driver, parts):
        self.driver = driver
        self.open = [(row, part) for row, n in enumerate(parts) for part in range(1, n + 1)]
        self.all = list(self.open)
        self.attempt = dict.fromkeys(self.open, 0)
        self.timed_out = []
        self.ids = {key: f"{driver.slice_id}.{key[0]}.{key[1]}" for key in self.open}  # of this example only

    def result(self, pick, outcome, with_id):
        if not self.open:
            return
        key = self.open[pick % len(self.open)]
        attempt = self.attempt[key]
        if outcome == RETRY:
            self.attempt[key] += 1
        elif outcome != THROTTLED:
            self.open.remove(key)
        if outcome == DOUBT:
            self.timed_out.append((key, attempt))
        status = {ACCEPTED: 0, FAILED: 0x0B, RETRY: 0x08, THROTTLED: 0x58, DOUBT: -1, DEFERRED: 0x14}[outcome]
        smsc_id = self.id_of(key, attempt) if outcome == ACCEPTED and with_id else ""
        self.driver.results([(*key, attempt, outcome, status, smsc_id, False)])

    def id_of(self, key, attempt):
        """A resent part has another id."""
        return self.ids[key] + (f"-{attempt}" if attempt else "")

    async def again(self):
        """Another claim takes what waits in retry slices."""
        await self.flush()
        for row, part, attempt in await self.driver.claim_again():
            if part == 0:
                continue  # nobody knows its parts: stays in doubt
            self.open.append((row, part))
            self.attempt[row, part] = attempt

    async def resend(self):
        """An operator has everything that is in doubt sent again."""
        await self.flush()
        driver = self.driver
        for group in (await doubts.groups(driver.pool, driver.campaign.campaign_id)).groups:
            order = schema.DoubtResolution(decision_id=uuid4(), key=group.key, action="resend")
            with contextlib.suppress(DoubtGone, WrongState):
                await doubts.resolve(driver.pool, order, driver.writer.worker_id)

    def late(self, pick, outcome, with_id):
        if not self.timed_out:
            return
        key, attempt = self.timed_out.pop(pick % len(self.timed_out))
        smsc_id = self.id_of(key, attempt) if outcome == ACCEPTED and with_id else ""
        self.driver.results([(*key, attempt, outcome, 0 if outcome == ACCEPTED else 0x0B, smsc_id, True)])

    def receipt(self, pick, verdict, twice):
        smsc_id = self.id_of(self.all[pick % len(self.all)], pick % 2)
        one = (smsc_id, verdict, (1, 5, 2)[verdict], "")
        self.driver.receipts([one, one] if twice else [one])

    async def finish(self):
        """The operator takes all that is still open."""
        while self.open:
            self.result(0, ACCEPTED, True)

    async def flush(self):
        await self.driver.writer.flush()

    async def sweep(self):
        await self.driver.writer.sweep_orphans()

    async def evict(self):
        """The recent ids forget: what they held is found by SQL."""
        await self.flush()
        self.driver.writer._matcher = Matcher(10_000)
        await self.driver.writer.rebuild()

    async def settle(self):
        await self.finish()
        await self.flush()
        async with self.driver.pool.acquire() as connection:
            await connection.execute(
                "UPDATE campaigns SET state = 'Done', done_at = now() - interval '1 day'"
                " WHERE campaign_id = $1 AND state = 'Sending'",
                self.driver.campaign.campaign_id,
            )
        await settle.settle_due(self.driver.pool, self.driver.writer.worker_id, 60)

    async def crash(self):
        """Everything in memory is gone; a new worker takes over."""
        driver = self.driver
        worker_id = await make_worker(driver.pool)
        await recover(driver.pool, worker_id)
        await driver.writer._release()
        driver.writer = LedgerWriter(
            driver.pool, worker_id, recent_capacity=10_000, hold_s=0.0, orphan_interval_s=0.0
        )
        await driver.writer.rebuild()
        self.open, self.timed_out = [], []  # the binds went with it

    async def play(self, script):
        for name, *arguments in script:
            if name in ("result", "late", "receipt"):
                getattr(self, name)(*arguments)
            else:
                await getattr(self, name)()


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    parts=st.lists(st.integers(1, 3), min_size=1, max_size=ROWS),
    script=st.lists(steps, min_size=6, max_size=40),
)
def test_statistics_equal_the_recount(property_dsn, tmp_path, parts, script):
    async def run():
        pool = await open_pool(property_dsn, min_size=1, max_size=4)
        try:
            driver = await make_driver(pool, SecretBox(tmp_path / "key"), ROWS)
            await driver.claim(parts)
            story = Story(driver, parts)
            await story.play(script)
            await story.flush()
            await story.sweep()
            found = await driver.equation()
            assert found.balanced, found.first_difference
            await story.again()
            await story.crash()  # whatever is still open is in doubt, and counted
            found = await driver.equation()
            assert found.balanced, found.first_difference
            assert found.counted.waiting - found.counted.in_flight == ROWS - len(parts)
        finally:
            pool.terminate()
            await asyncio.sleep(0)

    asyncio.run(run())
