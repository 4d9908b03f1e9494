"""Workspaces are created, renamed, suspended and resumed by those who run the installation, and set up by
their own admins; every change is audited with what was before."""

from typing import Any

import msgspec
import pytest

from control_plane.access import MASTER_ID, WHILE_SUSPENDED, Action, Actor, Role, enter
from control_plane.audit.outbox import AUDIT, Event
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound, SendsNothing, Suspended
from control_plane.services import Services
from control_plane.workspaces.model import QuietHours


@pytest.fixture
async def root(house: Any) -> Actor:
    """An admin of the Master workspace."""
    member = await house.person("Root", MASTER_ID, Role.ADMIN)
    actor: Actor = member.actor
    return actor


async def events(services: Services, action: str) -> list[Event]:
    await services.audit.sweep()
    found = await services.store.find(AUDIT, {}, limit=500)
    return [event for event in found.records if event.action == action]


async def test_one_is_created_in_its_place(services: Services, root: Actor) -> None:
    form = {"name": "  North   Sea ", "time_zone": "Europe/Berlin", "default_country": "de"}
    made = await services.workspaces.found(root, form)
    assert (made.name, made.time_zone, made.default_country) == ("North Sea", "Europe/Berlin", "DE")
    (event,) = [one for one in await events(services, "workspace.create") if one.target_id == made.id]
    assert (event.actor, event.workspace_id, event.address) == (root.email, made.id, "192.0.2.1")


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"name": " "}, {"name"}),
        ({"name": "x" * 61}, {"name"}),
        ({"name": "a\u202eb"}, {"name"}),
        ({"name": "Demo"}, {"name"}),
        ({"name": "x", "time_zone": "Mars/Olympus"}, {"time_zone"}),
        (
            {"name": "x", "time_zone": "../etc/passwd", "default_country": "XX"},
            {"time_zone", "default_country"},
        ),
    ],
)
async def test_what_is_wrong_is_named(
    services: Services, root: Actor, form: dict[str, str], wrong: set[str]
) -> None:
    with pytest.raises(Invalid) as told:
        await services.workspaces.found(root, form)
    assert set(told.value.errors) == wrong


async def test_a_rename_says_what_it_was_before_and_takes_no_other_ones_name(
    services: Services, house: Any, root: Actor
) -> None:
    await services.workspaces.rename(root, house.workspace.id, "Shop")
    (event,) = await events(services, "workspace.rename")
    assert event.changes == {"name": ("Demo", "Shop")}
    assert event.workspace_id == house.workspace.id
    with pytest.raises(Invalid):
        await services.workspaces.rename(root, house.workspace.id, "Elsewhere")
    await services.workspaces.rename(root, house.workspace.id, "Shop")  # nothing changes, nothing is told
    assert len(await events(services, "workspace.rename")) == 1


async def test_a_suspended_workspace_is_looked_at_and_not_changed(
    services: Services, house: Any, root: Actor
) -> None:
    draft = await house.draft()
    with pytest.raises(Invalid):
        await services.workspaces.suspend(root, house.workspace.id, " ")
    suspended = await services.workspaces.suspend(root, house.workspace.id, "unpaid")
    assert (suspended.suspended, suspended.suspended_by) == (True, "Root")
    told = msgspec.structs.replace(house.author.actor, suspended=frozenset({house.workspace.id}))
    author = enter(told, house.workspace.id)
    assert (await services.campaigns.get(author, draft.id)).id == draft.id
    for act in (
        services.campaigns.create(author, name="x"),
        services.campaigns.edit(author, draft.id, name="x"),
        services.campaigns.submit(author, draft.id),
        services.campaigns.delete(author, draft.id),
    ):
        with pytest.raises(Suspended):
            await act
    await services.workspaces.resume(root, house.workspace.id)
    changes = [(await events(services, f"workspace.{act}"))[0].changes for act in ("suspend", "resume")]
    assert [one["state"] for one in changes] == [("active", "suspended"), ("suspended", "active")]
    assert changes[0]["suspended_why"] == ("", "unpaid")


@pytest.mark.parametrize("role", [*Role])
async def test_while_it_is_suspended_no_role_may_more_than_look_and_stop(house: Any, role: Role) -> None:
    person = await house.person("Somebody", house.workspace.id, role)
    told = msgspec.structs.replace(person.actor, suspended=frozenset({house.workspace.id}))
    member = enter(told, house.workspace.id)
    assert {one for one in Action if member.may(one)} <= WHILE_SUSPENDED


