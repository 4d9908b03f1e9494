"""Sealing, commands, counts and the ends of a campaign."""

import asyncio
from uuid import uuid4

import msgspec
import pytest
from ledger_world import campaign_spec, make_channel, make_driver, make_upload

from engine.core_api import schema
from engine.ledger import campaigns, errors, settle


@pytest.fixture
async def sealed(pool, box):
    await make_channel(pool, box)
    upload_id, workspace_id = await make_upload(pool, 10)
    spec = campaign_spec(upload_id, workspace_id)
    return spec, await campaigns.create(pool, spec)


def order(command, **fields):
    return schema.CampaignCommand(decision_id=uuid4(), command=command, **fields)


async def test_a_sealed_campaign_waits_in_pending(pool, sealed):
    spec, campaign = sealed
    assert (campaign.state, campaign.counts.waiting, campaign.channel) == ("Pending", 10, "bulk")
    assert len(campaign.manifest_hash) == 64
    assert await campaigns.get(pool, spec.campaign_id) == campaign


async def test_the_same_decision_gives_the_stored_answer_and_another_body_is_refused(pool, sealed):
    spec, campaign = sealed
    assert await campaigns.create(pool, spec) == campaign
    with pytest.raises(errors.DecisionReused):
        await campaigns.create(pool, msgspec.structs.replace(spec, text="Other"))


async def test_two_callers_with_one_decision_act_once(pool, sealed):
    spec, campaign = sealed
    start = order("start", manifest_hash=campaign.manifest_hash)
    first, second = await asyncio.gather(
        campaigns.command(pool, spec.campaign_id, start), campaigns.command(pool, spec.campaign_id, start)
    )
    assert first == second
    assert first.state == "Sending"


async def test_start_refuses_another_manifest(pool, sealed):
    spec, campaign = sealed
    for wrong in (None, "00" * 32, campaign.manifest_hash[:-2]):
        with pytest.raises(errors.ManifestMismatch):
            await campaigns.command(pool, spec.campaign_id, order("start", manifest_hash=wrong))


async def test_start_refuses_what_was_changed_after_sealing(pool, sealed):
    spec, campaign = sealed
    await pool.execute("UPDATE campaigns SET text = 'Changed' WHERE campaign_id = $1", spec.campaign_id)
    with pytest.raises(errors.ManifestMismatch):
        await campaigns.command(pool, spec.campaign_id, order("start", manifest_hash=campaign.manifest_hash))
    assert (await campaigns.get(pool, spec.campaign_id)).state == "Pending"


async def test_a_refused_command_leaves_its_decision_free(pool, sealed):
    spec, campaign = sealed
    start = order("start", manifest_hash="00" * 32)
    with pytest.raises(errors.ManifestMismatch):
        await campaigns.command(pool, spec.campaign_id, start)
    right = msgspec.structs.replace(start, manifest_hash=campaign.manifest_hash)
    assert (await campaigns.command(pool, spec.campaign_id, right)).state == "Sending"


async def test_the_name_is_not_part_of_the_seal_and_the_text_is(pool, sealed):
    spec, campaign = sealed
    await campaigns.command(pool, spec.campaign_id, order("return"))
    renamed = msgspec.structs.replace(spec, decision_id=uuid4(), name="Autumn")
    again = await campaigns.create(pool, renamed)
    assert (again.manifest_hash, again.name, again.state) == (campaign.manifest_hash, "Autumn", "Pending")
    await campaigns.command(pool, spec.campaign_id, order("return"))
    changed = await campaigns.create(pool, msgspec.structs.replace(spec, decision_id=uuid4(), text="New"))
    assert changed.manifest_hash != campaign.manifest_hash


async def test_only_a_returned_campaign_is_sealed_again(pool, sealed):
    spec, _ = sealed
    with pytest.raises(errors.CampaignExists):
        await campaigns.create(pool, msgspec.structs.replace(spec, decision_id=uuid4()))


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ([], ["pause", "resume"]),
        (["start"], ["start", "resume", "return"]),
        (["start", "pause"], ["pause", "start", "return"]),
        (["cancel"], ["start", "pause", "resume", "cancel", "return"]),
    ],
)
async def test_commands_that_do_not_fit_the_state_are_refused(pool, sealed, path, refused):
    spec, campaign = sealed
    for command in path:
        await campaigns.command(pool, spec.campaign_id, order(command, manifest_hash=campaign.manifest_hash))
    for command in refused:
        with pytest.raises(errors.WrongState):
            await campaigns.command(
                pool, spec.campaign_id, order(command, manifest_hash=campaign.manifest_hash)
            )


async def test_pause_and_resume_keep_the_start(pool, sealed):
    spec, campaign = sealed
    started = await campaigns.command(
        pool, spec.campaign_id, order("start", manifest_hash=campaign.manifest_hash)
    )
    paused = await campaigns.command(pool, spec.campaign_id, order("pause"))
    assert (paused.state, paused.reason) == ("Paused", "paused by an operator")
    resumed = await campaigns.command(pool, spec.campaign_id, order("resume"), rate=lambda _: 5.0)
    assert (resumed.state, resumed.reason, resumed.started_at) == ("Sending", "", started.started_at)
    assert (resumed.rate_per_s, resumed.seconds_left) == (5.0, 2.0)


async def test_what_is_not_there_is_not_found(pool, sealed):
    spec, _ = sealed
    with pytest.raises(errors.NotFound):
        await campaigns.get(pool, uuid4())
    with pytest.raises(errors.NotFound):
        await campaigns.command(pool, uuid4(), order("pause"))
    for wrong in ({"channel": "none"}, {"upload_id": uuid4()}, {"workspace_id": uuid4()}):
        changed = msgspec.structs.replace(spec, decision_id=uuid4(), campaign_id=uuid4(), **wrong)
        with pytest.raises(errors.NotFound):
            await campaigns.create(pool, changed)


