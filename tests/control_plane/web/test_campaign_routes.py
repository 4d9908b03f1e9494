"""A campaign by routes, its category and lane: chosen, sealed, seen by the moderator, shown on its way."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from control_plane.core_fake import FakeCore
from engine.core_api import schema

JSON = {"accept": "application/json"}
BY_ROUTES = "/routes"


@pytest.fixture
async def route(core: FakeCore) -> schema.Route:
    spec = schema.RouteSpec(
        decision_id=uuid4(),
        name="India",
        prefix="91",
        category="otp",
        channels=[schema.RouteChannel(channel="Demo SMSC")],
    )
    return await core.put_route(None, spec)


async def draft(browser: Any, file: bytes, **form: str) -> str:
    senders = (await browser.get("/senders", headers=JSON)).json()["senders"]
    given = {"name": "Spring", "sender": senders[0]["revision_id"], "text": "Hello", **form}
    answer = await browser.submit("/campaigns", **given)
    assert answer.status_code == 303, answer.text[-500:]
    campaign = str(answer.headers["location"].rpartition("/")[2])
    params = {"offset": 0, "size": len(file), "name": "people.csv"}
    await browser.put(f"/campaigns/{campaign}/recipients", params=params, content=file)
    return campaign


async def sealed(core: FakeCore) -> schema.Campaign:
    (found,) = core._campaigns.values()
    return found


async def approve(browser: Any, campaign: str) -> None:
    entry = (await browser.get(f"/moderation/{campaign}", headers=JSON)).json()
    form = {"version": str(entry["version"]), "opened": entry["opened"]}
    assert (await browser.submit(f"/moderation/{campaign}/approve", **form)).status_code == 303


async def test_without_routes_the_form_does_not_offer_them(author: Any) -> None:
    page = (await author.get("/campaigns/new")).text
    assert "By routes" not in page
    assert 'name="lane" value="bulk" checked' in page


async def test_routes_of_another_workspace_are_not_offered(core: FakeCore, house: Any, author: Any) -> None:
    spec = schema.RouteSpec(
        decision_id=uuid4(),
        name="Theirs",
        category="secret-of-theirs",
        workspace_id=house.stranger.workspace_id,
        channels=[schema.RouteChannel(channel="Demo SMSC")],
    )
    await core.put_route(None, spec)
    page = (await author.get("/campaigns/new")).text
    assert "By routes" not in page
    assert "secret-of-theirs" not in page


async def test_a_new_campaign_goes_by_routes_where_there_are_some(
    route: schema.Route, core: FakeCore, author: Any, recipients_file: bytes
) -> None:
    rates = [schema.Rate(prefix="", price=1, category="promo")]
    await core.publish_rates(schema.RateSheetSpec(decision_id=uuid4(), rates=rates))
    page = (await author.get("/campaigns/new")).text
    assert f'<option value="{BY_ROUTES}" selected>By routes</option>' in page
    assert 'href="/routes"' in page
    for category in ("otp", "promo"):
        assert f'<option value="{category}">' in page
    campaign = await draft(author, recipients_file, channel="Demo SMSC")
    edited = (await author.get(f"/campaigns/{campaign}")).text
    assert f'<option value="{BY_ROUTES}">' in edited  # offered, and what was chosen stays


async def test_by_routes_the_text_is_counted_as_a_channel_with_the_defaults_counts(
    route: schema.Route, author: Any, recipients_file: bytes
) -> None:
    """And the pages say so: a route may lead over a channel with another alphabet."""
    campaign = await draft(author, recipients_file, channel=BY_ROUTES)
    for path in ("/campaigns/measure", f"/campaigns/{campaign}/measure"):
        measured = (await author.submit(path, text="Hello", channel=BY_ROUTES)).text
        assert "Not counted" not in measured
        assert "<dt>Parts</dt>" in measured
    review = (await author.get(f"/campaigns/{campaign}/review")).text
    assert "Counted as a channel with the defaults counts" in review


async def test_what_was_chosen_is_sealed_and_the_moderator_sees_it(
    route: schema.Route, core: FakeCore, author: Any, moderator: Any, recipients_file: bytes
) -> None:
    form = {"channel": BY_ROUTES, "category": " OTP ", "lane": "express"}
    campaign = await draft(author, recipients_file, **form)
    seen = ("By routes", "Express: before all that is bulk", "otp")
    review = (await author.get(f"/campaigns/{campaign}/review")).text
    assert (await author.submit(f"/campaigns/{campaign}/submit")).status_code == 303
    found = await sealed(core)
    assert (found.channel, found.category, found.lane) == ("", "otp", "express")
    decision = (await moderator.get(f"/moderation/{campaign}")).text
    waiting = (await author.get(f"/campaigns/{campaign}")).text
    for said in seen:
        assert said in review, said
        assert said in decision, said
        assert said in waiting, said
    assert "Express</span>" in (await moderator.get("/moderation")).text
    entry = (await moderator.get(f"/moderation/{campaign}", headers=JSON)).json()
    assert (entry["by_routes"], entry["category"], entry["lane"]) == (True, "otp", "express")


async def test_a_named_channel_and_the_first_one_stay_what_they_were(
    route: schema.Route, core: FakeCore, author: Any, recipients_file: bytes
) -> None:
    campaign = await draft(author, recipients_file, channel="")
    assert "the first one" in (await author.get(f"/campaigns/{campaign}/review")).text
    await author.submit(f"/campaigns/{campaign}/submit")
    assert (await sealed(core)).channel == "Demo SMSC"


async def test_a_campaign_by_routes_is_not_submitted_when_the_last_route_is_gone(
    route: schema.Route, core: FakeCore, author: Any, recipients_file: bytes
) -> None:
    campaign = await draft(author, recipients_file, channel=BY_ROUTES)
    await core.delete_route(route.route_id, 1)
    refused = await author.submit(f"/campaigns/{campaign}/submit")
    assert refused.status_code == 422
    assert "No route is set up for this workspace" in refused.text
    assert f'<option value="{BY_ROUTES}" selected>' in (await author.get(f"/campaigns/{campaign}")).text


@pytest.mark.parametrize(
    "wrong", [{"category": "two words"}, {"category": "x" * 41}, {"category": "žuto"}, {"lane": "fast"}]
)
async def test_a_wrong_category_or_lane_is_named(
    author: Any, recipients_file: bytes, wrong: dict[str, str]
) -> None:
    campaign = await draft(author, recipients_file)
    answer = await author.submit(f"/campaigns/{campaign}", **wrong)
    assert answer.status_code == 422
    assert f'id="{next(iter(wrong))}-error"' in answer.text


async def test_the_way_does_not_change_after_submitting(
    route: schema.Route, author: Any, recipients_file: bytes
) -> None:
    campaign = await draft(author, recipients_file)
    await author.submit(f"/campaigns/{campaign}/submit")
    for form in ({"channel": BY_ROUTES}, {"lane": "express"}, {"category": "otp"}):
        assert (await author.submit(f"/campaigns/{campaign}", **form)).status_code == 409, form


async def test_the_live_page_shows_over_which_channels_it_goes(
    route: schema.Route, core: FakeCore, author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await draft(author, recipients_file, channel=BY_ROUTES)
    await author.submit(f"/campaigns/{campaign}/submit")
    assert "Decided when the campaign begins" in (await moderator.get(f"/moderation/{campaign}")).text
    await approve(moderator, campaign)
    core.planned[UUID(campaign)] = [
        schema.CampaignChannel(channel="", rows=2),
        schema.CampaignChannel(channel="Second", rows=3, sent=1),
        schema.CampaignChannel(channel="Demo SMSC", rows=15, sent=15),
    ]
    page = (await author.get(f"/campaigns/{campaign}")).text
    table = page.split('id="over-channels"')[1].split("</section>")[0]
    assert table.index("Demo SMSC") < table.index("Second") < table.index("No route leads to these numbers")
    assert "75.0 %" in table
    answer = await author.get(f"/campaigns/{campaign}/channels", headers={"hx-request": "true"})
    assert 'hx-trigger="every 5s"' in answer.text
    assert "<html" not in answer.text
    listed = (await author.get(f"/campaigns/{campaign}/channels", headers=JSON)).json()["channels"]
    assert [one["rows"] for one in listed] == [15, 3, 2]
    core.away = True
    assert "the channels show when it does" in (await author.get(f"/campaigns/{campaign}/channels")).text


async def test_a_campaign_on_one_channel_has_no_table_of_channels(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await draft(author, recipients_file)
    await author.submit(f"/campaigns/{campaign}/submit")
    await approve(moderator, campaign)
    assert 'id="over-channels"' not in (await author.get(f"/campaigns/{campaign}")).text


async def test_anothers_campaign_shows_no_channels(house: Any, author: Any) -> None:
    foreign = await house.services.campaigns.create(house.stranger, name="Theirs", text="x")
    assert (await author.get(f"/campaigns/{foreign.id}/channels")).status_code == 404


@pytest.mark.parametrize(("reason", "waits"), [("no balance", True), ("no price list", True), ("", False)])
async def test_a_pause_for_want_of_money_points_to_the_wallet(
    core: FakeCore, author: Any, moderator: Any, recipients_file: bytes, reason: str, waits: bool
) -> None:
    campaign = await draft(author, recipients_file)
    await author.submit(f"/campaigns/{campaign}/submit")
    await approve(moderator, campaign)
    found = core._campaigns[UUID(campaign)]
    core._campaigns[UUID(campaign)] = msgspec.structs.replace(found, state="Paused", reason=reason)
    page = (await author.get(f"/campaigns/{campaign}")).text
    assert ("<div data-unpaid>" in page) is waits
    assert 'href="/wallet"' in page
    assert (await author.get(f"/campaigns/{campaign}/status")).json()["unpaid"] is waits


async def test_what_was_charged_stands_with_the_campaign(
    core: FakeCore, author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await draft(author, recipients_file)
    await author.submit(f"/campaigns/{campaign}/submit")
    await approve(moderator, campaign)
    page = (await author.get(f"/campaigns/{campaign}")).text
    assert "<dd data-charged hidden></dd>" in page
    found = core._campaigns[UUID(campaign)]
    counts = msgspec.structs.replace(found.counts, charged=15_000)
    core._campaigns[UUID(campaign)] = msgspec.structs.replace(found, counts=counts)
    assert "<dd data-charged>1.50</dd>" in (await author.get(f"/campaigns/{campaign}")).text
    assert (await author.get(f"/campaigns/{campaign}/status")).json()["charged"] == "1.50"


async def test_ids_that_traces_and_the_command_ask_for_can_be_copied(
    house: Any, core: FakeCore, author: Any, moderator: Any, root: Any, recipients_file: bytes
) -> None:
    campaign = await draft(author, recipients_file)
    await author.submit(f"/campaigns/{campaign}/submit")
    await approve(moderator, campaign)
    (first, *_rest) = (await core.recipients(UUID(campaign))).recipients
    page = (await author.get(f"/campaigns/{campaign}?tab=recipients")).text
    assert f'id="m-{first.message_id}">{first.message_id}</code>' in page
    assert f'data-copy="m-{first.message_id}"' in page
    assert first.msisdn not in page
    for browser, path in ((author, "/account"), (root, "/")):
        assert f'data-copy="w-{house.workspace.id}"' in (await browser.get(path)).text, path
    assert str(house.stranger.workspace_id) not in (await author.get("/account")).text
