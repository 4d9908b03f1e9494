"""One decision, by somebody else, on what was looked at."""

import asyncio
from typing import Any

import pytest

from control_plane.access import Role
from control_plane.campaigns.model import Campaign
from control_plane.errors import AlreadyDecided, Changed, Conflict, Forbidden, Invalid


async def test_the_queue_has_the_longest_wait_first(house: Any, clock: Any) -> None:
    moderation = house.services.moderation
    first = await house.pending()
    clock.move(60)
    second = await house.pending()
    await house.draft()
    assert [one.id for one in (await moderation.queue(house.moderator)).records] == [first.id, second.id]
    assert await moderation.count(house.moderator) == 2
    assert await moderation.count(house.author) == 0
    assert await moderation.count(house.stranger) == 0
    with pytest.raises(Forbidden):
        await moderation.queue(house.author)


async def test_approved_it_starts_and_says_by_whom(house: Any, core: Any, clock: Any) -> None:
    pending = await house.pending()
    approved = await house.services.moderation.approve(house.moderator, pending.id, pending.revision)
    assert (approved.state, approved.orders, approved.outstanding) == ("Approved", (), None)
    decision = approved.decision
    assert (decision.verdict, decision.by, decision.at) == ("approved", "Moderator", clock())
    assert decision.manifest_hash == pending.manifest_hash
    assert core.done == ["seal", "start"]
    assert (await house.services.campaigns.live(house.author, pending.id)).state == "Sending"
    assert await house.services.moderation.count(house.moderator) == 0


async def test_of_fifty_approvals_at_once_one_counts_and_the_losers_are_told(house: Any, core: Any) -> None:
    pending = await house.pending()
    people = [await house.person(f"Mod{n}", house.workspace.id, Role.MODERATOR) for n in range(50)]
    outcomes = await asyncio.gather(
        *(house.services.moderation.approve(one, pending.id, pending.revision) for one in people),
        return_exceptions=True,
    )
    winners = [outcome for outcome in outcomes if isinstance(outcome, Campaign)]
    assert len(winners) == 1
    losers = [outcome for outcome in outcomes if isinstance(outcome, AlreadyDecided)]
    assert len(losers) == 49
    stored = await house.services.campaigns.get(house.author, pending.id)
    assert {(loser.by, loser.verdict) for loser in losers} == {(stored.decision.by, "approved")}
    assert core.done == ["seal", "start"]


async def test_approvals_and_rejections_at_once_end_in_one_decision(house: Any, core: Any) -> None:
    moderation, pending = house.services.moderation, await house.pending()
    people = [await house.person(f"Mod{n}", house.workspace.id, Role.MODERATOR) for n in range(20)]
    outcomes = await asyncio.gather(
        *(
            moderation.approve(one, pending.id, pending.revision)
            if n % 2
            else moderation.reject(one, pending.id, pending.revision, "no")
            for n, one in enumerate(people)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Campaign) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AlreadyDecided) for outcome in outcomes) == 19
    stored = await house.services.campaigns.get(house.author, pending.id)
    verdict = {"Approved": ("approved", "start"), "New": ("rejected", "return")}[stored.state]
    assert (stored.decision.verdict, core.done[-1]) == verdict


async def test_nobody_decides_their_own(house: Any) -> None:
    campaigns, moderation = house.services.campaigns, house.services.moderation
    draft = await house.draft()
    await campaigns.edit(house.admin, draft.id, text="The admin's words")
    pending = await campaigns.submit(house.author, draft.id)
    for act in (
        moderation.approve(house.admin, pending.id, pending.revision),
        moderation.reject(house.admin, pending.id, pending.revision, "no"),
        moderation.approve(house.author, pending.id, pending.revision),
    ):
        with pytest.raises(Forbidden):
            await act
    assert moderation.why_not(house.admin, pending)
    assert moderation.why_not(house.author, pending)
    assert moderation.why_not(house.moderator, pending) == ""