@pytest.mark.parametrize(("state", "rows"), [("open", 10), ("failed", 10), ("complete", 0)])
async def test_an_upload_that_is_not_ready_is_refused(pool, box, state, rows):
    await make_channel(pool, box)
    upload_id, workspace_id = await make_upload(pool, rows, state=state)
    with pytest.raises(errors.UploadNotReady):
        await campaigns.create(pool, campaign_spec(upload_id, workspace_id))


async def test_many_come_in_the_order_asked_without_the_unknown(pool, sealed):
    spec, _ = sealed
    upload_id, workspace_id = await make_upload(pool, 3)
    other = await campaigns.create(pool, campaign_spec(upload_id, workspace_id))
    found = await campaigns.get_many(pool, [other.campaign_id, uuid4(), spec.campaign_id])
    assert [campaign.campaign_id for campaign in found] == [other.campaign_id, spec.campaign_id]


async def test_done_needs_every_chunk_slice_and_claim(pool, box):
    driver = await make_driver(pool, box, 2)
    id_ = driver.campaign.campaign_id

    async def finish():
        async with pool.acquire() as connection:
            return await campaigns.finish_if_done(connection, id_)

    assert not await finish()  # rows unclaimed
    await driver.claim([1, 1])
    assert not await finish()  # a claim is open
    driver.accept(0, 1)
    await driver.writer.flush()
    await pool.execute("UPDATE legs SET next_chunk = 0 WHERE campaign_id = $1", id_)
    assert not await finish()  # a chunk is not planned
    await pool.execute("UPDATE legs SET next_chunk = 1 WHERE campaign_id = $1", id_)
    assert await finish()


async def test_cancelled_rows_are_counted_once_and_topped_up(pool, box):
    driver = await make_driver(pool, box, 10)
    await driver.claim([1, 1, 1])
    driver.accept(0, 1)
    await driver.writer.flush()
    id_ = driver.campaign.campaign_id
    await campaigns.command(pool, id_, order("cancel"))

    async def count():
        async with pool.acquire() as connection, connection.transaction():
            return await campaigns.count_cancelled(connection, id_, driver.writer.worker_id)

    assert (await count(), await count()) == (7, 0)
    await pool.execute("UPDATE slices SET claimed_to = 2")  # the owner gives the unwritten row back
    await pool.execute("UPDATE claims SET row_end = 2")
    assert await count() == 1
    counts = await driver.counts()
    assert (counts.cancelled, counts.waiting, counts.in_flight) == (8, 2, 2)
    found = await driver.equation()
    assert found.balanced, found.first_difference


async def test_a_done_campaign_settles_when_nothing_is_in_flight(pool, box):
    driver = await make_driver(pool, box, 1)
    await driver.claim([1])
    driver.accept(0)
    await driver.writer.flush()
    async with pool.acquire() as connection:
        await campaigns.finish_if_done(connection, driver.campaign.campaign_id)
    assert await settle.settle_due(pool, driver.writer.worker_id, 3600) == []
    driver.delivered("0.1")
    await driver.writer.flush()
    assert await settle.settle_due(pool, driver.writer.worker_id, 3600) == [driver.campaign.campaign_id]
    assert (await campaigns.get(pool, driver.campaign.campaign_id)).settled


async def test_a_cancelled_campaign_settles_only_after_its_rows_are_counted(pool, box):
    driver = await make_driver(pool, box, 5)
    await driver.claim([1])
    driver.accept(0)
    driver.delivered("0.1")
    await driver.writer.flush()
    await pool.execute("UPDATE campaigns SET state = 'Cancelled', done_at = now()")
    assert await settle.settle_due(pool, driver.writer.worker_id, 0) == []
    async with pool.acquire() as connection, connection.transaction():
        campaign_id = driver.campaign.campaign_id
        assert await campaigns.count_cancelled(connection, campaign_id, driver.writer.worker_id) == 4
    assert await settle.settle_due(pool, driver.writer.worker_id, 0) == [campaign_id]
    assert (await driver.counts()).waiting == 0
    assert (await driver.equation()).balanced


async def test_at_the_horizon_the_rest_is_no_receipt_and_a_later_one_corrects_it(pool, box):
    driver = await make_driver(pool, box, 2)
    await driver.claim([1, 1])
    driver.accept(0, 1)
    await driver.writer.flush()
    await pool.execute("UPDATE campaigns SET state = 'Done', done_at = now() - interval '2 hours'")
    assert await settle.settle_due(pool, driver.writer.worker_id, 3600) == [driver.campaign.campaign_id]
    counts = await driver.counts()
    assert (counts.no_receipt, counts.in_flight, counts.waiting) == (2, 0, 0)
    driver.delivered("0.1")
    await driver.writer.flush()
    counts = await driver.counts()
    assert (counts.no_receipt, counts.delivered, counts.in_flight) == (1, 1, 0)
    found = await driver.equation()
    assert found.balanced, found.first_difference


async def test_fail_ends_a_campaign_with_its_reason_once(pool, sealed):
    spec, _ = sealed
    async with pool.acquire() as connection:
        assert await campaigns.fail(connection, spec.campaign_id, "chunk 3 is unreadable")
        assert not await campaigns.fail(connection, spec.campaign_id, "again")
    campaign = await campaigns.get(pool, spec.campaign_id)
    assert (campaign.state, campaign.reason) == ("Failed", "chunk 3 is unreadable")
