"""One table says who may do what."""

from uuid import uuid4

import pytest

from control_plane.access import ALLOWED, INSTALLATION, MASTER_ID, Action, Actor, Role, enter
from control_plane.errors import Forbidden, NotFound

HOME = uuid4()


def actor(**fields: object) -> Actor:
    given: dict[str, object] = {
        "user_id": uuid4(),
        "email": "a@house.example",
        "name": "A",
        "super_admin": False,
        "must_set_password": False,
        "memberships": {HOME: Role.AUTHOR},
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
    assert not enter(actor(memberships={HOME: Role.ADMIN}), HOME).may(action)
    assert actor(memberships={MASTER_ID: Role.ADMIN}).may(action)
    assert not actor(memberships={MASTER_ID: Role.MODERATOR}).may(action)
    assert not actor(super_admin=True, must_set_password=True).may(action)
    with pytest.raises(Forbidden):
        actor(memberships={HOME: Role.ADMIN}).require(action)


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
