"""Invitations over the real store: who invites, what a link admits, and how often."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from control_plane.access import Membership, Role
from control_plane.audit.outbox import AUDIT
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound
from control_plane.identity.model import USERS, LoggedIn
from control_plane.joining.invitations import Sent, read_email
from control_plane.joining.model import INVITATIONS
from control_plane.joining.rules import NotValid
from control_plane.services import Services

EVE, PASSWORD = "eve@new.example", "three unrelated words"
AUTHOR = Membership(role=Role.AUTHOR, is_moderator=True)
WEEK_S = 7 * 24 * 3600


def token_of(sent: Sent) -> str:
    return parse_qs(urlsplit(sent.link).query)["token"][0]


async def test_an_invitation_makes_an_account_with_its_role(services: Services, house: Any) -> None:
    sent = await services.invitations.invite(house.admin, f"  {EVE.upper()} ", AUTHOR)
    assert sent.mailed is False  # no server is set
    token = token_of(sent)
    assert token not in repr(await services.store.get(INVITATIONS, sent.invitation.id))
    assert await services.store.count(USERS, {"email": EVE}) == 0  # nobody is a user by being asked
    offer = await services.invitations.offer(token)
    assert (offer.workspace, offer.has_account) == ("Demo", False)
    user = await services.invitations.accept_new(token, "Eve", PASSWORD)
    assert user.memberships == {house.workspace.id: AUTHOR}
    assert isinstance(
        await services.identity.login(EVE, PASSWORD, address="192.0.2.9", user_agent=""), LoggedIn
    )
    await services.audit.sweep()
    events = (await services.store.find(AUDIT, {"workspace_id": house.workspace.id})).records
    told = {one.action: one for one in events}
    assert {"invitation.create", "invitation.accept", "member.join"} <= set(told)
    assert told["member.join"].changes["role"] == ("", "author, moderates")
    assert token not in repr(events)


async def test_fifty_acceptances_at_once_admit_once(services: Services, house: Any) -> None:
    token = token_of(await services.invitations.invite(house.admin, EVE, AUTHOR))
    outcomes = await asyncio.gather(
        *(services.invitations.accept_new(token, f"Eve {n}", PASSWORD) for n in range(50)),
        return_exceptions=True,
    )
    admitted = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(admitted) == 1
    assert all(isinstance(one, Conflict) for one in outcomes if isinstance(one, BaseException))
    assert await services.store.count(USERS, {"email": EVE}) == 1


async def test_who_has_an_account_joins_with_it_and_no_other(services: Services, house: Any) -> None:
    stranger = house.stranger.actor
    token = token_of(await services.invitations.invite(house.admin, stranger.email, AUTHOR))
    assert (await services.invitations.offer(token)).has_account
    with pytest.raises(Conflict, match="has an account"):
        await services.invitations.accept_new(token, "Thief", PASSWORD)
    with pytest.raises(NotValid):
        await services.invitations.accept_as(token, house.moderator.actor)
    user = await services.invitations.accept_as(token, stranger)
    assert set(user.memberships) == {house.workspace.id, house.stranger.workspace_id}
    with pytest.raises(NotValid):
        await services.invitations.accept_as(token, stranger)


async def test_revoked_expired_renewed_and_made_up_links_admit_nobody(
    services: Services, house: Any, clock: Any
) -> None:
    first = await services.invitations.invite(house.admin, EVE, AUTHOR)
    again = await services.invitations.again(house.admin, first.invitation.id)
    clock.move(WEEK_S - 1)
    assert (await services.invitations.offer(token_of(again))).invitation.id == first.invitation.id
    clock.move(1)
    last = await services.invitations.again(house.admin, first.invitation.id)
    await services.invitations.revoke(house.admin, first.invitation.id)
    for token in (token_of(first), token_of(again), token_of(last), "x", ""):
        with pytest.raises(NotValid):
            await services.invitations.accept_new(token, "Eve", PASSWORD)
    for ended in (services.invitations.revoke, services.invitations.again):
        with pytest.raises(Conflict):
            await ended(house.admin, first.invitation.id)
    assert await services.store.count(USERS, {"email": EVE}) == 0


async def test_a_weak_password_leaves_the_link_as_it_is(services: Services, house: Any) -> None:
    token = token_of(await services.invitations.invite(house.admin, EVE, AUTHOR))
    for name, password, field in (("Eve", "short", "password"), ("", PASSWORD, "name")):
        with pytest.raises(Invalid) as refused:
            await services.invitations.accept_new(token, name, password)
        assert list(refused.value.errors) == [field]
    assert (await services.invitations.accept_new(token, "Eve", PASSWORD)).name == "Eve"


async def test_only_admins_of_the_workspace_invite_and_revoke(services: Services, house: Any) -> None:
    for member in (house.author, house.moderator):
        with pytest.raises(Forbidden):
            await services.invitations.invite(member, EVE, AUTHOR)
    sent = await services.invitations.invite(house.admin, EVE, AUTHOR)
    for act in (services.invitations.revoke, services.invitations.again):
        with pytest.raises(NotFound):
            await act(house.stranger, sent.invitation.id)
    assert await services.invitations.open(house.stranger) == []
    assert [one.email for one in await services.invitations.open(house.admin)] == [EVE]


async def test_members_and_the_invited_are_not_invited_twice(services: Services, house: Any) -> None:
    await services.invitations.invite(house.admin, EVE, AUTHOR)
    for email in (EVE, "author@house.example"):
        with pytest.raises(Invalid):
            await services.invitations.invite(house.admin, email, AUTHOR)


async def test_a_removed_member_cannot_come_back_by_the_link(services: Services, house: Any) -> None:
    token = token_of(await services.invitations.invite(house.admin, EVE, AUTHOR))
    user = await services.invitations.accept_new(token, "Eve", PASSWORD)
    await services.people.remove(house.admin, user.id)
    with pytest.raises(NotValid):
        await services.invitations.offer(token)


@pytest.mark.parametrize(
    "text", ["", "eve", "eve@", "@new.example", "eve@new", "a b@new.example", "eve@new.example\nBcc: x@y.zz",
             "Eve <eve@new.example>", "a@b.example,c@d.example"]
)  # fmt: skip
def test_what_is_no_address_is_not_invited(text: str) -> None:
    with pytest.raises(Invalid):
        read_email(text)


def test_an_address_is_kept_in_lower_case() -> None:
    assert read_email(" Eve.Long+tag@New.Example ") == "eve.long+tag@new.example"
