"""Sender IDs are proposed by one and approved by another, revision by revision."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from control_plane.access import Role
from control_plane.documents.store import find_one
from control_plane.errors import AlreadyDecided, Changed, Conflict, Forbidden, Invalid, NotFound
from control_plane.senders.address import Content
from control_plane.senders.model import SENDERS
from control_plane.workspaces.workspaces import Workspaces


async def test_a_proposal_is_chosen_only_once_it_is_approved(house: Any) -> None:
    senders = house.services.senders
    proposed = await senders.propose(house.author, sender="Shop", purpose="Offers")
    assert (proposed.revision, proposed.state) == (1, "Pending")
    assert await senders.choose(house.author, "Shop") is None
    assert await senders.choose(house.author, str(proposed.id)) is None
    await senders.decide(house.moderator, proposed.id, approve=True)
    chosen = await senders.choose(house.author, "Shop")
    assert (chosen.id, chosen.decided_by) == (proposed.id, "Moderator")


async def test_the_newest_approved_revision_counts(house: Any) -> None:
    senders = house.services.senders
    for _ in range(2):
        proposed = await senders.propose(house.author, sender="Shop")
        await senders.decide(house.moderator, proposed.id, approve=True)
    await senders.propose(house.author, sender="Shop")
    assert [(one.sender, one.revision) for one in await senders.approved(house.author)] == [
        ("Heliograph", 1),
        ("Shop", 2),
    ]
    assert [one.revision for one in await senders.list(house.author) if one.sender == "Shop"] == [3, 2, 1]


async def test_of_proposals_at_once_one_is_the_next_revision(house: Any) -> None:
    """A sender has one open revision at most, however many ask."""
    asked = [house.services.senders.propose(house.author, sender="Shop") for _ in range(8)]
    made = await asyncio.gather(*asked, return_exceptions=True)
    accepted = [one for one in made if not isinstance(one, Exception)]
    assert [one.revision for one in accepted] == [1]
    assert all(isinstance(one, Conflict | Invalid) for one in made if isinstance(one, Exception)), made


async def test_nobody_approves_their_own_sender(house: Any) -> None:
    proposed = await house.services.senders.propose(house.admin, sender="Shop")
    with pytest.raises(Forbidden):
        await house.services.senders.decide(house.admin, proposed.id, approve=True)


async def test_a_sender_is_decided_once(house: Any) -> None:
    senders = house.services.senders
    proposed = await senders.propose(house.author, sender="Shop")
    with pytest.raises(Invalid):
        await senders.decide(house.moderator, proposed.id, approve=False)
    await senders.decide(house.moderator, proposed.id, approve=False, note="not ours")
    with pytest.raises(AlreadyDecided) as told:
        await senders.decide(house.second_moderator, proposed.id, approve=True)
    assert (told.value.by, told.value.verdict) == ("Moderator", "rejected")


@pytest.mark.parametrize("sender", ["", "TwelveLetters", "Ümlaut", "a\nb", "12", "1" * 16, "+", "My Shop"])
async def test_what_no_operator_takes_is_refused(house: Any, sender: str) -> None:
    with pytest.raises(Invalid):
        await house.services.senders.propose(house.author, sender=sender)


async def test_foreign_senders_do_not_exist(house: Any) -> None:
    senders = house.services.senders
    (revision,) = await senders.approved(house.author)
    assert await senders.approved(house.stranger) == []
    assert await senders.choose(house.stranger, str(revision.id)) is None
    with pytest.raises(NotFound):
        await senders.decide(house.stranger, revision.id, approve=True)


SHOP = Content("Shop", "alphanumeric", purpose="Offers")


def set_workspace(monkeypatch: pytest.MonkeyPatch, **rules: bool) -> None:
    """The workspace's rules, which its settings will hold."""

    async def get(self: Workspaces, member: Any) -> Any:
        return SimpleNamespace(**rules)

    monkeypatch.setattr(Workspaces, "get", get)


async def approved(house: Any, content: Content = SHOP, sender_id: Any = None) -> Any:
    draft = await house.services.senders.draft(house.author, content, sender_id)
    await house.services.senders.submit(house.author, draft.id)
    return await house.services.senders.decide(house.moderator, draft.id, approve=True)


