"""Every change leaves one event, with nothing in it that should not be."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.audit.outbox import AUDIT, event, mask_numbers
from control_plane.campaigns.model import CAMPAIGNS
from control_plane.documents.store import VersionConflict
from control_plane.errors import Forbidden

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_sweeper_moves_every_event_once(house: Any) -> None:
    pending = await house.pending()
    await asyncio.gather(*(house.services.audit.sweep() for _ in range(3)))
    await house.services.audit.sweep()
    events = (await house.services.store.find(AUDIT, {"target_id": pending.id})).records
    assert sorted(one.action for one in events) == ["campaign.create", "campaign.submit", "campaign.upload"]
    stored = await house.services.store.get(CAMPAIGNS, pending.id)
    assert (stored.outbox, stored.unswept) == ((), None)
    assert await house.services.audit.sweep() == 0


async def test_a_sweep_that_broke_off_does_not_double_events(house: Any) -> None:
    pending, store = await house.pending(), house.services.store
    stored = await store.get(CAMPAIGNS, pending.id)
    await house.services.audit.record(stored.outbox[0])
    await house.services.audit.sweep()
    assert await store.count(AUDIT, {"target_id": pending.id}) == 3


async def test_a_change_during_the_sweep_keeps_its_event(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pending, store = await house.pending(), house.services.store
    replace = store.replace

    async def too_late(*_: object) -> None:
        monkeypatch.setattr(store, "replace", replace)
        await house.services.campaigns.edit(house.author, pending.id, name="Meanwhile")
        raise VersionConflict("changed meanwhile")

    monkeypatch.setattr(store, "replace", too_late)
    await house.services.audit.sweep()
    await house.services.audit.sweep()
    events = (await store.find(AUDIT, {"target_id": pending.id})).records
    assert sorted(one.action for one in events) == [
        "campaign.create",
        "campaign.edit",
        "campaign.submit",
        "campaign.upload",
    ]


async def test_those_who_may_read_their_workspaces_events(house: Any) -> None:
    await house.pending()
    await house.services.audit.sweep()
    page = await house.services.audit.list(house.moderator)
    assert {one.workspace_id for one in page.records} == {house.workspace.id}
    assert "campaign.submit" in {one.action for one in page.records}
    with pytest.raises(Forbidden):
        await house.services.audit.list(house.author)
    assert {one.action for one in (await house.services.audit.list(house.stranger)).records} == {
        "workspace.create"
    }


@given(st.integers(10**6, 10**15 - 1), st.sampled_from(["{}", "to +{} now", "({}) x", "tel:{}"]))
def test_no_whole_number_gets_into_an_event(number: int, sentence: str) -> None:
    masked = mask_numbers(sentence.format(number))
    assert str(number) not in masked
    assert f"…{str(number)[-3:]}" in masked


@pytest.mark.parametrize("text", ["+49 151 1234567", "0151-123 45 67", "(0151) 1234567", "+1.202.555.0143"])
def test_numbers_are_known_as_they_are_written(text: str) -> None:
    digits = "".join(c for c in text if c.isdigit())
    assert mask_numbers(text).lstrip("(") == f"…{digits[-3:]}"


@given(st.uuids())
def test_ids_stay_whole(value: object) -> None:
    assert mask_numbers(str(value)) == str(value)


def test_secrets_are_never_written() -> None:
    made = event(
        "account.put",
        NOW,
        target_name="4915112345678",
        details={"password": "hunter2", "api_key": "k", "Token": "t", "note": "call 4915112345678"},
    )
    assert made.details == {"password": "***", "api_key": "***", "Token": "***", "note": "call …678"}
    assert made.target_name == "…678"
    assert event("x.y", NOW, actor_id=uuid4()).target_kind == "x"


@pytest.mark.parametrize(
    "text", ["numbers_4915112345678.csv", "spring-4915112345678", "(4915112345678)", "a 4915112345678_b"]
)
def test_numbers_are_masked_in_the_names_of_files_and_campaigns(text: str) -> None:
    assert "4915112345678" not in mask_numbers(text)
    assert "…678" in mask_numbers(text)
