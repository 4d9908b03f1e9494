"""Invitations and requests as people meet them: the form, the link, the pages behind it."""

import re
from typing import Any

from control_plane.access import Role
from control_plane.identity.model import USERS
from control_plane.services import Services

EVE, PASSWORD = "eve@new.example", "three unrelated words"
JSON = {"accept": "application/json"}


async def invite(admin: Any, email: str = EVE) -> str:
    """The path of the link that the page shows."""
    answer = await admin.submit("/members/invitations", email=email, role="author", is_moderator="1")
    assert answer.status_code == 200
    found = re.search(r"http://127\.0\.0\.1:\d+(/join\?token=[\w-]+)", answer.text)
    assert found
    return found[1]


def token_of(link: str) -> str:
    return link.partition("token=")[2]


async def test_an_admin_invites_and_a_colleague_joins(services: Services, admin: Any, visitor: Any) -> None:
    assert "/members/joining" in (await admin.get("/members")).text
    link = await invite(admin)
    page = (await admin.get("/members/joining")).text
    assert EVE in page
    assert link not in page  # it was shown once
    shown = await visitor.get(link)
    assert (shown.status_code, "Demo" in shown.text, EVE in shown.text) == (200, True, True)
    wrong = await visitor.submit("/join", token=token_of(link), name="Eve", password="short")
    assert (wrong.status_code, 'id="password-error"' in wrong.text) == (422, True)
    answer = await visitor.submit("/join", token=token_of(link), name="Eve", password=PASSWORD)
    assert answer.headers["location"] == "/?done=joined"
    assert (await visitor.get("/campaigns")).status_code == 200
    assert (await visitor.get("/moderation")).status_code == 200  # the flag came with it
    assert (await visitor.get("/members/joining")).status_code == 403
    (user,) = (await services.store.find(USERS, {"email": EVE})).records
    assert [one.role for one in user.memberships.values()] == [Role.AUTHOR]
    again = await visitor.submit("/join", token=token_of(link), name="Eve", password=PASSWORD)
    assert again.status_code == 410


async def test_links_that_are_over_say_so(admin: Any, visitor: Any) -> None:
    link = await invite(admin)
    (row,) = (await admin.get("/members/joining", headers=JSON)).json()["invitations"]
    answer = await admin.submit(f"/members/invitations/{row['id']}/revoke")
    assert answer.headers["location"] == "/members/joining?done=invitation-revoked"
    for path in (link, "/join", "/join?token=x"):
        assert (await visitor.get(path)).status_code == 410
    assert (
        await visitor.submit("/join", token=token_of(link), name="E", password=PASSWORD)
    ).status_code == 410
    assert (await admin.submit(f"/members/invitations/{row['id']}/send")).status_code == 409


async def test_the_links_host_is_the_settings_and_not_the_requests(admin: Any) -> None:
    answer = await admin.post(
        "/members/invitations",
        data={"email": EVE, "role": "author"},
        headers={"host": "evil.example", **JSON},
    )
    assert answer.status_code == 201
    assert "evil.example" not in answer.json()["link"]


async def test_who_has_an_account_logs_in_first(services: Services, admin: Any, visitor: Any) -> None:
    link = await invite(admin, "stranger@house.example")
    assert f"/login?next=/join%3Ftoken%3D{token_of(link)}" in (await visitor.get(link)).text
    assert (
        await visitor.submit("/join", token=token_of(link), name="Thief", password=PASSWORD)
    ).status_code == 409
    one_time = await services.identity.issue_password("stranger@house.example")
    await visitor.submit("/login", email="stranger@house.example", password=one_time)
    assert (await visitor.submit("/join", token=token_of(link))).status_code == 409  # own password first
    await visitor.submit("/password", new=PASSWORD, again=PASSWORD)
    assert (await visitor.submit("/join", token=token_of(link))).headers["location"] == "/?done=joined"


async def test_an_invitation_of_somebody_else_is_not_taken(admin: Any, moderator: Any) -> None:
    link = await invite(admin)
    assert "somebody else" in (await moderator.get(link)).text
    assert (await moderator.submit("/join", token=token_of(link))).status_code == 410


async def test_a_form_that_is_wrong_is_shown_again(admin: Any) -> None:
    for email, role in (("eve", "author"), (EVE, "root")):
        answer = await admin.submit("/members/invitations", email=email, role=role)
        assert answer.status_code == 422
        assert email in answer.text


async def test_a_request_to_join_is_accepted(services: Services, admin: Any, house: Any) -> None:
    await services.join_requests.ask(house.stranger.actor, "Demo", "Hello")
    assert "1 asks to join" in (await admin.get("/members")).text
    page = (await admin.get("/members/joining")).text
    path = re.search(r"/members/requests/[\w-]+/accept", page)
    assert path
    answer = await admin.submit(path[0], role="analyst")
    assert answer.headers["location"] == "/members/joining?done=request-accepted"
    assert (await admin.submit(path[0], role="analyst")).status_code == 409
    user = await services.store.get(USERS, house.stranger.actor.user_id)
    assert user.memberships[house.workspace.id].role is Role.ANALYST


async def test_asking_says_the_same_whatever_exists(author: Any) -> None:
    for name in ("Elsewhere", "Nowhere"):
        answer = await author.submit("/account/requests", workspace=name)
        assert answer.headers["location"] == "/account?done=request-asked"


async def test_without_a_mail_server_a_forgotten_password_is_the_administrators(visitor: Any) -> None:
    assert "/reset" in (await visitor.get("/login")).text
    page = await visitor.get("/reset")
    assert "one-time password" in page.text
    assert (await visitor.submit("/reset", email="author@house.example")).status_code == 200
    assert (await visitor.get("/reset/password?token=x")).status_code == 410
    answer = await visitor.submit("/reset/password", token="x", new=PASSWORD, again=PASSWORD)
    assert answer.status_code == 410
