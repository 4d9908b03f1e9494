"""Accounts and channels through the pages: created, changed, tested, drained; every change in the audit."""

from typing import Any

import msgspec
import pytest

from control_plane.audit.outbox import AUDIT
from control_plane.core_fake import FakeCore
from control_plane.core_fake_operations import STARTED
from control_plane.errors import Conflict
from control_plane.services import Services
from engine.core_api import schema

JSON = {"accept": "application/json"}
SECRET = "s3cret-of-theirs"
NEW = {
    "name": "second", "channel": "Second SMSC", "host": "smsc.example", "port": "2775", "system_id": "us",
    "password": SECRET, "tps": "50", "binds": "2", "window_size": "20",
}  # fmt: skip


async def audit(services: Services) -> list[Any]:
    return (await services.store.find(AUDIT, {}, limit=500)).records


async def told(services: Services, action: str) -> Any:
    (found,) = [event for event in await audit(services) if event.action == action]
    return found


async def test_a_new_smsc_is_an_account_and_a_channel_over_it(
    services: Services, core: FakeCore, root: Any
) -> None:
    answer = await root.submit("/accounts", **NEW)
    assert answer.headers["location"] == "/accounts/second?done=account-created"
    account = await core.account("second")
    assert (account.host, account.tps, account.binds, account.channels) == (
        "smsc.example", 50, 2, ["Second SMSC"],
    )  # fmt: skip
    assert core.passwords["second"] == SECRET
    event = await told(services, "account.create")
    assert event.actor == "admin@heliograph.example"
    assert event.details["host"] == "smsc.example"
    assert SECRET not in repr(await audit(services))
    for path in ("/accounts/second", "/accounts/second/edit", "/channels"):
        assert SECRET not in (await root.get(path)).text


async def test_a_form_that_is_wrong_says_so_beside_its_fields_and_keeps_what_was_typed(
    core: FakeCore, root: Any
) -> None:
    answer = await root.submit("/accounts", **{**NEW, "port": "70000", "host": " ", "s.enquire_misses": "99"})
    assert answer.status_code == 422
    assert 'id="port-error"' in answer.text
    assert 'id="host-error"' in answer.text
    assert 'value="50"' in answer.text
    assert SECRET not in answer.text
    wrong = await root.submit("/accounts", **{**NEW, "s.enquire_misses": "99"})
    assert "At most 10." in wrong.text
    assert core.done == []


@pytest.mark.parametrize("name", ["new", "Test", "a/b", " ", ".", "..", "x" * 65])
async def test_a_name_that_no_address_could_have_is_refused(core: FakeCore, root: Any, name: str) -> None:
    assert (await root.submit("/accounts", **{**NEW, "name": name})).status_code == 422
    assert core.done == []


@pytest.mark.parametrize("channel", ["Demo SMSC", "a/b", "new"])
async def test_no_account_is_made_whose_channel_cannot_be(core: FakeCore, root: Any, channel: str) -> None:
    answer = await root.submit("/accounts", **{**NEW, "channel": channel})
    assert answer.status_code == 422
    assert 'id="channel-error"' in answer.text
    assert "smsc.example" in answer.text
    assert core.done == []


