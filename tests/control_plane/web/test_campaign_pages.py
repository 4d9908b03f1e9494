"""A campaign's way through the pages, by forms and by programs."""

import base64
import json
from typing import Any

import msgspec
import pytest

from control_plane.core_fake import FakeCore
from engine.core_api import schema

JSON = {"accept": "application/json"}
TEXT = "Hello {{name}}, <b>your</b> order & more"


async def create(browser: Any, name: str = "Spring") -> str:
    senders = (await browser.get("/senders", headers=JSON)).json()["senders"]
    answer = await browser.submit("/campaigns", name=name, sender=senders[0]["revision_id"], text=TEXT)
    assert answer.status_code == 303
    return str(answer.headers["location"].rpartition("/")[2])


async def upload(browser: Any, campaign: str, file: bytes, offset: int = 0) -> Any:
    params = {"offset": offset, "size": len(file), "name": "people.csv"}
    return await browser.put(f"/campaigns/{campaign}/recipients", params=params, content=file[offset:])


async def pending(browser: Any, file: bytes) -> str:
    campaign = await create(browser)
    assert (await upload(browser, campaign, file)).json()["state"] == "complete"
    assert (await browser.submit(f"/campaigns/{campaign}/submit")).status_code == 303
    return campaign


async def approve(browser: Any, campaign: str) -> Any:
    """Opened and approved, as programs do."""
    entry = (await browser.get(f"/moderation/{campaign}", headers=JSON)).json()
    form = {"version": str(entry["version"]), "opened": entry["opened"]}
    return await browser.submit(f"/moderation/{campaign}/approve", **form)


async def test_the_whole_way_by_forms(author: Any, moderator: Any, recipients_file: bytes) -> None:
    campaign = await pending(author, recipients_file)
    status = (await author.get(f"/campaigns/{campaign}/status")).json()
    assert (status["state"], status["reason"]) == ("Pending", "waiting for a moderator")
    assert (await approve(moderator, campaign)).headers["location"] == f"/campaigns/{campaign}?done=approved"
    status = (await author.get(f"/campaigns/{campaign}/status")).json()
    assert status["state"] == "Sending"
    assert status["counts"]["accepted"] == status["counts"]["waiting"] == 20
    assert status["outcome"]["unsent"] == 20
    page = await author.get(f"/campaigns/{campaign}")
    assert "Pause" in page.text
    for control, state in (("pause", "Paused"), ("resume", "Sending"), ("cancel", "Cancelled")):
        assert (await author.submit(f"/campaigns/{campaign}/{control}")).status_code == 303
        assert (await author.get(f"/campaigns/{campaign}/status")).json()["state"] == state


