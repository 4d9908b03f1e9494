"""The audit's page: who sees what, filters and paging, details and diffs, the export, the tab, the banner."""

import csv
import io
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from control_plane.access import MASTER_ID, Role
from control_plane.audit.outbox import AUDIT, WITHOUT_STORE, Event, event
from control_plane.errors import StoreUnavailable
from control_plane.services import Services
from control_plane.web.audit import PAGE

JSON = {"accept": "application/json"}


@pytest.fixture
async def told(services: Services, house: Any) -> list[Event]:
    """Sixty changes of templates, a minute apart, by two people."""
    found = []
    for number in range(60):
        made = event(
            "template.edit",
            services.clock() + timedelta(minutes=number),
            actor="author@house.example" if number % 3 else "other@house.example",
            address="192.0.2.7" if number % 2 else "198.51.100.7",
            workspace_id=house.workspace.id,
            target_name=f"Greeting {number}",
            changes={"text": ("Hello", f"Hello {number}")},
        )
        found.append(msgspec.structs.replace(made, target_id=UUID(int=number + 1), request_id=f"r{number}"))
    await services.audit.append(found)
    return found


async def actions(browser: Any, query: str = "") -> list[str]:
    answer = await browser.get(f"/audit{query}", headers=JSON)
    assert answer.status_code == 200, answer.text
    return [one["target_name"] for one in answer.json()["events"]]


async def test_moderators_and_admins_read_it_authors_do_not(
    told: list[Event], moderator: Any, admin: Any, author: Any
) -> None:
    for browser in (moderator, admin):
        page = await browser.get("/audit")
        assert page.status_code == 200
        assert "Greeting 59" in page.text
        assert 'href="/audit" aria-current="page"' in page.text
    for path in ("/audit", "/audit/export?format=csv"):
        assert (await author.get(path)).status_code == 403
    assert 'href="/audit"' not in (await author.get("/")).text


async def test_nobody_reads_another_workspaces(
    services: Services, house: Any, told: list[Event], browser_of: Any
) -> None:
    stranger = await browser_of(Role.ADMIN, house.stranger.workspace_id)
    assert "Greeting" not in (await stranger.get("/audit")).text
    assert await actions(stranger, f"?target={told[0].target_id}") == []
    assert "Greeting" not in (await stranger.get("/audit/export?format=jsonl")).text
    # Neither may who is in no Master workspace read what belongs to none.
    page = await stranger.get("/audit?of=installation", headers=JSON)
    assert {one.get("workspace_id") for one in page.json()["events"]} <= {str(house.stranger.workspace_id)}


async def test_the_installations_events_are_read_in_the_master_workspace(
    services: Services, house: Any, root: Any
) -> None:
    await root.submit("/workspace", workspace=str(MASTER_ID))
    page = await root.get("/audit?of=installation")
    assert "Login: succeeded" in page.text
    assert "Logins and people" in page.text
    answer = await root.get("/audit?of=installation&action=login.succeeded", headers=JSON)
    assert {one["action"] for one in answer.json()["events"]} == {"login.succeeded"}
    assert all("workspace_id" not in one or one["workspace_id"] is None for one in answer.json()["events"])


async def test_pages_give_every_entry_once_newest_first(told: list[Event], moderator: Any) -> None:
    first = (await moderator.get("/audit?kind=template", headers=JSON)).json()
    second = (await moderator.get(f"/audit?kind=template&after={first['next']}", headers=JSON)).json()
    names = [one["target_name"] for one in first["events"] + second["events"]]
    assert names == [one.target_name for one in reversed(told)]
    assert (len(first["events"]), second["next"]) == (PAGE, None)
    page = (await moderator.get("/audit?kind=template")).text
    assert "Next page" in page
    assert "kind=template&amp;after=" in page


async def test_filters_combine_and_live_in_the_address(told: list[Event], moderator: Any) -> None:
    day = told[0].at.date().isoformat()
    assert await actions(moderator, f"?target={told[5].target_id}") == ["Greeting 5"]
    by_other = await actions(moderator, "?actor=Other@house.example&address=198.51.100.7")
    assert by_other == [f"Greeting {n}" for n in range(54, -1, -6)]
    assert await actions(moderator, "?action=template.edit&text=greeting%2041") == ["Greeting 41"]
    assert await actions(moderator, "?kind=campaign&text=Greeting") == []
    assert len(await actions(moderator, f"?since={day}&until={day}&kind=template")) == PAGE
    assert await actions(moderator, "?until=2020-01-01") == []
    since = (told[58].at).isoformat().replace("+00:00", "Z")
    assert await actions(moderator, f"?since={since}&kind=template") == ["Greeting 59", "Greeting 58"]
    page = (await moderator.get("/audit?actor=other@house.example&since=2026-01-01")).text
    assert "Who: other@house.example" in page
    assert 'value="2026-01-01"' in page


async def test_a_day_is_the_workspaces_day(services: Services, house: Any, moderator: Any) -> None:
    from control_plane.documents.change import change
    from control_plane.workspaces.model import WORKSPACES

    await change(
        services.store,
        WORKSPACES,
        house.workspace.id,
        lambda found: msgspec.structs.replace(found, time_zone="Asia/Kolkata"),
    )
    late = services.clock().replace(hour=20)  # 01:30 of the next day in Kolkata
    await services.audit.record(event("thing.do", late, workspace_id=house.workspace.id, target_name="late"))
    day, next_day = late.date().isoformat(), (late + timedelta(days=1)).date().isoformat()
    assert "late" not in await actions(moderator, f"?since={day}&until={day}")
    assert "late" in await actions(moderator, f"?since={next_day}&until={next_day}")


