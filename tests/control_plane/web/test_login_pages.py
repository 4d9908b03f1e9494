"""Logging in, the first password, and what stands without a session."""

from typing import Any

import httpx
import msgspec
import pytest

from control_plane.identity.model import USERS
from control_plane.services import Services
from control_plane.web.forms import local_path

EMAIL = "author@house.example"


async def test_without_a_session_every_page_leads_to_the_login_and_back(visitor: Any) -> None:
    answer = await visitor.get("/campaigns?state=New")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fcampaigns%3Fstate%3DNew")


async def test_a_program_without_a_session_gets_a_problem(visitor: Any) -> None:
    answer = await visitor.get("/campaigns", headers={"accept": "application/json"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:heliograph:problem:unauthenticated"


async def test_a_one_time_password_opens_nothing_but_the_choice_of_ones_own(
    services: Services, house: Any, visitor: Any
) -> None:
    one_time = await services.identity.issue_password(EMAIL)
    answer = await visitor.submit("/login", email=EMAIL, password=one_time)
    assert answer.headers["location"] == "/password"
    assert (await visitor.get("/campaigns")).headers["location"] == "/password"
    short = await visitor.submit("/password", new="short", again="short")
    assert short.status_code == 422
    assert 'aria-invalid="true"' in short.text
    differ = await visitor.submit("/password", new="three unrelated words", again="four unrelated words")
    assert (differ.status_code, "not the same" in differ.text) == (422, True)
    answer = await visitor.submit("/password", new="three unrelated words", again="three unrelated words")
    assert answer.headers["location"] == "/?done=password"
    assert (await visitor.get("/campaigns")).status_code == 200


async def test_three_wrong_passwords_lock_for_a_minute(house: Any, visitor: Any) -> None:
    answers = [await visitor.submit("/login", email=EMAIL, password="wrong") for _ in range(4)]
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


async def test_the_session_cookie_is_out_of_reach_for_scripts(
    services: Services, house: Any, visitor: Any
) -> None:
    one_time = await services.identity.issue_password(EMAIL)
    answer = await visitor.submit("/login", email=EMAIL, password=one_time)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


async def test_logging_out_ends_the_session_on_the_server(author: Any) -> None:
    token = author.cookies["heliograph_session"]
    assert (await author.submit("/logout")).headers["location"] == "/login?done=logged-out"
    author.cookies.set("heliograph_session", token)
    assert (await author.get("/campaigns")).status_code == 303


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", ""])
def test_a_login_leads_to_no_other_host(path: str) -> None:
    assert local_path(path) == "/"


def test_a_login_leads_back_to_where_one_wanted() -> None:
    assert local_path("/campaigns?state=New") == "/campaigns?state=New"


async def test_the_theme_is_kept_in_a_cookie_and_in_the_page(visitor: Any) -> None:
    answer: httpx.Response = await visitor.submit("/theme", theme="dark", back="/login")
    assert answer.headers["location"] == "/login"
    assert 'data-theme="dark"' in (await visitor.get("/login")).text


async def test_guesses_at_the_present_password_are_told_to_wait_beside_the_field(author: Any) -> None:
    new = "four quite unrelated words"
    for _ in range(3):
        answer = await author.submit("/password", current="wrong", new=new, again=new)
        assert answer.status_code == 422
    answer = await author.submit("/password", current="wrong", new=new, again=new)
    assert answer.status_code == 429
    assert 'id="current-error"' in answer.text
    assert "Try again in" in answer.text


async def test_who_is_in_no_workspace_is_told_so(services: Services, house: Any, author: Any) -> None:
    (user,) = (await services.store.find(USERS, {"email": EMAIL})).records
    await services.store.replace(USERS, msgspec.structs.replace(user, memberships={}), user.version)
    assert (await author.get("/campaigns")).headers["location"] == "/"
    answer = await author.get("/")
    assert answer.status_code == 403
    assert "not a member of any workspace" in answer.text
