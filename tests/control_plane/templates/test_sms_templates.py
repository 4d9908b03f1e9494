"""Templates are written by one, approved by themselves or by another, version by version."""

import asyncio
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from control_plane.access import Role
from control_plane.errors import AlreadyDecided, Changed, Conflict, Forbidden, Invalid, NotFound
from control_plane.templates.model import SmsContent, Variable
from control_plane.templates.templates import Filter
from control_plane.workspaces.model import Workspace
from control_plane.workspaces.workspaces import Workspaces


def content(body: str = "Hello", **fields: Any) -> SmsContent:
    return SmsContent(body=body, **{"content_type": "service", "category": "SIC", **fields})


PROMOTION = content("Only today", content_type="promotional")


@pytest.fixture
def moderated(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The workspace wants to see what is free; gives a way to set its other rules."""

    found = Workspaces.get

    def rules(**rules: bool) -> None:
        async def get(self: Workspaces, member: Any) -> Workspace:
            wanted = {"moderate_free_templates": True, **rules}
            return msgspec.structs.replace(await found(self, member), **wanted)

        monkeypatch.setattr(Workspaces, "get", get)

    rules()
    return rules


async def test_what_is_right_is_approved_by_itself(house: Any) -> None:
    templates = house.services.templates
    made = await templates.create(house.author, "order-ready", PROMOTION)
    assert (made.status, made.revision, made.number, made.decided_by) == ("APPROVED", 1, 1, "")
    for one in ("1", made.template_id, str(made.template_id)):
        assert (await templates.template(house.author, one)).newest == made


async def test_what_is_wrong_fails_with_the_reason_and_is_put_right(house: Any) -> None:
    templates = house.services.templates
    failed = await templates.create(house.author, "order", content("Hello {{name"))
    assert (failed.status, failed.reasons) == ("FAILED", ("There is a {{ without its }}.",))
    assert await templates.approved(house.author) == []
    right = await templates.revise(house.author, "1", content("Hello"), seen=1)
    assert (right.status, right.revision, right.number) == ("APPROVED", 2, 1)
    with pytest.raises(Conflict):
        await templates.decide(house.moderator, failed.id, approve=True)


async def test_a_moderator_sees_what_the_workspace_wants_seen(house: Any, moderated: Any) -> None:
    templates = house.services.templates
    plain = await templates.create(house.author, "plain", content())
    waits = await templates.create(house.author, "promo", PROMOTION)
    assert (plain.status, waits.status, waits.asks) == ("APPROVED", "PENDING", ("promotional content",))
    assert [one.id for one in (await templates.pending(house.moderator)).records] == [waits.id]
    assert await templates.pending_count(house.moderator) == 1
    with pytest.raises(Invalid):
        await templates.decide(house.moderator, waits.id, approve=False)
    decided = await templates.decide(house.moderator, waits.id, approve=False, note="No.")
    assert (decided.status, decided.decided_by, decided.note) == ("REJECTED", "Moderator", "No.")
    with pytest.raises(AlreadyDecided) as told:
        await templates.decide(house.second_moderator, waits.id, approve=True)
    assert (told.value.by, told.value.verdict) == ("Moderator", "rejected")


async def test_nobody_approves_their_own(house: Any, moderated: Any) -> None:
    templates = house.services.templates
    mine = await templates.create(house.admin, "mine", PROMOTION)
    with pytest.raises(Forbidden):
        await templates.decide(house.admin, mine.id, approve=True)
    moderated(own_approval=True)
    assert (await templates.decide(house.admin, mine.id, approve=True)).status == "APPROVED"


async def test_of_fifty_decisions_at_once_one_wins(house: Any, moderated: Any) -> None:
    templates = house.services.templates
    waits = await templates.create(house.author, "promo", PROMOTION)
    people = [await house.person(f"M{n}", house.workspace.id, Role.MODERATOR) for n in range(50)]
    told = await asyncio.gather(
        *(templates.decide(one, waits.id, approve=n % 2 == 0, note="n") for n, one in enumerate(people)),
        return_exceptions=True,
    )
    (winner,) = [one for one in told if not isinstance(one, Exception)]
    losers = [one for one in told if isinstance(one, Exception)]
    assert all(isinstance(one, AlreadyDecided) and one.by == winner.decided_by for one in losers), losers


async def test_an_edit_is_a_new_version_and_the_old_one_stays(house: Any) -> None:
    templates = house.services.templates
    first = await templates.create(house.author, "order", content("One"))
    second = await templates.revise(house.author, first.template_id, content("Two"))
    template = await templates.template(house.author, "1")
    assert [one.content.body for one in template.versions] == ["Two", "One"]
    assert template.usable == second
    assert await templates.version(house.author, first.id) == first
    with pytest.raises(Invalid):
        await templates.revise(house.author, "1", content("Two"))
    with pytest.raises(Changed):
        await templates.revise(house.author, "1", content("Three"), seen=1)


async def test_edits_at_once_make_one_version(house: Any) -> None:
    templates = house.services.templates
    await templates.create(house.author, "order", content("One"))
    made = await asyncio.gather(
        *(templates.revise(house.author, "1", content(f"Two {n}"), seen=1) for n in range(10)),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, Exception) for one in made) == 1
    assert all(isinstance(one, Changed) for one in made if isinstance(one, Exception)), made


async def test_a_version_that_waits_is_withdrawn_before_the_next(house: Any, moderated: Any) -> None:
    templates = house.services.templates
    waits = await templates.create(house.author, "promo", PROMOTION)
    with pytest.raises(Conflict):
        await templates.revise(house.author, "1", content("Other"))
    colleague = await house.person("Colleague", house.workspace.id, Role.AUTHOR)
    with pytest.raises(Forbidden):
        await templates.withdraw(colleague, waits.id)
    assert (await templates.withdraw(house.author, waits.id)).status == "FAILED"
    with pytest.raises(Conflict):
        await templates.decide(house.moderator, waits.id, approve=True)
    assert (await templates.revise(house.author, "1", PROMOTION)).status == "PENDING"


async def test_names_and_numbers_are_of_one_template_in_a_workspace(house: Any) -> None:
    templates = house.services.templates
    made = await asyncio.gather(*(templates.create(house.author, f"t{n}", content()) for n in range(8)))
    assert sorted(one.number for one in made) == list(range(1, 9))
    same = await asyncio.gather(
        *(templates.create(house.author, "same", content()) for _ in range(5)), return_exceptions=True
    )
    assert sum(not isinstance(one, Exception) for one in same) == 1
    assert all(isinstance(one, Invalid) for one in same if isinstance(one, Exception)), same
    assert (await templates.create(house.stranger, "same", content())).number == 1


async def test_roles_and_foreign_ids(house: Any, moderated: Any) -> None:
    templates = house.services.templates
    made = await templates.create(house.author, "promo", PROMOTION)
    analyst = await house.person("Analyst", house.workspace.id, Role.ANALYST)
    for act in (
        templates.create(analyst, "x", content()),
        templates.create(house.moderator, "x", content()),
        templates.revise(analyst, made.template_id, content()),
        templates.withdraw(analyst, made.id),
        templates.pending(house.author),
        templates.decide(house.author, made.id, approve=True),
    ):
        with pytest.raises(Forbidden):
            await act
    assert len(await templates.list(analyst)) == 1
    for act in (
        templates.template(house.stranger, made.template_id),
        templates.template(house.stranger, "1"),
        templates.template(house.author, "2"),
        templates.template(house.author, "x"),
        templates.template(house.author, uuid4()),
        templates.version(house.stranger, made.id),
        templates.revise(house.stranger, made.template_id, content()),
        templates.withdraw(house.stranger, made.id),
        templates.decide(house.stranger, made.id, approve=True),
    ):
        with pytest.raises(NotFound):
            await act
    assert await templates.list(house.stranger) == []


async def test_the_list_is_filtered_by_the_newest_version(house: Any) -> None:
    templates = house.services.templates
    await templates.create(house.author, "beta", content("Your code", category="Auth"))
    await templates.create(house.author, "alpha", content("Your {{order"))

    async def names(**wanted: str) -> list[str]:
        return [one.name for one in await templates.list(house.author, Filter(**wanted))]

    assert await names() == ["alpha", "beta"]
    assert await names(status="FAILED") == ["alpha"]
    assert await names(category="Auth") == ["beta"]
    assert await names(search="CODE") == ["beta"]
    assert await names(search="#2") == ["alpha"]
    assert await names(search="code", status="FAILED") == []


# Campaigns with a template


async def written(house: Any, made: SmsContent, **fields: Any) -> Any:
    version = await house.services.templates.create(house.author, "order", made)
    assert version.status == "APPROVED", version.reasons
    draft = await house.draft()
    return version, await house.services.campaigns.edit(
        house.author, draft.id, template=str(version.id), **fields
    )


NAME = Variable(name="name", sample="Anna", max_length=30)


async def test_a_campaign_takes_the_text_of_its_version_and_keeps_it(house: Any) -> None:
    version, draft = await written(house, content("Hello {{name}}", variables=(NAME,)), text="mine")
    assert (draft.text, draft.template_version_id) == ("Hello {{name}}", version.id)
    await house.services.templates.revise(house.author, "1", content("Other"))
    sent = await house.services.campaigns.submit(house.author, draft.id)
    assert (sent.text, sent.template_version_id, sent.template) == (
        "Hello {{name}}",
        version.id,
        "order, version 1",
    )
    assert (await house.services.core.campaign(sent.engine_id)).text == "Hello {{name}}"


async def test_the_text_of_a_template_is_not_written_over(house: Any) -> None:
    campaigns = house.services.campaigns
    _version, draft = await written(house, content("Hello {{name}}", variables=(NAME,)))
    with pytest.raises(Invalid):
        await campaigns.edit(house.author, draft.id, text="Another")
    free = await campaigns.edit(house.author, draft.id, text="Another", template="")
    assert (free.text, free.template_version_id, free.template) == ("Another", None, "")


async def test_only_an_approved_template_of_the_workspace_is_chosen(house: Any) -> None:
    templates, campaigns = house.services.templates, house.services.campaigns
    failed = await templates.create(house.author, "failed", content("Hello {{"))
    foreign = await templates.create(house.stranger, "foreign", content())
    for wrong in (failed.id, foreign.id, uuid4(), "x"):
        with pytest.raises(Invalid) as told:
            await campaigns.create(house.author, name="Spring", template=str(wrong))
        assert set(told.value.errors) == {"template"}


async def test_a_registered_template_needs_its_entity_and_its_words(house: Any) -> None:
    campaigns = house.services.campaigns
    made = content(
        "Hello {{name}}",
        variables=(NAME,),
        dlt_template_id="1107160000000012345",
        dlt_registered="Hello {#var#}",
    )
    _version, draft = await written(house, made)
    assert draft.options.dlt_template_id == "1107160000000012345"
    with pytest.raises(Invalid) as told:
        await campaigns.submit(house.author, draft.id)
    assert set(told.value.errors) == {"dlt_pe_id"}
    pe_id = "1101172974420810001"
    await campaigns.edit(house.author, draft.id, options={"dlt_pe_id": pe_id, "dlt_template_id": "1"})
    with pytest.raises(Invalid) as told:
        await campaigns.submit(house.author, draft.id)
    assert set(told.value.errors) == {"text"}
    await campaigns.edit(house.author, draft.id, options={"dlt_template_id": "1107160000000012345"})
    sent = await campaigns.submit(house.author, draft.id)
    assert (sent.state, sent.options.dlt_pe_id) == ("Pending", pe_id)
