"""Asking to join: nothing is told of which workspaces exist, and only their admins decide, once."""

import asyncio
from typing import Any

import pytest

from control_plane.access import Membership, Role
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound
from control_plane.identity.model import USERS
from control_plane.joining.model import JOIN_REQUESTS
from control_plane.services import Services

AUTHOR = Membership(role=Role.AUTHOR)


async def test_who_asked_is_admitted_in_the_role_the_admin_chooses(services: Services, house: Any) -> None:
    await services.join_requests.ask(house.stranger.actor, " Demo ", "Ann sent me")
    await services.join_requests.ask(house.stranger.actor, "Demo", "again")
    (request,) = await services.join_requests.open(house.admin)
    assert (request.email, request.note) == ("stranger@house.example", "Ann sent me")
    await services.join_requests.accept(house.admin, request.id, AUTHOR)
    user = await services.store.get(USERS, house.stranger.actor.user_id)
    assert user.memberships[house.workspace.id] == AUTHOR
    assert await services.join_requests.open(house.admin) == []


async def test_which_workspaces_exist_is_not_told(services: Services, house: Any) -> None:
    for name in ("Nowhere", "Master"):
        await services.join_requests.ask(house.stranger.actor, name)
    await services.join_requests.ask(house.author.actor, "Demo")  # a member already
    assert await services.store.count(JOIN_REQUESTS, {}) == 0
    with pytest.raises(Invalid):
        await services.join_requests.ask(house.stranger.actor, " ")


async def test_only_admins_of_that_workspace_decide(services: Services, house: Any) -> None:
    await services.join_requests.ask(house.stranger.actor, "Demo")
    (request,) = await services.join_requests.open(house.admin)
    for member in (house.author, house.moderator):
        with pytest.raises(Forbidden):
            await services.join_requests.accept(member, request.id, AUTHOR)
    with pytest.raises(NotFound):  # an admin elsewhere, and the one who asked
        await services.join_requests.accept(house.stranger, request.id, AUTHOR)


async def test_of_fifty_decisions_at_once_one_counts(services: Services, house: Any) -> None:
    await services.join_requests.ask(house.stranger.actor, "Demo")
    (request,) = await services.join_requests.open(house.admin)
    requests = services.join_requests
    outcomes = await asyncio.gather(
        *(
            requests.reject(house.admin, request.id)
            if n % 2
            else requests.accept(house.admin, request.id, AUTHOR)
            for n in range(50)
        ),
        return_exceptions=True,
    )
    decided = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(decided) == 1
    assert all(isinstance(one, Conflict) for one in outcomes if isinstance(one, BaseException))
    user = await services.store.get(USERS, house.stranger.actor.user_id)
    assert (house.workspace.id in user.memberships) is (decided[0].state == "accepted")


async def test_who_was_rejected_may_ask_again(services: Services, house: Any) -> None:
    await services.join_requests.ask(house.stranger.actor, "Demo")
    (request,) = await services.join_requests.open(house.admin)
    await services.join_requests.reject(house.admin, request.id)
    await services.join_requests.ask(house.stranger.actor, "Demo", "please")
    (again,) = await services.join_requests.open(house.admin)
    assert (again.id, again.note, again.decided_by) == (request.id, "please", "")
