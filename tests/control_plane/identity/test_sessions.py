"""Sessions of one's own: seen, ended by whoever they belong to, and their tokens when rights change."""

import asyncio
from typing import Any

import msgspec
import pytest

from control_plane.access import Membership, Role
from control_plane.audit.outbox import AUDIT
from control_plane.documents.change import change
from control_plane.errors import NotFound
from control_plane.identity.model import SESSIONS, USERS, Arrival, User
from control_plane.identity.sessions import GRACE, Sessions
from control_plane.services import Services


async def user_of(services: Services, member: Any) -> User:
    return await services.store.get(USERS, member.actor.user_id)


async def begin(services: Services, member: Any, address: str = "192.0.2.1") -> str:
    user = await user_of(services, member)
    sessions = Sessions(services.store, idle_s=3600, absolute_s=86400)
    return await sessions.begin(user, services.clock(), address=address, user_agent="test")


async def arrive(services: Services, token: str) -> Arrival:
    found = await services.identity.arrive(token)
    assert found is not None
    return found


async def give(services: Services, member: Any, role: Role) -> None:
    def given(found: User) -> User:
        return msgspec.structs.replace(found, memberships={member.workspace_id: Membership(role=role)})

    await change(services.store, USERS, member.actor.user_id, given)


async def test_ones_own_sessions_are_seen_and_ended(services: Services, house: Any) -> None:
    tokens = [await begin(services, house.author, f"192.0.2.{n}") for n in range(3)]
    await begin(services, house.admin)
    actor = (await arrive(services, tokens[0])).actor
    found = await services.identity.sessions(actor)
    assert {one.address for one in found} == {f"192.0.2.{n}" for n in range(3)}
    other = next(one for one in found if one.address == "192.0.2.1")
    await services.identity.revoke(actor, other.id)
    assert [await services.identity.actor(token) is not None for token in tokens] == [True, False, True]
    assert await services.identity.revoke_others(actor) == 1
    assert [await services.identity.actor(token) is not None for token in tokens] == [True, False, False]
    events = [one for one in (await services.store.find(AUDIT, {})).records if one.action == "session.revoke"]
    assert [one.actor for one in events] == [actor.email] * 2


async def test_nobody_ends_the_session_of_another(services: Services, house: Any) -> None:
    theirs, mine = await begin(services, house.admin), await begin(services, house.author)
    session_id = (await arrive(services, theirs)).actor.session_id
    with pytest.raises(NotFound):
        await services.identity.revoke((await arrive(services, mine)).actor, session_id)
    assert await services.identity.actor(theirs) is not None


async def test_a_token_stays_while_nothing_changes(services: Services, house: Any) -> None:
    token = await begin(services, house.author)
    assert [(await arrive(services, token)).token for _ in range(3)] == [None] * 3


async def test_another_role_brings_another_token(services: Services, house: Any, clock: Any) -> None:
    token = await begin(services, house.author)
    await give(services, house.author, Role.ANALYST)
    arrived = await arrive(services, token)
    assert arrived.token not in (None, token)
    late = await arrive(services, token)  # a request that was under way
    assert late.token is None
    assert late.actor.memberships[house.workspace.id].role is Role.ANALYST
    clock.move(GRACE.total_seconds())
    assert await services.identity.actor(token) is None
    assert (await arrive(services, arrived.token or "")).token is None


async def test_of_fifty_requests_at_once_one_rotates_and_none_is_turned_away(
    services: Services, house: Any
) -> None:
    token = await begin(services, house.author)
    await give(services, house.author, Role.MODERATOR)
    arrived = await asyncio.gather(*(services.identity.arrive(token) for _ in range(50)))
    assert all(one is not None for one in arrived)
    assert len([one for one in arrived if one is not None and one.token]) == 1
    assert await services.store.count(SESSIONS, {"user_id": house.author.actor.user_id}) == 1


async def test_a_logout_with_the_token_before_ends_the_session(services: Services, house: Any) -> None:
    token = await begin(services, house.author)
    await give(services, house.author, Role.ANALYST)
    renewed = (await arrive(services, token)).token
    await services.identity.logout(token)
    assert await services.identity.actor(renewed) is None


async def test_taking_a_role_away_and_giving_it_back_rotates_twice(services: Services, house: Any) -> None:
    token = await begin(services, house.author)
    for role in (Role.ANALYST, Role.AUTHOR):
        await give(services, house.author, role)
        renewed = (await arrive(services, token)).token
        assert renewed
        token = renewed
