"""Error codes, a channel's reset and doubts over the Core API, through its client."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient, CoreError
from engine.core_api.server.app import application
from engine.core_api.server.state import EngineState
from engine.ledger import accounts, breaker
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox
from engine.settings import EngineSettings

CHANNEL = "Bulk one"


class StillDispatcher:
    """Nothing is sent here."""

    worker_id = 1
    woken = 0

    def wake(self) -> None:
        self.woken += 1


@pytest.fixture
async def pool(ledger_dsn: str, tmp_path: Path) -> AsyncIterator[Pool]:
    await migrate(ledger_dsn)
    opened = await open_pool(ledger_dsn)
    async with opened.acquire() as connection:
        spec = schema.AccountSpec(name="a", host="127.0.0.1", port=1, system_id="esme", password="secret")
        await accounts.upsert_account(connection, spec, SecretBox(tmp_path / "secrets.key"))
        await accounts.upsert_channel(connection, schema.ChannelSpec(name=CHANNEL, account="a"))
    yield opened
    await opened.close()


@pytest.fixture
async def client(pool: Pool, ledger_dsn: str, tmp_path: Path) -> AsyncIterator[CoreClient]:
    make(tmp_path / "certs")
    settings = EngineSettings(ledger_dsn=ledger_dsn, data_dir=tmp_path)
    box = SecretBox(tmp_path / "secrets.key")
    state = EngineState(settings, pool, box, StillDispatcher(), "worker", 4)  # type: ignore[arg-type]
    made = CoreClient("https://engine", tmp_path / "certs")
    made._http = httpx.AsyncClient(transport=httpx.ASGITransport(application(state)))
    yield made
    await made.close()


async def test_a_code_is_classified_shown_and_given_back(client: CoreClient) -> None:
    spec = schema.ErrorCodeSpec(
        decision_id=uuid4(), context="response", code="1115", error_class="temporary", meaning="busy"
    )
    stored = await client.put_channel_error(CHANNEL, spec)
    assert (stored.code, stored.error_class, stored.mapped, stored.built_in) == (
        "0x0000045B",
        "temporary",
        True,
        False,
    )
    shown = await client.channel_errors(CHANNEL)
    by_code = {each.code: each for each in shown.codes if each.context == "response"}
    assert by_code["0x0000045B"] == stored
    assert (by_code["0x00000058"].error_class, by_code["0x00000058"].built_in) == ("throttle", True)
    assert all(each.effect for each in shown.codes)
    await client.delete_channel_error(CHANNEL, "response", "0x45B")
    with pytest.raises(CoreError) as gone:
        await client.delete_channel_error(CHANNEL, "response", "0x45B")
    assert gone.value.problem.status == 404


async def test_a_table_with_a_wrong_line_is_refused_by_its_number(client: CoreClient) -> None:
    spec = schema.ErrorCodeImport(decision_id=uuid4(), context="receipt", csv="600,permanent\n601,never\n")
    with pytest.raises(CoreError) as refused:
        await client.import_channel_errors(CHANNEL, spec)
    assert refused.value.problem.type.endswith(":bad-error-code")
    assert "line 2" in refused.value.problem.detail
    good = schema.ErrorCodeImport(decision_id=uuid4(), context="receipt", csv="600,permanent\n601\n")
    assert (await client.import_channel_errors(CHANNEL, good)).added == 2


async def test_a_tripped_channel_is_shown_and_reset(client: CoreClient, pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        channel_id = await connection.fetchval("SELECT channel_id FROM channels")
        assert await breaker.trip_channel(connection, channel_id, "breaker: 0x0A on 93 %")
        assert not await breaker.trip_channel(connection, channel_id, "breaker: 0x0B on 90 %"), "once"
    assert (await client.channel_errors(CHANNEL)).tripped == "breaker: 0x0A on 93 %"
    await client.reset_channel(CHANNEL, schema.ChannelReset(decision_id=uuid4()))
    assert (await client.channel_errors(CHANNEL)).tripped == ""


async def test_a_group_that_is_none_cannot_be_decided_about(client: CoreClient) -> None:
    assert await client.doubts() == schema.DoubtGroups(groups=[], messages=0, resending=0)
    spec = schema.DoubtResolution(decision_id=uuid4(), key=f"{uuid4()}~1~1~no_response~x", action="resend")
    with pytest.raises(CoreError) as refused:
        await client.resolve_doubts(spec)
    assert refused.value.problem.status == 404
