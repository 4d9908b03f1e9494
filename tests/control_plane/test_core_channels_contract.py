"""Accounts, channels, stops and error maps: the fake engine keeps the real one's word."""

from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest
from test_core_contract import address, engine_process

from control_plane.core import Core
from control_plane.core_fake import FakeCore
from engine.core_api import schema
from engine.core_api.client import CoreClient, CoreError

__all__ = ["address", "engine_process"]


@pytest.fixture
async def either(address: tuple[str, object] | None) -> AsyncIterator[Core]:
    """A Core with the account `demo` and the channel `Demo SMSC`, whose SMSC is not there."""
    if address is None:
        yield FakeCore()
        return
    client = CoreClient(*address)  # type: ignore[arg-type]
    await client.put_account(account("demo"))
    await client.put_channel(schema.ChannelSpec(name="Demo SMSC", account="demo"))
    yield client
    await client.close()


def account(name: str, **fields: object) -> schema.AccountSpec:
    spec = schema.AccountSpec(name=name, host="127.0.0.1", port=1, system_id="x", password="x", tps=500)
    return msgspec.structs.replace(spec, **fields)


def status_of(refused: pytest.ExceptionInfo[CoreError]) -> int:
    return refused.value.problem.status


async def test_an_account_is_created_once_a_decision_and_never_under_a_taken_name(either: Core) -> None:
    command = schema.AccountCommand(decision_id=uuid4(), account=account("second"))
    made = await either.create_account(command)
    assert (made.name, made.enabled, made.drained, made.password_set) == ("second", True, False, True)
    assert (await either.create_account(command)).version == made.version
    with pytest.raises(CoreError) as refused:
        await either.create_account(msgspec.structs.replace(command, decision_id=uuid4()))
    assert status_of(refused) == 409
    assert {one.name for one in (await either.accounts()).accounts} == {"demo", "second"}


async def test_a_change_needs_the_version_that_was_seen(either: Core) -> None:
    seen = await either.account("demo")
    change = schema.AccountChange(decision_id=uuid4(), version=seen.version, tps=80)
    changed = await either.change_account("demo", change)
    assert (changed.tps, changed.version > seen.version) == (80, True)
    assert (await either.change_account("demo", change)).version == changed.version
    with pytest.raises(CoreError) as refused:
        await either.change_account("demo", msgspec.structs.replace(change, decision_id=uuid4()))
    assert status_of(refused) == 409


async def test_a_setting_that_is_none_or_out_of_bounds_is_named(either: Core) -> None:
    for settings in ({"no_such_setting": 1}, {"enquire_misses": 99}):
        seen = await either.account("demo")
        with pytest.raises(CoreError) as refused:
            await either.change_account(
                "demo", schema.AccountChange(decision_id=uuid4(), version=seen.version, settings=settings)
            )
        assert status_of(refused) == 422
        assert refused.value.problem.errors[0]["field"] == next(iter(settings))


async def test_another_address_needs_the_password_again(either: Core) -> None:
    seen = await either.account("demo")
    change = schema.AccountChange(decision_id=uuid4(), version=seen.version, host="127.0.0.2")
    with pytest.raises(CoreError) as refused:
        await either.change_account("demo", change)
    assert (status_of(refused), refused.value.problem.errors[0]["field"]) == (422, "password")
    given = msgspec.structs.replace(change, password="y")
    assert (await either.change_account("demo", given)).host == "127.0.0.2"


async def test_settings_are_described_for_a_form(either: Core) -> None:
    settings = await either.account_settings() + await either.message_settings()
    names = {setting.name for setting in settings}
    assert {"tlv", "enquire_link_s", "receipt_tz", "default_alphabet", "tls_client_key"} <= names
    assert all(setting.description and setting.group for setting in settings)
    assert all(setting.choices for setting in settings if setting.kind == "choice")
    assert all(setting.columns for setting in settings if setting.kind == "table")
    assert [setting.name for setting in settings if setting.secret and setting.name == "tls_client_key"]
    assert await either.presets()


