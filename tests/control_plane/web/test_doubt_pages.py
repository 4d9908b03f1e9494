"""In doubt: groups of one's own workspace, one recommended action each, decided once and by those who may."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from control_plane.audit.outbox import AUDIT
from control_plane.core_fake import FakeCore
from control_plane.core_fake_operations import STARTED
from control_plane.services import Services
from engine.core_api import schema

JSON = {"accept": "application/json"}


def group(workspace_id: UUID, **fields: Any) -> schema.DoubtGroup:
    found = schema.DoubtGroup(
        key="group-1",
        campaign_id=uuid4(),
        workspace_id=workspace_id,
        campaign="Spring",
        campaign_state="Sending",
        account="demo",
        bind_number=2,
        worker="w1",
        reason="connection_lost",
        event="12:04",
        first_at=STARTED,
        last_at=STARTED,
        messages=1234,
        parts=1300,
        policy="hold",
        left=False,
        actions=["resend", "count_as_sent", "count_as_not_sent", "leave"],
        recommended="leave",
        why="Receipts of this operator usually come within a minute.",
    )
    return msgspec.structs.replace(found, **fields)


@pytest.fixture
def held(core: FakeCore, house: Any) -> schema.DoubtGroup:
    one = group(house.workspace.id)
    core.held.append(one)
    core.held.append(group(house.stranger.workspace_id, key="theirs", campaign="Secret campaign"))
    return one


async def test_nothing_in_doubt_says_so(author: Any) -> None:
    assert "Nothing is in doubt" in (await author.get("/doubts")).text


async def test_a_group_says_what_happened_what_to_do_and_why(held: schema.DoubtGroup, moderator: Any) -> None:
    page = (await moderator.get("/doubts")).text
    for said in ("1,234 messages", "The connection was lost", "demo, bind 2", held.why, "Hold for a person"):
        assert said in page, said
    assert "Leave them …<span" in page
    assert page.count("recommended</span>") == 1
    assert "1,234 messages go out once more" in page


async def test_groups_of_other_workspaces_do_not_exist(
    held: schema.DoubtGroup, core: FakeCore, moderator: Any
) -> None:
    assert "Secret campaign" not in (await moderator.get("/doubts")).text
    assert len((await moderator.get("/doubts", headers=JSON)).json()["groups"]) == 1
    answer = await moderator.submit("/doubts/resolve", key="theirs", action="leave", messages="9999")
    assert answer.status_code == 404
    assert core.done == []


async def test_who_writes_sees_the_groups_of_their_own_and_does_not_decide(
    held: schema.DoubtGroup, core: FakeCore, house: Any, author: Any
) -> None:
    assert "Nothing is in doubt" in (await author.get("/doubts")).text
    campaign = await house.pending()
    core.held.append(group(house.workspace.id, key="own", campaign_id=campaign.engine_id))
    core.done.clear()
    page = (await author.get("/doubts")).text
    assert "1,234 messages" in page
    assert "/doubts/resolve" not in page
    answer = await author.submit("/doubts/resolve", key=held.key, action="resend", messages="1234")
    assert answer.status_code == 403
    assert core.done == []


async def test_a_decision_is_told_with_its_size_and_happens_once(
    services: Services, held: schema.DoubtGroup, core: FakeCore, moderator: Any
) -> None:
    form = {"key": held.key, "action": "resend", "messages": "1234"}
    assert (await moderator.submit("/doubts/resolve", **form)).headers["location"] == "/doubts?done=resolved"
    assert core.done == ["doubts resend"]
    events = (await services.store.find(AUDIT, {}, limit=500)).records
    (event,) = [one for one in events if one.action == "doubts.resolve"]
    assert (event.details["action"], event.details["messages"]) == ("resend", "1234")
    assert (await moderator.submit("/doubts/resolve", **form)).status_code == 404
    assert core.done == ["doubts resend"]


async def test_a_group_that_has_grown_since_is_not_decided_unseen(
    held: schema.DoubtGroup, core: FakeCore, moderator: Any
) -> None:
    form = {"key": held.key, "action": "resend", "messages": "1000"}
    assert (await moderator.submit("/doubts/resolve", **form)).status_code == 409
    assert (await moderator.submit("/doubts/resolve", key=held.key, action="resend")).status_code == 409
    assert core.done == []


async def test_an_action_that_is_not_offered_is_refused(
    held: schema.DoubtGroup, core: FakeCore, moderator: Any
) -> None:
    core.held[0] = msgspec.structs.replace(held, actions=["leave"])
    form = {"key": held.key, "messages": "1234"}
    assert (await moderator.submit("/doubts/resolve", **form, action="resend")).status_code == 409
    assert (await moderator.submit("/doubts/resolve", **form, action="forget")).status_code == 422
    assert core.done == []


async def test_another_workspaces_campaign_is_no_filter(house: Any, author: Any) -> None:
    foreign = await house.services.campaigns.create(house.stranger, name="Theirs", text="x")
    assert (await author.get(f"/doubts?campaign={foreign.id}")).status_code == 404


async def test_a_campaign_leads_to_its_own_groups(
    core: FakeCore, house: Any, author: Any, moderator: Any
) -> None:
    campaign = await house.pending()
    core.held.append(group(house.workspace.id, campaign_id=campaign.engine_id, campaign="Mine"))
    core.held.append(group(house.workspace.id, key="other", campaign="Another one"))
    page = (await author.get(f"/doubts?campaign={campaign.id}")).text
    assert f'href="/campaigns/{campaign.id}">Mine</a>' in page
    assert "Another one" not in page
    assert "Another one" not in (await author.get("/doubts")).text  # somebody else's campaign
    assert "Another one" in (await moderator.get("/doubts")).text
