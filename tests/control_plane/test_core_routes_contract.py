"""Routes, wallets and price lists: the fake engine keeps the real one's word."""

from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest
from test_core_channels_contract import account
from test_core_contract import address, engine_process

from control_plane.core import Core
from control_plane.core_fake import FakeCore
from engine.core_api import schema
from engine.core_api.client import CoreClient, CoreError

__all__ = ["address", "engine_process"]


@pytest.fixture
async def either(address: tuple[str, object] | None) -> AsyncIterator[Core]:
    """A Core with the channels `Demo SMSC` and `Second`."""
    core: FakeCore | CoreClient = FakeCore() if address is None else CoreClient(*address)  # type: ignore[arg-type]
    if isinstance(core, CoreClient):
        await core.put_account(account("demo"))
        await core.put_channel(schema.ChannelSpec(name="Demo SMSC", account="demo"))
    await core.put_channel(schema.ChannelSpec(name="Second", account="demo"))
    yield core
    await core.close()


def route(name: str = "India", **fields: object) -> schema.RouteSpec:
    spec = schema.RouteSpec(
        decision_id=uuid4(), name=name, prefix="91", channels=[schema.RouteChannel(channel="Demo SMSC")]
    )
    return msgspec.structs.replace(spec, **fields)


def credit(amount: int = 10_000, **fields: object) -> schema.TransactionSpec:
    spec = schema.TransactionSpec(decision_id=uuid4(), amount=amount, currency="EUR", actor="somebody")
    return msgspec.structs.replace(spec, **fields)


def problem_of(refused: pytest.ExceptionInfo[CoreError]) -> tuple[str, int]:
    return refused.value.problem.type.rpartition(":")[2], refused.value.problem.status


async def test_a_route_is_kept_once_a_decision_and_goes_on_by_versions(either: Core) -> None:
    spec = route()
    made = await either.put_route(None, spec)
    assert await either.put_route(None, spec) == made
    assert (made.version, [one.channel for one in made.channels]) == (1, ["Demo SMSC"])
    changed = await either.put_route(made.route_id, route(position=5, version=1))
    assert (changed.version, changed.position, changed.route_id) == (2, 5, made.route_id)
    for late in (1, None):
        with pytest.raises(CoreError) as refused:
            await either.put_route(made.route_id, route(version=late))
        assert problem_of(refused) == ("changed", 409)
    with pytest.raises(CoreError) as refused:
        await either.delete_route(made.route_id, 1)
    assert problem_of(refused) == ("changed", 409)
    await either.delete_route(made.route_id, 2)
    assert await either.routes() == []
    with pytest.raises(CoreError) as refused:
        await either.delete_route(made.route_id, 2)
    assert problem_of(refused) == ("not-found", 404)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"channels": [schema.RouteChannel(channel="Nowhere")]}, "channels"),
        ({"channels": [schema.RouteChannel(channel="Second")] * 2}, "channels"),
        ({}, "name"),
    ],
)
async def test_a_bad_route_begins_with_the_name_of_its_field(
    either: Core, wrong: dict[str, object], field: str
) -> None:
    await either.put_route(None, route())
    with pytest.raises(CoreError) as refused:
        await either.put_route(None, route(**wrong) if wrong else route())
    assert problem_of(refused) == ("bad-route", 422)
    assert refused.value.problem.detail.partition(": ")[0] == field


async def test_routes_come_by_prefix_and_position(either: Core) -> None:
    for name, prefix, position in (("c", "91", 2), ("a", "", 9), ("b", "91", 1)):
        await either.put_route(None, route(name, prefix=prefix, position=position))
    assert [one.name for one in await either.routes()] == ["a", "b", "c"]


async def test_the_longest_prefix_is_taken_and_every_route_has_its_reason(either: Core) -> None:
    await either.put_route(None, route("India"))
    second = [schema.RouteChannel(channel="Second")]
    await either.put_route(None, route("Mumbai", prefix="9122", channels=second))
    found = await either.explain_route(schema.RouteQuestion(msisdn="+912212345678"))
    assert (found.route, [one.channel for one in found.order]) == ("Mumbai", ["Second"])
    assert {one.route: one.matches for one in found.considered} == {"India": False, "Mumbai": True}
    nowhere = await either.explain_route(schema.RouteQuestion(msisdn="4915112345678"))
    assert (nowhere.channel, nowhere.route, nowhere.order) == ("", "", [])


async def test_a_wallet_is_opened_by_its_first_credit_and_booked_once_a_decision(either: Core) -> None:
    workspace = uuid4()
    with pytest.raises(CoreError) as refused:
        await either.wallet(workspace)
    assert problem_of(refused) == ("not-found", 404)
    with pytest.raises(CoreError) as refused:
        await either.transact(workspace, credit(kind="debit"))
    assert problem_of(refused) == ("not-found", 404)
    spec = credit(50_000)
    for _again in range(2):
        wallet = await either.transact(workspace, spec)
        assert (wallet.balance, wallet.credited, wallet.currency) == (50_000, 50_000, "EUR")
    with pytest.raises(CoreError) as refused:
        await either.transact(workspace, msgspec.structs.replace(spec, amount=1))
    assert problem_of(refused) == ("decision-reused", 409)
    with pytest.raises(CoreError) as refused:
        await either.transact(workspace, credit(60_000, kind="debit"))
    assert problem_of(refused) == ("no-balance", 409)
    with pytest.raises(CoreError) as refused:
        await either.transact(workspace, credit(currency="INR"))
    assert problem_of(refused) == ("wrong-currency", 409)
    after = await either.transact(workspace, credit(20_000, kind="debit", note="back"))
    assert (after.balance, after.credited) == (30_000, 30_000)
    assert [one.workspace_id for one in await either.wallets()] == [workspace]


async def test_transactions_come_newest_first_in_pages(either: Core) -> None:
    workspace = uuid4()
    for note in ("one", "two", "three"):
        await either.transact(workspace, credit(note=note))
    first = await either.transactions(workspace, limit=2)
    assert [one.note for one in first.transactions] == ["three", "two"]
    last = await either.transactions(workspace, first.next, limit=2)
    assert ([one.note for one in last.transactions], last.next) == (["one"], None)
    with pytest.raises(CoreError) as refused:
        await either.transactions(workspace, "x")
    assert problem_of(refused) == ("bad-cursor", 400)
    assert (await either.transactions(uuid4())).transactions == []


async def test_a_price_list_counts_from_its_publication_and_stays(either: Core) -> None:
    assert await either.rate_sheets() == schema.RateSheets(sheets=[], current=None)
    with pytest.raises(CoreError) as refused:
        await either.rates(1)
    assert problem_of(refused) == ("not-found", 404)
    rates = [schema.Rate(prefix="", price=500), schema.Rate(prefix="91", price=120, category="otp")]
    spec = schema.RateSheetSpec(decision_id=uuid4(), rates=rates, note="first")
    first = await either.publish_rates(spec)
    assert await either.publish_rates(spec) == first
    second = await either.publish_rates(msgspec.structs.replace(spec, decision_id=uuid4(), note="second"))
    found = await either.rate_sheets()
    assert [one.note for one in found.sheets] == ["second", "first"]
    assert found.current == second.version
    assert await either.rates(first.version) == rates
    unknown = [schema.Rate(prefix="", price=1, channel="Nowhere")]
    with pytest.raises(CoreError) as refused:
        await either.publish_rates(schema.RateSheetSpec(decision_id=uuid4(), rates=unknown))
    assert problem_of(refused) == ("bad-rates", 422)