async def test_a_clone_is_disabled(either: Core) -> None:
    command = schema.CloneCommand(decision_id=uuid4(), name="copy")
    copied = await either.clone_account("demo", command)
    assert (copied.name, copied.enabled, copied.password_set) == ("copy", False, True)


async def test_a_channel_is_made_over_an_account_that_is_there(either: Core) -> None:
    spec = schema.ChannelSpec(name="Night", account="demo", settings={"default_alphabet": "ia5"})
    made = await either.create_channel(schema.ChannelCommand(decision_id=uuid4(), channel=spec))
    assert (made.account, made.settings, made.enabled) == ("demo", {"default_alphabet": "ia5"}, True)
    change = schema.ChannelChange(decision_id=uuid4(), version=made.version, enabled=False)
    assert not (await either.change_channel("Night", change)).enabled
    assert (await either.account("demo")).channels.count("Night") == 1
    lost = msgspec.structs.replace(spec, name="Lost", account="nowhere")
    with pytest.raises(CoreError) as refused:
        await either.create_channel(schema.ChannelCommand(decision_id=uuid4(), channel=lost))
    assert status_of(refused) in (404, 422)


async def test_what_is_unknown_is_not_found(either: Core) -> None:
    control = schema.ControlSpec(decision_id=uuid4())
    for act in (
        either.account("nowhere"),
        either.channel("nowhere"),
        either.test_account("nowhere"),
        either.account_ids("nowhere"),
        either.channel_errors("nowhere"),
        either.drain("nowhere", control),
        either.control_bind("demo", 99, "rebind", control),
        either.trace(77),
        either.stop(schema.StopSpec(decision_id=uuid4(), scope="channel", channel="nowhere")),
        either.lift_stop(uuid4(), schema.LiftSpec(decision_id=uuid4())),
    ):
        with pytest.raises(CoreError) as refused:
            await act
        assert status_of(refused) == 404, act


async def test_an_account_is_drained_and_undrained(either: Core) -> None:
    await either.drain("demo", schema.ControlSpec(decision_id=uuid4()))
    assert (await either.account("demo")).drained
    await either.drain("demo", schema.ControlSpec(decision_id=uuid4()), drained=False)
    assert not (await either.account("demo")).drained


async def test_a_stop_happens_once_a_decision_and_stands_until_it_is_lifted(either: Core) -> None:
    spec = schema.StopSpec(
        decision_id=uuid4(), scope="channel", channel="Demo SMSC", reason="why", made_by="installation"
    )
    stop = await either.stop(spec)
    assert (stop.channel, stop.reason, stop.lifted_at) == ("Demo SMSC", "why", None)
    assert stop.made_by == "installation"
    assert (await either.stop(spec)).stop_id == stop.stop_id
    assert [one.lifted_at for one in (await either.stops()).stops] == [None]
    lifted = await either.lift_stop(stop.stop_id, schema.LiftSpec(decision_id=uuid4()))
    assert lifted.lifted_at is not None
    assert all(one.lifted_at for one in (await either.stops()).stops)


async def test_a_code_is_classified_and_forgotten(either: Core) -> None:
    spec = schema.ErrorCodeSpec(
        decision_id=uuid4(), context="receipt", code="045", error_class="temporary", meaning="Absent"
    )
    entry = await either.put_channel_error("Demo SMSC", spec)
    assert (entry.code, entry.error_class, entry.mapped, bool(entry.effect)) == (
        "045",
        "temporary",
        True,
        True,
    )
    codes = (await either.channel_errors("Demo SMSC")).codes
    assert [one.meaning for one in codes if one.code == "045"] == ["Absent"]
    await either.delete_channel_error("Demo SMSC", "receipt", "045")
    assert not [one for one in (await either.channel_errors("Demo SMSC")).codes if one.mapped]


async def test_nothing_is_in_doubt_and_nothing_is_orphaned_at_the_start(either: Core) -> None:
    assert (await either.doubts()).groups == []
    assert (await either.orphans()).orphans == []
    assert (await either.inbound()).messages == []
    assert (await either.traces()).traces == []
    ids = await either.account_ids("demo")
    assert (ids.response, ids.locked_at) == (None, None)