async def test_every_page_of_a_campaign_can_be_looked_at(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    draft = await create(author, "Draft")
    await upload(author, draft, recipients_file)
    waiting = await pending(author, recipients_file)
    live = await pending(author, recipients_file)
    await approve(moderator, live)
    tabs = [
        f"/campaigns/{live}?tab={tab}" for tab in ("recipients", "job-errors", "message-errors", "activity")
    ]
    pages = [
        "/", "/campaigns", "/campaigns?state=Pending", "/campaigns/new", f"/campaigns/{draft}",
        f"/campaigns/{draft}/review", f"/campaigns/{waiting}", f"/campaigns/{live}", *tabs, "/senders",
        "/channels", "/account",
    ]  # fmt: skip
    for path in pages:
        answer = await author.get(path)
        assert answer.status_code == 200, (path, answer.text[-500:])
        assert "<h1>" in answer.text, path
    for path in ("/", "/moderation", f"/moderation/{waiting}", f"/moderation/{live}"):
        assert (await moderator.get(path)).status_code == 200, path


async def test_what_people_write_is_escaped(author: Any, recipients_file: bytes) -> None:
    campaign = await pending(author, recipients_file)
    page = (await author.get(f"/campaigns/{campaign}")).text
    assert "&lt;b&gt;your&lt;/b&gt; order &amp; more" in page
    assert "<b>your</b>" not in page


async def test_numbers_are_masked_wherever_they_show(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    review = await moderator.get(f"/moderation/{campaign}")
    await approve(moderator, campaign)
    live = await author.get(f"/campaigns/{campaign}?tab=recipients")
    assert "…" in live.text
    for page in (review, live):
        assert "49151000000" not in page.text


async def test_a_corrected_verdict_is_marked(
    author: Any, moderator: Any, core: FakeCore, recipients_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = await pending(author, recipients_file)
    await approve(moderator, campaign)
    recipients = core.recipients

    async def corrected(*given: Any) -> schema.Recipients:
        first, *others = (await recipients(*given)).recipients
        first = msgspec.structs.replace(first, state="DELIVERED", corrected=True)
        return schema.Recipients(recipients=[first, *others], next=None)

    monkeypatch.setattr(core, "recipients", corrected)
    page = (await author.get(f"/campaigns/{campaign}?tab=recipients")).text
    assert page.count("corrected: first reported undelivered") == 1


async def test_an_upload_goes_on_where_it_broke_off(author: Any, recipients_file: bytes) -> None:
    campaign = await create(author)
    params = {"offset": 0, "size": len(recipients_file), "name": "people.csv"}
    path = f"/campaigns/{campaign}/recipients"
    first = await author.put(path, params=params, content=recipients_file[:100])
    assert (first.json()["state"], first.json()["byte_offset"]) == ("open", 100)
    wrong = await author.put(path, params={**params, "offset": 7}, content=b"x")
    assert (wrong.status_code, wrong.json()["byte_offset"]) == (409, 100)
    assert (await author.get(path, headers=JSON)).json()["byte_offset"] == 100
    page = await author.get(f"/campaigns/{campaign}")
    assert 'data-offset="100"' in page.text
    rest = await upload(author, campaign, recipients_file, offset=100)
    assert rest.json()["rows"] == 22
    assert rest.json()["accepted"] == 20


async def test_an_upload_is_passed_on_piece_by_piece(
    author: Any, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never gathered: the engine has the first piece before the browser has sent the second."""
    campaign = await create(author)
    told: list[str] = []
    take = core._take

    def note(upload_id: Any, size: int, lines: Any) -> None:
        told.append("taken" if size else "end")
        take(upload_id, size, lines)

    monkeypatch.setattr(core, "_take", note)

    async def pieces() -> Any:
        for number in range(3):
            told.append("sent")
            yield b"49151000000%d,x\n" % number

    params = {"offset": 0, "size": 3 * len(b"491510000000,x\n"), "name": "p.csv"}
    answer = await author.put(f"/campaigns/{campaign}/recipients", params=params, content=pieces())
    assert answer.json()["rows"] == 3
    assert told[:4] == ["sent", "taken", "sent", "taken"]


async def test_errors_stand_beside_their_fields(author: Any) -> None:
    answer = await author.submit("/campaigns", name=" ", sender="", text="x")
    assert answer.status_code == 422
    assert 'id="name-error"' in answer.text
    assert 'aria-invalid="true"' in answer.text


async def test_a_program_gets_errors_as_problems(author: Any) -> None:
    answer = await author.post("/campaigns", data={"name": " ", "text": "x"}, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "name"


async def test_a_review_says_what_is_missing(author: Any) -> None:
    campaign = await create(author)
    page = await author.get(f"/campaigns/{campaign}/review")
    assert "Upload the recipients." in page.text
    assert f'action="/campaigns/{campaign}/submit"' not in page.text
    assert (await author.submit(f"/campaigns/{campaign}/submit")).status_code == 422


async def test_authors_cannot_decide_and_moderators_cannot_write(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    assert (await author.get("/moderation")).status_code == 403
    assert (await author.submit(f"/moderation/{campaign}/approve", version="1")).status_code == 403
    assert (await moderator.get("/campaigns/new")).status_code == 403
    rail = (await author.get("/")).text
    assert 'href="/moderation"' not in rail
    assert 'href="/campaigns/new"' not in (await moderator.get("/")).text


async def test_a_second_decision_says_who_was_first(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    await approve(moderator, campaign)
    late = await moderator.submit(f"/moderation/{campaign}/approve", version="1")
    assert late.status_code == 409
    assert "Already approved by Moderator" in late.text
    assert "Approved by Moderator" in (await moderator.get(f"/moderation/{campaign}")).text


async def test_a_rejection_needs_a_note_and_pins_it(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    entry = (await moderator.get(f"/moderation/{campaign}", headers=JSON)).json()
    without = await moderator.submit(
        f"/moderation/{campaign}/reject", version=str(entry["version"]), note=" "
    )
    assert (without.status_code, "Say why" in without.text) == (422, True)
    note = "Say who you are."
    answer = await moderator.submit(
        f"/moderation/{campaign}/reject", version=str(entry["version"]), note=note
    )
    assert answer.headers["location"] == "/moderation?done=rejected"
    page = await author.get(f"/campaigns/{campaign}")
    assert note in page.text
    assert "Sent back by Moderator" in page.text


async def test_ones_own_campaign_says_why_it_cannot_be_decided(admin: Any, recipients_file: bytes) -> None:
    campaign = await pending(admin, recipients_file)
    page = await admin.get(f"/moderation/{campaign}")
    assert "somebody else decides" in page.text
    assert "Approve and send" not in page.text


async def test_with_the_engine_away_pages_say_so_and_drafts_still_work(
    author: Any, core: FakeCore, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    filled = await create(author, "Filled")
    await upload(author, filled, recipients_file)
    core.away = True
    draft = await create(author)
    page = await author.get(f"/campaigns/{filled}")
    assert page.status_code == 200
    assert "Recipients can be uploaded when it answers again." in page.text
    assert "cannot be reached" in (await author.get("/campaigns")).text
    assert (await author.get(f"/campaigns/{campaign}")).status_code == 200
    refused = await author.get(f"/campaigns/{draft}/review")
    assert refused.status_code in (200, 503)
    failed = await upload(author, draft, recipients_file)
    assert failed.status_code == 503
    assert failed.json()["type"] == "urn:heliograph:problem:engine-unavailable"


async def test_another_workspaces_campaign_does_not_exist(house: Any, author: Any) -> None:
    foreign = await house.services.campaigns.create(house.stranger, name="Theirs", text="x")
    for path in ("", "/status", "/review", "/events", "/series"):
        answer = await author.get(f"/campaigns/{foreign.id}{path}")
        assert answer.status_code == 404, path


async def test_a_fragment_is_asked_for_and_given_alone(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    await approve(moderator, campaign)
    answer = await author.get(f"/campaigns/{campaign}?tab=activity", headers={"hx-request": "true"})
    assert answer.text.lstrip().startswith("<section")
    error = await author.get("/campaigns/nothing", headers={"hx-request": "true"})
    assert (error.status_code, "<html" in error.text) == (404, False)


async def test_the_text_is_measured_as_it_is_written(author: Any, recipients_file: bytes) -> None:
    campaign = await create(author)
    await upload(author, campaign, recipients_file)
    answer = await author.submit(f"/campaigns/{campaign}/measure", text="Hi {{name}}", sender="Heliograph")
    assert "20 for 20 messages" in answer.text
    unknown = await author.submit(f"/campaigns/{campaign}/measure", text="Hi {{nmae}}", sender="Heliograph")
    assert "no column nmae" in unknown.text


async def test_a_super_admin_sees_all_workspaces_and_opens_one(root: Any) -> None:
    page = await root.get("/")
    assert "Demo" in page.text
    assert "Elsewhere" in page.text
    assert (await root.get("/campaigns")).headers["location"] == "/"
    workspace = page.text.split('name="workspace" value="')[1].split('"')[0]
    assert (await root.submit("/workspace", workspace=workspace)).headers["location"] == "/campaigns"
    assert (await root.get("/campaigns")).status_code == 200


async def test_json_bodies_are_forms_too(author: Any) -> None:
    content = json.dumps({"name": "Spring", "sender": "Heliograph", "text": "x"})
    headers = {**JSON, "content-type": "application/json"}
    answer = await author.post("/campaigns", content=content, headers=headers)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/campaigns/{answer.json()['id']}"


async def test_a_draft_is_deleted_after_a_question_that_names_it(author: Any) -> None:
    campaign = await create(author, "Spring <sale>")
    page = await author.get(f"/campaigns/{campaign}")
    assert "Delete Spring &lt;sale&gt;?" in page.text
    answer = await author.submit(f"/campaigns/{campaign}/delete")
    assert answer.headers["location"] == "/campaigns?done=deleted"
    assert (await author.get(f"/campaigns/{campaign}")).status_code == 404


async def test_only_those_who_write_delete_and_only_drafts(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await create(author)
    assert (await moderator.submit(f"/campaigns/{campaign}/delete")).status_code == 403
    waiting = await pending(author, recipients_file)
    assert (await author.submit(f"/campaigns/{waiting}/delete")).status_code == 409


async def test_pauses_and_resumes_are_in_the_activity(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    await approve(moderator, campaign)
    await author.submit(f"/campaigns/{campaign}/pause")
    await moderator.submit(f"/campaigns/{campaign}/resume")
    page = (await author.get(f"/campaigns/{campaign}?tab=activity")).text
    assert "<b>Paused</b> by Author" in page
    assert "<b>Resumed</b> by Moderator" in page


async def test_with_the_engine_away_no_figure_is_made_up(
    author: Any, moderator: Any, core: FakeCore, recipients_file: bytes
) -> None:
    campaign = await pending(author, recipients_file)
    await approve(moderator, campaign)
    core.away = True
    page = (await author.get(f"/campaigns/{campaign}")).text
    assert "The engine does not answer" in page
    assert "data-percent>–</span>" in page
    assert 'data-n="sent">–</b>' in page
    assert f'action="/campaigns/{campaign}/pause"' in page
    listed = (await author.get("/campaigns", headers=JSON)).json()["campaigns"]
    assert [one["state"] for one in listed] == ["Unknown"]
    assert "Starting" not in (await author.get("/campaigns")).text


async def test_after_a_form_that_failed_one_goes_back_instead_of_asking_again(
    author: Any, core: FakeCore, recipients_file: bytes
) -> None:
    """The address of a form is not one that can be opened."""
    campaign = await create(author)
    await upload(author, campaign, recipients_file)
    core.away = True
    came = {"referer": f"http://console.example/campaigns/{campaign}/review"}
    answer = await author.post(f"/campaigns/{campaign}/submit", headers=came)
    assert answer.status_code == 503
    assert f'href="/campaigns/{campaign}/submit"' not in answer.text
    assert f'href="/campaigns/{campaign}/review"' in answer.text
    foreign = {"referer": "http://elsewhere.example/x"}
    answer = await author.post(f"/campaigns/{campaign}/submit", headers=foreign)
    assert "elsewhere" not in answer.text
    again = await author.get(f"/campaigns/{campaign}/review")
    assert f'href="/campaigns/{campaign}/review"' in again.text


@pytest.mark.parametrize("field", ["name", "sender", "text"])
async def test_a_nul_in_a_form_is_refused(author: Any, field: str) -> None:
    form = {"name": "Spring", "sender": "", "text": "Hello", field: "a\x00b"}
    assert (await author.submit("/campaigns", **form)).status_code == 400


async def test_a_cursor_that_was_made_up_is_refused(author: Any) -> None:
    made_up = base64.urlsafe_b64encode(b'["\\u0000", "00000000-0000-0000-0000-000000000000"]').decode()
    assert (await author.get("/campaigns", params={"after": made_up})).status_code == 422


async def test_a_change_of_theme_keeps_the_filters(author: Any) -> None:
    page = await author.get("/campaigns?state=Pending&done=saved")
    assert 'name="back" value="/campaigns?state=Pending"' in page.text


async def test_the_form_offers_the_options_with_their_meaning_and_the_moderator_sees_them(
    author: Any, moderator: Any, recipients_file: bytes
) -> None:
    page = (await author.get("/campaigns/new")).text
    for said in (
        "Hold for a person",
        "Nothing is sent again by itself.",
        "Send it as Unicode",
        "Flash message",
    ):
        assert said in page, said
    campaign = await create(author)
    await upload(author, campaign, recipients_file)
    form = {"in_doubt": "resend", "charset_rule": "reject", "flash": "1", "dlt_pe_id": "110117297442081"}
    assert (await author.submit(f"/campaigns/{campaign}", **form)).status_code == 303
    draft = (await author.get(f"/campaigns/{campaign}")).text
    assert 'value="resend" checked' in draft
    assert 'value="110117297442081"' in draft
    wrong = await author.submit(f"/campaigns/{campaign}", dlt_pe_id="12a")
    assert (wrong.status_code, 'id="dlt_pe_id-error"' in wrong.text) == (422, True)
    await author.submit(f"/campaigns/{campaign}/submit")
    decision = (await moderator.get(f"/moderation/{campaign}")).text
    for said in ("Send again", "Do not send it", "shown at once, not stored", "110117297442081"):
        assert said in decision, said
