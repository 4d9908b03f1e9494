"""The texts of a sealed campaign over the Core API: all of them, their extremes, and the search."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient, CoreError
from engine.core_api.server import rendered, rendered_scan
from engine.core_api.server.app import application
from engine.core_api.server.state import EngineState
from engine.ledger.migrate import migrate
from engine.ledger.pool import open_pool
from engine.ledger.secrets import SecretBox
from engine.settings import EngineSettings

WORKSPACE = uuid4()


class StillDispatcher:
    """Nothing is sent here."""

    def wake(self) -> None: ...

    async def changed(self) -> None: ...

    def binds(self) -> list[schema.Bind]:
        return []

    def rate_per_s(self, _campaign_id: UUID) -> float:
        return 0.0


@pytest.fixture
async def core(fresh_database: str, tmp_path: Path) -> AsyncIterator[CoreClient]:
    """A client of a Core API with the channels `Plain` and `Short` (two parts at most)."""
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
    await client.put_channel(schema.ChannelSpec(name="Plain", account="one"))
    await client.put_channel(schema.ChannelSpec(name="Short", account="one", settings={"max_parts": 2}))
    yield client
    await client.close()
    await pool.close()


async def sealed(
    core: CoreClient, rows: Sequence[str], text: str, header: str = "number,name", **fields: object
) -> UUID:
    content = "\n".join((header, *rows, "")).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    upload = schema.UploadSpec(
        upload_id=uuid4(), workspace_id=WORKSPACE, file_name="a.csv", size_bytes=len(content)
    )
    await core.create_upload(upload)
    done = await core.send_upload(upload.upload_id, 0, pieces(), final=True)
    assert done.state == "complete", done.reason
    spec = {"channel": "Plain", **fields}
    campaign = await core.seal_campaign(
        schema.CampaignSpec(
            decision_id=uuid4(),
            campaign_id=uuid4(),
            workspace_id=WORKSPACE,
            name="Spring",
            sender="Heliograph",
            sender_revision_id=uuid4(),
            text=text,
            upload_id=upload.upload_id,
            **spec,  # type: ignore[arg-type]
        )
    )
    return campaign.campaign_id


def german(number: int) -> str:
    return f"4915123{number:06d}"


async def test_every_different_text_is_listed_with_its_recipients(core: CoreClient) -> None:
    names = ["Ann", "Bob", "Zoë", "Łucja"]
    chosen = random.Random(7).choices(names, [50, 30, 15, 5], k=5_000)
    rows = [f"{german(n)},{name}" for n, name in enumerate(chosen)]
    found = await core.campaign_texts(await sealed(core, rows, "Hello {{name}}!"))
    assert (found.recipients, found.scanned, found.distinct) == (5_000, 5_000, 4)
    expected = [(f"Hello {name}!", count) for name, count in Counter(chosen).most_common()]
    assert [(one.text, one.recipients) for one in found.texts] == expected
    assert sum(one.recipients for one in found.texts) == 5_000
    assert {one.text: one.encoding for one in found.texts}["Hello Łucja!"] == "ucs2"
    assert all(one.msisdn.startswith("4915123") for one in found.texts)
    assert (found.parts, found.price, found.currency) == (5_000, None, "")
    assert (found.used, found.columns) == (["name"], ["name"])


async def test_a_text_without_variables_is_one_text(core: CoreClient) -> None:
    found = await core.campaign_texts(await sealed(core, [f"{german(n)},x" for n in range(70_000)], "Hi"))
    assert [(one.text, one.recipients) for one in found.texts] == [("Hi", 70_000)]
    assert (found.distinct, len(found.sample), found.hosts) == (1, 100, [])


@pytest.mark.parametrize(("texts", "listed"), [(1_000, 1_000), (1_001, None)])
async def test_a_thousand_are_listed_and_one_more_is_not(
    core: CoreClient, texts: int, listed: int | None
) -> None:
    rows = [f"{german(n)},{n % texts}" for n in range(3 * texts)]
    found = await core.campaign_texts(await sealed(core, rows, "No. {{name}}"))
    assert (found.distinct, len(found.texts)) == (listed, listed or 0)
    assert len({one.text for one in found.sample}) > 50
    assert len(found.longest) == 50


async def test_beyond_a_thousand_the_extremes_are_the_true_ones(core: CoreClient) -> None:
    """Against a plain look at every row."""
    chance = random.Random(3)
    lengths = [chance.randrange(1, 500) for _ in range(4_000)]
    rows = [f"{german(n)},{'x' * length}{n}" for n, length in enumerate(lengths)]
    campaign = await sealed(core, rows, "{{name}}")
    found = await core.campaign_texts(campaign)
    texts = sorted((row.partition(",")[2] for row in rows), key=len)
    assert found.distinct is None
    assert [one.characters for one in found.longest] == [len(text) for text in texts[::-1][:50]]
    again = await core.campaign_texts(campaign)
    assert again.sample == found.sample, "the same at every look"
    assert len({one.msisdn for one in found.sample}) == 100


async def test_the_odd_ones_are_counted_and_shown(core: CoreClient) -> None:
    values = ["Ann"] * 3_000
    for at, value in (
        (5, ""),
        (70, "  "),
        (900, "NULL"),
        (1_500, "{{first}}"),
        (2_200, "Łucja"),
        (2_999, "n/a"),
    ):
        values[at] = value
    rows = [f'{german(n)},"{value}"' for n, value in enumerate(values)]
    found = await core.campaign_texts(await sealed(core, rows, "Hello {{name}}"))
    odd = {one.kind: one for one in found.odd}
    assert {kind: one.recipients for kind, one in odd.items()} == {"empty": 2, "placeholder": 3, "ucs2": 1}
    assert odd["empty"].column == odd["placeholder"].column == "name"
    assert [one.text for one in odd["ucs2"].texts] == ["Hello Łucja"]
    assert {one.text for one in odd["placeholder"].texts} == {"Hello NULL", "Hello {{first}}", "Hello n/a"}


async def test_messages_that_would_fail_are_odd_and_cost_nothing(core: CoreClient) -> None:
    values = ["Ann", "x" * 400, "Łucja"]
    rows = [f"{german(n)},{value}" for n, value in enumerate(values)]
    options = schema.MessageOptions(charset_rule="reject")
    found = await core.campaign_texts(await sealed(core, rows, "{{name}}", channel="Short", options=options))
    assert {one.kind: one.recipients for one in found.odd} == {"rejected": 1, "too_long": 1}
    assert found.parts == 1


async def test_countries_prices_and_the_costliest(core: CoreClient) -> None:
    await core.transact(
        WORKSPACE,
        schema.TransactionSpec(decision_id=uuid4(), amount=10_000_000, currency="EUR", actor="x"),
    )
    rates = [schema.Rate(prefix="49", price=500), schema.Rate(prefix="91", price=100)]
    await core.publish_rates(schema.RateSheetSpec(decision_id=uuid4(), rates=rates))
    rows = [f"{german(n)},Ann" for n in range(30)]
    rows += [f"9198765{n:05d},{'x' * 200}" for n in range(20)]
    rows += [f"1202555{n:04d},Joe" for n in range(10)]
    found = await core.campaign_texts(await sealed(core, rows, "{{name}}"))
    said = [(one.calling_code, one.recipients, one.parts, one.price) for one in found.countries]
    assert said == [("49", 30, 30, 15_000), ("91", 20, 40, 4_000), ("1", 10, 0, 0)]
    assert found.countries[0].regions == ["DE"]
    assert found.countries[2].regions[0] == "US"
    assert (found.parts, found.price, found.currency) == (70, 19_000, "EUR")
    assert [(one.text[:3], one.price) for one in found.costliest] == [("Ann", 500), ("xxx", 200)]
    assert {one.kind: one.recipients for one in found.odd} == {"no_rate": 10}


async def test_by_routes_each_number_has_the_price_of_its_channel(core: CoreClient) -> None:
    await core.transact(
        WORKSPACE, schema.TransactionSpec(decision_id=uuid4(), amount=1_000_000, currency="EUR", actor="x")
    )
    rates = [schema.Rate(prefix="", price=100), schema.Rate(prefix="", price=300, channel="Short")]
    await core.publish_rates(schema.RateSheetSpec(decision_id=uuid4(), rates=rates))
    for prefix, channel in (("49", "Plain"), ("91", "Short")):
        await core.put_route(
            None,
            schema.RouteSpec(
                decision_id=uuid4(),
                name=channel,
                prefix=prefix,
                channels=[schema.RouteChannel(channel=channel)],
            ),
        )
    rows = [f"{german(1)},a", "919876500001,b", "12025550100,c"]
    found = await core.campaign_texts(await sealed(core, rows, "{{name}}", channel=""))
    prices = {one.calling_code: one.price for one in found.countries}
    assert prices == {"49": 100, "91": 300, "1": 0}
    assert found.by_routes
    assert {one.kind: one.recipients for one in found.odd} == {"no_route": 1}


async def test_links_out_of_a_column_are_named(core: CoreClient) -> None:
    links = [
        "https://good.example/a",
        "http://user@Evil.example:8/x",
        "www.third.example",
        "see bit.ly/abc",
        "Mr.Smith",
        "12.50",
        "",
    ]
    rows = [f'{german(n)},"{link}"' for n, link in enumerate(links * 3)]
    found = await core.campaign_texts(await sealed(core, rows, "Look: {{name}}"))
    assert {one.host: one.recipients for one in found.hosts} == {
        "good.example": 3, "evil.example": 3, "third.example": 3, "bit.ly": 3,
    }  # fmt: skip


async def test_time_that_runs_out_is_said(core: CoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = await sealed(core, [f"{german(n)},x" for n in range(140_000)], "{{name}}")
    monkeypatch.setattr(rendered, "LIST_S", 0.0)
    found = await core.campaign_texts(campaign)
    assert 0 < found.scanned < found.recipients == 140_000
    assert found.texts[0].recipients == found.scanned
    assert sum(one.recipients for one in found.countries) == found.scanned


async def test_memory_does_not_grow_with_different_texts(core: CoreClient) -> None:
    rows = [f"{german(n)},{n}" for n in range(20_000)]
    found = await core.campaign_texts(await sealed(core, rows, "{{name}} " + "é" * 3_000))
    assert found.distinct is None
    assert all(one.cut and len(one.text) == 2_000 for one in found.longest + found.sample)
    assert found.parts == 0, "each takes more parts than the channel allows"


async def test_a_search_goes_through_all_page_by_page(
    core: CoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{german(n)},{'WÖRT' if n % 1_000 == 7 else n}" for n in range(70_000)]
    campaign = await sealed(core, rows, "Hello {{name}}")
    seen, cursor, pages = [], None, 0
    while True:
        page = await core.search_texts(campaign, schema.RenderedSearch(query="wört", cursor=cursor, limit=30))
        seen += [one.msisdn for one in page.texts]
        pages, cursor = pages + 1, page.next
        assert page.looked_through <= page.recipients == 70_000
        if cursor is None:
            break
    assert seen == [german(n) for n in range(7, 70_000, 1_000)]
    assert pages == 3
    monkeypatch.setattr(rendered, "PAGE_S", 0.0)
    short = await core.search_texts(campaign, schema.RenderedSearch(query="wört", limit=100))
    assert short.looked_through < 70_000
    assert short.next is not None


async def test_a_search_may_be_in_one_column(core: CoreClient) -> None:
    rows = [f"{german(1)},Ann,Berlin", f"{german(2)},Berlin,Bonn"]
    campaign = await sealed(core, rows, "Hello {{name}} of Berlin", header="number,name,town")
    town = await core.search_texts(campaign, schema.RenderedSearch(query="berlin", column="town"))
    assert [one.msisdn for one in town.texts] == [german(1)]
    text = await core.search_texts(campaign, schema.RenderedSearch(query="BERLIN"))
    assert len(text.texts) == 2
    for question in (
        schema.RenderedSearch(query="x", column="nothing"),
        schema.RenderedSearch(query="x", cursor="y"),
        schema.RenderedSearch(query=""),
    ):
        with pytest.raises(CoreError) as refused:
            await core.search_texts(campaign, question)
        assert refused.value.problem.status in (400, 422)


async def test_what_is_not_there_is_not_found(core: CoreClient) -> None:
    with pytest.raises(CoreError) as refused:
        await core.campaign_texts(uuid4())
    assert refused.value.problem.status == 404
    assert rendered_scan.MOST_TEXTS == 1_000
