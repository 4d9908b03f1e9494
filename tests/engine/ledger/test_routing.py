"""Routes: the longest prefix, then the route that says most; a closed channel is passed over; every choice is
explained."""

from array import array
from uuid import uuid4

import pytest

from engine.core_api import schema
from engine.ledger import accounts, routes, routing
from engine.ledger.errors import Changed, DecisionReused, NotFound
from engine.ledger.pool import Pool
from engine.ledger.routing import Message, RoutePlan
from engine.ledger.secrets import SecretBox
from engine.ledger.sql import load


@pytest.fixture
async def channel_ids(pool: Pool, box: SecretBox) -> dict[str, int]:
    """Three channels over accounts of their own; by name."""
    async with pool.acquire() as connection:
        for name in ("one", "two", "three"):
            account = schema.AccountSpec(name=name, host="127.0.0.1", port=2775, system_id=name, password="p")
            await accounts.upsert_account(connection, account, box)
            await accounts.upsert_channel(connection, schema.ChannelSpec(name=name, account=name))
        await connection.execute(
            "INSERT INTO binds (account_id, number, state) SELECT account_id, 1, 'bound' FROM accounts"
        )
        await connection.execute(  # an engine that has been at work for a while
            "INSERT INTO workers (name, epoch, lease_until, started_at)"
            " VALUES ('one', 1, now() + interval '1 hour', now() - interval '1 hour')"
        )
    return {
        row["name"]: row["channel_id"] for row in await pool.fetch("SELECT name, channel_id FROM channels")
    }


def over(*channels: str | tuple[str, int, int]) -> list[schema.RouteChannel]:
    return [
        schema.RouteChannel(channel=each) if isinstance(each, str)
        else schema.RouteChannel(channel=each[0], tier=each[1], weight=each[2])
        for each in channels
    ]  # fmt: skip


async def add(pool: Pool, name: str, *channels: str | tuple[str, int, int], **spec) -> schema.Route:
    command = schema.RouteSpec(decision_id=uuid4(), name=name, channels=over(*channels), **spec)
    return await routes.put(pool, None, command)


async def goes(pool: Pool, number: int, message: Message | None = None) -> int:
    async with pool.acquire() as connection:
        fitting = await routing.candidates(connection, message or Message("Shop"))
        closed = await routing.unusable(connection)
    return routing.first_open(RoutePlan(fitting).order(number), closed)


async def test_the_longest_prefix_counts_and_no_route_leads_nowhere(
    pool: Pool, channel_ids: dict[str, int]
) -> None:
    await add(pool, "India", "one", prefix="91")
    await add(pool, "Delhi", "two", prefix="9111")
    assert await goes(pool, 919812345678) == channel_ids["one"]
    assert await goes(pool, 911112345678) == channel_ids["two"]
    assert await goes(pool, 15551234567) == 0


async def test_of_one_prefix_the_route_that_says_most_counts_then_the_lower_position(
    pool: Pool, channel_ids: dict[str, int]
) -> None:
    workspace = uuid4()
    await add(pool, "all", "one")
    await add(pool, "names", "two", sender_kind="alphanumeric", position=50)
    await add(pool, "names later", "one", sender_kind="alphanumeric", position=60)
    await add(pool, "bank", "three", workspace_id=workspace, sender_kind="alphanumeric")
    await add(pool, "otp", "three", category="otp", lane="express")
    assert await goes(pool, 91981, Message("12345")) == channel_ids["one"]
    assert await goes(pool, 91981, Message("Shop")) == channel_ids["two"]
    assert await goes(pool, 91981, Message("Shop", workspace)) == channel_ids["three"]
    assert await goes(pool, 91981, Message("12345", None, "otp", 0)) == channel_ids["three"]
    assert await goes(pool, 91981, Message("12345", None, "otp", 1)) == channel_ids["one"]


async def test_within_a_tier_by_weight_and_a_number_keeps_its_channel(
    pool: Pool, channel_ids: dict[str, int]
) -> None:
    await add(pool, "both", ("one", 1, 3), ("two", 1, 1), ("three", 2, 1))
    async with pool.acquire() as connection:
        fitting = await routing.candidates(connection, Message("Shop"))
    numbers = array("q", range(919800000000, 919800004000))
    plan = RoutePlan(fitting)
    found = array("i", [plan.legs[leg][0] for leg in plan.legs_of(numbers)])
    assert set(found) == {channel_ids["one"], channel_ids["two"]}
    assert 0.70 < found.count(channel_ids["one"]) / len(found) < 0.80
    assert RoutePlan(fitting).legs_of(numbers) == plan.legs_of(numbers)
    assert plan.legs == (
        (channel_ids["one"], channel_ids["two"], channel_ids["three"]),
        (channel_ids["two"], channel_ids["one"], channel_ids["three"]),
        (),
    )


@pytest.mark.parametrize(
    "closing",
    [
        "UPDATE channels SET enabled = false WHERE name = 'one'",
        "UPDATE channels SET tripped_at = now() WHERE name = 'one'",
        "UPDATE accounts SET enabled = false WHERE name = 'one'",
        "UPDATE accounts SET drained = true WHERE name = 'one'",
        "DELETE FROM binds b USING accounts a WHERE a.account_id = b.account_id AND a.name = 'one'",
        "UPDATE binds b SET state = 'waiting', down_since = now() - interval '1 minute'"
        " FROM accounts a WHERE a.account_id = b.account_id AND a.name = 'one'",
    ],
)
async def test_a_channel_that_cannot_send_is_passed_over_for_the_next_tier(
    pool: Pool, channel_ids: dict[str, int], closing: str
) -> None:
    await add(pool, "both", ("one", 1, 1), ("two", 2, 1))
    assert await goes(pool, 91981) == channel_ids["one"]
    await pool.execute(closing)
    assert await goes(pool, 91981) == channel_ids["two"]
    told = await routing.explain(pool, schema.RouteQuestion(msisdn="+91981", sender="Shop"))
    assert told.channel == "two"
    assert "one (" in told.why


