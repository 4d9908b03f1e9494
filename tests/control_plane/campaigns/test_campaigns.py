"""A campaign is written, filled, submitted, taken back and controlled."""

from typing import Any

import pytest

from control_plane.access import Role
from control_plane.audit.outbox import AUDIT
from control_plane.campaigns.model import CAMPAIGNS
from control_plane.errors import (
    Changed,
    Conflict,
    EngineUnavailable,
    Forbidden,
    Invalid,
    NotFound,
    WrongOffset,
)


async def test_a_draft_is_created_by_the_senders_name_or_revision(house: Any) -> None:
    campaigns, author = house.services.campaigns, house.author
    by_name = await campaigns.create(author, name=" Spring ", sender="Heliograph", text="a\r\nb")
    assert (by_name.state, by_name.name, by_name.text) == ("New", "Spring", "a\nb")
    by_id = await campaigns.create(author, name="Again", sender=str(by_name.sender_revision_id), text="")
    assert by_id.sender == "Heliograph"
    assert await campaigns.get(author, by_id.id) == by_id


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": " "}, {"name"}),
        ({"name": "x" * 101}, {"name"}),
        ({"name": "a\x00b"}, {"name"}),
        ({"name": "ok", "sender": "Nobody"}, {"sender"}),
        ({"name": "", "sender": "Nobody", "text": "x" * 10_001}, {"name", "sender", "text"}),
    ],
)
async def test_wrong_fields_are_named(house: Any, fields: dict[str, str], wrong: set[str]) -> None:
    with pytest.raises(Invalid) as told:
        await house.services.campaigns.create(house.author, **fields)
    assert set(told.value.errors) == wrong


async def test_roles_are_kept(house: Any) -> None:
    campaigns, draft = house.services.campaigns, await house.draft()
    analyst = await house.person("Analyst", house.workspace.id, Role.ANALYST)
    assert (await campaigns.get(analyst, draft.id)).id == draft.id
    for act in (
        campaigns.create(analyst, name="x"),
        campaigns.edit(house.moderator, draft.id, name="x"),
        campaigns.submit(house.moderator, draft.id),
        campaigns.command(analyst, draft.id, "pause"),
        campaigns.recipients(analyst, draft.id),
    ):
        with pytest.raises(Forbidden):
            await act


async def test_another_workspace_finds_nothing(house: Any, body: Any) -> None:
    campaigns, draft = house.services.campaigns, await house.draft()
    for act in (
        campaigns.get(house.stranger, draft.id),
        campaigns.edit(house.stranger, draft.id, name="x"),
        campaigns.submit(house.stranger, draft.id),
        campaigns.delete(house.stranger, draft.id),
        campaigns.live(house.stranger, draft.id),
        campaigns.series(house.stranger, draft.id),
        campaigns.recipients(house.stranger, draft.id),
        campaigns.command(house.stranger, draft.id, "cancel"),
        campaigns.receive(house.stranger, draft.id, body(b"1\n"), offset=0, file_name="x"),
        house.approve(house.stranger, draft),
    ):
        with pytest.raises(NotFound):
            await act
    assert (await campaigns.list(house.stranger)).records == []


async def test_the_list_has_the_latest_change_first(house: Any, clock: Any) -> None:
    campaigns, author = house.services.campaigns, house.author
    made = []
    for n in range(3):
        clock.move(1)
        made.append(await campaigns.create(author, name=f"n{n}"))
    clock.move(1)
    await campaigns.edit(author, made[0].id, text="new")
    page = await campaigns.list(author, limit=2)
    rest = await campaigns.list(author, limit=2, after=page.next)
    assert [one.name for one in (*page.records, *rest.records)] == ["n0", "n2", "n1"]
    assert len((await campaigns.list(author, state="New")).records) == 3
    assert (await campaigns.list(author, state="Pending")).records == []


