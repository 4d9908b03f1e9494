"""Wallets: no amount comes or goes but by a transaction, whatever workers do at once."""

import asyncio
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_world import make_channel, start_campaign

from engine.core_api import schema
from engine.ledger import wallets
from engine.ledger.errors import BadCursor, DecisionReused, NotFound
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox
from engine.ledger.wallets import Moved


async def make_worker(pool: Pool) -> int:
    return await pool.fetchval(
        "INSERT INTO workers (name, epoch, lease_until) VALUES ($1, 1, now() + interval '1 hour')"
        " RETURNING worker_id",
        uuid4().hex,
    )


async def credit(pool: Pool, workspace_id: UUID, amount: int, kind: str = "credit", currency: str = "EUR"):
    spec = schema.TransactionSpec(
        decision_id=uuid4(), kind=kind, amount=amount, currency=currency, actor="admin@demo.example"
    )
    return await wallets.transact(pool, workspace_id, spec)


async def reserve(pool: Pool, worker: int, wanted: dict[UUID, int], lot: int = 0) -> set[UUID]:
    async with pool.acquire() as connection, connection.transaction():
        return await wallets.reserve(connection, worker, wanted, lot=lot)


def adds_up(wallet: schema.Wallet) -> bool:
    return wallet.credited == wallet.balance + wallet.reserved + wallet.charged


async def test_a_credit_opens_the_wallet_and_is_counted_once_per_decision(pool: Pool) -> None:
    workspace = uuid4()
    spec = schema.TransactionSpec(decision_id=uuid4(), amount=500, currency="INR", actor="a@demo.example")
    first = await wallets.transact(pool, workspace, spec)
    again = await wallets.transact(pool, workspace, spec)
    assert first == again
    assert (await wallets.wallet(pool, workspace)).balance == 500
    other = schema.TransactionSpec(
        decision_id=spec.decision_id, amount=501, currency="INR", actor="a@demo.example"
    )
    with pytest.raises(DecisionReused):
        await wallets.transact(pool, workspace, other)


async def test_a_wallet_keeps_its_currency_and_never_goes_below_zero(pool: Pool) -> None:
    workspace = uuid4()
    with pytest.raises(NotFound):
        await credit(pool, workspace, 1, "debit")
    await credit(pool, workspace, 100)
    with pytest.raises(wallets.WrongCurrency):
        await credit(pool, workspace, 1, currency="USD")
    with pytest.raises(wallets.NoBalance):
        await credit(pool, workspace, 101, "debit")
    assert (await credit(pool, workspace, 100, "debit")).balance == 0


async def test_a_debit_takes_what_workers_hold_free(pool: Pool) -> None:
    workspace, worker = uuid4(), await make_worker(pool)
    await credit(pool, workspace, 1000)
    assert await reserve(pool, worker, {workspace: 10}, lot=990) == set()
    left = await credit(pool, workspace, 990, "debit")
    assert (left.balance, left.reserved, left.credited) == (0, 10, 10)


async def test_the_last_coin_is_found_in_another_workers_lot(pool: Pool) -> None:
    workspace = uuid4()
    one, two = await make_worker(pool), await make_worker(pool)
    await credit(pool, workspace, 1000)
    assert await reserve(pool, one, {workspace: 1}, lot=999) == set()
    assert await reserve(pool, two, {workspace: 999}) == set()
    assert await reserve(pool, one, {workspace: 1}) == {workspace}
    assert (await wallets.wallet(pool, workspace)).reserved == 1000


async def test_money_that_comes_back_lets_go_on_what_it_can_pay(pool: Pool, box: SecretBox) -> None:
    """Free money counts wherever it lies, and less than the next message costs wakes nobody."""
    await make_channel(pool, box)
    key, _ = await start_campaign(pool, 10)
    worker, workspace = await make_worker(pool), key.workspace_id
    await credit(pool, workspace, 100)
    assert await reserve(pool, worker, {workspace: 100}) == set()
    assert await wallets.pause_unpaid(pool, key.campaign_id, workspace, 60)

    async def refund(amount: int) -> int:
        async with pool.acquire() as connection, connection.transaction():
            await wallets.book(connection, worker, {workspace: Moved(amount, -amount)})
            return len(await wallets.go_on(connection))

    assert await refund(30) == 0
    assert await refund(29) == 0
    assert await refund(1) == 1
    assert await pool.fetchval("SELECT state || reason FROM campaigns") == "Sending"
    assert await refund(1) == 0