async def test_who_only_renames_does_not_become_an_author(house: Any) -> None:
    draft = await house.draft()
    await house.services.campaigns.edit(house.admin, draft.id, name="Better name")
    pending = await house.services.campaigns.submit(house.author, draft.id)
    assert house.services.moderation.why_not(house.admin, pending) == ""


async def test_a_decision_is_on_what_was_looked_at(house: Any) -> None:
    moderation, seen = house.services.moderation, await house.pending()
    await house.services.campaigns.edit(house.author, seen.id, name="Renamed since")
    with pytest.raises(Changed):
        await moderation.approve(house.moderator, seen.id, seen.revision)
    with pytest.raises(Changed):
        await moderation.reject(house.moderator, seen.id, seen.revision, "no")
    now = await house.services.campaigns.get(house.moderator, seen.id)
    assert (await moderation.approve(house.moderator, seen.id, now.revision)).state == "Approved"


async def test_the_audit_sweeper_does_not_change_what_was_looked_at(house: Any) -> None:
    seen = await house.pending()
    assert await house.services.audit.sweep() > 0
    approved = await house.services.moderation.approve(house.moderator, seen.id, seen.revision)
    assert approved.state == "Approved"


@pytest.mark.parametrize("note", ["", "  \n", "x" * 1001])
async def test_a_rejection_needs_a_note(house: Any, note: str) -> None:
    pending = await house.pending()
    with pytest.raises(Invalid) as told:
        await house.services.moderation.reject(house.moderator, pending.id, pending.revision, note)
    assert set(told.value.errors) == {"note"}


async def test_rejected_it_is_back_with_its_author_and_the_note_stays(house: Any, core: Any) -> None:
    campaigns, moderation, pending = (
        house.services.campaigns,
        house.services.moderation,
        await house.pending(),
    )
    back = await moderation.reject(house.moderator, pending.id, pending.revision, " Wrong tone. ")
    assert (back.state, back.note.text, back.note.by) == ("New", "Wrong tone.", "Moderator")
    with pytest.raises(AlreadyDecided) as told:
        await moderation.approve(house.second_moderator, pending.id, pending.revision)
    assert (told.value.by, told.value.verdict) == ("Moderator", "rejected")
    await campaigns.edit(house.author, pending.id, text="A better tone")
    again = await campaigns.submit(house.author, pending.id)
    assert (again.state, again.note.text, again.decision) == ("Pending", "Wrong tone.", None)
    approved = await moderation.approve(house.second_moderator, again.id, again.revision)
    assert approved.note is None
    assert core.done == ["seal", "return", "seal", "start"]


async def test_a_draft_is_not_decided(house: Any) -> None:
    draft = await house.draft()
    with pytest.raises(Conflict):
        await house.services.moderation.approve(house.moderator, draft.id, draft.revision)


async def test_an_approval_withstands_the_withdrawal_that_came_second(house: Any) -> None:
    pending = await house.pending()
    await house.services.moderation.approve(house.moderator, pending.id, pending.revision)
    with pytest.raises(Conflict):
        await house.services.campaigns.withdraw(house.author, pending.id)


async def test_withdrawn_it_is_not_decided(house: Any) -> None:
    pending = await house.pending()
    await house.services.campaigns.withdraw(house.author, pending.id)
    with pytest.raises(Conflict):
        await house.services.moderation.approve(house.moderator, pending.id, pending.revision)


async def test_decisions_are_counted(house: Any) -> None:
    pending = await house.pending()
    await house.services.moderation.approve(house.moderator, pending.id, pending.revision)
    with pytest.raises(AlreadyDecided):
        await house.services.moderation.approve(house.second_moderator, pending.id, pending.revision)
    registry = house.services.metrics.registry
    for verdict in ("approved", "late"):
        assert registry.get_sample_value("heliograph_campaign_decisions_total", {"verdict": verdict}) == 1
