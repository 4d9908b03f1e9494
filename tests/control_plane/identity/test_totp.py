"""Codes: a second step that nothing goes around, codes that count once, and a lockout that counts them."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.access import Actor
from control_plane.audit.outbox import AUDIT
from control_plane.errors import Conflict
from control_plane.identity.model import SESSIONS, USERS, CodeNeeded, LockedOut, LoggedIn, Refused
from control_plane.identity.totp import STEP_S, WrongCode, matching_step, qr_image, recovery_hash
from control_plane.services import Services

EMAIL = "author@house.example"


class Phone:
    """An authenticator app with the secret, and the person who holds it."""

    def __init__(self, services: Services, clock: Any, actor: Actor, secret: str, password: str) -> None:
        self.services, self.clock, self.actor, self.password = services, clock, actor, password
        self.totp = pyotp.TOTP(secret)
        self.recovery: list[str] = []

    def code(self, steps: int = 0) -> str:
        return self.totp.generate_otp(int(self.clock().timestamp()) // STEP_S + steps)

    def wrong(self) -> str:
        right = {self.code(steps) for steps in range(-3, 4)}
        return next(text for text in map("{:06d}".format, range(20)) if text not in right)

    async def first_step(self, address: str = "192.0.2.1") -> str:
        outcome = await self.services.identity.login(EMAIL, self.password, address=address, user_agent="test")
        assert isinstance(outcome, CodeNeeded)
        return outcome.token

    async def second_step(
        self, token: str, code: str, address: str = "192.0.2.1"
    ) -> LoggedIn | LockedOut | Refused | None:
        return await self.services.identity.login_code(token, code, address=address, user_agent="test")


@pytest.fixture
async def phone(services: Services, house: Any, clock: Any) -> Phone:
    """Codes are on for the author."""
    password = await services.identity.issue_password(EMAIL)
    offer = await services.totp.offer(house.author.actor)
    found = Phone(services, clock, house.author.actor, offer.secret, password)
    found.recovery = await services.totp.confirm(found.actor, found.code())
    clock.move(STEP_S)  # the code of the confirmation is used up
    return found


async def test_the_password_alone_opens_no_session(services: Services, phone: Phone) -> None:
    step = await phone.first_step()
    assert await services.store.count(SESSIONS, {"user_id": phone.actor.user_id}) == 0
    assert await services.identity.actor(step) is None
    outcome = await phone.second_step(step, phone.code())
    assert isinstance(outcome, LoggedIn)
    assert await services.identity.actor(outcome.token) is not None
    assert await phone.second_step(step, phone.code(1)) is None  # the step is used up


async def test_a_code_counts_once_even_for_fifty_at_once(phone: Phone) -> None:
    steps = [await phone.first_step(f"198.51.100.{n}") for n in range(3)]
    code = phone.code()
    outcomes = await asyncio.gather(
        *(phone.second_step(step, code, f"198.51.100.{n}") for n, step in enumerate(steps))
    )
    assert len([one for one in outcomes if isinstance(one, LoggedIn)]) == 1
    user = await phone.services.store.get(USERS, phone.actor.user_id)
    takes = await asyncio.gather(
        *(phone.services.totp.take(user, phone.code(1)) for _ in range(50)), return_exceptions=True
    )
    assert len([one for one in takes if not isinstance(one, BaseException)]) == 1
    assert all(isinstance(one, WrongCode) for one in takes if isinstance(one, BaseException))


async def test_a_code_before_the_last_one_taken_counts_no_more(phone: Phone) -> None:
    user = await phone.services.store.get(USERS, phone.actor.user_id)
    await phone.services.totp.take(user, phone.code())
    for steps in (-1, 0, 2):
        with pytest.raises(WrongCode):
            await phone.services.totp.take(user, phone.code(steps))
    await phone.services.totp.take(user, phone.code(1))


async def test_each_recovery_code_counts_once(phone: Phone) -> None:
    assert len(set(phone.recovery)) == 10
    step = await phone.first_step()
    assert isinstance(await phone.second_step(step, f" {phone.recovery[0].upper()} "), LoggedIn)
    step = await phone.first_step()
    assert await phone.second_step(step, phone.recovery[0]) == Refused()
    assert await phone.services.totp.recovery_left(phone.actor) == 9


async def test_wrong_codes_lock_and_the_right_password_forgives_none(phone: Phone, clock: Any) -> None:
    outcomes: list[Any] = []
    for n in range(3):
        step = await phone.first_step(f"192.0.2.{n}")
        outcomes.append(await phone.second_step(step, phone.wrong(), f"192.0.2.{n}"))
    assert outcomes == [Refused(), Refused(), LockedOut(60)]
    assert await phone.second_step(step, phone.code(), "192.0.2.9") == LockedOut(60)
    login = phone.services.identity.login
    assert await login(EMAIL, phone.password, address="192.0.2.9", user_agent="") == LockedOut(60)
    clock.move(60)
    assert isinstance(await phone.second_step(await phone.first_step(), phone.code()), LoggedIn)


async def test_the_first_step_ends_with_its_time_or_another_password(phone: Phone, clock: Any) -> None:
    step = await phone.first_step()
    clock.move(300)
    assert await phone.second_step(step, phone.code()) is None
    step = await phone.first_step()
    await phone.services.identity.issue_password(EMAIL)
    assert await phone.second_step(step, phone.code()) is None
    assert await phone.second_step("x", phone.code()) is None


async def test_nothing_secret_is_stored_or_told(services: Services, phone: Phone) -> None:
    user = await services.store.get(USERS, phone.actor.user_id)
    await services.audit.sweep()
    kept = repr((user, (await services.store.find(AUDIT, {}, limit=500)).records))
    assert phone.totp.secret not in kept
    assert not any(code in kept for code in phone.recovery)
    assert "totp.enable" in kept


async def test_codes_are_turned_off_with_a_code_only(services: Services, phone: Phone) -> None:
    with pytest.raises(WrongCode):
        await services.totp.disable(phone.actor, phone.wrong())
    with pytest.raises(Conflict):
        await services.totp.offer(phone.actor)  # which would replace the secret
    await services.totp.disable(phone.actor, phone.recovery[3])
    user = await services.store.get(USERS, phone.actor.user_id)
    assert (user.has_totp, user.recovery_hashes, user.totp_step) == (False, (), 0)
    outcome = await services.identity.login(EMAIL, phone.password, address="192.0.2.1", user_agent="")
    assert isinstance(outcome, LoggedIn)


async def test_what_is_not_confirmed_is_not_asked_for(services: Services, house: Any) -> None:
    password = await services.identity.issue_password(EMAIL)
    offer = await services.totp.offer(house.author.actor)
    assert (await services.totp.offer(house.author.actor)).secret == offer.secret
    with pytest.raises(WrongCode):
        await services.totp.confirm(house.author.actor, "x")
    outcome = await services.identity.login(EMAIL, password, address="192.0.2.1", user_agent="")
    assert isinstance(outcome, LoggedIn)
    with pytest.raises(Conflict):
        await services.totp.confirm(house.moderator.actor, "000000")


@given(st.text(max_size=12) | st.from_regex(r"[0-9]{6}", fullmatch=True))
def test_only_codes_around_now_match(code: str) -> None:
    secret, now = "JBSWY3DPEHPK3PXP" * 2, datetime(2026, 3, 1, tzinfo=UTC)
    present = int(now.timestamp()) // STEP_S
    right = {pyotp.TOTP(secret).generate_otp(present + n): present + n for n in (-1, 0, 1)}
    assert matching_step(secret, code, now, 0) == right.get("".join(code.split()))
    for text, step in right.items():
        assert matching_step(secret, text, now, 0) == step
        assert matching_step(secret, text, now, step) is None


def test_a_recovery_code_is_read_as_people_type_it() -> None:
    assert recovery_hash(" ABCDE-fghij klmno ") == recovery_hash("abcde-fghij-klmno")


def test_the_image_has_no_script_and_no_style() -> None:
    image = qr_image("otpauth://totp/Heliograph:ann@house.example?secret=JBSWY3DPEHPK3PXP").decode()
    assert image.count("<svg") == 1
    assert "style" not in image
    assert "script" not in image