async def test_a_file_is_streamed_and_resumed_from_the_engines_offset(
    house: Any, body: Any, recipients_file: bytes
) -> None:
    campaigns, author = house.services.campaigns, house.author
    draft = await campaigns.create(author, name="Spring")
    size, half = len(recipients_file), len(recipients_file) // 2
    options = {"file_name": "C:\\people.csv", "size_bytes": size}
    first = await campaigns.receive(
        author, draft.id, body(recipients_file[:half]), offset=0, length=half, **options
    )
    assert (first.state, first.byte_offset, first.file_name) == ("open", half, "people.csv")
    with pytest.raises(WrongOffset) as told:
        await campaigns.receive(author, draft.id, body(b""), offset=half + 1, length=0, **options)
    assert told.value.byte_offset == half
    whole = await campaigns.receive(
        author, draft.id, body(recipients_file[half:]), offset=half, length=size - half, **options
    )
    assert (whole.state, whole.rows, whole.accepted, whole.duplicates, whole.job_errors) == (
        "complete",
        22,
        20,
        1,
        1,
    )
    assert await campaigns.upload(author, draft.id) == whole
    assert (await campaigns.upload_errors(author, draft.id)).total == 1


async def test_a_stream_that_breaks_off_leaves_the_upload_open(house: Any) -> None:
    campaigns, author = house.services.campaigns, house.author
    draft = await campaigns.create(author, name="Spring")

    async def broken() -> Any:
        yield b"4915100000001\n"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await campaigns.receive(author, draft.id, broken(), offset=0, file_name="x", size_bytes=99, length=99)
    upload = await campaigns.upload(author, draft.id)
    assert (upload.state, upload.byte_offset) == ("open", 14)


async def test_a_second_file_replaces_the_first_and_discards_it(house: Any, core: Any, body: Any) -> None:
    campaigns, draft = house.services.campaigns, await house.draft()
    upload = await campaigns.receive(
        house.author, draft.id, body(b"4915100000099\n"), offset=0, file_name="b.csv"
    )
    after = await campaigns.get(house.author, draft.id)
    assert (after.upload_id, after.file_name, upload.accepted) == (upload.upload_id, "b.csv", 1)
    assert core.done == ["discard"]
    assert draft.upload_id != upload.upload_id


async def test_the_review_says_what_is_missing(house: Any) -> None:
    campaigns, author = house.services.campaigns, house.author
    draft = await campaigns.create(author, name="Spring")
    review = await campaigns.review(author, draft.id)
    assert set(review.problems) == {"text", "sender", "recipients"}
    with pytest.raises(Invalid) as told:
        await campaigns.submit(author, draft.id)
    assert told.value.errors == review.problems


async def test_the_review_counts_and_masks(house: Any) -> None:
    draft = await house.draft()
    review = await house.services.campaigns.review(house.author, draft.id)
    assert review.ready
    assert review.count.recipients == 20
    assert all(sample.msisdn.startswith("…") and len(sample.msisdn) == 4 for sample in review.count.samples)


async def test_a_column_the_file_has_not_stops_it(house: Any) -> None:
    draft = await house.draft(text="Hello {{nmae}}")
    with pytest.raises(Invalid, match="no column named nmae"):
        await house.services.campaigns.submit(house.author, draft.id)


async def test_submitting_seals_and_waits_for_a_moderator(house: Any, core: Any) -> None:
    pending = await house.pending()
    assert (pending.state, pending.recipients, pending.orders) == ("Pending", 20, ())
    assert len(pending.manifest_hash) == 64
    assert pending.engine_id == pending.id
    assert core.done == ["seal"]
    live = await house.services.campaigns.live(house.author, pending.id)
    assert (live.state, live.reason) == ("Pending", "waiting for a moderator")


async def test_submitted_content_stands_and_only_the_name_changes(house: Any, body: Any) -> None:
    campaigns, author, pending = house.services.campaigns, house.author, await house.pending()
    for act in (
        campaigns.edit(author, pending.id, text="other"),
        campaigns.edit(author, pending.id, sender="Heliograph", text="other"),
        campaigns.edit(author, pending.id, channel="other"),
        campaigns.receive(author, pending.id, body(b"1\n"), offset=0, file_name="x"),
        campaigns.discard_upload(author, pending.id),
        campaigns.delete(author, pending.id),
        campaigns.submit(author, pending.id),
    ):
        with pytest.raises(Conflict):
            await act
    renamed = await campaigns.edit(author, pending.id, name="Summer", text=pending.text)
    assert (renamed.name, renamed.state, renamed.manifest_hash) == (
        "Summer",
        "Pending",
        pending.manifest_hash,
    )