async def test_the_master_workspace_is_never_suspended_and_sends_nothing(
    services: Services, house: Any, root: Actor
) -> None:
    with pytest.raises(Conflict, match="Master"):
        await services.workspaces.suspend(root, MASTER_ID, "by mistake")
    with pytest.raises(SendsNothing, match="sends nothing"):
        await services.campaigns.create(enter(root, MASTER_ID), name="x")
    with pytest.raises(SendsNothing):
        await services.senders.propose(enter(root, MASTER_ID), sender="Nobody")


async def test_only_those_who_run_the_installation_touch_the_life_cycle(
    services: Services, house: Any
) -> None:
    admin, own = house.admin.actor, house.workspace.id
    for act in (
        services.workspaces.found(admin, {"name": "Mine"}),
        services.workspaces.rename(admin, own, "Mine"),
        services.workspaces.suspend(admin, own, "x"),
        services.workspaces.resume(admin, own),
        services.workspaces.page(admin),
        services.workspaces.count(admin),
        services.workspaces.look(admin, own),
        services.counts.of(admin, [own]),
    ):
        with pytest.raises(Forbidden):
            await act


async def test_the_settings_are_kept_and_audited_one_by_one(services: Services, house: Any) -> None:
    form = {
        "time_zone": "Asia/Kolkata", "quiet_begin": "21:00", "quiet_end": "09:00", "retention_days": "2557",
        "default_country": "IN", "authors_may_request_senders": "0", "require_totp": "1",
    }  # fmt: skip
    kept = await services.workspaces.configure(house.admin, form)
    assert kept.quiet_hours == QuietHours(begin="21:00", end="09:00")
    assert (kept.retention_days, kept.authors_may_request_senders, kept.require_totp) == (2557, False, True)
    assert kept.own_approval is False
    assert await services.workspaces.get(house.admin) == kept
    (event,) = await events(services, "workspace.settings")
    assert event.role == "admin"
    assert event.changes == {
        "time_zone": ("UTC", "Asia/Kolkata"),
        "quiet_hours": ("", "21:00-09:00"),
        "retention_days": ("90", "2557"),
        "default_country": ("DE", "IN"),
        "authors_may_request_senders": ("True", "False"),
        "require_totp": ("False", "True"),
    }


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"quiet_begin": "22:00", "quiet_end": ""}, {"quiet_end"}),
        ({"quiet_begin": "24:00", "quiet_end": "7"}, {"quiet_begin", "quiet_end"}),
        ({"quiet_begin": "22:00", "quiet_end": "22:00"}, {"quiet_end"}),
        ({"retention_days": "1"}, {"retention_days"}),
        ({"retention_days": "-90"}, {"retention_days"}),
        ({"retention_days": "９０"}, {"retention_days"}),
        ({"name": ""}, {"name"}),
    ],
)
async def test_wrong_settings_change_nothing(
    services: Services, house: Any, form: dict[str, str], wrong: set[str]
) -> None:
    before = await services.workspaces.get(house.admin)
    with pytest.raises(Invalid) as told:
        await services.workspaces.configure(house.admin, {**form, "require_totp": "1"})
    assert set(told.value.errors) == wrong
    assert await services.workspaces.get(house.admin) == before


async def test_only_admins_change_settings(services: Services, house: Any) -> None:
    for member in (house.author, house.moderator):
        with pytest.raises(Forbidden):
            await services.workspaces.configure(member, {"name": "Mine"})


async def test_documents_of_the_release_before_still_decode(services: Services, house: Any) -> None:
    """What it did not have takes its default."""
    old = {
        "id": str(house.workspace.id),
        "name": "Old",
        "sealed_ctn_key": "x",
        "created_at": "2026-01-01T00:00:00Z",
    }
    found = msgspec.convert(old, type(house.workspace), strict=False)
    assert (found.state, found.retention_days, found.quiet_hours) == ("active", 90, None)


async def test_only_ones_own_workspaces_open(services: Services, house: Any) -> None:
    own = await services.workspaces.opened(house.author.actor, str(house.workspace.id))
    assert own.name == "Demo"
    for foreign in (house.stranger.workspace_id, MASTER_ID, "x"):
        with pytest.raises(NotFound):
            await services.workspaces.opened(house.author.actor, foreign)
