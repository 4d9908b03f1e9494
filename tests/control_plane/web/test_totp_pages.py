"""Codes at the console: set up with an image, asked for at the login, required by a workspace."""

import re
from typing import Any

import msgspec
import pyotp
import pytest

from control_plane.documents.change import change
from control_plane.services import Services
from control_plane.workspaces.model import WORKSPACES

EMAIL, PASSWORD = "author@house.example", "three unrelated words"


def code_of(secret: str, clock: Any) -> str:
    return pyotp.TOTP(secret).generate_otp(int(clock().timestamp()) // 30)


async def set_up(browser: Any, clock: Any) -> tuple[str, list[str]]:
    """The secret and the recovery codes."""
    page = (await browser.get("/account/totp")).text
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert found
    secret = found[1].replace(" ", "")
    answer = await browser.submit("/account/totp", code=code_of(secret, clock), password=PASSWORD)
    assert answer.status_code == 200
    clock.move(30)
    return secret, re.findall(r"\b[a-z2-9]{5}-[a-z2-9]{5}-[a-z2-9]{5}\b", answer.text)


async def test_codes_are_set_up_asked_for_and_turned_off(author: Any, visitor: Any, clock: Any) -> None:
    image = await author.get("/account/totp/image")
    assert image.headers["content-type"].startswith("image/svg+xml")
    assert "script-src 'self'" in image.headers["content-security-policy"]
    secret, recovery = await set_up(author, clock)
    assert len(recovery) == 10
    assert (await author.get("/account/totp/image")).status_code == 409  # it is shown no more
    answer = await visitor.submit("/login", email=EMAIL, password=PASSWORD, next="/account")
    assert answer.headers["location"] == "/login/code?next=%2Faccount"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "heliograph_session" not in cookie
    assert (await visitor.get("/campaigns")).status_code == 303
    assert (await visitor.get("/login/code")).status_code == 200
    assert (await visitor.submit("/login/code", code="000000", next="/account")).status_code == 401
    answer = await visitor.submit("/login/code", code=code_of(secret, clock), next="/account")
    assert answer.headers["location"] == "/account"
    assert "Recovery codes left: 10" in (await visitor.get("/account")).text
    for password, code, field in (("x", recovery[0], "password"), (PASSWORD, "000000", "code")):
        answer = await visitor.submit("/account/totp/disable", password=password, code=code)
        assert (answer.status_code, f'id="{field}-error"' in answer.text) == (422, True)
    clock.move(60)  # three failures from this address
    answer = await visitor.submit("/account/totp/disable", password=PASSWORD, code=recovery[0])
    assert answer.headers["location"] == "/account?done=totp-off"


async def test_without_a_first_step_there_is_no_second(visitor: Any, house: Any) -> None:
    assert (await visitor.get("/login/code")).headers["location"].startswith("/login")
    for token in ("", "x"):
        visitor.cookies.set("heliograph_login", token)
        answer = await visitor.submit("/login/code", code="000000")
        assert answer.headers["location"] == "/login?done=login-again"
        assert "heliograph_session" not in answer.headers.get("set-cookie", "")


async def test_setting_up_ends_the_sessions_that_gave_no_code(author: Any, visitor: Any, clock: Any) -> None:
    assert (await visitor.submit("/login", email=EMAIL, password=PASSWORD)).status_code == 303
    assert (await visitor.get("/campaigns")).status_code == 200
    await set_up(author, clock)
    assert (await visitor.get("/campaigns")).status_code == 303
    assert (await author.get("/campaigns")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/campaigns", "/account", "/pulse"])
async def test_a_workspace_can_ask_for_codes(
    services: Services, author: Any, clock: Any, house: Any, path: str
) -> None:
    await change(
        services.store,
        WORKSPACES,
        house.workspace.id,
        lambda found: msgspec.structs.replace(found, require_totp=True),
    )
    assert (await author.get(path)).headers["location"] == "/account/totp"
    answer = await author.get(path, headers={"accept": "application/json"})
    assert answer.status_code == 403
    assert "Your workspace asks for it" in (await author.get("/account/totp")).text
    assert (await author.submit("/campaigns", name="x")).headers["location"] == "/account/totp"
    await set_up(author, clock)
    assert (await author.get("/campaigns")).status_code == 200


async def test_stopping_does_not_wait_for_a_code_to_be_set_up(
    services: Services, moderator: Any, house: Any
) -> None:
    await change(
        services.store,
        WORKSPACES,
        house.workspace.id,
        lambda found: msgspec.structs.replace(found, require_totp=True),
    )
    assert (await moderator.get("/moderation")).headers["location"] == "/account/totp"
    assert (await moderator.get("/stop")).status_code == 200
    stopped = await moderator.submit("/stop", scope="workspace", reason="wrong text")
    assert stopped.headers["location"] == "/stop?done=stopped"


async def test_guesses_lock(author: Any, clock: Any) -> None:
    await author.get("/account/totp")
    statuses = [
        (await author.submit("/account/totp", code="000", password=PASSWORD)).status_code for _ in range(4)
    ]
    assert statuses == [422, 422, 422, 429]