async def test_a_bind_that_has_just_gone_is_waited_for(pool: Pool, channel_ids: dict[str, int]) -> None:
    await add(pool, "both", ("one", 1, 1), ("two", 2, 1))
    await pool.execute("UPDATE binds SET state = 'down', down_since = now()")
    assert await goes(pool, 91981) == channel_ids["one"]


async def test_a_bind_that_tries_again_and_again_is_down_since_it_was_lost(
    pool: Pool, channel_ids: dict[str, int]
) -> None:
    await add(pool, "both", ("one", 1, 1), ("two", 2, 1))
    await pool.execute("UPDATE binds SET state = 'waiting', down_since = now() - interval '1 minute'")
    account = await pool.fetchval("SELECT account_id FROM accounts WHERE name = 'one'")
    for state in ("connecting", "binding", "waiting"):
        await pool.execute(load("dispatch")["put_bind"], [account], [1], [state], [""], 1)
    await pool.execute("UPDATE binds SET state = 'bound', down_since = NULL WHERE account_id <> $1", account)
    assert await goes(pool, 91981) == channel_ids["two"]
    await pool.execute(load("dispatch")["put_bind"], [account], [1], ["bound"], [""], 1)
    assert await goes(pool, 91981) == channel_ids["one"]


async def test_channels_are_down_only_for_an_engine_that_had_the_time_to_bind(
    pool: Pool, channel_ids: dict[str, int]
) -> None:
    await add(pool, "both", ("one", 1, 1), ("two", 2, 1))
    await pool.execute("UPDATE binds SET state = 'waiting', down_since = now() - interval '1 day'")
    await pool.execute("UPDATE binds SET state = 'bound', down_since = NULL WHERE account_id = 2")
    await pool.execute("UPDATE workers SET started_at = now()")
    assert await goes(pool, 91981) == channel_ids["one"]


async def test_an_explanation_says_of_every_route_why_not(pool: Pool, channel_ids: dict[str, int]) -> None:
    await add(pool, "all", "one")
    await add(pool, "India", "two", prefix="91")
    await add(pool, "Germany", "three", prefix="49")
    await add(pool, "otp", "three", prefix="91", category="otp")
    await add(pool, "off", "three", prefix="91", enabled=False)
    told = await routing.explain(pool, schema.RouteQuestion(msisdn="919812345678", sender="Shop"))
    assert (told.channel, told.route) == ("two", "India")
    reasons = {each.route: each.why for each in told.considered}
    assert told.considered[0].matches
    assert "longer prefix" in reasons["all"]
    assert "begin with 49" in reasons["Germany"]
    assert "category" in reasons["otp"]
    assert reasons["off"] == "disabled"
    nowhere = await routing.explain(
        pool, schema.RouteQuestion(msisdn="49301234", sender="Shop", category="otp")
    )
    assert nowhere.channel == "three"


async def test_nothing_leads_where_there_is_no_route(pool: Pool) -> None:
    told = await routing.explain(pool, schema.RouteQuestion(msisdn="49301234"))
    assert (told.channel, told.why) == ("", "no route leads there")


async def test_a_route_is_changed_by_who_read_it_last_and_made_once(
    pool: Pool, channel_ids: dict[str, int]
) -> None:
    made = await add(pool, "all", "one")
    spec = schema.RouteSpec(decision_id=uuid4(), name="all", channels=over("two"), version=made.version)
    changed = await routes.put(pool, made.route_id, spec)
    assert (changed.version, changed.channels[0].channel) == (2, "two")
    assert await routes.put(pool, made.route_id, spec) == changed
    stale = schema.RouteSpec(decision_id=uuid4(), name="all", channels=over("one"), version=1)
    with pytest.raises(Changed):
        await routes.put(pool, made.route_id, stale)
    other = schema.RouteSpec(decision_id=spec.decision_id, name="other", channels=over("one"), version=2)
    with pytest.raises(DecisionReused):
        await routes.put(pool, made.route_id, other)
    with pytest.raises(Changed):
        await routes.delete(pool, made.route_id, 1)
    await routes.delete(pool, made.route_id, 2)
    with pytest.raises(NotFound):
        await routes.delete(pool, made.route_id, 2)


async def test_a_route_that_cannot_be_is_refused_by_name(pool: Pool, channel_ids: dict[str, int]) -> None:
    await add(pool, "all", "one")
    with pytest.raises(routes.BadRoute, match="'all'"):
        await add(pool, "all", "two")
    with pytest.raises(routes.BadRoute, match="'gone'"):
        await add(pool, "new", "gone")
    with pytest.raises(routes.BadRoute, match="twice"):
        await add(pool, "new", "one", "one")
    assert [route.name for route in await routes.routes(pool)] == ["all"]


@pytest.mark.parametrize(
    ("sender", "kind"),
    [
        ("Shop", "alphanumeric"),
        ("12345", "short_code"),
        ("+12345", "international"),
        ("4915112345678", "international"),
    ],
)
def test_kinds_of_senders(sender: str, kind: str) -> None:
    assert routing.sender_kind(sender) == kind
