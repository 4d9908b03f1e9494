"""The queue and the page of a decision: what they show, what they carry, what goes when."""

import re
from typing import Any

import msgspec
import pytest
from test_campaign_pages import JSON, approve, pending, upload

from control_plane.core_fake import FakeCore
from control_plane.moderation.content_queue import ContentQueue, sender_kind
from control_plane.senders.model import SENDERS
from engine.core_api import schema

HTMX = {"hx-request": "true"}


class PendingSenders:
    """What the queue asks of the senders, over the present ones."""

    def __init__(self, house: Any) -> None:
        self._scope = house.services.workspaces.scope

    async def pending(self, member: Any, limit: int = 50, after: str | None = None) -> Any:
        return await self._scope(member).find(SENDERS, {"state": "Pending"}, limit=limit, after=after)

    async def pending_count(self, member: Any) -> int:
        return int(await self._scope(member).count(SENDERS, {"state": "Pending"}))


async def shown(browser: Any, *keys: str, path: str = "/moderation") -> str:
    query = "&".join(f"shown={key}" for key in keys)
    answer = await browser.get(path + ("&" if "?" in path else "?") + query, headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    return str(answer.text)


async def test_what_another_decided_is_greyed_once_and_then_gone(
    clock: Any, author: Any, moderator: Any, recipients_file: bytes
) -> None:
    first = await pending(author, recipients_file)
    clock.move(60)
    second = await pending(author, recipients_file)
    page = (await moderator.get("/moderation")).text
    keys = re.findall(r'name="shown" value="([^"]+)"', page)
    assert keys == [f"campaigns:{first}", f"campaigns:{second}"]
    assert await approve(moderator, first)
    grey = await shown(moderator, *keys)
    assert "Approved by Moderator" in grey
    assert grey.index(f'id="row-{first}"') < grey.index(f'id="row-{second}"'), "where it stood"
    assert re.findall(r'name="shown" value="([^"]+)"', grey) == keys[1:]
    assert f'id="row-{first}"' not in await shown(moderator, keys[1])
    assert "Approved by" not in (await moderator.get("/moderation")).text


async def test_the_queue_is_for_those_who_decide(author: Any, house: Any) -> None:
    for path in ("/moderation", "/moderation?tab=content"):
        assert (await author.get(path)).status_code == 403


async def test_what_was_withdrawn_just_goes(author: Any, moderator: Any, recipients_file: bytes) -> None:
    campaign = await pending(author, recipients_file)
    await author.submit(f"/campaigns/{campaign}/withdraw")
    after = await shown(moderator, f"campaigns:{campaign}", "campaigns:nonsense", "nonsense", "sender:x")
    assert campaign not in after
    assert "Nothing waits" in after


async def test_the_second_tab_lists_senders_and_says_who_decided_them(
    house: Any, author: Any, moderator: Any
) -> None:
    moderation, senders = house.services.moderation, house.services.senders
    moderation.content = ContentQueue(house.services.workspaces, [sender_kind(PendingSenders(house))])
    proposed = await senders.propose(house.author, sender="NewName", purpose="<b>Receipts</b>")
    path = "/moderation?tab=content"
    page = (await moderator.get(path)).text
    assert f'href="/moderation/senders/{proposed.id}"' in page
    assert "&lt;b&gt;Receipts" in page
    assert re.search(r'id="queue-count">1<', page)
    listed = (await moderator.get(path, headers=JSON)).json()
    assert [one["name"] for one in listed["content"]] == ["NewName"]
    await senders.decide(house.second_moderator, proposed.id, approve=True)
    key = f"sender:{proposed.id}"
    assert "Approved by Second" in await shown(moderator, key, path=path)
    assert "NewName" not in await shown(moderator, path=path)


async def test_an_approval_carries_what_the_page_gave(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    version = (await moderator.get("/moderation", headers=JSON)).json()["queue"][0]["version"]
    blind = await moderator.post(
        f"/moderation/{campaign}/approve", data={"version": str(version)}, headers=JSON
    )
    assert (blind.status_code, blind.json()["type"]) == (409, "urn:heliograph:problem:not-opened")
    page = (await moderator.get(f"/moderation/{campaign}")).text
    form = dict(re.findall(r'name="(version|opened)" value="([^"]+)"', page))
    done = await moderator.submit(f"/moderation/{campaign}/approve", **form)
    assert done.headers["location"] == f"/campaigns/{campaign}?done=approved"


async def test_the_page_shows_every_text_masked_with_its_recipients(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    page = (await moderator.get(f"/moderation/{campaign}")).text
    assert "The one text" in page
    assert "Hello Zoë, &lt;b&gt;your&lt;/b&gt; order &amp; more" in page
    assert "Germany" in page
    assert "First time from this sender: Heliograph" in page
    assert "Nothing of this author has been approved before" in page
    assert "4915100" not in page


async def test_beyond_a_thousand_there_are_lists_and_a_search(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    file = b"".join(b"4915100%06d,N%d\n" % (n, n) for n in range(1_500))
    campaign = await pending(author, file)
    here = f"/moderation/{campaign}/texts"
    first = (await moderator.get(here, headers=HTMX)).text
    assert "More than 1,000 different texts" in first
    assert "Random sample" in first
    assert "Longest" in first
    more = (await moderator.get(f"{here}?list=sample&page=2", headers=HTMX)).text
    assert "26–50 of 100" in more
    found = (await moderator.get(f"{here}?q=n1499", headers=HTMX)).text
    assert "Hello N1499," in found
    assert "Looked through 1,500 of 1,500" in found
    none = (await moderator.get(f"{here}?q=zzz&in=name", headers=HTMX)).text
    assert "Nothing found so far" in none
    assert "no such variable" in (await moderator.get(f"{here}?q=x&in=nothing", headers=HTMX)).text
    for strange in ("?list=nothing", "?page=99999", "?page=0", "?q=%20"):
        assert (await moderator.get(here + strange, headers=HTMX)).status_code == 200, strange


async def test_a_large_file_is_listed_after_the_page_is_there(
    author: Any, moderator: Any, recipients_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = await pending(author, recipients_file)
    monkeypatch.setattr("control_plane.web.moderation_texts.AT_ONCE_ROWS", 1)
    page = (await moderator.get(f"/moderation/{campaign}?list=all")).text
    assert f'hx-get="/moderation/{campaign}/texts?list=all"' in page
    assert "Reading the texts of 20 recipients" in page
    assert "The one text" in (await moderator.get(f"/moderation/{campaign}/texts", headers=HTMX)).text


async def test_an_engine_that_is_away_is_said_in_place(
    author: Any, moderator: Any, core: FakeCore, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    core.away = True
    answer = await moderator.get(f"/moderation/{campaign}/texts", headers=HTMX)
    assert answer.status_code == 200
    assert "The texts cannot be shown" in answer.text


async def test_odd_ones_partial_looks_links_and_prices_are_said(
    author: Any, moderator: Any, core: FakeCore, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    (engine_id,) = core._campaigns
    listing = await core.campaign_texts(engine_id)
    odd = schema.OddTexts(kind="empty", column="name", recipients=3, texts=listing.texts)
    core.rendered[engine_id] = msgspec.structs.replace(
        listing,
        scanned=10,
        odd=[odd],
        hosts=[schema.LinkHost(host="{{shop}}.example", varies=True, recipients=10)],
        price=12_345,
        currency="EUR",
    )
    page = (await moderator.get(f"/moderation/{campaign}")).text
    assert "looked through 10 of 20 recipients" in page
    assert "name is empty (3)" in page
    assert "{{shop}}.example" in page
    assert "Differs from recipient to recipient" in page
    assert "about 1.2345 EUR" in page


async def test_what_differs_from_the_last_approved_one_is_shown(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    await approve(moderator, await pending(author, recipients_file))
    senders = (await author.get("/senders", headers=JSON)).json()["senders"]
    form = {
        "name": "Next",
        "sender": senders[0]["revision_id"],
        "text": "Hello {{name}}, your parcel",
        "lane": "express",
    }
    campaign = (await author.submit("/campaigns", **form)).headers["location"].rpartition("/")[2]
    await upload(author, campaign, recipients_file[: len(recipients_file) // 2])
    await author.put(f"/campaigns/{campaign}/recipients?offset=0", content=b"4915100000001,Ann\n")
    await author.submit(f"/campaigns/{campaign}/submit")
    page = (await moderator.get(f"/moderation/{campaign}")).text
    assert "<ins>parcel" in page
    assert re.search(r"Recipients</th><td>20</td><td>1</td>", page)
    assert "Express: before all that is bulk" in page


async def test_a_rejection_may_begin_with_a_frequent_reason_and_stays_pinned(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    page = (await moderator.get(f"/moderation/{campaign}?act=reject")).text
    reason = re.findall(r'data-preset="note" value="([^"]+)"', page)[0]
    assert re.search(r'<dialog id="reject-dialog"[^>]* data-open', page)
    version = re.findall(r'name="version" value="(\d+)"', page)[0]
    await moderator.submit(f"/moderation/{campaign}/reject", version=version, note=f"{reason}\nMore.")
    assert reason in (await author.get(f"/campaigns/{campaign}")).text, "pinned"
    assert (await author.get(f"/campaigns/{campaign}", headers=JSON)).json()["state"] == "New"
    await author.submit(f"/campaigns/{campaign}/submit")
    assert reason in (await author.get(f"/campaigns/{campaign}")).text
    await approve(moderator, campaign)
    activity = (await author.get(f"/campaigns/{campaign}?tab=activity")).text
    assert reason in activity
    assert activity.count("Rejected") == 1
