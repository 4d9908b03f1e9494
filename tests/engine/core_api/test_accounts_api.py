"""Accounts and channels over the Core API: made, changed, cloned, disabled; secrets go in and never out."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from engine.channels.account_settings import AccountSettings
from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient, CoreError
from engine.core_api.server.app import application
from engine.core_api.server.state import EngineState
from engine.ledger import accounts, password_use
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox
from engine.settings import EngineSettings

SPEC = schema.AccountSpec(
    name="Operator One", host="127.0.0.1", port=2775, system_id="esme", password="pa55-word"
)
SECRETS = ("pa55-word", "new-pa55", "outbind-pa55")


class StillDispatcher:
    """Nothing is sent here; it counts how often it was woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    def binds(self) -> list[schema.Bind]:
        return []


class Face:
    """The application, its ledger, and a client that keeps every octet that came out."""

    def __init__(self, pool: Pool, box: SecretBox, dsn: str, folder: Path, certs: Path) -> None:
        self.pool, self.box = pool, box
        self.dispatcher = StillDispatcher()
        settings = EngineSettings(ledger_dsn=dsn, data_dir=folder)
        state = EngineState(settings, pool, box, self.dispatcher, "worker", 7)  # type: ignore[arg-type]
        self.said = ""
        self.client = CoreClient("https://engine", certs)
        self.client._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(application(state)), event_hooks={"response": [self._keep]}
        )

    async def _keep(self, response: httpx.Response) -> None:
        self.said += (await response.aread()).decode()

    async def stored(self, name: str = SPEC.name) -> schema.AccountSpec:
        async with self.pool.acquire() as connection:
            return await accounts.account_spec(connection, name, self.box)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    make(folder)
    return folder


@pytest.fixture
async def face(ledger_dsn: str, tmp_path: Path, certs: Path) -> AsyncIterator[Face]:
    await migrate(ledger_dsn)
    pool = await open_pool(ledger_dsn)
    made = Face(pool, SecretBox(tmp_path / "secrets.key"), ledger_dsn, tmp_path, certs)
    yield made
    for secret in SECRETS:
        assert secret not in made.said, "a secret came out"
    await made.client.close()
    await pool.close()


def create(**changed: Any) -> schema.AccountCommand:
    return schema.AccountCommand(decision_id=uuid4(), account=msgspec.structs.replace(SPEC, **changed))


def change(version: int, **changed: Any) -> schema.AccountChange:
    return schema.AccountChange(decision_id=uuid4(), version=version, **changed)


async def refused(call: Any) -> schema.Problem:
    with pytest.raises(CoreError) as caught:
        await call
    return caught.value.problem


async def test_an_account_is_made_and_listed(face: Face) -> None:
    made = await face.client.create_account(create(settings={"enquire_link_s": 15, "tlv": "always"}))
    assert (made.name, made.password_set, made.version, made.enabled) == (SPEC.name, True, 1, True)
    assert made.settings == {"enquire_link_s": 15.0}, "defaults are not kept"
    assert made.warnings == ["password has 9 characters, the specification allows 8"]
    assert (await face.client.accounts()).accounts == [made]
    assert await face.client.account(SPEC.name) == made
    assert (await face.stored()).password == "pa55-word"
    assert face.dispatcher.woken == 1


async def test_a_name_is_taken_once_and_the_same_decision_is_one(face: Face) -> None:
    order = create()
    assert await face.client.create_account(order) == await face.client.create_account(order)
    assert (await refused(face.client.create_account(create()))).type.endswith(":duplicate")
    other = msgspec.structs.replace(order, account=msgspec.structs.replace(SPEC, port=1))
    assert (await refused(face.client.create_account(other))).type.endswith(":decision-reused")


async def test_a_change_leaves_what_it_does_not_name(face: Face) -> None:
    await face.client.create_account(create(settings={"enquire_link_s": 15}))
    changed = await face.client.change_account(SPEC.name, change(1, tps=99, password=""))
    assert (changed.tps, changed.version, changed.settings) == (99, 2, {"enquire_link_s": 15.0})
    assert (await face.stored()).password == "pa55-word"
    changed = await face.client.change_account(SPEC.name, change(2, password="new-pa55", settings={}))
    assert (changed.settings, (await face.stored()).password) == ({}, "new-pa55")


async def test_of_two_who_change_the_same_version_the_second_is_told(face: Face) -> None:
    await face.client.create_account(create())
    await face.client.change_account(SPEC.name, change(1, tps=5))
    problem = await refused(face.client.change_account(SPEC.name, change(1, tps=6)))
    assert (problem.status, problem.type) == (409, "urn:heliograph:problem:changed")
    assert (await face.client.account(SPEC.name)).tps == 5