async def test_what_is_wrong_with_a_filter_is_said_beside_it(told: list[Event], moderator: Any) -> None:
    page = await moderator.get("/audit?since=yesterday&target=x")
    assert page.status_code == 422
    assert "This is no day" in page.text
    assert "This is no id" in page.text
    assert (await moderator.get("/audit?since=yesterday", headers=JSON)).status_code == 400
    assert (await moderator.get("/audit/export?since=yesterday")).status_code == 400
    assert (await moderator.get("/audit/export?format=xls")).status_code == 400
    assert (await moderator.get("/audit?after=nonsense")).status_code == 422


async def test_a_row_opens_to_its_details_and_what_changed(told: list[Event], moderator: Any) -> None:
    page = (await moderator.get(f"/audit?target={told[7].target_id}")).text
    assert "<del>Hello</del>" in page
    assert "<ins>Hello 7</ins>" in page
    assert "r7" in page
    assert "192.0.2.7" in page
    assert "All from 192.0.2.7" in page


async def test_a_search_that_would_read_too_much_says_how_far_it_looked(
    told: list[Event], moderator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.audit.search.SCAN_LIMIT", 20)
    monkeypatch.setattr("control_plane.audit.search.BLOCK", 10)
    page = (await moderator.get("/audit?text=Greeting%201&kind=template")).text
    assert "Looked through 20 entries." in page
    assert "Next page" in page
    seen, after = [], ""
    while True:
        answer = (await moderator.get(f"/audit?text=Greeting%201&kind=template{after}", headers=JSON)).json()
        seen += [one["target_name"] for one in answer["events"]]
        if answer["next"] is None:
            break
        after = f"&after={answer['next']}"
    assert seen == [*(f"Greeting {n}" for n in range(19, 9, -1)), "Greeting 1"]


async def test_an_empty_audit_and_one_where_nothing_fits_say_what_to_do(
    services: Services, house: Any, moderator: Any
) -> None:
    assert "Clear the filters" in (await moderator.get("/audit?actor=nobody@house.example")).text


async def test_the_export_is_audited_before_it_begins_and_holds_all_that_fits(
    services: Services, told: list[Event], moderator: Any
) -> None:
    answer = await moderator.get("/audit/export?format=jsonl&kind=template&actor=other@house.example")
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-')
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["target_name"] for one in lines] == [f"Greeting {n}" for n in range(57, -1, -3)]
    assert all(one["hash"] and one["seq"] for one in lines)
    (export,) = (await services.store.find(AUDIT, {"action": "audit.export"})).records
    assert export.actor == "moderator@house.example"
    assert export.details["actor"] == "other@house.example"
    assert export.details["format"] == "jsonl"


async def test_no_export_without_its_audit(
    services: Services, told: list[Event], moderator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_happened: Event) -> None:
        raise StoreUnavailable("nothing takes it")

    monkeypatch.setattr(services.audit, "record", refused)
    answer = await moderator.get("/audit/export?format=csv")
    assert answer.status_code == 503
    assert "Greeting" not in answer.text


@pytest.mark.parametrize("name", ["=1+1", "+49", "-1", "@x", "\tx", "\rx", "＝1"])
async def test_a_cell_never_begins_a_formula(
    services: Services, house: Any, moderator: Any, name: str
) -> None:
    made = event("thing.do", services.clock(), workspace_id=house.workspace.id, target_name=name)
    await services.audit.record(msgspec.structs.replace(made, actor=name))
    answer = await moderator.get("/audit/export?format=csv&action=thing.do")
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert row["target_name"] == f"'{name}"
    assert row["actor"] == f"'{name}"


async def test_an_edit_says_what_was_before_and_what_is_now(
    services: Services, house: Any, author: Any
) -> None:
    draft = await house.draft()
    await services.campaigns.edit(house.author, draft.id, text="Call 4915112345678", name="Autumn")
    await services.audit.sweep()
    page = (await author.get(f"/campaigns/{draft.id}")).text
    assert "<del>Spring</del>" in page
    assert "<ins>Autumn</ins>" in page
    assert "<del>Hello {{name}}</del>" in page
    assert "<ins>Call …678</ins>" in page


async def test_a_campaigns_tab_says_what_was_done_to_it(
    services: Services, house: Any, core: Any, author: Any, moderator: Any
) -> None:
    pending = await house.pending()
    await house.approve(house.moderator, pending)
    await services.audit.sweep()
    mine = (await author.get(f"/campaigns/{pending.id}?tab=audit")).text
    theirs = (await moderator.get(f"/campaigns/{pending.id}?tab=audit")).text
    for page in (mine, theirs):
        assert "Campaign: approve" in page
        assert "Campaign: submit" in page
    assert "192.0.2.1" in theirs
    assert "192.0.2.1" not in mine
    assert f"/audit?target={pending.id}" in theirs
    assert f"/audit?target={pending.id}" not in mine


async def test_a_full_fallback_file_is_said_on_every_page_and_by_the_api(
    services: Services, moderator: Any, author: Any
) -> None:
    page = (await author.get("/")).text
    assert "data-audit-trouble" not in page
    made = event("thing.do", services.clock(), details={WITHOUT_STORE: "x"})
    services.spool._lose(made, "SpoolFull")
    for path in ("/", "/pulse"):
        text = (await author.get(path, headers={"hx-request": "true"} if path == "/pulse" else {})).text
        assert "1 audit event is lost" in text
    await services.spool.write(made)
    assert 'data-audit-trouble="fallback"' in (await moderator.get("/")).text
    assert 'data-audit-trouble="fallback"' not in (await author.get("/")).text
    await services.spool.flush(services.audit, services.clock())
    assert "data-audit-trouble" not in (await moderator.get("/")).text