async def test_a_changed_address_is_a_new_revision_of_the_same_sender(house: Any) -> None:
    senders = house.services.senders
    first = await approved(house)
    second = await senders.draft(house.author, Content("Store", "alphanumeric"), first.line)
    assert (second.line, second.revision, second.state) == (first.line, 2, "Draft")
    assert (await senders.choose(house.author, "Shop")).id == first.id
    assert await senders.choose(house.author, "Store") is None
    await senders.submit(house.author, second.id)
    await senders.decide(house.moderator, second.id, approve=True)
    assert await senders.choose(house.author, "Shop") is None
    assert await senders.choose(house.author, str(first.id)) is None
    assert (await senders.choose(house.author, "Store")).id == second.id
    assert (await senders.get(house.author, first.id)).sender == "Shop"
    assert len((await senders.sender(house.author, first.line)).revisions) == 2


async def test_what_is_decided_or_waits_is_not_edited(house: Any) -> None:
    senders = house.services.senders
    first = await approved(house)
    for act in (
        senders.edit(house.author, first.id, Content("Other", "alphanumeric")),
        senders.submit(house.author, first.id),
        senders.withdraw(house.author, first.id),
    ):
        with pytest.raises(Conflict):
            await act
    waits = await senders.propose(house.author, sender="Waits")
    with pytest.raises(Conflict):
        await senders.edit(house.author, waits.id, Content("Other", "alphanumeric"))
    assert (await senders.get(house.author, first.id)).content == first.content


async def test_a_sender_has_one_open_revision(house: Any) -> None:
    senders, first = house.services.senders, await approved(house)
    asked = [senders.draft(house.author, Content(f"Shop{n}", "alphanumeric"), first.line) for n in range(10)]
    made = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(not isinstance(one, Exception) for one in made) == 1
    assert all(isinstance(one, Conflict) for one in made if isinstance(one, Exception)), made


async def test_an_address_belongs_to_one_sender(house: Any) -> None:
    senders = house.services.senders
    await approved(house)
    with pytest.raises(Invalid):
        await senders.draft(house.author, SHOP)
    other = await senders.draft(house.author, Content("Other", "alphanumeric"))
    with pytest.raises(Invalid):
        await senders.edit(house.author, other.id, SHOP)
    with pytest.raises(Invalid):
        await senders.draft(
            house.author,
            SHOP,
            (await approved(house, Content("Third", "alphanumeric"))).line,
        )


async def test_of_fifty_decisions_at_once_one_wins(house: Any) -> None:
    senders = house.services.senders
    waits = await senders.propose(house.author, sender="Shop")
    people = [await house.person(f"M{n}", house.workspace.id, Role.MODERATOR) for n in range(50)]
    told = await asyncio.gather(
        *(
            senders.decide(one, waits.id, approve=n % 2 == 0, note="n", submission=1)
            for n, one in enumerate(people)
        ),
        return_exceptions=True,
    )
    (winner,) = [one for one in told if not isinstance(one, Exception)]
    losers = [one for one in told if isinstance(one, Exception)]
    assert all(isinstance(one, AlreadyDecided) and one.by == winner.decided_by for one in losers), losers
    stored = await senders.get(house.author, waits.id)
    assert (stored.state, stored.decided_by) == (winner.state, winner.decided_by)
    events = [one.action for one in stored.outbox if one.action in ("sender.approve", "sender.reject")]
    assert len(events) == 1


async def test_who_wrote_any_of_it_does_not_decide(house: Any) -> None:
    senders = house.services.senders
    draft = await senders.draft(house.author, SHOP)
    await senders.edit(house.admin, draft.id, Content("Store", "alphanumeric"))
    await senders.submit(house.author, draft.id)
    with pytest.raises(Forbidden):
        await senders.decide(house.admin, draft.id, approve=True)
    await senders.decide(house.moderator, draft.id, approve=True)