async def test_secrets_are_stored_encrypted_and_named_only(face: Face) -> None:
    made = await face.client.create_account(create(secrets={"outbind_password": "outbind-pa55"}))
    assert made.secrets_set == ["outbind_password"]
    row = await face.pool.fetchrow("SELECT accounts::text AS everything, * FROM accounts")
    assert row is not None
    for secret in SECRETS:
        assert secret not in row["everything"]
        assert secret.encode() not in row["secrets_encrypted"]
    await face.client.change_account(SPEC.name, change(1, tps=3))
    assert (await face.stored()).secrets == {"outbind_password": "outbind-pa55"}
    gone = await face.client.change_account(SPEC.name, change(2, secrets={"outbind_password": ""}))
    assert gone.secrets_set == []


async def test_no_stored_decision_helps_to_find_a_secret(face: Face) -> None:
    """The hash of a body with a short password in it could be tried out."""
    order = create()
    await face.client.create_account(order)
    again = msgspec.structs.replace(order, account=msgspec.structs.replace(SPEC, password="new-pa55"))
    await face.client.create_account(again)
    assert (await face.stored()).password == "pa55-word"
    assert await face.pool.fetchval("SELECT answer FROM decisions") == "{}"


async def test_a_clone_has_the_secrets_and_does_not_bind_until_it_is_enabled(face: Face) -> None:
    await face.client.create_account(create(secrets={"outbind_password": "outbind-pa55"}, tps=7))
    order = schema.CloneCommand(decision_id=uuid4(), name="Operator Two")
    clone = await face.client.clone_account(SPEC.name, order)
    assert (clone.tps, clone.enabled, clone.password_set) == (7, False, True)
    copied = await face.stored("Operator Two")
    assert (copied.password, copied.secrets) == ("pa55-word", {"outbind_password": "outbind-pa55"})
    enabled = await face.client.change_account("Operator Two", change(1, enabled=True))
    assert (enabled.enabled, enabled.version) == (True, 2)


CALLED = {"outbind": True, "outbind_allow": ["10.0.0.1"], "outbind_system_id": "smsc"}
TLS = {"tls": "on", "tls_server_name": "smsc.example"}


def certificate(certs: Path) -> str:
    return next(file.read_text() for file in sorted(certs.rglob("*.crt")))


@pytest.mark.parametrize(
    ("before", "changed"),
    [
        ({}, {"host": "127.0.0.2"}),
        ({}, {"port": 2776}),
        (TLS, {"settings": {}}),
        (TLS, {"settings": {"tls": "off"}}),
        (TLS, {"settings": TLS | {"tls_server_name": "other.example"}}),
        (TLS, {"settings": TLS | {"tls_ca_pem": "other authority"}}),
        ({}, {"settings": CALLED, "secrets": {"outbind_password": "outbind-pa55"}}),
        (CALLED, {"settings": CALLED | {"outbind_allow": ["0.0.0.0/0"]}}),
        (CALLED, {"settings": CALLED | {"outbind_system_id": "other"}}),
        (CALLED, {"secrets": {"outbind_password": "new-pa55"}}),
    ],
)
async def test_a_stored_password_goes_nowhere_else(
    face: Face, certs: Path, before: dict[str, Any], changed: dict[str, Any]
) -> None:
    """Whom the engine sends it to changes only together with a password: here, in a PUT, and in a clone."""
    if "tls_ca_pem" in changed.get("settings", {}):
        changed = {"settings": changed["settings"] | {"tls_ca_pem": certificate(certs)}}
    secrets = {"outbind_password": "outbind-pa55"} if "outbind" in before else {}
    await face.client.create_account(create(settings=before, secrets=secrets))
    clone = schema.CloneCommand(decision_id=uuid4(), name="Copy")
    await face.client.clone_account(SPEC.name, clone)
    stored = await face.stored()
    put = msgspec.structs.replace(
        stored, password="", **(changed | {"secrets": secrets | changed.get("secrets", {})})
    )
    for call in (
        face.client.change_account(SPEC.name, change(1, **changed)),
        face.client.change_account(SPEC.name, change(1, password="", **changed)),
        face.client.change_account("Copy", change(1, **changed)),
        face.client.put_account(put),
        face.client.test_bind(put),
    ):
        problem = await refused(call)
        assert (problem.status, [error["field"] for error in problem.errors]) == (422, ["password"])
    assert await face.stored() == stored
    assert await face.stored("Copy") == msgspec.structs.replace(stored, name="Copy")
    done = await face.client.change_account(SPEC.name, change(1, password="new-pa55", **changed))
    assert (done.version, (await face.stored()).password) == (2, "new-pa55")


