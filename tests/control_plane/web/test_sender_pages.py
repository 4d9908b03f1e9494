"""Sender IDs in the console: requested, compared, decided, archived."""

import re
from typing import Any

from control_plane.access import Role

FORM = {"sender": "Shop", "kind": "alphanumeric", "purpose": "Offers <b>", "pe_id": "", "then": "submit"}


async def request_sender(author: Any, **fields: str) -> str:
    answer = await author.submit("/senders", **{**FORM, **fields})
    assert answer.status_code == 303, answer.text[-400:]
    location = str(answer.headers["location"])
    assert location.endswith("?done=sender-submitted")
    return location.partition("?")[0]


async def revision_of(browser: Any, path: str) -> dict[str, Any]:
    answer = await browser.get(path, headers={"accept": "application/json"})
    found: dict[str, Any] = answer.json()["revisions"][0]
    return found


async def test_a_sender_is_requested_and_approved(author: Any, moderator: Any) -> None:
    page = await request_sender(author)
    assert "waits for a moderator" in (await author.get(page)).text
    revision = await revision_of(author, page)
    decision = await moderator.get(f"/moderation/senders/{revision['revision_id']}")
    assert decision.status_code == 200
    assert "Offers &lt;b&gt;" in decision.text
    assert "TON 5, NPI 0" in decision.text
    done = await moderator.submit(f"/moderation/senders/{revision['revision_id']}/approve", version="1")
    assert done.headers["location"] == f"{page}?done=sender-approved"
    assert "Shop" in (await author.get("/campaigns/new")).text
    again = await moderator.submit(
        f"/moderation/senders/{revision['revision_id']}/reject", version="1", note="x"
    )
    assert again.status_code == 409
    assert "Already approved by Moderator" in again.text


async def test_a_rejection_needs_its_note_and_shows_it(author: Any, moderator: Any) -> None:
    page = await request_sender(author)
    path = f"/moderation/senders/{(await revision_of(author, page))['revision_id']}"
    answer = await moderator.submit(f"{path}/reject", version="1", note=" ")
    assert answer.status_code == 422
    assert "Say why" in answer.text
    await moderator.submit(f"{path}/reject", version="1", note="Not registered")
    assert "Not registered" in (await author.get(page)).text
    assert "Decided by Moderator" in (await moderator.get(path)).text


async def test_what_was_not_looked_at_is_not_approved(author: Any, moderator: Any) -> None:
    page = await request_sender(author)
    path = f"/moderation/senders/{(await revision_of(author, page))['revision_id']}"
    await author.submit(f"{page}/withdraw")
    await author.submit(page, **{**FORM, "sender": "Bank"})
    for seen in ("1", ""):
        assert (await moderator.submit(f"{path}/approve", version=seen)).status_code == 409
    assert (await moderator.submit(f"{path}/approve", version="2")).status_code == 303


async def test_two_revisions_are_compared(author: Any, moderator: Any) -> None:
    page = await request_sender(author)
    first = await revision_of(author, page)
    await moderator.submit(f"/moderation/senders/{first['revision_id']}/approve", version="1")
    changed = await author.submit(page, **{**FORM, "sender": "Store", "channel:Demo SMSC": "1"})
    assert changed.status_code == 303
    shown = (await author.get(f"{page}?against=1&revision=2")).text
    assert "<del>Shop</del>" in shown
    assert "<ins>Store</ins>" in shown
    assert "<ins>Demo SMSC</ins>" in shown
    second = await revision_of(author, page)
    decision = (await moderator.get(f"/moderation/senders/{second['revision_id']}")).text
    assert "<del>Shop</del>" in decision
    for odd in ("?against=9", "?revision=x&against=", "?revision=1"):
        assert (await author.get(page + odd)).status_code == 200


async def test_a_wrong_form_comes_back_with_its_words(author: Any) -> None:
    answer = await author.submit("/senders", **{**FORM, "sender": "My Shop", "pe_id": "12"})
    assert answer.status_code == 422
    assert 'value="My Shop"' in answer.text
    assert "no spaces" in answer.text
    assert "19 digits" in answer.text
    program = await author.post(
        "/senders", data={**FORM, "sender": ""}, headers={"accept": "application/json"}
    )
    assert (program.status_code, program.json()["errors"][0]["field"]) == (422, "sender")


async def test_archiving_hides_and_restoring_shows(author: Any, moderator: Any) -> None:
    (page,) = set(re.findall(r"/senders/[0-9a-f-]{36}", (await author.get("/senders")).text))
    assert (await author.submit(f"{page}/archive")).status_code == 403
    await moderator.submit(f"{page}/archive")
    assert page not in (await author.get("/senders")).text
    assert page in (await author.get("/senders?show=all")).text
    assert "No approved sender" in (await author.get("/campaigns/new")).text
    await moderator.submit(f"{page}/restore")
    assert "No approved sender" not in (await author.get("/campaigns/new")).text


async def test_a_restricted_sender_goes_only_over_its_channels(
    author: Any, moderator: Any, house: Any
) -> None:
    page = await request_sender(author, **{"channel:Elsewhere": "1"})
    revision = await revision_of(author, page)
    await moderator.submit(f"/moderation/senders/{revision['revision_id']}/approve", version="1")
    form = {"name": "Spring", "sender": revision["revision_id"], "text": "Hello"}
    for channel in ("Demo SMSC", "/routes"):
        refused = await author.submit("/campaigns", **form, channel=channel)
        assert refused.status_code == 422
        assert "may go only over Elsewhere" in refused.text
    draft = await house.draft()
    await house.services.campaigns.edit(house.author, draft.id, sender="Shop")
    review = (await author.get(f"/campaigns/{draft.id}/review")).text
    assert "may go only over Elsewhere" in review
    assert (await author.submit(f"/campaigns/{draft.id}/submit")).status_code == 422


async def test_strangers_and_lookers_do_not_get_in(author: Any, browser_of: Any, services: Any) -> None:
    page = await request_sender(author)
    revision = await revision_of(author, page)
    analyst = await browser_of(Role.ANALYST)
    foreign = await services.workspaces.create("Abroad")
    stranger = await browser_of(Role.ADMIN, foreign.id)
    decision = f"/moderation/senders/{revision['revision_id']}"
    assert (await analyst.get(page)).status_code == 200
    assert (await analyst.get("/senders/new")).status_code == 403
    assert (await analyst.get(decision)).status_code == 403
    for path in (page, f"{page}/edit", decision, "/senders/x"):
        assert (await stranger.get(path)).status_code == 404, path
    acts = [f"{page}/{act}" for act in ("submit", "withdraw", "archive", "restore")]
    for path in (*acts, page, f"{decision}/approve"):
        assert (await stranger.submit(path, **FORM)).status_code == 404, path
        assert (await analyst.submit(path, **FORM)).status_code == 403, path