async def test_own_approval_only_where_the_workspace_allows_it(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders = house.services.senders
    mine = await senders.propose(house.admin, sender="Mine")
    set_workspace(monkeypatch, own_approval=False)
    with pytest.raises(Forbidden):
        await senders.decide(house.admin, mine.id, approve=True)
    set_workspace(monkeypatch, own_approval=True)
    assert (await senders.decide(house.admin, mine.id, approve=True)).state == "Approved"


async def test_authors_request_only_where_the_workspace_allows_it(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders, draft = house.services.senders, await house.services.senders.draft(house.author, SHOP)
    set_workspace(monkeypatch, authors_may_request_senders=False)
    for act in (
        senders.propose(house.author, sender="Other"),
        senders.draft(house.author, Content("Other", "alphanumeric")),
        senders.edit(house.author, draft.id, Content("Other", "alphanumeric")),
        senders.submit(house.author, draft.id),
    ):
        with pytest.raises(Forbidden):
            await act
    assert (await senders.submit(house.admin, draft.id)).state == "Pending"


async def test_roles_are_kept(house: Any) -> None:
    senders, first = house.services.senders, await approved(house)
    analyst = await house.person("Analyst", house.workspace.id, Role.ANALYST)
    waits = await senders.propose(house.author, sender="Waits")
    for act in (
        senders.draft(analyst, Content("Other", "alphanumeric")),
        senders.draft(house.moderator, Content("Other", "alphanumeric")),
        senders.withdraw(house.moderator, waits.id),
        senders.withdraw(await house.person("Colleague", house.workspace.id, Role.AUTHOR), waits.id),
        senders.archive(house.author, first.line),
        senders.archive(analyst, first.line),
        senders.pending(house.author),
        senders.decide(house.author, waits.id, approve=True),
    ):
        with pytest.raises(Forbidden):
            await act
    assert await senders.pending_count(house.author) == 0
    assert await senders.pending_count(house.moderator) == 1
    assert [one.id for one in (await senders.pending(house.moderator)).records] == [waits.id]


async def test_withdrawn_and_submitted_anew_is_looked_at_anew(house: Any) -> None:
    senders = house.services.senders
    seen = await senders.propose(house.author, sender="Shop")
    await senders.withdraw(house.author, seen.id)
    with pytest.raises(Conflict):
        await senders.decide(house.moderator, seen.id, approve=True, submission=seen.submissions)
    await senders.edit(house.author, seen.id, Content("Bank", "alphanumeric"))
    anew = await senders.submit(house.author, seen.id)
    with pytest.raises(Changed):
        await senders.decide(house.moderator, seen.id, approve=True, submission=seen.submissions)
    await senders.decide(house.moderator, seen.id, approve=True, submission=anew.submissions)


async def test_an_archived_sender_is_hidden_and_no_older_revision_comes_back(house: Any) -> None:
    senders, first = house.services.senders, await approved(house)
    second = await approved(house, Content("Store", "alphanumeric"), first.line)
    await senders.archive(house.moderator, first.line)
    assert [one.sender for one in await senders.approved(house.author)] == ["Heliograph"]
    assert await senders.choose(house.author, str(first.id)) is None
    with pytest.raises(Conflict):
        await senders.draft(house.author, Content("Third", "alphanumeric"), first.line)
    with pytest.raises(AlreadyDecided):
        await senders.decide(house.second_moderator, second.id, approve=True)
    await senders.restore(house.moderator, first.line)
    assert (await senders.choose(house.author, "Store")).id == second.id


async def test_archiving_stops_nothing_that_was_submitted(house: Any) -> None:
    campaign = await house.pending()
    line = (await house.services.senders.get(house.author, campaign.sender_revision_id)).line
    later = await house.draft()
    await house.services.senders.archive(house.admin, line)
    sent = await house.approve(house.moderator, campaign)
    assert (sent.state, sent.sender_revision_id) == ("Approved", campaign.sender_revision_id)
    with pytest.raises(Invalid) as told:
        await house.services.campaigns.submit(house.author, later.id)
    assert "sender" in told.value.errors


async def test_foreign_ids_do_not_exist_in_any_act(house: Any) -> None:
    senders = house.services.senders
    first, waits = await approved(house), await senders.propose(house.author, sender="Waits")
    for act in (
        senders.sender(house.stranger, first.line),
        senders.get(house.stranger, first.id),
        senders.draft(house.stranger, SHOP, first.line),
        senders.edit(house.stranger, waits.id, SHOP),
        senders.submit(house.stranger, waits.id),
        senders.withdraw(house.stranger, waits.id),
        senders.archive(house.stranger, first.line),
        senders.restore(house.stranger, first.line),
        senders.decide(house.stranger, waits.id, approve=True),
    ):
        with pytest.raises(NotFound):
            await act
    assert (await senders.pending(house.stranger)).records == []


async def test_the_audit_says_what_changed(house: Any) -> None:
    first = await approved(house)
    await approved(house, Content("Store", "alphanumeric", channels=("Demo SMSC",)), first.line)
    stored = await find_one(house.services.store, SENDERS, {"sender": "Store"})
    drafted = next(one for one in stored.outbox if one.action == "sender.draft")
    assert drafted.changes == {
        "sender": ("Shop", "Store"),
        "channels": ("", "Demo SMSC"),
        "purpose": ("Offers", ""),
    }
