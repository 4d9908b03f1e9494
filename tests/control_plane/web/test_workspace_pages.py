"""Pages of workspaces: the installation's list, one's settings, the switch, and audited looks."""

from typing import Any

import pytest

from control_plane.access import MASTER_ID, Membership, Role
from control_plane.audit.outbox import AUDIT, Event
from control_plane.documents.change import change
from control_plane.identity.model import USERS, User
from control_plane.services import Services
from control_plane.web.session import WORKSPACE_COOKIE

JSON = {"accept": "application/json"}


async def events(services: Services, *actions: str) -> list[Event]:
    await services.audit.sweep()
    found = await services.store.find(AUDIT, {}, limit=500)
    return [event for event in found.records if event.action in actions]


async def open_in(browser: Any, workspace_id: Any) -> Any:
    return await browser.submit("/workspace", workspace=str(workspace_id))


@pytest.fixture
async def master(browser_of: Any) -> Any:
    """An admin of the Master workspace, who is no Super Admin."""
    return await browser_of(Role.ADMIN, MASTER_ID)


async def test_who_runs_the_installation_creates_renames_suspends_and_resumes(master: Any, root: Any) -> None:
    for browser, name in ((master, "North"), (root, "South")):
        answer = await browser.submit(
            "/workspaces", name=name, time_zone="Europe/Berlin", default_country="DE"
        )
        path, _, done = answer.headers["location"].partition("?")
        assert done == "done=workspace-created"
        assert "Active" in (await browser.get(path)).text
        await browser.submit(f"{path}/rename", name=f"{name} Sea")
        answer = await browser.submit(f"{path}/suspend", why="unpaid")
        assert answer.headers["location"].endswith("?done=workspace-suspend")
        page = (await browser.get(path)).text
        assert f"{name} Sea" in page
        assert "unpaid" in page
        assert "Suspended" in (await browser.get("/workspaces")).text
        await browser.submit(f"{path}/resume")
        assert "unpaid" not in (await browser.get(path)).text


async def test_a_wrong_form_comes_back_with_its_words(master: Any, house: Any) -> None:
    answer = await master.submit("/workspaces", name="Demo", time_zone="Nowhere/Land")
    assert answer.status_code == 422
    assert "no IANA time zone" in answer.text
    assert 'value="Demo"' in answer.text
    answer = await master.submit(f"/workspaces/{house.workspace.id}/suspend", why="")
    assert answer.status_code == 422
    assert "Say why" in answer.text
    assert (await master.submit("/workspaces/x/rename", name="y")).status_code == 404
    answer = await master.post("/workspaces", json={"name": ""}, headers=JSON)
    assert answer.json()["type"].endswith(":invalid")


async def test_a_master_admin_manages_a_tenant_without_seeing_into_it(master: Any, house: Any) -> None:
    draft = await house.draft()
    page = (await master.get("/workspaces")).text
    assert "Demo" in page
    assert f'value="{house.workspace.id}"' not in page  # nothing to open it with
    assert (await open_in(master, house.workspace.id)).status_code == 404
    assert (await master.get(f"/campaigns/{draft.id}")).status_code == 404


async def test_settings_are_changed_by_the_admin_and_audited(
    services: Services, admin: Any, house: Any
) -> None:
    page = (await admin.get("/settings")).text
    assert "Who decides what" in page
    answer = await admin.submit("/settings", time_zone="Asia/Kolkata", retention_days="365", own_approval="1")
    assert answer.headers["location"] == "/settings?done=settings-saved"
    told = (await admin.get("/settings", headers=JSON)).json()
    assert (told["time_zone"], told["retention_days"], told["own_approval"]) == ("Asia/Kolkata", 365, True)
    (event,) = await events(services, "workspace.settings")
    assert event.changes["own_approval"] == ("False", "True")
    wrong = await admin.submit("/settings", name="Demo", quiet_begin="99:99", quiet_end="07:00")
    assert wrong.status_code == 422
    assert "A time of day" in wrong.text


async def test_a_suspended_workspace_says_so_on_every_page_and_takes_nothing(
    services: Services, root: Any, author: Any, admin: Any, moderator: Any, house: Any
) -> None:
    pending = await house.pending()
    await root.submit(f"/workspaces/{house.workspace.id}/suspend", why="unpaid since May")
    for browser in (author, admin, moderator):
        for path in ("/", "/campaigns", f"/campaigns/{pending.id}"):
            page = await browser.get(path)
            assert page.status_code == 200, path
            assert "unpaid since May" in page.text
    assert "New campaign" not in (await author.get("/campaigns")).text
    for refused in (
        await author.submit("/campaigns", name="x"),
        await moderator.submit(f"/moderation/{pending.id}/approve", version=str(pending.revision)),
        await author.submit(f"/campaigns/{pending.id}/withdraw"),
        await admin.submit("/settings", name="y"),
        await author.get("/campaigns/new"),
    ):
        assert refused.status_code == 403
        assert "suspended" in refused.text
    answer = await author.post("/campaigns", json={"name": "x"}, headers=JSON)
    assert answer.json()["type"] == "urn:heliograph:problem:workspace-suspended"
    await root.submit(f"/workspaces/{house.workspace.id}/resume")
    assert (await author.submit("/campaigns", name="x", sender="Heliograph")).status_code == 303


