"""The archive: every state a campaign is shown in, in and out, and nothing of it changed."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.access import Membership, Role
from control_plane.audit.outbox import AUDIT
from control_plane.campaigns.archive import ARCHIVABLE, REASONS, why_not
from control_plane.campaigns.model import Campaign, Live, State
from control_plane.core_fake import FakeCore
from control_plane.errors import Conflict, ControlPlaneError, EngineUnavailable, Forbidden, Invalid, NotFound
from control_plane.identity.model import USERS
from control_plane.services import Services
from engine.core_api import schema


async def approved(house: Any, state: str) -> Campaign:
    pending = await house.pending()
    await house.approve(house.moderator, pending)
    core = house.services.core
    found = await house.services.campaigns.get(house.author, pending.id)
    core._campaigns[found.engine_id] = msgspec.structs.replace(core._campaigns[found.engine_id], state=state)
    return found


async def in_state(house: Any, state: str) -> Campaign:
    if state == "New":
        return await house.draft()
    if state == "Pending":
        return await house.pending()
    return await approved(house, state)


@pytest.mark.parametrize(
    "state", ["New", "Pending", "Sending", "Paused", "Done", "Cancelled", "Failed", "Expired"]
)
async def test_only_what_is_over_or_never_sent_is_archived(
    services: Services, house: Any, state: str
) -> None:
    campaign = await in_state(house, state)
    before = await services.campaigns.get(house.author, campaign.id)
    if state not in ARCHIVABLE:
        with pytest.raises(Conflict) as refused:
            await services.archive.archive(house.author, campaign.id)
        assert str(refused.value) == REASONS[state]
        assert str(refused.value).count(".") == 1
        assert (await services.campaigns.get(house.author, campaign.id)).archived is None
        return
    archived = await services.archive.archive(house.author, campaign.id)
    assert (archived.archived, archived.archived_at, archived.archived_by) == (
        True,
        services.clock(),
        "Author",
    )
    again = await services.archive.archive(house.author, campaign.id)
    assert again.archived_at == archived.archived_at
    assert (await services.campaigns.list(house.author)).records == []
    (kept,) = (await services.archive.list(house.author)).records
    assert kept.id == campaign.id
    back = await services.archive.restore(house.author, campaign.id)
    changing = ("version", "revision", "outbox", "unswept", "changed_at")
    for name in Campaign.__struct_fields__:
        if name not in changing:
            assert getattr(back, name) == getattr(before, name), name
    await services.audit.sweep()
    for action in ("campaign.archive", "campaign.restore"):
        (happened,) = (await services.store.find(AUDIT, {"action": action})).records
        assert happened.target_id == campaign.id


def test_every_state_that_can_be_shown_is_archivable_or_has_its_reason() -> None:
    for state in (*get_args(State), *get_args(schema.CampaignState)):
        assert state in ARCHIVABLE or state in REASONS or state in ("Approved", "Returned"), state


async def test_an_archived_draft_is_not_written_nor_submitted(services: Services, house: Any) -> None:
    draft = await house.draft()
    await services.archive.archive(house.author, draft.id)
    for act in (
        services.campaigns.edit(house.author, draft.id, text="other"),
        services.campaigns.submit(house.author, draft.id),
        services.campaigns.delete(house.author, draft.id),
        services.campaigns.discard_upload(house.author, draft.id),
    ):
        with pytest.raises(Conflict, match="archived"):
            await act
    await services.archive.restore(house.author, draft.id)
    assert (await services.campaigns.submit(house.author, draft.id)).state == "Pending"


async def test_without_the_engine_an_end_is_not_assumed(
    services: Services, house: Any, core: FakeCore
) -> None:
    done, draft = await approved(house, "Done"), await house.draft()
    core.away = True
    with pytest.raises(EngineUnavailable):
        await services.archive.archive(house.author, done.id)
    assert (await services.archive.archive(house.author, draft.id)).archived


async def test_submitted_in_the_same_moment_it_is_not_archived(
    services: Services, house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = await house.draft()
    look = services.campaigns.live

    async def looked(*given: Any) -> Live:
        seen = await look(*given)
        await services.campaigns.submit(house.author, draft.id)
        return seen

    monkeypatch.setattr(services.campaigns, "live", looked)
    with pytest.raises(Conflict):
        await services.archive.archive(house.author, draft.id)
    assert (await services.campaigns.get(house.author, draft.id)).archived is None


async def test_roles_and_tenants(services: Services, house: Any) -> None:
    draft = await house.draft()
    analyst = await house.person("Analyst", house.workspace.id, Role.ANALYST)
    for who, error in ((house.moderator, Forbidden), (analyst, Forbidden), (house.stranger, NotFound)):
        with pytest.raises(error):
            await services.archive.archive(who, draft.id)
        with pytest.raises(error):
            await services.archive.restore(who, draft.id)


@pytest.mark.parametrize("gone", ["disabled", "removed", "demoted"])
async def test_without_its_author_an_administrator_gives_it_to_a_member(
    services: Services, house: Any, gone: str
) -> None:
    campaign = await approved(house, "Done")
    await services.archive.archive(house.author, campaign.id)
    heir = await house.person("Heir", house.workspace.id, Role.AUTHOR)
    other_author = await house.person("Other", house.workspace.id, Role.AUTHOR)
    user = await services.store.get(USERS, house.author.actor.user_id)
    analyst = {house.workspace.id: Membership(role=Role.ANALYST)}
    changed: dict[str, Any] = {
        "disabled": {"disabled": True}, "removed": {"memberships": {}}, "demoted": {"memberships": analyst},
    }[gone]  # fmt: skip
    await services.store.replace(USERS, msgspec.structs.replace(user, **changed), user.version)
    with pytest.raises(NotFound):
        await services.archive.restore(other_author, campaign.id, str(heir.actor.user_id))
    outside = (house.stranger, house.moderator, house.author)
    for owner in ("", "nobody", *(str(one.actor.user_id) for one in outside)):
        with pytest.raises(Invalid):
            await services.archive.restore(house.admin, campaign.id, owner)
    names = [one.name for one in await services.archive.owners(house.admin)]
    assert "Heir" in names
    assert not {"Author", "Moderator", "Stranger"} & set(names)
    back = await services.archive.restore(house.admin, campaign.id, str(heir.actor.user_id))
    assert (back.author, back.author_id, back.workspace_id) == (
        "Heir",
        heir.actor.user_id,
        house.workspace.id,
    )
    assert {house.author.actor.user_id, heir.actor.user_id} <= set(back.contributors)
    await services.audit.sweep()
    (happened,) = (await services.store.find(AUDIT, {"action": "campaign.restore"})).records
    assert happened.changes == {"author": ("Author", "Heir")}


STEPS = st.lists(
    st.sampled_from(
        ["archive", "restore", "submit", "withdraw", "approve", "Done", "Cancelled", "Paused", "edit"]
    ),
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_path_brings_what_may_still_be_sent_into_the_archive(
    services: Services, house: Any, steps: list[str]
) -> None:
    """Any order of steps: archived is only what may be, and in the archive nothing moves but the way out."""
    draft = await house.draft()
    core: Any = services.core
    for step in steps:
        before = await services.campaigns.live(house.author, draft.id)
        one = before.campaign
        try:
            match step:
                case "archive":
                    await services.archive.archive(house.author, one.id)
                case "restore":
                    await services.archive.restore(house.author, one.id)
                case "submit":
                    await services.campaigns.submit(house.author, one.id)
                case "withdraw":
                    await services.campaigns.withdraw(house.author, one.id)
                case "approve":
                    await house.approve(house.moderator, one)
                case "edit":
                    await services.campaigns.edit(house.author, one.id, text=f"{one.revision}")
                case state if before.state in ("Sending", "Paused"):
                    core._campaigns[one.engine_id] = msgspec.structs.replace(
                        core._campaigns[one.engine_id], state=state
                    )
        except ControlPlaneError:
            pass
        after = await services.campaigns.live(house.author, draft.id)
        if after.campaign.archived:
            assert why_not(after) == ""
        if one.archived and step != "restore":
            assert after.campaign.state == one.state
            assert after.campaign.text == one.text
            assert after.campaign.archived
