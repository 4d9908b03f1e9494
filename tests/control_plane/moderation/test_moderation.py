"""One decision, by somebody else, on what was looked at."""

import asyncio
from typing import Any

import msgspec
import pytest

from control_plane.access import Role
from control_plane.campaigns.model import Campaign
from control_plane.errors import AlreadyDecided, Changed, Conflict, Forbidden, Invalid, NotFound, NotOpened
from engine.core_api import schema


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
    approved = await house.approve(house.moderator, pending)
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
        *(house.approve(one, pending) for one in people),
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
            house.approve(one, pending)
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
        house.approve(house.admin, pending),
        moderation.reject(house.admin, pending.id, pending.revision, "no"),
        house.approve(house.author, pending),
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
        await house.approve(house.moderator, seen)
    with pytest.raises(Changed):
        await moderation.reject(house.moderator, seen.id, seen.revision, "no")
    now = await house.services.campaigns.get(house.moderator, seen.id)
    assert (await house.approve(house.moderator, now)).state == "Approved"


async def test_the_audit_sweeper_does_not_change_what_was_looked_at(house: Any) -> None:
    seen = await house.pending()
    assert await house.services.audit.sweep() > 0
    approved = await house.approve(house.moderator, seen)
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
        await house.approve(house.second_moderator, pending)
    assert (told.value.by, told.value.verdict) == ("Moderator", "rejected")
    await campaigns.edit(house.author, pending.id, text="A better tone")
    again = await campaigns.submit(house.author, pending.id)
    assert (again.state, again.note.text, again.decision) == ("Pending", "Wrong tone.", None)
    approved = await house.approve(house.second_moderator, again)
    assert approved.note is None
    assert core.done == ["seal", "return", "seal", "start"]


async def test_a_draft_is_not_decided(house: Any) -> None:
    draft = await house.draft()
    with pytest.raises(Conflict):
        await house.approve(house.moderator, draft)


async def test_an_approval_withstands_the_withdrawal_that_came_second(house: Any) -> None:
    pending = await house.pending()
    await house.approve(house.moderator, pending)
    with pytest.raises(Conflict):
        await house.services.campaigns.withdraw(house.author, pending.id)


async def test_withdrawn_it_is_not_decided(house: Any) -> None:
    pending = await house.pending()
    await house.services.campaigns.withdraw(house.author, pending.id)
    with pytest.raises(Conflict):
        await house.approve(house.moderator, pending)


async def test_decisions_are_counted(house: Any) -> None:
    pending = await house.pending()
    await house.approve(house.moderator, pending)
    with pytest.raises(AlreadyDecided):
        await house.approve(house.second_moderator, pending)
    registry = house.services.metrics.registry
    for verdict in ("approved", "late"):
        assert registry.get_sample_value("heliograph_campaign_decisions_total", {"verdict": verdict}) == 1


async def test_nothing_is_approved_without_having_been_opened(house: Any, clock: Any) -> None:
    moderation, pending = house.services.moderation, await house.pending()
    other = await house.pending()
    _, opened = await moderation.open(house.moderator, pending.id)
    elsewhere = house.opened(house.moderator, other)
    for proof in ("", "x", "ü", opened[:-4], elsewhere, house.opened(house.second_moderator, pending)):
        with pytest.raises(NotOpened):
            await moderation.approve(house.moderator, pending.id, pending.revision, proof)
    clock.move(3_601)
    with pytest.raises(NotOpened):
        await moderation.approve(house.moderator, pending.id, pending.revision, opened)
    _, again = await moderation.open(house.moderator, pending.id)
    assert (
        await moderation.approve(house.moderator, pending.id, pending.revision, again)
    ).state == "Approved"


async def test_a_proof_is_given_only_to_who_may_decide(house: Any) -> None:
    moderation, draft, pending = house.services.moderation, await house.draft(), await house.pending()
    assert (await moderation.open(house.moderator, draft.id))[1] == ""
    with pytest.raises(Forbidden):
        await moderation.open(house.author, pending.id)
    with pytest.raises(NotFound):
        await moderation.open(house.stranger, pending.id)
    await house.services.campaigns.edit(house.admin, draft.id, text="The admin's words")
    own = await house.services.campaigns.submit(house.author, draft.id)
    assert (await moderation.open(house.admin, own.id))[1] == ""


