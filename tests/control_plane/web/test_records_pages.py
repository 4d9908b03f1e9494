"""Exports, the archive and people's data as pages: what they say, and to whom."""

import json
import re
from typing import Any

import httpx
import msgspec
import pytest

from control_plane.access import Role
from control_plane.core_fake import FakeCore
from control_plane.services import Services

DIGITS = "491510000001"


async def ended(house: Any, state: str = "Done") -> Any:
    pending = await house.pending()
    await house.approve(house.moderator, pending)
    core: Any = house.services.core
    found = await house.services.campaigns.get(house.author, pending.id)
    core._campaigns[found.engine_id] = msgspec.structs.replace(core._campaigns[found.engine_id], state=state)
    return found


async def test_an_export_from_the_campaigns_page_to_the_file(
    services: Services, house: Any, author: Any, moderator: Any, browser_of: Any
) -> None:
    campaign = await ended(house)
    page = await author.get(f"/campaigns/{campaign.id}")
    assert f"/exports/new?campaign={campaign.id}" in page.text
    assert "No export yet" in (await author.get("/exports")).text
    form = await author.get(f"/exports/new?campaign={campaign.id}")
    assert "20 recipients" in form.text
    assert "Whole phone numbers" not in form.text
    asked = await author.submit("/exports", campaign=str(campaign.id), format="csv", bom="1")
    assert asked.headers["location"] == "/exports?done=export-asked"
    waiting = await author.get("/exports")
    assert 'hx-trigger="every 2s"' in waiting.text
    assert "/file" not in waiting.text
    await services.export_writer.run_once()
    ready = await author.get("/exports")
    assert 'hx-trigger="every 2s"' not in ready.text
    (href,) = re.findall(r'href="(/exports/[0-9a-f-]{36}/file)"', ready.text)
    file = await author.get(href)
    assert file.status_code == 200
    assert file.headers["content-disposition"] == 'attachment; filename="Spring.csv"'
    assert file.headers["cache-control"] == "no-store"
    assert file.content.startswith(b"\xef\xbb\xbfrecipient,")
    assert len(file.content.splitlines()) == 21
    for other in (moderator, await browser_of(Role.AUTHOR)):
        assert (await other.get(href)).status_code == 404
    assert (await author.post(href.replace("/file", "/remove"))).status_code == 303
    assert (await author.get(href)).status_code == 404


async def test_a_session_of_the_same_person_finds_no_file_of_another(
    services: Services, house: Any, author: Any, console: Any
) -> None:
    campaign = await ended(house)
    asked = await author.post(
        "/exports", json={"campaign": str(campaign.id)}, headers={"accept": "application/json"}
    )
    assert asked.status_code == 202
    await services.export_writer.run_once()
    href = f"/exports/{asked.json()['id']}/file"
    sent = {"sec-fetch-site": "same-origin", "accept": "text/html"}
    async with type(author)(
        transport=httpx.ASGITransport(console), base_url=author.base_url, headers=sent
    ) as second:
        await second.submit("/login", email="author@house.example", password="three unrelated words")
        assert (await second.get(href)).status_code == 404
        assert "Asked for in another session" in (await second.get("/exports")).text
    assert (await author.get(href)).status_code == 200


async def test_days_that_are_none_and_formats_that_are_none_are_said_beside_the_field(author: Any) -> None:
    wrong = await author.submit("/exports", **{"from": "yesterday", "to": "2026-02-30", "format": "csv"})
    assert wrong.status_code == 422
    assert wrong.text.count("Write a day as 2026-01-31.") == 2
    none = await author.submit("/exports", **{"from": "2026-01-01", "to": "2026-01-31", "format": "csv"})
    assert "No campaign was sent in these days." in none.text


async def test_an_analyst_has_no_exports(browser_of: Any) -> None:
    analyst = await browser_of(Role.ANALYST)
    for path in ("/exports", "/exports/new", "/people-data"):
        assert (await analyst.get(path)).status_code == 403
    assert (await analyst.submit("/people-data/find", number=DIGITS)).status_code == 403


async def test_into_the_archive_and_back(house: Any, author: Any, core: FakeCore) -> None:
    campaign = await ended(house)
    assert f"/campaigns/{campaign.id}/archive" in (await author.get(f"/campaigns/{campaign.id}")).text
    assert "Nothing is archived" in (await author.get("/archive")).text
    done = await author.post(f"/campaigns/{campaign.id}/archive")
    assert done.headers["location"] == f"/campaigns/{campaign.id}?done=archived"
    page = await author.get(f"/campaigns/{campaign.id}")
    assert "Nothing of it is gone" in page.text
    assert f"/campaigns/{campaign.id}/restore" in page.text
    assert "Spring" not in (await author.get("/campaigns")).text
    assert "Spring" in (await author.get("/archive")).text
    core.away = True
    assert "The engine cannot be reached" in (await author.get("/archive")).text
    core.away = False
    assert (await author.post(f"/campaigns/{campaign.id}/restore")).status_code == 303
    assert "Spring" in (await author.get("/campaigns")).text


