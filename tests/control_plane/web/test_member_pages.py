"""Members: who is seen by whom, what an admin changes, and that it counts from the next request on."""

from typing import Any

import pytest

from control_plane.access import Membership, Role
from control_plane.audit.outbox import AUDIT
from control_plane.identity.model import USERS
from control_plane.services import Services

JSON = {"accept": "application/json"}


def member_path(member: Any) -> str:
    return f"/members/{member.actor.user_id}"


async def membership_of(services: Services, member: Any) -> Membership | None:
    user = await services.store.get(USERS, member.actor.user_id)
    return user.memberships.get(member.workspace_id)


async def test_admins_and_moderators_see_the_members_and_nobody_of_elsewhere(
    admin: Any, moderator: Any, author: Any
) -> None:
    for browser in (admin, moderator):
        page = await browser.get("/members")
        assert page.status_code == 200
        assert "author@house.example" in page.text
        assert "stranger@house.example" not in page.text
    assert (await author.get("/members")).status_code == 403
    told = (await admin.get("/members", headers=JSON)).json()
    assert {one["role"] for one in told["members"]} >= {"Admin", "Author", "Moderator"}
    assert told["total"] == len(told["members"])


async def test_an_admin_changes_role_and_flags_and_the_audit_says_so(
    services: Services, admin: Any, house: Any
) -> None:
    path = member_path(house.author)
    answer = await admin.submit(path, role="author", is_moderator="1", sees_numbers="1")
    assert answer.headers["location"] == f"{path}?done=member-changed"
    assert await membership_of(services, house.author) == Membership(
        role=Role.AUTHOR, is_moderator=True, sees_numbers=True
    )
    page = (await admin.get("/members")).text
    assert "moderates, sees full numbers" in page
    await services.audit.sweep()
    found = await services.store.find(AUDIT, {"target_id": house.author.actor.user_id}, limit=10)
    (event,) = [one for one in found.records if one.workspace_id == house.workspace.id]
    assert event.actor == "admin@house.example"
    assert event.changes


async def test_the_flag_of_a_moderator_is_kept_for_authors_only(
    services: Services, admin: Any, house: Any
) -> None:
    await admin.submit(member_path(house.moderator), role="analyst", is_moderator="1")
    assert await membership_of(services, house.moderator) == Membership(role=Role.ANALYST)


async def test_a_revoked_role_ends_with_the_next_request(admin: Any, moderator: Any, house: Any) -> None:
    pending = await house.pending()
    assert (await moderator.get(f"/moderation/{pending.id}")).status_code == 200
    await admin.submit(member_path(house.moderator), role="analyst")
    answer = await moderator.submit(f"/moderation/{pending.id}/approve", version=str(pending.revision))
    assert answer.status_code == 403
    assert (await house.services.campaigns.get(house.admin, pending.id)).state == "Pending"


async def test_who_is_removed_is_turned_away_with_the_next_request(
    services: Services, admin: Any, author: Any, house: Any
) -> None:
    draft = await house.draft()
    assert (await author.get(f"/campaigns/{draft.id}")).status_code == 200
    answer = await admin.submit(f"{member_path(house.author)}/remove")
    assert answer.headers["location"] == "/members?done=member-removed"
    assert await membership_of(services, house.author) is None
    assert (await author.get(f"/campaigns/{draft.id}")).status_code != 200
    assert (await author.submit("/campaigns", name="x")).status_code in (303, 403)
    assert (await admin.get(member_path(house.author))).status_code == 404


async def test_nobody_changes_their_own_role_nor_removes_themselves(
    services: Services, admin: Any, house: Any
) -> None:
    await house.person("Another", house.workspace.id, Role.ADMIN)
    path = member_path(house.admin)
    assert "Nobody changes their own role" in (await admin.get(path)).text
    assert (await admin.submit(path, role="author")).status_code == 403
    assert (await admin.submit(f"{path}/remove")).status_code == 403
    assert await membership_of(services, house.admin) == Membership(role=Role.ADMIN)


async def test_the_last_admin_stays(services: Services, root: Any, house: Any) -> None:
    await root.submit("/workspace", workspace=str(house.workspace.id))
    path = member_path(house.admin)
    for answer in (await root.submit(path, role="author"), await root.submit(f"{path}/remove")):
        assert answer.status_code == 409
        assert "last admin" in answer.text
    assert await membership_of(services, house.admin) == Membership(role=Role.ADMIN)
    await house.person("Another", house.workspace.id, Role.ADMIN)
    assert (await root.submit(path, role="author")).status_code == 303


@pytest.mark.parametrize("role", ["", "root", "Admin"])
async def test_a_role_that_is_none_is_not_taken(
    services: Services, admin: Any, house: Any, role: str
) -> None:
    assert (await admin.submit(member_path(house.author), role=role)).status_code == 422
    assert await membership_of(services, house.author) == Membership(role=Role.AUTHOR)


async def test_moderators_look_and_change_nobody(services: Services, moderator: Any, house: Any) -> None:
    path = member_path(house.author)
    page = (await moderator.get(path)).text
    assert "Remove" not in page.split("<main")[1]
    assert (await moderator.submit(path, role="admin")).status_code == 403
    assert (await moderator.submit(f"{path}/remove")).status_code == 403
    assert await membership_of(services, house.author) == Membership(role=Role.AUTHOR)


async def test_people_of_other_workspaces_are_not_there(admin: Any, house: Any) -> None:
    path = member_path(house.stranger)
    for answer in (
        await admin.get(path),
        await admin.submit(path, role="author"),
        await admin.submit(f"{path}/remove"),
        await admin.get("/members/x"),
    ):
        assert answer.status_code == 404
