"""Login, session, lockout, password."""

import asyncio
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from control_plane.access import Membership, Role
from control_plane.audit.outbox import AUDIT
from control_plane.errors import Forbidden, Invalid, NotFound
from control_plane.identity.model import SESSIONS, USERS, LockedOut, LoggedIn, Refused, User
from control_plane.identity.passwords import Passwords, objection, one_time
from control_plane.identity.sessions import token_hash
from control_plane.services import Services

EMAIL, PASSWORD, NEW = "ann@house.example", "correct horse battery", "another good sentence"
FAST = Passwords(time_cost=1, memory_kib=8, parallelism=1)


@pytest.fixture
async def ann(services: Services) -> User:
    user = User(
        id=uuid4(),
        email=EMAIL,
        name="Ann",
        password_hash=await FAST.hash(PASSWORD),
        must_set_password=False,
        memberships={uuid4(): Membership(role=Role.AUTHOR)},
        created_at=services.clock(),
    )
    return await services.store.insert(USERS, user)


async def login(
    services: Services, password: str = PASSWORD, email: str = EMAIL, address: str = "192.0.2.7"
) -> LoggedIn | LockedOut | Refused:
    return await services.identity.login(email, password, address=address, user_agent="test")


async def token_of(services: Services, password: str = PASSWORD) -> str:
    outcome = await login(services, password)
    assert isinstance(outcome, LoggedIn)
    return outcome.token


async def test_the_right_password_opens_a_session(services: Services, ann: User) -> None:
    token = await token_of(services)
    actor = await services.identity.actor(token)
    assert actor is not None
    assert (actor.email, actor.memberships) == (EMAIL, ann.memberships)


async def test_the_address_is_read_whatever_its_case(services: Services, ann: User) -> None:
    assert isinstance(await login(services, email=" ANN@House.Example "), LoggedIn)


async def test_wrong_password_and_unknown_account_look_the_same(services: Services, ann: User) -> None:
    assert await login(services, "wrong") == Refused()
    assert await login(services, "wrong", email="nobody@house.example", address="192.0.2.8") == Refused()


