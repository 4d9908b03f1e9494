"""Tries of an account's password: one count for all workers, however they come and go."""

import asyncio

import asyncpg
import pytest
from ledger_world import make_channel, make_worker

from engine.core_api import schema
from engine.ledger import accounts, leases
from engine.ledger.bind_tries import AccountTries
from engine.smpp.gate import UNCOUNTED, RefusedTooOften


@pytest.fixture
async def workers(pool, box):
    """Two workers' views of one account."""
    account_id = await make_channel(pool, box)
    return [AccountTries(pool, await make_worker(pool, name), account_id, 1) for name in ("one", "two")]


async def change(pool, box, password):
    """The account's version is 2 then."""
    changed = schema.AccountSpec(name="a", host="127.0.0.1", port=2775, system_id="esme", password=password)
    async with pool.acquire() as connection, connection.transaction():
        await accounts.upsert_account(connection, changed, box)


async def refuse(tries):
    await tries.settle(await tries.take(3), False)


async def test_workers_at_once_never_ask_more_than_three_times(workers):
    taken = await asyncio.gather(*(each.take(3) for each in workers * 5))
    given = [try_id for try_id in taken if try_id is not None]
    assert len(given) == 3
    for try_id in given:
        await workers[0].settle(try_id, False)
    for each in workers:
        with pytest.raises(RefusedTooOften):
            await each.take(3)


async def test_a_bind_without_an_answer_gives_its_try_back(workers):
    one, two = workers
    await refuse(one)
    await refuse(two)
    last = await one.take(3)
    assert await two.take(3) is None
    await one.settle(last, None)
    last = await two.take(3)
    assert last is not None
    await two.settle(last, False)
    await two.settle(last, False)  # again: it is settled
    with pytest.raises(RefusedTooOften):
        await one.take(3)


async def test_an_accepted_bind_clears_the_count(workers):
    one, two = workers
    await refuse(one)
    await refuse(two)
    await two.settle(await two.take(3), True)
    await refuse(one)
    await refuse(one)
    assert await one.take(3) is not None


@pytest.mark.parametrize("how", ["rebind", "change"])
async def test_an_operator_gives_all_tries_again(workers, pool, box, how):
    one, two = workers
    late = await one.take(3)
    await refuse(one)
    await refuse(two)
    if how == "rebind":
        async with pool.acquire() as connection, connection.transaction():
            await leases.control_bind(connection, "a", 1, "rebind")
    else:
        await change(pool, box, "better")
        one.version = two.version = 2
    await one.settle(late, False)
    left = [await each.take(3) for each in (one, two, one)]
    assert (None in left) == (how == "rebind"), "an answer to what was changed counts for nothing"


async def test_refusals_of_the_old_password_do_not_use_up_the_new_ones_tries(workers, pool, box):
    one, two = workers
    await refuse(one)
    await change(pool, box, "right")
    two.version = 2
    assert await one.take(3) is None, "made from the old password, it waits"
    await refuse(two)
    await refuse(two)
    assert await two.take(3)


async def test_one_worker_never_holds_all_tries(workers):
    one, two = workers
    first = [await one.take(3) for _ in range(3)]
    assert first[2] is None
    assert await two.take(3), "its network reaches the SMSC"
    assert await one.take(3) is None
    for try_id in first[:2]:
        await one.settle(try_id, None)
    await refuse(one)
    await refuse(one)


async def test_a_worker_alone_uses_the_last_try(workers):
    one, two = workers
    await refuse(one)
    await refuse(one)
    assert await one.take(3)
    assert await two.take(3) is None


async def test_tries_of_a_dead_worker_are_nobodys(workers, pool):
    one, two = workers
    assert [bool(await each.take(3)) for each in (one, one, two, two)] == [True, True, True, False]
    await pool.execute("UPDATE workers SET stopped_at = now() WHERE name = 'one'")
    assert await two.take(3)


async def test_with_the_database_away_a_bind_goes_out_uncounted(workers, pool):
    class Away:
        def acquire(self):
            raise asyncpg.ConnectionDoesNotExistError("away")

    workers[0]._pool = Away()
    assert await workers[0].take(3) == UNCOUNTED
