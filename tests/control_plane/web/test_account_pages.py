"""The account: its sessions listed and ended, and the cookie of a session whose rights changed."""

from typing import Any

from control_plane.access import Membership, Role
from control_plane.services import Services

EMAIL, PASSWORD, COOKIE = "author@house.example", "three unrelated words", "heliograph_session"
JSON = {"accept": "application/json"}


async def log_in_again(visitor: Any) -> None:
    answer = await visitor.submit("/login", email=EMAIL, password=PASSWORD)
    assert answer.headers["location"] == "/"


async def sessions_of(browser: Any) -> list[dict[str, Any]]:
    answer = await browser.get("/account", headers=JSON)
    found: list[dict[str, Any]] = answer.json()["sessions"]
    return found


async def test_a_session_that_is_ended_is_turned_away_with_its_next_request(
    author: Any, visitor: Any
) -> None:
    await log_in_again(visitor)
    assert (await visitor.get("/campaigns")).status_code == 200
    (other,) = [one for one in await sessions_of(author) if not one["this"]]
    page = (await author.get("/account")).text
    assert "192.0.2.1" in page
    assert f"/account/sessions/{other['id']}/revoke" in page
    answer = await author.submit(f"/account/sessions/{other['id']}/revoke")
    assert answer.headers["location"] == "/account?done=session-revoked"
    assert (await visitor.get("/campaigns")).headers["location"].startswith("/login")
    assert (await author.get("/campaigns")).status_code == 200


async def test_all_others_are_ended_at_once(author: Any, visitor: Any) -> None:
    await log_in_again(visitor)
    await author.submit("/account/sessions/others/revoke")
    assert [one["this"] for one in await sessions_of(author)] == [True]
    assert (await visitor.get("/campaigns")).status_code == 303
    assert "End all others" not in (await author.get("/account")).text


async def test_a_new_password_ends_all_others(author: Any, visitor: Any) -> None:
    await log_in_again(visitor)
    new = "four quite unrelated words"
    answer = await author.submit("/password", current=PASSWORD, new=new, again=new)
    assert answer.headers["location"] == "/?done=password"
    assert (await visitor.get("/campaigns")).status_code == 303
    assert len(await sessions_of(author)) == 1


async def test_sessions_of_others_are_not_there(author: Any, admin: Any) -> None:
    (theirs,) = await sessions_of(admin)
    for wanted in (theirs["id"], "x"):
        assert (await author.submit(f"/account/sessions/{wanted}/revoke")).status_code == 404
    assert (await admin.get("/members")).status_code == 200


async def test_another_role_brings_the_browser_another_cookie(
    services: Services, author: Any, house: Any
) -> None:
    before = author.cookies[COOKIE]
    await services.people.change(house.admin, house.author.actor.user_id, Membership(role=Role.ANALYST))
    answer = await author.get("/account")
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert author.cookies[COOKIE] != before
    assert "set-cookie" not in (await author.get("/account")).headers
    assert (await author.submit("/logout")).headers["location"] == "/login?done=logged-out"
    assert COOKIE not in author.cookies
