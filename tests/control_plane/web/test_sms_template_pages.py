"""Message templates in the console: written with a preview, listed, used, decided."""

from typing import Any

import msgspec
import pytest

from control_plane.access import Role
from control_plane.workspaces.workspaces import Workspaces

FORM = {
    "name": "order-ready",
    "body": "Hello {{name}}, it is ready <b>.",
    "content_type": "service",
    "category": "SIC",
    "variable_0": "name",
    "sample_0": "Zoë",
    "max_0": "20",
}
JSON = {"accept": "application/json"}


async def create(author: Any, **fields: str) -> Any:
    answer = await author.submit("/templates", **{**FORM, **fields})
    assert answer.status_code == 303, answer.text[-400:]
    return answer


async def test_a_template_is_written_shown_and_listed(author: Any) -> None:
    assert "No template yet" in (await author.get("/templates")).text
    made = await create(author)
    assert made.headers["location"].endswith("?done=template-approved")
    page = (await author.get("/templates/1")).text
    assert "Hello Zoë, it is ready &lt;b&gt;." in page
    listed = (await author.get("/templates")).text
    for said in ("order-ready", "#1", "SMS", "SIC: service", "Service", "Approved"):
        assert said in listed, said
    assert "None like that" in (await author.get("/templates?status=FAILED")).text
    assert "order-ready" in (await author.get("/templates?search=READY&status=APPROVED")).text
    (entry,) = (await author.get("/templates", headers=JSON)).json()["templates"]
    assert (entry["number"], entry["variables"][0]["sample"]) == (1, "Zoë")
    for address in ("1", entry["id"]):
        assert (await author.get(f"/templates/{address}")).status_code == 200


async def test_what_is_wrong_is_said_and_put_right(author: Any) -> None:
    failed = await create(author, body="Hello {{name")
    assert "done" not in failed.headers["location"]
    assert "There is a {{ without its }}." in (await author.get("/templates/1")).text
    assert "Failed" in (await author.get("/templates")).text
    edit = (await author.get("/templates/1/edit")).text
    assert "Hello {{name" in edit
    saved = await author.submit("/templates/1", **{**FORM, "version": "1"})
    assert saved.headers["location"].endswith("?done=template-approved")
    late = await author.submit("/templates/1", **{**FORM, "version": "1", "body": "Other"})
    assert late.status_code == 409
    first = (await author.get("/templates/1?version=1")).text
    assert "without its" in first


async def test_a_wrong_form_comes_back_with_its_words(author: Any) -> None:
    answer = await author.submit("/templates", **{**FORM, "name": "or der", "category": ""})
    assert answer.status_code == 422
    for kept in ('value="or der"', "Choose one of those offered", 'value="Zoë"', "it is ready &lt;b&gt;."):
        assert kept in answer.text, kept
    await create(author)
    taken = await author.submit("/templates", **FORM)
    assert (taken.status_code, "Another template has this name." in taken.text) == (422, True)


async def test_the_preview_follows_the_text(author: Any) -> None:
    shown = await author.submit("/templates/measure", body="Hi {{a}} {{b}}", name="x")
    assert shown.status_code == 200
    assert 'id="variables"' in shown.text
    assert 'name="variable_1" value="b"' in shown.text
    same = await author.submit(
        "/templates/measure", body="Hi {{a}}", variable_0="a", sample_0="Zoë", max_0="9"
    )
    assert "Hi Zoë" in same.text
    assert 'id="variables"' not in same.text  # nobody is interrupted while a sample is written
    broken = await author.submit("/templates/measure", body="Hi {{a")
    assert (broken.status_code, "cannot be read" in broken.text) == (200, True)
    assert "Your text appears here" in (await author.submit("/templates/measure", body=" ")).text


async def test_the_cost_is_estimated_from_the_prices(author: Any, root: Any) -> None:
    csv = "prefix,price\n49,0.0500\n4917,0.0700\n1,9.0000\n"
    assert (await root.submit("/prices", csv=csv, note="Spring")).status_code == 303
    shown = (await author.submit("/templates/measure", body="Hello", name="x")).text
    assert "0.05 to 0.07" in shown
    assert "+49" in shown


async def test_a_moderator_decides_where_the_workspace_wants_it(
    author: Any, moderator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Workspaces.get

    async def moderated(self: Workspaces, member: Any) -> Any:
        return msgspec.structs.replace(await get(self, member), moderate_free_templates=True)

    monkeypatch.setattr(Workspaces, "get", moderated)
    made = await create(author)
    assert made.headers["location"].endswith("?done=template-pending")
    (entry,) = (await author.get("/templates", headers=JSON)).json()["templates"]
    path = f"/moderation/templates/{entry['version_id']}"
    assert (await author.get(path)).status_code == 403
    page = (await moderator.get(path)).text
    assert "free variables: name" in page
    assert (await moderator.submit(f"{path}/reject", note="")).status_code == 422
    assert (await moderator.submit(f"{path}/approve")).status_code == 303
    late = await moderator.submit(f"{path}/reject", note="x")
    assert (late.status_code, "Already approved by Moderator" in late.text) == (409, True)
    assert "Decided by Moderator" in (await moderator.get(path)).text


async def test_a_campaign_is_written_with_a_template(author: Any, house: Any) -> None:
    await create(author)
    (entry,) = (await author.get("/templates", headers=JSON)).json()["templates"]
    new = (await author.get("/campaigns/new")).text
    assert "order-ready, version 1" in new
    (sender,) = await house.services.senders.approved(house.author)
    made = await author.submit(
        "/campaigns", name="Spring", sender=str(sender.id), text="", template=entry["version_id"]
    )
    assert made.status_code == 303
    edit = (await author.get(made.headers["location"])).text
    assert f'value="{entry["version_id"]}"' in edit
    assert "Hello {{name}}, it is ready" in edit
    measured = await author.submit(
        "/campaigns/measure", text="other", template=entry["version_id"], sender=str(sender.id)
    )
    assert "it is ready &lt;b&gt;." in measured.text


async def test_strangers_and_lookers_do_not_get_in(author: Any, browser_of: Any, services: Any) -> None:
    await create(author)
    (entry,) = (await author.get("/templates", headers=JSON)).json()["templates"]
    analyst = await browser_of(Role.ANALYST)
    foreign = await services.workspaces.create("Abroad")
    stranger = await browser_of(Role.ADMIN, foreign.id)
    page, decision = f"/templates/{entry['id']}", f"/moderation/templates/{entry['version_id']}"
    assert (await analyst.get(page)).status_code == 200
    for path in ("/templates/new", f"{page}/edit", decision):
        assert (await analyst.get(path)).status_code == 403, path
    for path in (page, f"{page}/edit", "/templates/1", decision):
        assert (await stranger.get(path)).status_code == 404, path
    for path in (page, f"{page}/withdraw", f"{decision}/approve"):
        assert (await stranger.submit(path, **FORM)).status_code == 404, path
        assert (await analyst.submit(path, **FORM)).status_code == 403, path
