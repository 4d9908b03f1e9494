"""People of the installation: who manages them, what counts with the next request, and who always stays."""

from typing import Any

import msgspec
import pytest

from control_plane.access import MASTER_ID, Membership, Role
from control_plane.audit.outbox import AUDIT
from control_plane.documents.change import change
from control_plane.identity.model import USERS
from control_plane.services import Services

JSON = {"accept": "application/json"}


def path_of(member: Any, what: str = "") -> str:
    return f"/users/{member.actor.user_id}{what}"


async def events_of(services: Services, member: Any, action: str) -> list[Any]:
    await services.audit.sweep()
    found = await services.store.find(AUDIT, {"target_id": member.actor.user_id}, limit=50)
    return [one for one in found.records if one.action == action]


async def super_admin_id(services: Services) -> str:
    (user,) = (await services.store.find(USERS, {"super_admin": True})).records
    return str(user.id)


async def test_people_are_found_by_name_and_address(root: Any, house: Any) -> None:
    assert "author@house.example" in (await root.get("/users")).text
    for text, count in (("STRANG", 1), ("house.example", 5), ("nobody at all", 0)):
        told = (await root.get("/users", params={"q": text}, headers=JSON)).json()
        assert told["total"] == len(told["users"]) == count, text
    assert "Nobody is called that" in (await root.get("/users?q=zzz")).text
    assert (await root.get("/users/x")).status_code == 404


async def test_only_admins_of_the_installation_manage_people(
    admin: Any, moderator: Any, author: Any, house: Any, browser_of: Any
) -> None:
    for browser in (admin, moderator, author, await browser_of(Role.MODERATOR, MASTER_ID)):
        assert (await browser.get("/users")).status_code == 403
        assert (await browser.submit(path_of(house.author, "/disable"))).status_code == 403
    assert (await (await browser_of(Role.ADMIN, MASTER_ID)).get("/users")).status_code == 200


async def test_who_is_disabled_is_turned_away_with_the_next_request(
    services: Services, root: Any, author: Any, house: Any
) -> None:
    assert (await author.get("/campaigns")).status_code == 200
    answer = await root.submit(path_of(house.author, "/disable"))
    assert answer.headers["location"].endswith("?done=user-changed")
    assert (await author.get("/campaigns")).headers["location"].startswith("/login")
    login = {"email": "author@house.example", "password": "three unrelated words"}
    assert (await author.submit("/login", **login)).status_code == 401
    (event,) = await events_of(services, house.author, "user.disable")
    assert event.changes == {"disabled": ("False", "True")}
    await root.submit(path_of(house.author, "/enable"))
    assert (await author.submit("/login", **login)).status_code == 303


async def test_the_last_super_admin_stays_and_nobody_ends_themselves(
    services: Services, root: Any, house: Any
) -> None:
    me = f"/users/{await super_admin_id(services)}"
    for what, form in (("/disable", {}), ("/super-admin", {"on": "0"}), ("/password", {})):
        assert (await root.submit(me + what, **form)).status_code in (403, 409), what
    user = (await services.store.find(USERS, {"super_admin": True})).records[0]
    assert (user.super_admin, user.disabled) == (True, False)


async def test_a_super_admin_makes_another_one(services: Services, root: Any, admin: Any, house: Any) -> None:
    await root.submit(path_of(house.admin, "/super-admin"), on="1")
    assert (await admin.get("/users")).status_code == 200
    (event,) = await events_of(services, house.admin, "user.super-admin")
    assert event.changes == {"super_admin": ("False", "True")}
    root_path = f"/users/{await self_id(services, house)}"
    assert (await admin.submit(f"{root_path}/super-admin", on="0")).status_code == 303
    assert (await root.get("/users")).status_code == 403
    assert (await root.submit(path_of(house.admin, "/super-admin"), on="0")).status_code == 403


async def self_id(services: Services, house: Any) -> str:
    """Of the first Super Admin."""
    found = (await services.store.find(USERS, {"super_admin": True})).records
    return next(str(one.id) for one in found if one.id != house.admin.actor.user_id)


async def test_an_admin_of_the_master_workspace_does_not_reach_super_admins(
    services: Services, browser_of: Any, house: Any
) -> None:
    browser = await browser_of(Role.ADMIN, MASTER_ID)
    root_path, author = f"/users/{await super_admin_id(services)}", path_of(house.author)
    for path, form in (
        (f"{root_path}/disable", {}),
        (f"{root_path}/password", {}),
        (f"{root_path}/membership", {"workspace": str(house.workspace.id), "role": "author"}),
        (f"{author}/super-admin", {"on": "1"}),
        (f"{author}/membership", {"workspace": str(MASTER_ID), "role": "admin"}),
    ):
        assert (await browser.submit(path, **form)).status_code == 403, path
    assert (await browser.submit(f"{author}/disable")).status_code == 303


async def test_roles_are_given_and_taken_in_any_workspace(services: Services, root: Any, house: Any) -> None:
    foreign = str(house.stranger.workspace_id)
    await root.submit(path_of(house.author, "/membership"), workspace=foreign, role="analyst")
    user = await services.store.get(USERS, house.author.actor.user_id)
    assert user.memberships[house.stranger.workspace_id] == Membership(role=Role.ANALYST)
    await root.submit(path_of(house.author, "/membership"), workspace=foreign, role="")
    user = await services.store.get(USERS, house.author.actor.user_id)
    assert set(user.memberships) == {house.workspace.id}
    (admitted,) = await events_of(services, house.author, "member.admit")
    assert (admitted.changes, admitted.workspace_id) == (
        {"role": ("", "analyst")},
        house.stranger.workspace_id,
    )
    last = await root.submit(path_of(house.stranger, "/membership"), workspace=foreign, role="")
    assert (last.status_code, "last admin" in last.text) == (409, True)
    for form in ({"workspace": foreign, "role": "root"}, {"workspace": "x", "role": "author"}):
        answer = await root.submit(path_of(house.author, "/membership"), **form)
        assert answer.status_code in (404, 422)


async def test_a_one_time_password_is_shown_once_and_ends_sessions(
    services: Services, root: Any, author: Any, house: Any
) -> None:
    answer = await root.post(path_of(house.author, "/password"), headers=JSON)
    password = answer.json()["password"]
    assert (await author.get("/campaigns")).status_code == 303
    login = await author.submit("/login", email="author@house.example", password=password)
    assert login.headers["location"] == "/password"
    event = (await events_of(services, house.author, "password.issued"))[-1]
    assert password not in repr(event)
    assert any(one.actor == "admin@heliograph.example" for one in await events_of(
        services, house.author, "password.issued"
    ))  # fmt: skip
    assert password not in (await root.get(path_of(house.author))).text


@pytest.mark.parametrize("on", [True, False])
async def test_codes_of_a_lost_phone_are_turned_off(
    services: Services, root: Any, house: Any, on: bool
) -> None:
    if on:
        await change(
            services.store,
            USERS,
            house.author.actor.user_id,
            lambda found: msgspec.structs.replace(found, sealed_totp="x", recovery_hashes=("y",)),
        )
    answer = await root.submit(path_of(house.author, "/totp/reset"))
    assert answer.status_code == (303 if on else 409)
    assert not (await services.store.get(USERS, house.author.actor.user_id)).has_totp
    assert len(await events_of(services, house.author, "totp.reset")) == on