async def test_what_left_the_queue_says_who_decided_it(house: Any) -> None:
    moderation = house.services.moderation
    approved, rejected, withdrawn, waits = [await house.pending() for _ in range(4)]
    await house.approve(house.moderator, approved)
    await moderation.reject(house.second_moderator, rejected.id, rejected.revision, "no")
    await house.services.campaigns.withdraw(house.author, withdrawn.id)
    ids = [str(one.id) for one in (approved, rejected, withdrawn, waits)]
    found = await moderation.decided(house.moderator, [*ids, "nonsense"])
    assert {known: verdict and (verdict.verdict, verdict.by) for known, verdict in found.items()} == {
        ids[0]: ("approved", "Moderator"), ids[1]: ("rejected", "Second"), ids[2]: None, "nonsense": None,
    }  # fmt: skip


async def test_texts_are_asked_for_once_and_their_numbers_are_masked(house: Any, core: Any) -> None:
    moderation, pending = house.services.moderation, await house.pending()
    asked = 0
    ask = core.campaign_texts

    async def counted(campaign_id: Any) -> Any:
        nonlocal asked
        asked += 1
        return await ask(campaign_id)

    core.campaign_texts = counted
    found = await asyncio.gather(*(moderation.texts(house.moderator, pending) for _ in range(20)))
    assert asked == 1
    assert [(one.text, one.recipients, one.msisdn) for one in found[0].texts] == [("Hello Zoë", 20, "…000")]
    match = await moderation.search(house.moderator, pending, schema.RenderedSearch(query="ZOË", limit=3))
    assert [one.msisdn for one in match.texts] == ["…000", "…001", "…002"]
    with pytest.raises(Forbidden):
        await moderation.texts(house.author, pending)


async def test_a_sender_a_domain_and_a_country_are_new_once(house: Any, core: Any) -> None:
    moderation, first = house.services.moderation, await house.pending()
    host = schema.LinkHost(host="shop.example", recipients=20)
    core.rendered[first.engine_id] = msgspec.structs.replace(
        await core.campaign_texts(first.engine_id), hosts=[host]
    )
    listing = await moderation.texts(house.moderator, first)
    new = await moderation.first_times(house.moderator, first, listing)
    assert new == {"sender": ["Heliograph"], "domain": ["shop.example"], "country": ["49"]}
    await house.approve(house.moderator, first)
    second = await house.pending()
    listing = await moderation.texts(house.moderator, second)
    assert await moderation.first_times(house.moderator, second, listing) == {}
    elsewhere = await moderation.first_times(house.stranger, second, listing)
    assert set(elsewhere) == {"sender", "country"}, "each workspace has its own"


async def test_what_nobody_was_shown_stays_new(house: Any) -> None:
    moderation, first = house.services.moderation, await house.pending()
    await house.approve(house.moderator, first)
    second = await house.pending()
    listing = await moderation.texts(house.moderator, second)
    assert await moderation.first_times(house.moderator, second, listing) == {"country": ["49"]}


async def test_a_campaign_is_compared_with_its_authors_last_approved_one(house: Any, clock: Any) -> None:
    moderation, campaigns = house.services.moderation, house.services.campaigns
    first = await house.pending()
    assert await moderation.last_approved(house.moderator, first) is None
    await house.approve(house.moderator, first)
    for text in ("Second", "Rejected"):
        clock.move(60)
        one = await campaigns.submit(house.author, (await house.draft(text)).id)
        if text == "Second":
            await house.approve(house.moderator, one)
    last = await moderation.last_approved(house.moderator, one)
    assert last is not None
    assert last.text == "Second"


async def test_neighbours_are_those_of_the_queue(house: Any, clock: Any) -> None:
    moderation, waiting = house.services.moderation, []
    for _ in range(3):
        waiting.append(await house.pending())
        clock.move(60)
    before, following = await moderation.neighbours(house.moderator, waiting[1])
    assert (before.id, following.id) == (waiting[0].id, waiting[2].id)
    assert await moderation.neighbours(house.moderator, waiting[0]) == (None, waiting[1])
    await house.approve(house.moderator, waiting[1])
    before, following = await moderation.neighbours(house.moderator, waiting[1])
    assert (before, following.id) == (None, waiting[0].id)
