"""The first start makes people who can begin, once."""

from typing import Any

import msgspec

from control_plane.access import MASTER_ID, Action, Role, enter
from control_plane.identity.bootstrap import SUPER_ADMIN
from control_plane.identity.model import USERS, FirstLogin, LoggedIn, Refused
from control_plane.services import Services
from control_plane.workspaces.model import WORKSPACES


async def _login(services: Services, first: FirstLogin, address: str = "192.0.2.1") -> LoggedIn | Refused:
    outcome = await services.identity.login(first.email, first.password, address=address, user_agent="test")
    assert isinstance(outcome, LoggedIn | Refused)
    return outcome


async def test_the_first_logins_work_and_must_choose_a_password(services: Services) -> None:
    logins = await services.bootstrap.run()
    assert [login.role for login in logins] == ["Super Admin", "author", "moderator"]
    for first in logins:
        outcome = await _login(services, first)
        assert isinstance(outcome, LoggedIn)
        assert outcome.must_set_password
        assert first.password not in repr(await services.store.find(USERS, {}))


async def test_until_it_is_used_each_start_gives_a_new_one_time_password(services: Services) -> None:
    (first, *_), (again, *_) = await services.bootstrap.run(), await services.bootstrap.run()
    assert first.password != again.password
    assert await _login(services, first) == Refused()
    assert isinstance(await _login(services, again), LoggedIn)
    assert await services.store.count(USERS, {}) == 3
    assert await services.store.count(WORKSPACES, {}) == 2


async def test_a_chosen_password_is_left_alone(services: Services) -> None:
    for first in await services.bootstrap.run():
        outcome = await _login(services, first)
        assert isinstance(outcome, LoggedIn)
        actor = await services.identity.actor(outcome.token)
        assert actor is not None
        await services.identity.set_password(actor, None, "a chosen long sentence")
    assert await services.bootstrap.run() == []
    outcome = await _login(services, FirstLogin(SUPER_ADMIN, "a chosen long sentence", ""))
    assert isinstance(outcome, LoggedIn)
    assert not outcome.must_set_password


async def test_the_demo_author_finds_the_workspace_and_an_approved_sender(services: Services) -> None:
    _, author, _ = await services.bootstrap.run()
    outcome = await _login(services, author)
    assert isinstance(outcome, LoggedIn)
    actor = await services.identity.actor(outcome.token)
    assert actor is not None
    renewed = await services.identity.set_password(actor, None, "a chosen long sentence")
    actor = await services.identity.actor(renewed.token)
    assert actor is not None
    (workspace,) = await services.workspaces.of(actor)
    member = enter(actor, workspace.id)
    assert (workspace.name, member.role) == ("Demo", Role.AUTHOR)
    assert [revision.sender for revision in await services.senders.approved(member)] == ["Heliograph"]


async def test_without_a_demo_there_is_only_the_super_admin(services: Services) -> None:
    assert [login.email for login in await services.bootstrap.run(demo=False)] == [SUPER_ADMIN]
    assert [one.name for one in (await services.store.find(WORKSPACES, {})).records] == ["Master"]


async def test_the_super_admin_sees_every_workspace(services: Services) -> None:
    admin, *_ = await services.bootstrap.run()
    await services.workspaces.create("Another")
    outcome = await _login(services, admin)
    assert isinstance(outcome, LoggedIn)
    actor = await services.identity.actor(outcome.token)
    assert actor is not None
    actor = msgspec.structs.replace(actor, must_set_password=False)
    listed = (await services.workspaces.page(actor)).records
    assert [one.name for one in listed] == ["Another", "Demo", "Master"]
    for one in listed:
        assert await services.workspaces.opened(actor, one.id) == one


async def test_admins_of_the_master_workspace_run_the_installation_and_others_do_not(house: Any) -> None:
    for role, may in ((Role.ADMIN, True), (Role.MODERATOR, False), (Role.ANALYST, False)):
        member = await house.person(f"of-{role}", MASTER_ID, role)
        assert member.actor.may(Action.MANAGE_CHANNELS) is may
    assert not house.admin.may(Action.MANAGE_CHANNELS)


async def test_a_master_workspace_is_made_also_where_its_name_is_taken(services: Services) -> None:
    await services.workspaces.create("Master")
    await services.bootstrap.run()
    (master,) = (await services.store.find(WORKSPACES, {"master": True})).records
    assert master.name == "Master (installation)"
