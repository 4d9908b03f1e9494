"""Settings of accounts: described for forms, checked with the field named, kept only where they differ."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from engine.channels.account_settings import SECRETS, AccountSettings, zone
from engine.channels.checks import (
    account_fields,
    checked_account,
    checked_channel,
    message_fields,
    trial_config,
)
from engine.channels.described import convert
from engine.channels.interface import BadSettings
from engine.channels.message_settings import MessageSettings
from engine.channels.preset_files import presets
from engine.core_api import schema

SPEC = schema.AccountSpec(name="Op", host="127.0.0.1", port=2775, system_id="esme", password="secret")


def with_settings(**settings: Any) -> schema.AccountSpec:
    return msgspec.structs.replace(SPEC, settings=settings)


@pytest.mark.parametrize("fields", [account_fields(), message_fields()], ids=["account", "message"])
def test_every_setting_has_a_group_a_meaning_and_a_default_that_fits(fields: list[schema.Setting]) -> None:
    assert len({field.name for field in fields}) == len(fields) > 20
    for field in fields:
        assert field.group, field.name
        assert len(field.description) > 10, field.name
        assert (field.kind == "choice") == (bool(field.choices) and field.kind != "lines"), field.name
    defaults = {field.name: field.default for field in fields if not field.secret}
    kind = AccountSettings if "tlv" in defaults else MessageSettings
    assert convert(defaults, kind) == kind()


def test_secrets_stand_at_their_group_and_are_no_settings() -> None:
    fields = account_fields()
    assert {field.name for field in fields if field.secret} == set(SECRETS)
    assert next(field.group for field in fields if field.name == "tls_client_key") == "TLS"
    with pytest.raises(BadSettings, match="tls_client_key"):
        checked_account(with_settings(tls_client_key="x"))


def test_a_table_says_its_columns() -> None:
    (schedule,) = (field for field in account_fields() if field.name == "tps_schedule")
    assert [column.name for column in schedule.columns] == ["from", "to", "tps", "days"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"no_such": 1}, "no_such"),
        ({"enquire_link_s": -1}, "enquire_link_s"),
        ({"enquire_link_s": "often"}, "enquire_link_s"),
        ({"tlv": "sometimes"}, "tlv"),
        ({"receipt_tz": "Mars/Olympus"}, "receipt_tz"),
        ({"already_bound_min_s": 50, "already_bound_max_s": 40}, "already_bound_min_s"),
        ({"reconnect_min_s": 50, "reconnect_max_s": 40}, "reconnect_min_s"),
        ({"outbind": True}, "outbind"),
        ({"outbind_allow": ["10.0.0.0/33"]}, "outbind_allow"),
        ({"tps_schedule": [{"from": "25:00", "to": "01:00", "tps": 1}]}, "tps_schedule"),
        ({"tls_ca_pem": "nonsense"}, "tls_ca_pem"),
        ({"tls_client_cert_pem": "nonsense"}, "tls_client_cert_pem"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(BadSettings) as caught:
        checked_account(with_settings(**settings))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"system_id": "a\0b"}, "system_id"),
        ({"password": "пароль"}, "password"),
        ({"interface_version": 0x44}, "interface_version"),
        ({"secrets": {"no_such": "x"}}, "no_such"),
        ({"secrets": {"tls_client_key": "x"}}, "tls_client_cert_pem"),
    ],
)
def test_a_field_that_no_bind_can_carry_is_named(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(BadSettings) as caught:
        checked_account(msgspec.structs.replace(SPEC, **changed))
    assert caught.value.field == field
    assert "пароль" not in str(caught.value)


def test_an_outbind_without_a_password_is_refused() -> None:
    settings = {"outbind": True, "outbind_allow": ["127.0.0.1"], "outbind_system_id": "op"}
    with pytest.raises(BadSettings) as caught:
        checked_account(with_settings(**settings))
    assert caught.value.field == "outbind_password"
    given = msgspec.structs.replace(with_settings(**settings), secrets={"outbind_password": "x"})
    assert checked_account(given).settings == settings


def test_only_what_differs_from_the_defaults_is_kept_and_forms_may_send_strings() -> None:
    given = {"enquire_link_s": "15", "response_timeout_s": 30, "outbind": "false", "enquire_misses": "3"}
    assert checked_account(with_settings(**given)).settings == {"enquire_link_s": 15.0, "enquire_misses": 3}


def test_long_fields_are_taken() -> None:
    long = msgspec.structs.replace(SPEC, system_id="x" * 30, password="y" * 30, system_type="z" * 30)
    assert checked_account(long) == long


def account(**settings: Any) -> schema.Account:
    shared = {name: getattr(SPEC, name) for name in ("name", "host", "port", "system_id", "system_type")}
    return msgspec.convert(
        shared
        | {
            "account_id": 1, "password_set": True, "bind_mode": "transceiver", "interface_version": 52,
            "tps": 1, "binds": 1, "window_size": 1, "settings": settings, "secrets_set": [], "enabled": True,
            "drained": False, "version": 1, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "warnings": [], "learned": {}, "live": [], "channels": [],
        },
        schema.Account,
    )  # fmt: skip


def test_a_channel_that_needs_tlvs_does_not_go_over_an_account_without_them() -> None:
    spec = schema.ChannelSpec(name="dlt", account="Op", settings={"dlt_required": True})
    assert checked_channel(spec, account()).settings == {"dlt_required": True}
    with pytest.raises(BadSettings) as caught:
        checked_channel(spec, account(tlv="never"))
    assert caught.value.field == "dlt_required"


def test_presets_fit_accounts_and_channels() -> None:
    names = [preset.name for preset in presets()]
    assert names == sorted(names)
    assert len(names) >= 5
    for preset in presets():
        spec = msgspec.convert(
            msgspec.to_builtins(SPEC) | preset.account | {"settings": preset.settings}, schema.AccountSpec
        )
        checked = checked_account(spec)
        channel = schema.ChannelSpec(name=str(uuid4()), account="Op", settings=preset.message_settings)
        checked_channel(channel, account(**checked.settings))
        assert preset.title
        assert len(preset.description) > 40


def test_a_test_bind_of_pairs_is_a_transmitters() -> None:
    assert trial_config(msgspec.structs.replace(SPEC, bind_mode="pair")).bind_mode == "transmitter"
    assert trial_config(msgspec.structs.replace(SPEC, bind_mode="receiver")).bind_mode == "receiver"


@pytest.mark.parametrize(
    ("name", "minutes"), [("UTC", 0), ("+05:30", 330), ("-03:00", -180), ("Asia/Kolkata", 330)]
)
def test_zones(name: str, minutes: int) -> None:
    offset = datetime(2026, 1, 1, tzinfo=zone(name)).utcoffset()
    assert offset is not None
    assert offset.total_seconds() == minutes * 60
