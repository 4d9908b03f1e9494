"""One table says who may do what."""

from uuid import uuid4

import pytest

from control_plane.access import (
    ALLOWED,
    INSTALLATION,
    MASTER_ID,
    NOT_IN_MASTER,
    WHILE_SUSPENDED,
    Action,
    Actor,
    Membership,
    Role,
    enter,
)
from control_plane.errors import Forbidden, NotFound, SendsNothing, Suspended

HOME = uuid4()


def actor(**fields: object) -> Actor:
    given: dict[str, object] = {
        "user_id": uuid4(),
        "email": "a@house.example",
        "name": "A",
        "super_admin": False,
        "must_set_password": False,
        "memberships": {HOME: Membership(role=Role.AUTHOR)},
        "session_id": uuid4(),
    }
    return Actor(**{**given, **fields})  # type: ignore[arg-type]


def test_every_role_has_its_row() -> None:
    assert set(ALLOWED) == set(Role)


def test_authors_write_and_do_not_decide_and_moderators_the_other_way_round() -> None:
    assert Action.EDIT_CAMPAIGNS in ALLOWED[Role.AUTHOR]
    assert Action.DECIDE_CAMPAIGNS not in ALLOWED[Role.AUTHOR]
    assert Action.DECIDE_CAMPAIGNS in ALLOWED[Role.MODERATOR]
    assert Action.EDIT_CAMPAIGNS not in ALLOWED[Role.MODERATOR]


def test_analysts_only_look_and_see_no_recipients() -> None:
    assert all(action.startswith("view") for action in ALLOWED[Role.ANALYST])
    assert Action.VIEW_RECIPIENTS not in ALLOWED[Role.ANALYST]


@pytest.mark.parametrize("action", [*INSTALLATION])
def test_what_is_the_installations_is_asked_of_the_master_workspace(action: Action) -> None:
    """A workspace's admin may not, though the table gives an admin everything."""
    assert not enter(actor(memberships={HOME: Membership(role=Role.ADMIN)}), HOME).may(action)
    assert actor(memberships={MASTER_ID: Membership(role=Role.ADMIN)}).may(action)
    assert not actor(memberships={MASTER_ID: Membership(role=Role.MODERATOR)}).may(action)
    assert not actor(super_admin=True, must_set_password=True).may(action)
    with pytest.raises(Forbidden):
        actor(memberships={HOME: Membership(role=Role.ADMIN)}).require(action)


def test_money_is_the_installations_and_every_role_sees_its_own_wallet() -> None:
    assert {Action.MANAGE_MONEY, Action.MANAGE_CHANNELS} <= INSTALLATION
    assert all(Action.VIEW_WALLET in allowed for allowed in ALLOWED.values())


def test_a_foreign_workspace_does_not_exist() -> None:
    assert enter(actor(), HOME).role is Role.AUTHOR
    with pytest.raises(NotFound):
        enter(actor(), uuid4())


def test_super_admins_enter_everywhere() -> None:
    assert enter(actor(super_admin=True, memberships={}), uuid4()).role is Role.ADMIN


def test_nothing_is_done_before_the_first_password() -> None:
    with pytest.raises(Forbidden):
        enter(actor(must_set_password=True), HOME)


def test_require_names_what_is_not_allowed() -> None:
    member = enter(actor(), HOME)
    member.require(Action.EDIT_CAMPAIGNS)
    with pytest.raises(Forbidden, match="approve and reject campaigns"):
        member.require(Action.DECIDE_CAMPAIGNS)


@pytest.mark.parametrize("role", [*Role])
def test_the_flag_of_a_moderator_counts_for_an_author_only(role: Role) -> None:
    plain, flagged = Membership(role=role), Membership(role=role, is_moderator=True)
    assert (flagged.allowed == plain.allowed) is (role is not Role.AUTHOR)
    assert Action.MANAGE_MEMBERS not in Membership(role=Role.AUTHOR, is_moderator=True).allowed


def test_full_numbers_are_a_right_of_their_own() -> None:
    with_right = {role for role in Role if Action.VIEW_NUMBERS in ALLOWED[role]}
    assert with_right == {Role.ADMIN}
    assert Action.VIEW_NUMBERS in Membership(role=Role.AUTHOR, sees_numbers=True).allowed


def test_only_admins_manage_people_and_the_workspace() -> None:
    for action in (Action.MANAGE_MEMBERS, Action.MANAGE_WORKSPACE, Action.ERASE_PEOPLE):
        assert {role for role in Role if action in ALLOWED[role]} == {Role.ADMIN}


@pytest.mark.parametrize("action", [*NOT_IN_MASTER])
def test_nothing_is_sent_from_the_master_workspace_not_even_by_a_super_admin(action: Action) -> None:
    for one in (actor(super_admin=True), actor(memberships={MASTER_ID: Membership(role=Role.ADMIN)})):
        with pytest.raises(SendsNothing):
            enter(one, MASTER_ID).require(action)


@pytest.mark.parametrize("action", [*Action])
def test_a_suspended_workspace_leaves_looking_and_stopping(action: Action) -> None:
    member = enter(actor(super_admin=True, suspended=frozenset({HOME})), HOME)
    if action in INSTALLATION | WHILE_SUSPENDED:
        member.require(action)
    else:
        with pytest.raises(Suspended):
            member.require(action)
    assert str(action).startswith(("view", "stop", "export")) or action not in WHILE_SUSPENDED


def test_authors_have_their_own_and_who_sees_all_has_everybodys() -> None:
    author = enter(actor(), HOME)
    assert author.owns(author.actor.user_id)
    assert not author.owns(uuid4())
    assert not author.owns(None)
    assert enter(actor(memberships={HOME: Membership(role=Role.MODERATOR)}), HOME).owns(uuid4())
