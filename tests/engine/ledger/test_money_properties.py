"""Money under any order of claims, results, doubts, late answers, give-backs, crashes and decisions: nothing
comes or goes, and charged is what the accepted parts cost."""

import asyncio
from types import SimpleNamespace
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_world import FIRST_MSISDN, Driver, make_driver, make_worker

from engine._fast import prefixes, tally
from engine._fast.columns import EncodedBatch
from engine.core_api import schema
from engine.dispatch import claims
from engine.dispatch.campaign import OpenSlice
from engine.dispatch.claims import Order
from engine.dispatch.pricing import Pricing, price
from engine.ledger import doubts, holds, money_checks, prices, retries, wallets
from engine.ledger.claims import ClaimInfo
from engine.ledger.pool import open_pool
from engine.ledger.recovery import recover
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter

ROWS = 40
ACCEPTED, FAILED, RETRY, THROTTLED, DOUBT, DEFERRED = range(6)
RATES = [
    schema.Rate(prefix="", price=7),
    schema.Rate(prefix=str(FIRST_MSISDN)[:-1] + "3", price=11),
    schema.Rate(prefix=str(FIRST_MSISDN)[:-1] + "5", price=0),
]


class MoneyWorld:
    """A charged campaign, and what of it is on its way."""

    def __init__(self, driver: Driver, pricing: Pricing) -> None:
        self.driver, self.pool, self.pricing = driver, driver.pool, pricing
        self.out: dict[tuple[int, int], int] = {}  # (row, part) -> attempt
        self.doubted: list[tuple[int, int, int]] = []  # a late answer may come
        self.spans: list[tuple[int, int, int]] = []  # handle, first row, end, of origin claims
        self.touched: set[int] = set()

    @classmethod
    async def open(cls, pool, box, credit: int) -> "MoneyWorld":
        driver = await make_driver(pool, box, ROWS)
        await pool.execute(
            "UPDATE workers SET stopped_at = now() WHERE worker_id <> $1", driver.writer.worker_id
        )
        workspace = driver.campaign.workspace_id
        spec = schema.TransactionSpec(
            decision_id=uuid4(), amount=credit, currency="EUR", actor="a@demo.example"
        )
        await wallets.transact(pool, workspace, spec)
        sheet = await prices.publish(pool, schema.RateSheetSpec(decision_id=uuid4(), rates=RATES))
        await pool.execute(
            "UPDATE campaigns SET rate_version = $2 WHERE campaign_id = $1",
            driver.campaign.campaign_id,
            sheet.version,
        )
        table = prefixes.PrefixTable([rate.prefix for rate in RATES], [rate.price for rate in RATES])
        return cls(driver, Pricing(workspace, sheet.version, table))

    @property
    def run(self) -> SimpleNamespace:
        """As much of a run as a claim looks at."""
        return SimpleNamespace(pricing=self.pricing, key=self.driver.campaign)

    async def _commit(self, each: OpenSlice, batch: EncodedBatch, count: int) -> ClaimInfo | None:
        driver = self.driver
        worker = SimpleNamespace(worker_id=driver.writer.worker_id, epoch=1)
        cost = price(self.pricing, batch, each.claimed_to, count)
        done = await claims.commit(self.pool, worker, [Order(each, count)], driver.account_id, [0], [cost])
        if each.slice_id not in done.ids:
            assert each.slice_id in done.unpaid
            return None
        again = each.again
        info = ClaimInfo(
            claim_id=done.ids[each.slice_id],
            slice_id=each.slice_id,
            campaign_id=driver.campaign.campaign_id,
            workspace_id=driver.campaign.workspace_id,
            channel_id=driver.campaign.channel_id,
            sender=driver.campaign.sender,
            campaign_handle=driver.writer.handle(driver.campaign),
            account_id=driver.account_id,
            origin_slice_id=driver.slice_id if again else 0,
            attempt=again.attempt if again else 0,
            resend=again.resend if again else False,
            costs=cost.costs if cost else None,
        )
        handle = len(driver.claims) + 1
        driver.claims[handle] = info
        driver.tally.open(handle, batch)
        return info

    def _add(self, batch: EncodedBatch, handle: int, row: int, part: int, position: int) -> None:
        driver = self.driver
        driver.index[row, part] = (handle, batch.count)
        batch.row.append(position)
        batch.part.append(part)
        batch.parts.append(driver.parts[row])
        batch.msisdn.append(FIRST_MSISDN + row)
        batch.count += 1

    async def claim(self, parts_of_rows: list[int]) -> None:
        driver = self.driver
        start = await self.pool.fetchval("SELECT claimed_to FROM slices WHERE slice_id = $1", driver.slice_id)
        parts_of_rows = parts_of_rows[: ROWS - start]
        if not parts_of_rows:
            return
        batch, handle = EncodedBatch(), len(driver.claims) + 1
        known = dict(driver.index)
        for row, parts in enumerate(parts_of_rows, start):
            driver.parts[row] = parts
            for part in range(1, parts + 1):
                self._add(batch, handle, row, part, row)
        each = OpenSlice(driver.slice_id, self.run, 0, 0, ROWS, claimed_to=start)
        if await self._commit(each, batch, len(parts_of_rows)) is None:
            driver.index = known
            return
        self.spans.append((handle, start, start + len(parts_of_rows)))
        for row, part in zip(batch.row, batch.part, strict=True):
            self.out[row, part] = 0

    async def claim_again(self) -> None:
        driver = self.driver
        slices = await self.pool.fetch(
            "SELECT * FROM slices WHERE origin_slice_id = $1 AND state = 'open' AND claimed_to < row_count"
            " ORDER BY slice_id",
            driver.slice_id,
        )
        for row in slices:
            pairs = list(
                zip(
                    retries.unpack("i", row["explicit_rows"]),
                    retries.unpack("h", row["explicit_parts"]),
                    strict=True,
                )
            )
            batch, handle = EncodedBatch(), len(driver.claims) + 1
            sent = []
            known = dict(driver.index)
            for position in range(row["claimed_to"], row["row_count"]):
                number, part = pairs[position]
                done = await self.pool.fetch(
                    "SELECT part FROM submissions WHERE slice_id = $1 AND row_no = $2 AND outcome IN (0, 1)",
                    driver.slice_id,
                    number,
                )
                wanted = [part] if part else range(1, driver.parts[number] + 1)
                for each in wanted:
                    if each not in {found["part"] for found in done}:
                        self._add(batch, handle, number, each, position)
                        sent.append((number, each))
            again = SimpleNamespace(attempt=row["attempt"], resend=row["resend"])
            open_slice = OpenSlice(
                row["slice_id"], self.run, 0, 0, row["row_count"],
                claimed_to=row["claimed_to"], again=again,
            )  # fmt: skip
            count = row["row_count"] - row["claimed_to"]
            info = await self._commit(open_slice, batch, count)
            if info is None:
                driver.index = known
                continue
            for pair in sent:
                self.out[pair] = row["attempt"]
            if not batch.count:
                driver.writer.close_claims([info])
        await driver.writer.flush()

    async def result(self, which: int, outcome: int) -> None:
        if not self.out:
            return
        row, part = sorted(self.out)[which % len(self.out)]
        attempt = self.out.pop((row, part))
        status = {ACCEPTED: 0, DOUBT: -1}.get(outcome, 8)
        name = f"{row}.{part}.{attempt}" if outcome == ACCEPTED else ""
        self.touched.add(row)
        self.driver.results([(row, part, attempt, outcome, status, name, False)])
        if outcome == DOUBT:
            self.doubted.append((row, part, attempt))
        elif outcome in (RETRY, THROTTLED):
            self.out[row, part] = attempt + (outcome == RETRY)

    async def late(self, which: int, outcome: int) -> None:
        if not self.doubted:
            return
        row, part, attempt = self.doubted.pop(which % len(self.doubted))
        status, name = (0, f"{row}.{part}.{attempt}") if outcome == ACCEPTED else (8, "")
        self.driver.results([(row, part, attempt, outcome, status, name, True)])

    async def give_back(self) -> None:
        """The newest claim's rows that nothing was heard of."""
        if not self.spans:
            return
        driver = self.driver
        handle, start, end = self.spans[-1]
        claimed = await self.pool.fetchval(
            "SELECT claimed_to FROM slices WHERE slice_id = $1", driver.slice_id
        )
        from_row = max([start, *(row + 1 for row in self.touched if row < end)])
        if claimed != end or from_row >= end:
            return
        await driver.writer.flush()
        worker = SimpleNamespace(worker_id=driver.writer.worker_id)
        for _ in range(2):  # repeatable
            await claims.give_back(
                self.pool, worker, {driver.slice_id: from_row}, {driver.campaign.workspace_id}
            )
        driver.tally.release(handle, from_row)
        self.out = {pair: attempt for pair, attempt in self.out.items() if pair[0] < from_row}
        self.spans[-1] = (handle, start, from_row)
        if from_row == start:
            self.spans.pop()
        elif not driver.tally.open_rows(handle):
            driver.writer.close_claims([driver.claims[handle]])

    async def crash(self, fenced: list[int]) -> None:
        """Another worker takes over; `fenced` outcomes of the old one come in afterwards, or between."""
        driver, old = self.driver, self.driver.writer
        await old.flush()
        await self.pool.execute("UPDATE workers SET stopped_at = now() WHERE worker_id = $1", old.worker_id)
        successor = await make_worker(self.pool, uuid4().hex)
        for outcome in fenced[: len(fenced) // 2]:
            await self.result(0, outcome)
        await old.flush()
        await recover(self.pool, successor)
        for outcome in fenced[len(fenced) // 2 :]:
            await self.result(0, outcome)
        await old.flush()
        await old._release()
        driver.writer = LedgerWriter(self.pool, successor, recent_capacity=1000, hold_s=0.0)
        driver.tally, driver.claims = tally.Tally(), {}
        self.out, self.doubted, self.spans = {}, [], []

    async def resolve(self, which: int, action: str) -> bool:
        await self.driver.writer.flush()
        found = (await doubts.groups(self.pool, self.driver.campaign.campaign_id)).groups
        if not found:
            return False
        spec = schema.DoubtResolution(decision_id=uuid4(), key=found[which % len(found)].key, action=action)
        await doubts.resolve(self.pool, spec, self.driver.writer.worker_id)
        return True

    async def credit(self, amount: int) -> None:
        spec = schema.TransactionSpec(
            decision_id=uuid4(), amount=amount, currency="EUR", actor="a@demo.example"
        )
        await wallets.transact(self.pool, self.driver.campaign.workspace_id, spec)

    async def check(self) -> schema.Wallet:
        await self.driver.writer.flush()
        misfits: list[tuple[object, ...]] = []
        async with (
            self.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await money_checks.wallets(connection, lambda *given: misfits.append(given))
            campaign = await connection.fetchrow(
                "SELECT * FROM campaigns WHERE campaign_id = $1", self.driver.campaign.campaign_id
            )
            await money_checks.costs(
                connection, campaign["campaign_id"], campaign, lambda *given: misfits.append(given)
            )
        assert not misfits, misfits
        found = await self.driver.equation()
        assert found.balanced, found.first_difference
        charged = await self.pool.fetchval(
            "SELECT coalesce(sum(cost), 0) FROM submissions WHERE slice_id = $1 AND outcome = 0",
            self.driver.slice_id,
        )
        wallet = await wallets.wallet(self.pool, self.driver.campaign.workspace_id)
        assert wallet.charged == charged == found.statistics.charged
        return wallet


some = st.integers(0, 50)
codes = st.sampled_from([ACCEPTED, ACCEPTED, FAILED, RETRY, THROTTLED, DOUBT, DOUBT, DEFERRED])
steps = st.one_of(
    st.tuples(st.just("claim"), st.lists(st.integers(1, 3), min_size=1, max_size=5)),
    st.tuples(st.just("claim"), st.lists(st.integers(1, 3), min_size=1, max_size=5)),
    st.tuples(st.just("result"), some, codes),
    st.tuples(st.just("result"), some, codes),
    st.tuples(st.just("result"), some, codes),
    st.tuples(st.just("late"), some, st.sampled_from([ACCEPTED, FAILED])),
    st.tuples(st.just("claim_again")),
    st.tuples(st.just("give_back")),
    st.tuples(st.just("crash"), st.lists(codes, max_size=5)),
    st.tuples(st.just("resolve"), some, st.sampled_from(["resend", "count_as_sent", "count_as_not_sent"])),
    st.tuples(st.just("credit"), st.integers(1, 100)),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 300), st.lists(steps, min_size=5, max_size=30))
def test_no_money_comes_or_goes_and_charged_is_what_accepted_parts_cost(
    property_dsn, tmp_path, credit: int, plan: list[tuple[object, ...]]
) -> None:
    async def play() -> None:
        pool = await open_pool(property_dsn, min_size=1, max_size=4)
        try:
            world = await MoneyWorld.open(pool, SecretBox(tmp_path / "key"), credit)
            for name, *values in plan:
                await getattr(world, name)(*values)
                await world.check()
            await world.crash([])
            await world.credit(100_000)
            for _ in range(3):  # a part in doubt is decided once the others of its message have their result
                await world.claim_again()
                while world.out:
                    await world.result(0, FAILED)
                while await world.resolve(0, "count_as_not_sent"):
                    await world.check()
            await holds.refund_decided(pool, world.driver.writer.worker_id, late_s=-1.0)
            assert (await world.check()).reserved == 0
            await world.driver.writer._release()
        finally:
            pool.terminate()

    asyncio.run(play())