async def test_a_withdrawn_campaign_is_edited_and_submitted_anew(house: Any, core: Any) -> None:
    campaigns, author, pending = house.services.campaigns, house.author, await house.pending()
    back = await campaigns.withdraw(author, pending.id)
    assert (back.state, back.engine_id, back.orders) == ("New", None, ())
    await campaigns.edit(author, pending.id, text="Other words")
    again = await campaigns.submit(author, pending.id)
    assert again.state == "Pending"
    assert again.manifest_hash != pending.manifest_hash
    assert again.engine_id != pending.engine_id
    assert core.done == ["seal", "return", "seal"]


async def test_changed_while_it_was_submitted_is_told(house: Any, core: Any) -> None:
    campaigns, author, draft = house.services.campaigns, house.author, await house.draft()
    count = core.count_text

    async def edit_meanwhile(spec: Any) -> Any:
        await campaigns.edit(author, draft.id, text="sneaked in")
        return await count(spec)

    core.count_text = edit_meanwhile
    with pytest.raises(Changed):
        await campaigns.submit(author, draft.id)
    assert core.done == []


async def test_a_deleted_draft_leaves_its_audit(house: Any, core: Any) -> None:
    campaigns, draft = house.services.campaigns, await house.draft()
    await campaigns.delete(house.author, draft.id)
    with pytest.raises(NotFound):
        await campaigns.get(house.author, draft.id)
    assert core.done == ["discard"]
    events = (await house.services.store.find(AUDIT, {"target_id": draft.id})).records
    assert {event.action for event in events} == {"campaign.create", "campaign.upload", "campaign.delete"}


async def test_approved_it_is_paused_resumed_and_cancelled(house: Any) -> None:
    campaigns, author, pending = house.services.campaigns, house.author, await house.pending()
    with pytest.raises(Conflict):
        await campaigns.command(author, pending.id, "pause")
    await house.approve(house.moderator, pending)
    assert (await campaigns.live(author, pending.id)).controls == ("pause", "cancel")
    assert (await campaigns.command(author, pending.id, "pause")).state == "Paused"
    with pytest.raises(Conflict, match="cannot pause"):
        await campaigns.command(author, pending.id, "pause")
    assert (await campaigns.command(house.moderator, pending.id, "resume")).state == "Sending"
    live = await campaigns.command(author, pending.id, "cancel")
    assert (live.state, live.controls) == ("Cancelled", ())
    assert live.campaign.orders == ()


async def test_recipients_are_masked_and_the_view_is_audited(house: Any) -> None:
    campaigns, pending = house.services.campaigns, await house.pending()
    page = await campaigns.recipients(house.author, pending.id)
    assert len(page.recipients) == 20
    assert len({one.ctn_hash for one in page.recipients}) == 20
    assert all(len(one.ctn_hash) == 16 and len(one.last_digits) == 3 for one in page.recipients)
    assert "49151000" not in repr(page)
    events = (await house.services.store.find(AUDIT, {"target_id": pending.id})).records
    assert [event.action for event in events] == ["recipients.view"]


async def test_lists_show_the_engines_half_with_one_question(house: Any, core: Any) -> None:
    campaigns, author = house.services.campaigns, house.author
    pending, draft = await house.pending(), await house.draft()
    lives = await campaigns.lives(author, (await campaigns.list(author)).records)
    states = {live.campaign.id: (live.state, live.engine is not None) for live in lives}
    assert states == {pending.id: ("Pending", True), draft.id: ("New", False)}
    core.away = True
    lives = await campaigns.lives(author, (await campaigns.list(author)).records)
    assert {live.campaign.id: live.reachable for live in lives} == {pending.id: False, draft.id: True}


async def test_with_the_engine_away_reading_it_says_so(house: Any, core: Any) -> None:
    campaigns, author, pending = house.services.campaigns, house.author, await house.pending()
    draft = await house.draft()
    core.away = True
    assert (await campaigns.live(author, pending.id)).reason == "the engine does not answer"
    assert (await campaigns.live(author, draft.id)).reachable is False
    for act in (campaigns.series(author, pending.id), campaigns.review(author, draft.id)):
        with pytest.raises(EngineUnavailable):
            await act