async def test_an_account_without_its_channel_is_said(
    services: Services, core: FakeCore, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody took the name between the look and the order."""

    async def taken(*_: Any) -> Any:
        raise Conflict("there is such a channel")

    monkeypatch.setattr(services.channels, "create_channel", taken)
    answer = await root.submit("/accounts", **NEW)
    assert answer.headers["location"] == "/accounts/second?done=account-alone"
    page = await root.get(answer.headers["location"])
    assert "not the channel over it" in page.text


async def test_a_name_that_is_taken_is_told_and_nothing_is_lost(root: Any) -> None:
    answer = await root.submit("/accounts", **{**NEW, "name": "demo"})
    assert answer.status_code == 409
    assert "there is such an account" in answer.text
    assert "smsc.example" in answer.text


async def test_a_change_sends_and_tells_only_what_differs(
    services: Services, core: FakeCore, root: Any
) -> None:
    form = {"version": "1", "tps": "80", "s.tlv": "never", "s.enquire_link_s": "30", "s.outbind": "0"}
    answer = await root.submit("/accounts/demo", **form)
    assert answer.headers["location"] == "/accounts/demo?done=account-saved"
    account = await core.account("demo")
    assert (account.tps, account.settings, account.version) == (80, {"tlv": "never"}, 2)
    event = await told(services, "account.change")
    assert event.details == {"tps": "500 → 80", "tlv": "default → never"}
    page = (await root.get("/accounts/demo")).text
    assert "tps: 500 → 80" in page


async def test_a_secret_is_written_and_never_shown_or_told(
    services: Services, core: FakeCore, root: Any
) -> None:
    key = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----"
    form = {"version": "1", "password": SECRET, "s.tls_client_key": key}
    assert (await root.submit("/accounts/demo", **form)).status_code == 303
    account = await core.account("demo")
    assert core.passwords["demo"] == SECRET
    assert account.secrets_set == ["tls_client_key"]
    assert "tls_client_key" not in account.settings
    event = await told(services, "account.change")
    assert set(event.details) == {"password", "tls_client_key"}
    assert SECRET not in repr(event)
    page = (await root.get("/accounts/demo/edit")).text
    assert SECRET not in page
    assert "Set; leave it empty to keep it." in page


async def test_an_empty_password_keeps_the_present_one(core: FakeCore, root: Any) -> None:
    before = core.passwords["demo"]
    assert (await root.submit("/accounts/demo", version="1", tps="7", password="")).status_code == 303
    assert core.passwords["demo"] == before


async def test_another_host_asks_for_the_password_beside_its_field(core: FakeCore, root: Any) -> None:
    before = await core.account("demo")
    answer = await root.submit("/accounts/demo", version="1", host="elsewhere.example", password="")
    assert answer.status_code == 422
    assert 'value="elsewhere.example"' in answer.text
    assert 'id="password-error"' in answer.text
    assert await core.account("demo") == before
    again = await root.submit("/accounts/demo", version="1", host="elsewhere.example", password=SECRET)
    assert again.status_code == 303
    assert (await core.account("demo")).host == "elsewhere.example"


async def test_who_is_late_changes_nothing(core: FakeCore, root: Any) -> None:
    assert (await root.submit("/accounts/demo", version="1", tps="80")).status_code == 303
    late = await root.submit("/accounts/demo", version="1", tps="90")
    assert late.status_code == 409
    assert (await core.account("demo")).tps == 80


async def test_what_the_engine_refuses_is_told_too(services: Services, core: FakeCore, root: Any) -> None:
    await root.submit("/accounts/demo", version="1", tps="80")
    await root.submit("/accounts/demo", version="1", tps="90")
    refused = await told(services, "account.change_refused")
    assert refused.details["reason"] == "another was first"


async def test_a_table_and_lines_of_settings_are_read(core: FakeCore, root: Any) -> None:
    name = "s.tps_schedule"
    form = {
        "version": "1", f"{name}.0.from": "08:00", f"{name}.0.to": "20:00", f"{name}.0.tps": "5",
        f"{name}.1.from": "", f"{name}.1.to": "", f"{name}.1.tps": "",
        "s.outbind_allow": "192.0.2.0/24\n\n198.51.100.7",
    }  # fmt: skip
    assert (await root.submit("/accounts/demo", **form)).status_code == 303
    settings = (await core.account("demo")).settings
    assert settings["tps_schedule"] == [{"from": "08:00", "to": "20:00", "tps": 5}]
    assert settings["outbind_allow"] == ["192.0.2.0/24", "198.51.100.7"]
    page = (await root.get("/accounts/demo/edit")).text
    assert 'value="08:00"' in page


async def test_a_preset_fills_the_form_and_its_message_settings_go_to_the_channel(
    core: FakeCore, root: Any
) -> None:
    page = (await root.get("/accounts/new?preset=generic")).text
    assert 'name="window_size" required inputmode="numeric" autocomplete="off" value="20"' in page
    await root.submit("/accounts", **{**NEW, "preset": "generic"})
    assert (await core.channel("Second SMSC")).settings == {"default_alphabet": "latin1"}


@pytest.mark.parametrize(
    ("path", "done"),
    [
        ("/accounts/demo/drain", "drain"),
        ("/accounts/demo/binds/1/rebind", "rebind bind 1"),
        ("/accounts/demo/binds/1/drain", "drain bind 1"),
        ("/accounts/demo/disable", "change account"),
        ("/accounts/demo/ids/reset", "reset ids"),
        ("/channels/Demo%20SMSC/disable", "change channel"),
        ("/channels/Demo%20SMSC/reset", "reset"),
    ],
)
async def test_every_command_has_its_effect_and_its_event(
    services: Services, core: FakeCore, root: Any, path: str, done: str
) -> None:
    before = len(await audit(services))
    assert (await root.submit(path)).status_code == 303
    assert core.done == [done]
    (event,) = (await audit(services))[before:] or [None]
    assert event is not None
    assert event.actor == "admin@heliograph.example"


async def test_a_clone_is_disabled_until_somebody_enables_it(core: FakeCore, root: Any) -> None:
    answer = await root.submit("/accounts/demo/clone", name="demo copy")
    assert answer.headers["location"] == "/accounts/demo%20copy?done=cloned"
    assert not (await core.account("demo copy")).enabled
    assert "Disabled" in (await root.get("/accounts/demo%20copy")).text
    assert (await root.submit("/accounts/demo%20copy/enable")).status_code == 303
    assert (await core.account("demo copy")).enabled


async def test_a_test_bind_says_what_it_met(root: Any) -> None:
    page = await root.submit("/accounts/demo/test")
    assert page.status_code == 200
    assert "It binds" in page.text
    assert "sc_interface_version" in page.text
    fragment = await root.post("/accounts/test", data=NEW, headers={"hx-request": "true"})
    assert "It binds" in fragment.text
    assert "<html" not in fragment.text
    without = await root.post("/accounts/test", data={**NEW, "password": ""}, headers={"hx-request": "true"})
    assert (without.status_code, "<html" in without.text) == (422, False)


async def test_a_test_message_is_sent_once_and_its_number_is_masked(
    services: Services, core: FakeCore, root: Any
) -> None:
    form = {"msisdn": "+49 (151) 2345-6789", "sender": "Heliograph", "text": "Hello", "what": "text"}
    answer = await root.submit("/channels/Demo%20SMSC/test-message", **form)
    assert answer.headers["location"] == "/channels/Demo%20SMSC?done=test-sent"
    (sent,) = (await core.test_messages("Demo SMSC")).messages
    assert (sent.msisdn, sent.text) == ("+4915123456789", "Hello")
    page = (await root.get("/channels/Demo%20SMSC")).text
    assert "…789" in page
    assert "4915123456789" not in page
    assert "15123456789" not in repr(await audit(services))
    await root.submit("/channels/Demo%20SMSC/test-message", **{**form, "what": "alphabet"})
    assert (await core.test_messages("Demo SMSC")).messages[0].text == "@£$_{}[]~^|€ñ"


@pytest.mark.parametrize("wrong", [{"msisdn": "12"}, {"sender": ""}, {"text": " "}, {"msisdn": "+4915x"}])
async def test_a_test_message_that_is_wrong_is_not_sent(
    core: FakeCore, root: Any, wrong: dict[str, str]
) -> None:
    form = {"msisdn": "+4915123456789", "sender": "Heliograph", "text": "Hello", "what": "text", **wrong}
    answer = await root.submit("/channels/Demo%20SMSC/test-message", **form)
    assert answer.status_code == 422
    assert 'class="error"' in answer.text
    assert core.done == []


async def test_a_channel_is_made_changed_and_cloned(services: Services, core: FakeCore, root: Any) -> None:
    form = {"name": "Night", "account": "demo", "s.default_alphabet": "ia5"}
    assert (await root.submit("/channels", **form)).headers[
        "location"
    ] == "/channels/Night?done=channel-created"
    assert (await core.channel("Night")).settings == {"default_alphabet": "ia5"}
    change = {"version": "1", "account": "demo", "s.default_alphabet": "gsm_unpacked"}
    assert (await root.submit("/channels/Night", **change)).status_code == 303
    assert (await core.channel("Night")).settings == {}
    event = await told(services, "channel.change")
    assert event.details == {"default_alphabet": "ia5 → default"}
    assert (await root.submit("/channels/Night/clone", name="Day")).status_code == 303
    assert (await core.channel("Day")).account == "demo"
    nowhere = await root.submit("/channels", name="Lost", account="nowhere")
    assert nowhere.status_code == 404


async def test_those_who_only_look_see_binds_and_no_address(author: Any) -> None:
    page = (await author.get("/channels")).text
    assert "Demo SMSC" in page
    assert "12.5 / 500" in page
    assert "127.0.0.1" not in page
    assert "Rebind" not in page
    listed = (await author.get("/channels", headers={"accept": "application/json"})).json()["channels"]
    assert [(one["name"], one.get("settings", {})) for one in listed] == [("Demo SMSC", {})]


async def test_with_the_engine_away_the_list_says_so_and_forms_are_answered(
    core: FakeCore, root: Any
) -> None:
    core.away = True
    for path in ("/channels", "/orphans", "/inbound", "/traces", "/stop"):
        page = await root.get(path)
        assert page.status_code == 200, path
        assert "cannot be reached" in page.text or "does not answer" in page.text, path
    assert (await root.get("/accounts/demo")).status_code == 503
    assert (await root.submit("/accounts/demo/drain")).status_code == 503


async def test_the_proposed_zone_of_receipts_is_taken_with_one_click(
    core: FakeCore, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = await core.account_ids("demo")
    proposal = schema.ZoneProposal(offset="+05:30", samples=40, seconds=19_790, at=STARTED)

    async def ids(_name: str) -> schema.AccountIds:
        return msgspec.structs.replace(learned, zone_proposal=proposal)

    monkeypatch.setattr(core, "account_ids", ids)
    assert "Take +05:30" in (await root.get("/accounts/demo")).text
    answer = await root.submit("/accounts/demo/zone", zone="+05:30", version="1")
    assert answer.headers["location"] == "/accounts/demo?done=account-saved"
    assert (await core.account("demo")).settings == {"receipt_tz": "+05:30"}