async def test_a_workspace_without_a_wallet_cannot_pay(pool: Pool) -> None:
    workspace, worker = uuid4(), await make_worker(pool)
    assert await reserve(pool, worker, {workspace: 1}) == {workspace}


async def test_what_a_dead_worker_held_free_comes_back_and_its_reserved_stays(pool: Pool) -> None:
    workspace, worker = uuid4(), await make_worker(pool)
    await credit(pool, workspace, 1000)
    await reserve(pool, worker, {workspace: 300}, lot=500)
    await pool.execute("UPDATE workers SET stopped_at = now() WHERE worker_id = $1", worker)
    async with pool.acquire() as connection, connection.transaction():
        assert await wallets.give_back_lots(connection) == 1
        assert await wallets.give_back_lots(connection) == 0
    assert await pool.fetchval("SELECT free FROM wallets WHERE workspace_id = $1", workspace) == 700
    wallet = await wallets.wallet(pool, workspace)
    assert (wallet.balance, wallet.reserved) == (700, 300)
    assert adds_up(wallet)


async def test_workers_at_once_never_reserve_more_than_there_is_and_never_deadlock(pool: Pool) -> None:
    spaces = [uuid4() for _ in range(3)]
    workers = [await make_worker(pool) for _ in range(4)]
    for workspace in spaces:
        await credit(pool, workspace, 1000)

    async def work(worker: int) -> int:
        got = 0
        for turn in range(60):
            wanted = dict.fromkeys(spaces, 7 + turn % 3)
            short = await reserve(pool, worker, wanted, lot=50)
            paid = {workspace: wanted[workspace] for workspace in spaces if workspace not in short}
            got += sum(paid.values())
            async with pool.acquire() as connection, connection.transaction():
                moved = {}
                for workspace, amount in paid.items():
                    moved[workspace] = Moved()
                    (moved[workspace].charge if turn % 2 else moved[workspace].refund)(amount)
                await wallets.book(connection, worker, moved)
        return got

    await asyncio.gather(*(work(worker) for worker in workers))
    for workspace in spaces:
        wallet = await wallets.wallet(pool, workspace)
        assert adds_up(wallet)
        assert wallet.reserved == 0
        assert wallet.balance >= 0


async def test_transactions_are_listed_newest_first_page_by_page(pool: Pool) -> None:
    workspace = uuid4()
    for amount in (1, 2, 3):
        await credit(pool, workspace, amount)
    page = await wallets.transactions(pool, workspace, limit=2)
    assert [each.amount for each in page.transactions] == [3, 2]
    rest = await wallets.transactions(pool, workspace, page.next, limit=2)
    assert ([each.amount for each in rest.transactions], rest.next) == ([1], None)
    with pytest.raises(BadCursor):
        await wallets.transactions(pool, workspace, "1;drop")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "charge", "refund", "credit", "debit"]),
        st.integers(1, 400),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_order_of_steps_keeps_the_equation(property_dsn: str, steps: list[tuple[str, int, bool]]) -> None:
    asyncio.run(_play(property_dsn, steps))


async def _play(dsn: str, steps: list[tuple[str, int, bool]]) -> None:
    pool = await open_pool(dsn, min_size=1, max_size=2)
    try:
        workspace = uuid4()
        workers = [await make_worker(pool), await make_worker(pool)]
        await credit(pool, workspace, 500)
        credited, reserved, charged = 500, 0, 0
        for step, amount, second in steps:
            worker = workers[second]
            if step == "reserve":
                short = await reserve(pool, worker, {workspace: amount}, lot=50)
                assert bool(short) == (credited - reserved - charged < amount)
                reserved += 0 if short else amount
            elif step in ("charge", "refund"):
                amount = min(amount, reserved)
                moved = Moved()
                moved.charge(amount) if step == "charge" else moved.refund(amount)
                async with pool.acquire() as connection, connection.transaction():
                    await wallets.book(connection, worker, {workspace: moved})
                reserved -= amount
                charged += amount if step == "charge" else 0
            elif step == "credit" or credited - reserved - charged >= amount:
                await credit(pool, workspace, amount, step)
                credited += amount if step == "credit" else -amount
            wallet = await wallets.wallet(pool, workspace)
            assert adds_up(wallet)
            assert (wallet.credited, wallet.reserved, wallet.charged) == (credited, reserved, charged)
    finally:
        pool.terminate()