@pytest.mark.parametrize(
    ("before", "changed"),
    [({}, {"settings": TLS}), (CALLED, {"settings": {}}), ({}, {"host": SPEC.host, "port": SPEC.port})],
)
async def test_more_protection_needs_no_password(
    face: Face, before: dict[str, Any], changed: dict[str, Any]
) -> None:
    secrets = {"outbind_password": "outbind-pa55"} if before else {}
    await face.client.create_account(create(settings=before, secrets=secrets))
    await face.client.change_account(SPEC.name, change(1, **changed))
    assert (await face.stored()).password == "pa55-word"


def test_the_settings_that_guard_a_password_have_their_defaults() -> None:
    defaults = msgspec.to_builtins(AccountSettings())
    assert {name: defaults[name] for name in password_use.DEFAULTS} == password_use.DEFAULTS


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"settings": {"enquire_link_s": 0}}, "enquire_link_s"),
        ({"settings": {"nonsense": 1}}, "nonsense"),
        ({"settings": {"tls": "on", "tls_ca_pem": "x"}}, "tls_ca_pem"),
        ({"system_id": "a\0b"}, "system_id"),
        ({"host": "a..b", "password": "pa55-word"}, "host"),
        ({"host": f"{'x' * 64}.example", "password": "pa55-word"}, "host"),
        ({"settings": {"tls": "on", "tls_server_name": ".."}}, "tls_server_name"),
        ({"interface_version": 1}, "interface_version"),
        ({"secrets": {"nonsense": "x"}}, "nonsense"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_field_and_changes_nothing(
    face: Face, changed: dict[str, Any], field: str
) -> None:
    await face.client.create_account(create())
    for call in (
        face.client.create_account(create(name="Other", **changed)),
        face.client.change_account(SPEC.name, change(1, **changed)),
    ):
        problem = await refused(call)
        assert problem.status == 422
        assert [error["field"] for error in problem.errors] == [field]
    assert [each.version for each in (await face.client.accounts()).accounts] == [1]


async def test_an_account_that_is_not_there_is_not_found(face: Face) -> None:
    clone = schema.CloneCommand(decision_id=uuid4(), name="x")
    for call in (
        face.client.account("nobody"),
        face.client.change_account("nobody", change(1)),
        face.client.clone_account("nobody", clone),
        face.client.channel("nobody"),
    ):
        assert (await refused(call)).status == 404


@pytest.mark.parametrize("name", ["", "a/b", " a", "a?", ".", "..", "x" * 65])
async def test_a_name_that_cannot_stand_in_a_path_is_refused(face: Face, name: str) -> None:
    assert (await refused(face.client.create_account(create(name=name)))).status == 422


async def test_put_keeps_the_password_where_none_is_given(face: Face) -> None:
    await face.client.put_account(SPEC)
    await face.client.put_account(msgspec.structs.replace(SPEC, password="", tps=44))
    assert ((await face.stored()).password, (await face.stored()).tps) == ("pa55-word", 44)
    before = (await face.client.account(SPEC.name)).version
    await face.client.put_account(msgspec.structs.replace(SPEC, tps=44))
    assert (await face.client.account(SPEC.name)).version == before


async def channel(face: Face, **settings: Any) -> schema.Channel:
    spec = schema.ChannelSpec(name="Bulk", account=SPEC.name, settings=settings)
    return await face.client.create_channel(schema.ChannelCommand(decision_id=uuid4(), channel=spec))


async def test_a_channel_is_made_changed_cloned_and_disabled(face: Face) -> None:
    await face.client.create_account(create())
    made = await channel(face, max_parts="3")
    assert (made.account, made.settings, made.enabled, made.version) == (SPEC.name, {"max_parts": 3}, True, 1)
    order = schema.ChannelChange(decision_id=uuid4(), version=1, enabled=False)
    disabled = await face.client.change_channel("Bulk", order)
    assert (disabled.enabled, disabled.version, disabled.settings) == (False, 2, {"max_parts": 3})
    assert await face.client.change_channel("Bulk", order) == disabled
    stale = schema.ChannelChange(decision_id=uuid4(), version=1, settings={})
    assert (await refused(face.client.change_channel("Bulk", stale))).type.endswith(":changed")
    clone = schema.CloneCommand(decision_id=uuid4(), name="Bulk 2")
    assert (await face.client.clone_channel("Bulk", clone)).settings == {"max_parts": 3}
    assert [each.name for each in await face.client.channels()] == ["Bulk", "Bulk 2"]
    assert (await face.client.account(SPEC.name)).channels == ["Bulk", "Bulk 2"]


async def test_a_channels_settings_are_checked_against_its_account(face: Face) -> None:
    await face.client.create_account(create(settings={"tlv": "never"}))
    problem = await refused(channel(face, dlt_required=True))
    assert [error["field"] for error in problem.errors] == ["dlt_required"]
    problem = await refused(channel(face, max_parts=0))
    assert [error["field"] for error in problem.errors] == ["max_parts"]
    missing = schema.ChannelSpec(name="x", account="nobody")
    order = schema.ChannelCommand(decision_id=uuid4(), channel=missing)
    assert (await refused(face.client.create_channel(order))).status == 404


async def test_the_forms_are_described(face: Face) -> None:
    for fields in (await face.client.account_settings(), await face.client.message_settings()):
        assert len(fields) > 20
        assert all(field.description and field.group for field in fields)
    assert {preset.name for preset in await face.client.presets()} >= {"generic-3.4", "india-dlt", "tls"}


# tests and traces -----------------------------------------------------------------------------------------


async def test_a_test_message_is_recorded_once_a_decision(face: Face) -> None:
    await face.client.create_account(create())
    await channel(face)
    order = schema.TestMessageSpec(decision_id=uuid4(), msisdn="+447700900123", sender="Bank", alphabet=True)
    queued = await face.client.send_test("Bulk", order)
    assert (queued.state, queued.text, queued.parts) == ("queued", "@£$_{}[]~^|€ñ", [])
    assert await face.client.send_test("Bulk", order) == queued
    assert await face.client.test_message(order.decision_id) == queued
    assert (await face.client.test_messages("Bulk")).messages == [queued]
    assert await face.pool.fetchval("SELECT count(*) FROM test_messages") == 1


async def test_a_test_message_needs_one_text_and_an_enabled_channel(face: Face) -> None:
    await face.client.create_account(create())
    await channel(face)

    def order(**given: Any) -> schema.TestMessageSpec:
        return schema.TestMessageSpec(decision_id=uuid4(), msisdn="447700900123", sender="Bank", **given)

    for bad in (order(), order(text="x", alphabet=True), order(text="x" * 10_001)):
        problem = await refused(face.client.send_test("Bulk", bad))
        assert [error["field"] for error in problem.errors] == ["text"]
    assert (await refused(face.client.send_test("nobody", order(text="x")))).status == 404
    await face.client.change_account(SPEC.name, change(1, enabled=False))
    assert (await refused(face.client.send_test("Bulk", order(text="x")))).status == 409
    assert await face.pool.fetchval("SELECT count(*) FROM test_messages") == 0


async def test_a_trace_is_begun_listed_and_ended(face: Face) -> None:
    await face.client.create_account(create())
    order = schema.TraceSpec(decision_id=uuid4(), scope="bind", account=SPEC.name, number=1, seconds=60)
    begun = await face.client.start_trace(order)
    assert (begun.target, begun.ended, begun.pdus) == ("Operator One/1", False, 0)
    assert await face.client.start_trace(order) == begun
    assert (await face.client.traces()).traces == [begun]
    await face.client.end_trace(begun.trace_id)
    ended = await face.client.trace(begun.trace_id)
    assert (ended.trace.ended, ended.pdus, ended.next) == (True, [], 0)
    assert (await refused(face.client.end_trace(99))).status == 404


@pytest.mark.parametrize(
    ("given", "field"),
    [({"scope": "bind"}, "account"), ({"scope": "number"}, "msisdn"), ({"scope": "message"}, "message_id")],
)
async def test_a_trace_needs_its_target(face: Face, given: dict[str, Any], field: str) -> None:
    problem = await refused(face.client.start_trace(schema.TraceSpec(decision_id=uuid4(), **given)))
    assert [error["field"] for error in problem.errors] == [field]


async def test_a_test_bind_reports_and_a_stored_password_goes_to_its_own_smsc_only(face: Face) -> None:
    await face.client.create_account(create(port=1))
    report = await face.client.test_account(SPEC.name)
    assert (report.bound, report.status) == (False, None)
    assert report.detail.startswith("connect failed")
    typed = msgspec.structs.replace(SPEC, port=1, password="")
    assert (await face.client.test_bind(typed)).detail.startswith("connect failed")
    elsewhere = msgspec.structs.replace(typed, host="127.0.0.2")
    problem = await refused(face.client.test_bind(elsewhere))
    assert [error["field"] for error in problem.errors] == ["password"]
