"""Forgotten passwords: a link by e-mail that works once and tells nobody who has an account."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.errors import Invalid
from control_plane.identity.model import LoggedIn
from control_plane.joining.model import RESETS
from control_plane.joining.resets import NoReset
from control_plane.services import Services

EMAIL, NEW = "author@house.example", "five words nobody else knows"
Mailing = Callable[..., Services]


async def ask(services: Services, inbox: Any, email: str = EMAIL, address: str = "192.0.2.1") -> str:
    """The token of the link; empty where no e-mail came."""
    before = len(inbox.got)
    services.resets.ask(email, address=address)
    await services.resets.settled()
    if len(inbox.got) == before:
        return ""
    found = re.search(r"/reset/password\?token=(\S+)", inbox.text())
    return found[1] if found else ""


async def logs_in(services: Services, password: str) -> bool:
    outcome = await services.identity.login(EMAIL, password, address="192.0.2.8", user_agent="")
    return isinstance(outcome, LoggedIn)


async def test_the_link_sets_another_password_once_and_ends_all_sessions(
    mailing: Mailing, inbox: Any, house: Any
) -> None:
    services = mailing()
    old = await services.identity.issue_password(EMAIL)
    outcome = await services.identity.login(EMAIL, old, address="192.0.2.8", user_agent="")
    assert isinstance(outcome, LoggedIn)
    token = await ask(services, inbox)
    assert inbox.got[-1].rcpt_tos == [EMAIL]
    assert token not in repr((await services.store.find(RESETS, {})).records)
    with pytest.raises(Invalid):
        await services.resets.set_password(token, "short")
    await services.resets.set_password(token, NEW)
    assert await services.identity.actor(outcome.token) is None
    assert await logs_in(services, NEW)
    for spent in (token, "x", ""):
        with pytest.raises(NoReset):
            await services.resets.set_password(spent, NEW + " more")


async def test_of_fifty_at_once_one_sets_the_password(mailing: Mailing, inbox: Any, house: Any) -> None:
    services = mailing()
    token = await ask(services, inbox)
    outcomes = await asyncio.gather(
        *(services.resets.set_password(token, f"{NEW} {n}") for n in range(50)), return_exceptions=True
    )
    assert len([one for one in outcomes if not isinstance(one, BaseException)]) == 1
    assert all(isinstance(one, NoReset) for one in outcomes if isinstance(one, BaseException))


async def test_a_link_ends_with_its_time_a_newer_one_or_a_new_password(
    mailing: Mailing, inbox: Any, house: Any, clock: Any
) -> None:
    services = mailing()
    first, second = await ask(services, inbox), await ask(services, inbox)
    with pytest.raises(NoReset):
        await services.resets.check(first)
    assert (await services.resets.check(second)).email == EMAIL
    clock.move(3600)
    with pytest.raises(NoReset):
        await services.resets.check(second)
    third = await ask(services, inbox)
    await services.identity.issue_password(EMAIL)
    with pytest.raises(NoReset):
        await services.resets.set_password(third, NEW)


async def test_nobody_is_written_to_who_has_no_account(mailing: Mailing, inbox: Any, house: Any) -> None:
    services = mailing()
    assert await ask(services, inbox, "nobody@house.example") == ""
    assert inbox.got == []


async def test_nobody_is_flooded(mailing: Mailing, inbox: Any, house: Any, clock: Any) -> None:
    services = mailing()
    for n in range(10):
        await ask(services, inbox, address=f"192.0.2.{n}")
    assert len(inbox.got) == 3
    clock.move(61)
    assert await ask(services, inbox)
