"""Texts over the Core API: explained and counted as channel and campaign would send them."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient, CoreError
from engine.core_api.server.app import application
from engine.core_api.server.state import EngineState
from engine.ledger.migrate import migrate
from engine.ledger.pool import open_pool
from engine.ledger.secrets import SecretBox
from engine.settings import EngineSettings


class StillDispatcher:
    """Nothing is sent here."""

    def wake(self) -> None: ...

    def binds(self) -> list[schema.Bind]:
        return []


@pytest.fixture
async def core(fresh_database: str, tmp_path: Path) -> AsyncIterator[CoreClient]:
    """A client of a Core API with the channel `Turkish`, which may use the Turkish tables."""
    make(tmp_path)
    await migrate(fresh_database)
    pool = await open_pool(fresh_database)
    settings = EngineSettings(ledger_dsn=fresh_database, data_dir=tmp_path)
    box = SecretBox(tmp_path / "key")
    state = EngineState(settings, pool, box, StillDispatcher(), "worker", 7)  # type: ignore[arg-type]
    client = CoreClient("https://engine", tmp_path)
    client._http = httpx.AsyncClient(
        transport=httpx.ASGITransport(application(state)), base_url="https://engine" + schema.PREFIX
    )
    await client.put_account(
        schema.AccountSpec(name="one", host="127.0.0.1", port=1, system_id="x", password="x")
    )
    tables = {"national_single_shift": ["turkish"], "max_parts": 2}
    await client.put_channel(schema.ChannelSpec(name="Turkish", account="one", settings=tables))
    yield client
    await client.close()
    await pool.close()


async def test_a_text_is_explained_for_a_channel(core: CoreClient) -> None:
    text = "ş" + "x" * 100
    plain = await core.explain_text(schema.TextQuestion(text=text))
    assert (plain.encoding, plain.parts) == ("ucs2", 2)
    there = await core.explain_text(schema.TextQuestion(text=text, channel="Turkish"))
    assert (there.encoding, there.parts) == ("turkish shift", 1)
    long = schema.TextQuestion(text="x" * 400, channel="Turkish", settings={"max_parts": 3})
    assert not (await core.explain_text(long)).rejected


async def test_what_cannot_be_explained_is_refused_with_its_field(core: CoreClient) -> None:
    for question, status in (
        (schema.TextQuestion(text="x", channel="Nobody"), 404),
        (schema.TextQuestion(text="x", settings={"splitting": "udh9"}), 422),
        (schema.TextQuestion(text="x", settings={"default_alphabet": "ia5", "gsm_data_coding": 241}), 422),
        (schema.TextQuestion(text="x" * 200_000), 422),
    ):
        with pytest.raises(CoreError) as refused:
            await core.explain_text(question)
        assert refused.value.problem.status == status
        assert refused.value.problem.errors


async def test_a_dry_run_counts_as_the_campaign_would_be_sent(core: CoreClient) -> None:
    transliterate = schema.MessageOptions(charset_rule="transliterate")
    reject = schema.MessageOptions(charset_rule="reject")
    plain = await core.count_text(schema.TextSpec(text="ş" * 71))
    assert (plain.parts, plain.ucs2, plain.encodings) == (2, 1, {"ucs2": 1})
    assert plain.forced_ucs2 == ["ş"]
    there = await core.count_text(schema.TextSpec(text="ş" * 71, channel="Turkish"))
    assert (there.parts, there.ucs2, there.encodings) == (1, 0, {"turkish shift": 1})
    replaced = await core.count_text(schema.TextSpec(text="ş" * 71, options=transliterate))
    assert (replaced.parts, replaced.gsm, replaced.transliterated) == (1, 1, 1)
    refused = await core.count_text(schema.TextSpec(text="ş", options=reject))
    assert (refused.parts, refused.rejected, refused.encodings) == (0, 1, {})
    assert refused.samples[0].encoding == ""