async def test_what_is_still_sent_is_refused_with_its_reason(house: Any, author: Any) -> None:
    campaign = await ended(house, "Sending")
    assert f"/campaigns/{campaign.id}/archive" not in (await author.get(f"/campaigns/{campaign.id}")).text
    refused = await author.post(f"/campaigns/{campaign.id}/archive")
    assert refused.status_code == 409
    assert "It is being sent: cancel it, or wait for its end." in refused.text


async def test_without_its_author_a_picker_asks_who_takes_it_over(
    services: Services, house: Any, admin: Any
) -> None:
    from control_plane.identity.model import USERS

    campaign = await ended(house)
    await services.archive.archive(house.author, campaign.id)
    user = await services.store.get(USERS, house.author.actor.user_id)
    await services.store.replace(USERS, msgspec.structs.replace(user, disabled=True), user.version)
    asked = await admin.submit(f"/campaigns/{campaign.id}/restore")
    assert asked.status_code == 422
    assert "Who takes it over" in asked.text
    assert 'class="error"' not in asked.text
    wrong = await admin.submit(f"/campaigns/{campaign.id}/restore", owner="x")
    assert 'class="error"' in wrong.text
    heir = str(house.admin.actor.user_id)
    assert heir in (await admin.get(f"/campaigns/{campaign.id}/restore")).text
    assert (await admin.submit(f"/campaigns/{campaign.id}/restore", owner=heir)).status_code == 303


async def test_a_number_is_found_given_out_and_erased(house: Any, admin: Any, capfd: Any) -> None:
    await ended(house)
    empty = await admin.get("/people-data")
    assert "No number was erased in this workspace." in empty.text
    assert "400 days" in empty.text
    found = await admin.submit("/people-data/find", number="+" + DIGITS)
    assert "Recipient files" in found.text
    decision = re.search(r'name="decision" value="([^"]+)"', found.text)
    assert decision is not None
    given = await admin.submit("/people-data/records", number=DIGITS)
    assert given.headers["content-disposition"].startswith("attachment")
    assert json.loads(given.content)["number"] == f"+{DIGITS}"
    form = {"number": DIGITS, "decision": decision[1], "reason": "asked for"}
    wrong = await admin.submit("/people-data/erase", **form, again="4915100000099")
    assert (wrong.status_code, "This is another number" in wrong.text) == (422, True)
    done = await admin.submit("/people-data/erase", **form, again="+49 1510 000001")
    assert done.headers["location"] == f"/people-data/erasures/{decision[1]}?done=erased"
    page = await admin.get(done.headers["location"])
    assert "Certificate of erasure" in page.text
    assert DIGITS not in page.text
    file = await admin.get(f"/people-data/erasures/{decision[1]}/certificate")
    assert file.json()["erased"] == {"recipient_chunks": 1}
    assert file.json()["hash"] in page.text
    again = await admin.submit("/people-data/find", number=DIGITS)
    assert "Nothing is held about this number" in again.text
    told = capfd.readouterr()
    assert DIGITS not in told.out + told.err


async def test_a_campaign_that_runs_is_named_and_nothing_is_erased(house: Any, admin: Any) -> None:
    await ended(house, "Sending")
    found = await admin.submit("/people-data/find", number=DIGITS)
    assert "campaign “Spring” (Sending)" in found.text
    assert "erase-dialog" not in found.text.replace('<dialog id="erase-dialog"', "")
    refused = await admin.submit("/people-data/erase", number=DIGITS, again=DIGITS)
    assert refused.status_code == 409
    assert "Nothing was erased" in refused.text
    assert "Spring" in refused.text


async def test_without_the_engine_the_page_says_so(admin: Any, core: FakeCore) -> None:
    core.away = True
    page = await admin.get("/people-data")
    assert page.status_code == 200
    assert "The engine cannot be reached" in page.text
    assert (await admin.submit("/people-data/find", number=DIGITS)).status_code == 503


@pytest.mark.parametrize("number", ["", "hello", "0151 2345678"])
async def test_no_number_is_said_beside_the_field(admin: Any, number: str) -> None:
    answer = await admin.submit("/people-data/find", number=number)
    assert answer.status_code == 422
    assert 'id="number-error"' in answer.text


async def test_the_whole_installation_is_not_an_administrators_of_a_workspace(
    house: Any, admin: Any, root: Any
) -> None:
    assert "In the whole installation" not in (await admin.get("/people-data")).text
    answer = await admin.submit("/people-data/find", number=DIGITS, scope="everywhere")
    assert answer.status_code == 403
    await root.submit("/workspace", workspace=str(house.workspace.id))
    assert "In the whole installation" in (await root.get("/people-data")).text
    assert (await root.submit("/people-data/find", number=DIGITS, scope="everywhere")).status_code == 200