async def test_no_change_is_without_its_event(house: Any) -> None:
    pending = await house.pending()
    stored = await house.services.store.get(CAMPAIGNS, pending.id)
    assert [event.action for event in stored.outbox] == [
        "campaign.create",
        "campaign.upload",
        "campaign.submit",
    ]
    assert all(event.actor_id == house.author.actor.user_id for event in stored.outbox)
    assert stored.unswept


async def test_a_draft_is_deleted_while_the_audit_is_swept(house: Any, core: Any) -> None:
    campaigns, draft = house.services.campaigns, await house.draft()
    discard = core.discard_upload

    async def sweep_meanwhile(upload_id: Any) -> None:
        assert await house.services.audit.sweep() > 0
        await discard(upload_id)

    core.discard_upload = sweep_meanwhile
    await campaigns.delete(house.author, draft.id)
    with pytest.raises(NotFound):
        await campaigns.get(house.author, draft.id)
    events = (await house.services.store.find(AUDIT, {"target_id": draft.id})).records
    assert sorted(event.action for event in events) == [
        "campaign.create",
        "campaign.delete",
        "campaign.upload",
    ]


async def test_a_draft_that_a_person_changes_meanwhile_is_not_deleted(house: Any, core: Any) -> None:
    campaigns, draft = house.services.campaigns, await house.draft()
    discard = core.discard_upload

    async def edit_meanwhile(upload_id: Any) -> None:
        await campaigns.edit(house.author, draft.id, text="Kept")
        await discard(upload_id)

    core.discard_upload = edit_meanwhile
    with pytest.raises(Changed):
        await campaigns.delete(house.author, draft.id)
    assert (await campaigns.get(house.author, draft.id)).text == "Kept"


async def test_who_goes_on_with_somebody_elses_file_does_not_decide_it(
    house: Any, body: Any, recipients_file: bytes
) -> None:
    campaigns, half = house.services.campaigns, len(recipients_file) // 2
    draft = await campaigns.create(house.author, name="Spring", sender="Heliograph", text="Hello")
    options = {"file_name": "people.csv", "size_bytes": len(recipients_file)}
    await campaigns.receive(
        house.author, draft.id, body(recipients_file[:half]), offset=0, length=half, **options
    )
    rest = recipients_file[half:]
    await campaigns.receive(house.admin, draft.id, body(rest), offset=half, length=len(rest), **options)
    pending = await campaigns.submit(house.author, draft.id)
    with pytest.raises(Forbidden):
        await house.approve(house.admin, pending)


async def test_a_files_name_loses_its_nul(house: Any, body: Any) -> None:
    campaigns = house.services.campaigns
    draft = await campaigns.create(house.author, name="Spring")
    upload = await campaigns.receive(
        house.author, draft.id, body(b"4915100000001\n"), offset=0, file_name="a\x00b.csv"
    )
    assert upload.file_name == "ab.csv"


async def test_its_own_history_has_what_it_was_told_and_not_what_was_refused(house: Any) -> None:
    campaigns, pending = house.services.campaigns, await house.pending()
    await house.approve(house.moderator, pending)
    await campaigns.command(house.author, pending.id, "pause")
    with pytest.raises(Conflict):
        await campaigns.command(house.author, pending.id, "pause")
    await campaigns.command(house.moderator, pending.id, "resume")
    told = (await campaigns.get(house.author, pending.id)).told
    assert [(one.control, one.by) for one in told] == [("pause", "Author"), ("resume", "Moderator")]


async def test_approved_with_the_engine_away_its_state_is_unknown_and_it_can_be_paused(
    house: Any, core: Any
) -> None:
    campaigns, pending = house.services.campaigns, await house.pending()
    await house.approve(house.moderator, pending)
    core.away = True
    live = await campaigns.live(house.author, pending.id)
    assert (live.state, live.controls) == ("Unknown", ("pause", "cancel"))
    await campaigns.command(house.author, pending.id, "pause")
    core.away = False
    await house.services.reconciler.run_once()
    assert (await campaigns.live(house.author, pending.id)).state == "Paused"