async def test_a_stop_is_still_possible_while_suspended_and_not_its_lifting(
    root: Any, moderator: Any, house: Any
) -> None:
    await moderator.submit("/stop", scope="workspace")
    await root.submit(f"/workspaces/{house.workspace.id}/suspend", why="unpaid")
    (stop,) = (await moderator.get("/stop", headers=JSON)).json()["stops"]
    assert (await moderator.submit(f"/stop/{stop['stop_id']}/lift")).status_code == 403
    assert (await moderator.submit("/stop", scope="workspace")).status_code == 303


async def test_the_master_workspace_refuses_with_a_clear_word(master: Any) -> None:
    assert "New campaign" not in (await master.get("/")).text
    for answer in (await master.submit("/campaigns", name="x"), await master.get("/campaigns/new")):
        assert answer.status_code == 403
        assert "The Master workspace sends nothing" in answer.text
    rail = (await master.get("/")).text.split('id="rail"')[1].split("</nav>")[0]
    assert 'href="/campaigns"' not in rail


async def test_people_of_several_workspaces_switch_between_them(
    services: Services, author: Any, house: Any
) -> None:
    other = house.stranger.workspace_id

    def joined(found: User) -> User:
        import msgspec

        memberships = {**found.memberships, other: Membership(role=Role.ANALYST)}
        return msgspec.structs.replace(found, memberships=memberships)

    await change(services.store, USERS, house.author.actor.user_id, joined)
    page = (await author.get("/")).text
    assert 'name="workspace"' in page
    draft = await house.draft()
    assert (await open_in(author, other)).headers["location"] == "/"
    assert (await author.get(f"/campaigns/{draft.id}")).status_code == 404
    assert (await author.submit("/campaigns", name="x")).status_code == 403
    await open_in(author, house.workspace.id)
    assert (await author.get(f"/campaigns/{draft.id}")).status_code == 200


async def test_a_cookie_of_a_foreign_workspace_opens_nothing(author: Any, house: Any) -> None:
    author.cookies.set(WORKSPACE_COOKIE, str(house.stranger.workspace_id))
    assert "Demo" in (await author.get("/")).text
    assert (await open_in(author, house.stranger.workspace_id)).status_code == 404


async def test_each_look_of_a_super_admin_is_in_the_tenants_audit(
    services: Services, root: Any, author: Any, house: Any, clock: Any
) -> None:
    draft = await house.draft()
    await open_in(root, house.workspace.id)
    for path in ("/campaigns", f"/campaigns/{draft.id}", f"/campaigns/{draft.id}", "/members"):
        assert (await root.get(path)).status_code == 200, path
    await author.get("/campaigns")
    (opened,) = await events(services, "workspace.opened")
    assert (opened.workspace_id, opened.role, opened.actor) == (
        house.workspace.id, "super admin", "admin@heliograph.example",
    )  # fmt: skip
    looks = await events(services, "workspace.viewed")
    assert {look.workspace_id for look in looks} == {house.workspace.id}
    assert sorted(look.details["page"] for look in looks) == sorted(
        ["/campaigns", f"/campaigns/{draft.id}", "/members"]
    )
    assert {look.actor for look in looks} == {"admin@heliograph.example"}
    clock.move(301)
    await root.get("/campaigns")
    assert len(await events(services, "workspace.viewed")) == len(looks) + 1


async def test_a_look_that_cannot_be_audited_is_not_taken(
    services: Services, root: Any, house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from control_plane.errors import StoreUnavailable

    draft = await house.draft()
    await open_in(root, house.workspace.id)

    async def away(*_arguments: Any) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(services.audit, "record", away)
    answer = await root.get(f"/campaigns/{draft.id}")
    assert answer.status_code == 503
    assert "Spring" not in answer.text


async def test_a_super_admin_leaves_a_workspace(root: Any, house: Any) -> None:
    await open_in(root, house.workspace.id)
    assert 'Leave<span class="visually-hidden"> Demo</span>' in (await root.get("/")).text
    assert (await root.submit("/workspace")).headers["location"] == "/"
    assert (await root.get("/campaigns")).headers["location"] == "/"
