"""An author has the campaigns of their own; who moderates or runs the workspace sees all of them."""

from typing import Any

import msgspec
import pytest

from control_plane.access import Member, Membership, Role, enter
from control_plane.audit.outbox import AUDIT
from control_plane.core_fake_operations import STARTED
from control_plane.errors import Forbidden, NotFound
from engine.core_api import schema


def flagged(member: Member, **flags: bool) -> Member:
    membership = Membership(role=member.role, **flags)
    memberships = {member.workspace_id: membership}
    return enter(msgspec.structs.replace(member.actor, memberships=memberships), member.workspace_id)


@pytest.fixture
async def other(house: Any) -> Member:
    member: Member = await house.person("Other", house.workspace.id, Role.AUTHOR)
    return member


async def test_lists_have_ones_own(house: Any, other: Member) -> None:
    campaigns = house.services.campaigns
    own = [await campaigns.create(house.author, name=f"own {number}") for number in range(3)]
    theirs = await campaigns.create(other, name="theirs")
    assert {one.id for one in (await campaigns.list(house.author)).records} == {one.id for one in own}
    assert [one.id for one in (await campaigns.list(other, state="New")).records] == [theirs.id]
    for member in (house.moderator, house.admin, flagged(other, is_moderator=True)):
        assert len((await campaigns.list(member)).records) == 4


async def test_pages_of_own_campaigns_go_on_where_they_ended(house: Any, other: Member) -> None:
    campaigns = house.services.campaigns
    for number in range(5):
        await campaigns.create(house.author, name=f"own {number}")
        await campaigns.create(other, name="theirs")
    first = await campaigns.list(house.author, limit=3)
    second = await campaigns.list(house.author, limit=3, after=first.next)
    assert [len(first.records), len(second.records), second.next] == [3, 2, None]
    assert {one.name[:3] for one in (*first.records, *second.records)} == {"own"}


async def test_somebody_elses_campaign_does_not_exist(house: Any, other: Member) -> None:
    campaigns, pending = house.services.campaigns, await house.pending()
    for act in (
        campaigns.get(other, pending.id),
        campaigns.edit(other, pending.id, name="mine"),
        campaigns.submit(other, pending.id),
        campaigns.withdraw(other, pending.id),
        campaigns.delete(other, pending.id),
        campaigns.discard_upload(other, pending.id),
        campaigns.command(other, pending.id, "cancel"),
        campaigns.review(other, pending.id),
        campaigns.live(other, pending.id),
        campaigns.series(other, pending.id),
        campaigns.channels(other, pending.id),
        campaigns.recipients(other, pending.id),
        campaigns.job_errors(other, pending.id),
        campaigns.message_errors(other, pending.id),
        campaigns.upload(other, pending.id),
        campaigns.upload_errors(other, pending.id),
    ):
        with pytest.raises(NotFound):
            await act
    assert (await campaigns.get(house.author, pending.id)).state == "Pending"


async def test_an_author_who_moderates_decides_others_and_not_their_own(house: Any, other: Member) -> None:
    pending = await house.pending()
    both = flagged(other, is_moderator=True)
    approved = await house.approve(both, pending)
    assert approved.decision.by_id == other.actor.user_id
    own = await house.pending()
    with pytest.raises(Forbidden):
        await house.approve(flagged(house.author, is_moderator=True), own)


async def test_the_flag_moves_nobody_but_an_author(house: Any) -> None:
    analyst = await house.person("Analyst", house.workspace.id, Role.ANALYST)
    pending = await house.pending()
    with pytest.raises(Forbidden):
        await house.approve(flagged(analyst, is_moderator=True), pending)


async def test_full_numbers_are_for_those_with_the_right_and_each_look_is_on_record(house: Any) -> None:
    services, pending = house.services, await house.pending()
    with pytest.raises(Forbidden):
        await services.campaigns.recipients(house.author, pending.id, full=True)
    found = await services.store.find(AUDIT, {}, limit=100)
    assert "numbers.view" not in {one.action for one in found.records}
    seeing = flagged(house.author, sees_numbers=True)
    masked = await services.campaigns.recipients(seeing, pending.id)
    assert {one.number for one in masked.recipients} == {""}
    full = await services.campaigns.recipients(seeing, pending.id, full=True)
    assert full.recipients[0].number.startswith("49151")
    found = await services.store.find(AUDIT, {}, limit=100)
    (look,) = [one for one in found.records if one.action == "numbers.view"]
    assert (look.actor, look.target_id) == (house.author.actor.email, pending.id)
    assert "49151" not in repr(look)


async def test_what_cannot_be_audited_is_not_shown(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    services, pending = house.services, await house.pending()

    async def away(*_arguments: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(services.audit, "record", away)
    asked: list[Any] = []
    monkeypatch.setattr(services.core, "recipients", asked.append)
    with pytest.raises(ConnectionError):
        await services.campaigns.recipients(house.admin, pending.id, full=True)
    assert asked == []


async def test_doubts_of_somebody_elses_campaign_are_not_listed(house: Any, other: Member) -> None:
    services = house.services
    pending = await house.pending()
    approved = await house.approve(house.moderator, pending)
    held = schema.DoubtGroup(
        key="group-1",
        campaign_id=approved.engine_id,
        workspace_id=house.workspace.id,
        campaign="Spring",
        campaign_state="Sending",
        account="demo",
        bind_number=2,
        worker="w1",
        reason="connection_lost",
        event="12:04",
        first_at=STARTED,
        last_at=STARTED,
        messages=12,
        parts=12,
        policy="hold",
        left=False,
        actions=["leave"],
        recommended="leave",
        why="",
    )
    services.core.held.append(held)
    assert await services.doubts.groups(house.author) == [held]
    assert await services.doubts.groups(house.moderator) == [held]
    assert await services.doubts.groups(other) == []
