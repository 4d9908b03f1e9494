"""Sender IDs are proposed by one and approved by another, revision by revision."""

import asyncio
from typing import Any

import pytest

from control_plane.errors import AlreadyDecided, Forbidden, Invalid, NotFound


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


async def test_proposals_at_once_get_different_revisions(house: Any) -> None:
    made = await asyncio.gather(
        *(house.services.senders.propose(house.author, sender="Shop") for _ in range(8))
    )
    assert sorted(one.revision for one in made) == list(range(1, 9))


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


@pytest.mark.parametrize("sender", ["", "TwelveLetters", "Ümlaut", "a\nb", "12", "1" * 16, "+"])
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