async def test_an_unknown_account_costs_the_same_hash(
    services: Services, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[bool] = []
    matches = Passwords._matches

    def counted(self: Passwords, stored: str, password: str) -> bool:
        verified.append(stored.startswith("$argon2id$"))
        return matches(self, stored, password)

    monkeypatch.setattr(Passwords, "_matches", counted)
    await login(services, "wrong", email="nobody@house.example")
    await login(services, "wrong")
    assert verified == [True, True]


async def test_only_the_tokens_hash_is_stored(services: Services, ann: User) -> None:
    token = await token_of(services)
    stored = (await services.store.find(SESSIONS, {})).records
    assert [session.token_hash for session in stored] == [token_hash(token)]
    assert token not in repr(stored)
    assert len(token) >= 43  # 256 bits


async def test_three_failures_lock_the_account_for_a_minute(
    services: Services, ann: User, clock: Any
) -> None:
    for n in range(2):
        assert await login(services, "wrong", address=f"192.0.2.{n}") == Refused()
    assert await login(services, "wrong", address="192.0.2.3") == LockedOut(60)
    clock.move(20.5)
    assert await login(services, PASSWORD, address="192.0.2.4") == LockedOut(40)
    clock.move(39.4)
    assert await login(services, PASSWORD, address="192.0.2.4") == LockedOut(1)
    clock.move(0.2)
    assert isinstance(await login(services, PASSWORD, address="192.0.2.4"), LoggedIn)


async def test_an_account_that_does_not_exist_locks_alike(services: Services, ann: User) -> None:
    outcomes = [
        await login(services, "wrong", email="nobody@house.example", address=f"192.0.2.{n}") for n in range(4)
    ]
    assert outcomes == [Refused(), Refused(), LockedOut(60), LockedOut(60)]


async def test_three_failures_lock_the_address_for_all_accounts(
    services: Services, ann: User, clock: Any
) -> None:
    for n in range(3):
        await login(services, "wrong", email=f"nobody{n}@house.example")
    assert await login(services) == LockedOut(60)
    assert isinstance(await login(services, address="192.0.2.99"), LoggedIn)
    clock.move(60)
    assert isinstance(await login(services), LoggedIn)


async def test_a_whole_ipv6_network_is_one_address(services: Services, ann: User) -> None:
    for n in range(3):
        await login(services, "wrong", email=f"nobody{n}@house.example", address=f"2001:db8::{n + 1}")
    assert await login(services, address="2001:db8::ffff") == LockedOut(60)


async def test_a_success_forgets_the_accounts_failures(services: Services, ann: User) -> None:
    for n in range(4):
        assert await login(services, "wrong", address=f"192.0.2.{n}") == Refused()
        assert isinstance(await login(services, address=f"192.0.2.{n}"), LoggedIn)


async def test_a_success_does_not_forgive_the_address(services: Services, ann: User) -> None:
    for n in range(2):
        await login(services, "wrong", email=f"nobody{n}@house.example")
        assert isinstance(await login(services), LoggedIn)
    assert await login(services, "wrong", email="nobody9@house.example") == LockedOut(60)


async def test_after_a_lockout_three_more_are_allowed(services: Services, ann: User, clock: Any) -> None:
    for _ in range(3):
        await login(services, "wrong")
    clock.move(60)
    assert [await login(services, "wrong") for _ in range(3)] == [Refused(), Refused(), LockedOut(60)]


async def test_of_fifty_guesses_at_once_three_are_looked_at(
    services: Services, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    matches = Passwords._matches

    def counted(self: Passwords, stored: str, password: str) -> bool:
        looked_at.append(password)
        return matches(self, stored, password)

    monkeypatch.setattr(Passwords, "_matches", counted)
    guesses = (login(services, f"guess {n}", address=f"198.51.100.{n}") for n in range(50))
    outcomes = await asyncio.gather(*guesses)
    assert len(looked_at) == 3
    assert sum(isinstance(outcome, LockedOut) for outcome in outcomes) >= 47
    assert not any(isinstance(outcome, LoggedIn) for outcome in outcomes)


async def test_login_ends_the_session_it_replaces(services: Services, ann: User) -> None:
    first = await token_of(services)
    outcome = await services.identity.login(
        EMAIL, PASSWORD, address="192.0.2.7", user_agent="test", previous_token=first
    )
    assert isinstance(outcome, LoggedIn)
    assert outcome.token != first
    assert await services.identity.actor(first) is None


async def test_logout_ends_the_session(services: Services, ann: User) -> None:
    token = await token_of(services)
    await services.identity.logout(token)
    assert await services.identity.actor(token) is None
    await services.identity.logout(token)


async def test_a_session_idles_out_and_use_keeps_it(services: Services, ann: User, clock: Any) -> None:
    token = await token_of(services)
    for _ in range(3):
        clock.move(11 * 3600)
        assert await services.identity.actor(token) is not None
    clock.move(12 * 3600)
    assert await services.identity.actor(token) is None


async def test_a_session_ends_absolutely(services: Services, ann: User, clock: Any) -> None:
    token = await token_of(services)
    for _ in range(16):
        clock.move(10 * 3600)
        assert await services.identity.actor(token) is not None
    clock.move(8 * 3600)
    assert await services.identity.actor(token) is None


@pytest.mark.parametrize("token", [None, "", "x", "a" * 43])
async def test_no_other_token_is_a_session(services: Services, ann: User, token: str | None) -> None:
    await token_of(services)
    assert await services.identity.actor(token) is None


async def test_a_disabled_person_is_out_at_once(services: Services, ann: User) -> None:

    token = await token_of(services)
    user = await services.store.get(USERS, ann.id)
    await services.store.replace(USERS, msgspec.structs.replace(user, disabled=True), user.version)
    assert await services.identity.actor(token) is None
    assert await login(services) == Refused()


async def test_a_new_password_ends_every_other_session(services: Services, ann: User) -> None:
    first, second = await token_of(services), await token_of(services)
    actor = await services.identity.actor(first)
    assert actor is not None
    renewed = await services.identity.set_password(actor, PASSWORD, NEW)
    assert await services.identity.actor(first) is None
    assert await services.identity.actor(second) is None
    assert await services.identity.actor(renewed.token) is not None
    assert await login(services) == Refused()
    assert isinstance(await login(services, NEW), LoggedIn)


async def test_the_present_password_is_asked_for_and_guesses_at_it_lock(
    services: Services, ann: User
) -> None:
    actor = await services.identity.actor(await token_of(services))
    assert actor is not None
    with pytest.raises(Invalid) as told:
        await services.identity.set_password(actor, None, NEW)
    assert set(told.value.errors) == {"old"}
    for _ in range(3):
        with pytest.raises(Invalid):
            await services.identity.set_password(actor, "wrong", NEW)
    with pytest.raises(Forbidden, match="60 s"):
        await services.identity.set_password(actor, PASSWORD, NEW)


@pytest.mark.parametrize(
    "password", ["short", "x" * 201, "aaaaaaaaaaaaaaaa", "ann@house.example", "heliograph12", PASSWORD]
)
async def test_poor_passwords_are_refused(services: Services, ann: User, password: str) -> None:
    actor = await services.identity.actor(await token_of(services))
    assert actor is not None
    with pytest.raises(Invalid) as told:
        await services.identity.set_password(actor, PASSWORD, password)
    assert set(told.value.errors) == {"new"}


def test_one_time_passwords_satisfy_the_policy_and_differ() -> None:
    made = {one_time() for _ in range(100)}
    assert len(made) == 100
    assert all(objection(password, email=EMAIL, name="Ann") is None for password in made)


async def test_an_operator_issues_a_one_time_password(services: Services, ann: User) -> None:
    token = await token_of(services)
    for _ in range(3):
        await login(services, "wrong", address="203.0.113.1")
    password = await services.identity.issue_password(EMAIL)
    assert await services.identity.actor(token) is None
    outcome = await login(services, password)
    assert isinstance(outcome, LoggedIn)
    assert outcome.must_set_password
    with pytest.raises(NotFound):
        await services.identity.issue_password("nobody@house.example")


async def test_old_hashes_are_renewed_at_login(services: Services, ann: User) -> None:

    old = await Passwords(time_cost=2, memory_kib=16, parallelism=1).hash(PASSWORD)
    user = await services.store.get(USERS, ann.id)
    await services.store.replace(USERS, msgspec.structs.replace(user, password_hash=old), user.version)
    await token_of(services)
    assert "m=8,t=1" in (await services.store.get(USERS, ann.id)).password_hash
    await token_of(services)


async def test_logins_are_audited_before_the_session_is_there(services: Services, ann: User) -> None:
    await login(services, "wrong")
    await services.identity.logout(await token_of(services))
    actions = sorted(event.action for event in (await services.store.find(AUDIT, {})).records)
    assert actions == ["login.ended", "login.failed", "login.succeeded"]
    assert PASSWORD not in repr(await services.store.find(AUDIT, {}))


async def test_what_is_no_address_is_not_written_to_the_audit(services: Services) -> None:
    await login(services, "x", email="my secret password")
    (failed,) = (await services.store.find(AUDIT, {})).records
    assert failed.actor == "***"
