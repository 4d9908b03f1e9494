"""What was decided reaches the engine once, whatever breaks in between."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from control_plane.campaigns.model import CAMPAIGNS
from control_plane.campaigns.orders import order, settled, with_order
from control_plane.errors import Conflict, Invalid
from control_plane.metrics import Metrics
from engine.core_api import schema
from engine.core_api.client import CoreError


async def test_submitted_with_the_engine_away_it_is_built_until_it_is_back(house: Any, core: Any) -> None:
    draft = await house.draft()
    seal = core.seal_campaign

    async def away(spec: Any) -> Any:
        core.away = True
        return await seal(spec)

    core.seal_campaign = away
    submitted = await house.services.campaigns.submit(house.author, draft.id)
    assert (submitted.state, submitted.outstanding, len(submitted.orders)) == ("Building", True, 1)
    assert await house.services.reconciler.run_once() == 1
    core.away, core.seal_campaign = False, seal
    assert await house.services.reconciler.run_once() == 0
    assert (await house.services.campaigns.get(house.author, draft.id)).state == "Pending"
    assert core.done == ["seal"]


async def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_decision(
    house: Any, core: Any
) -> None:
    pending = await house.pending()
    core.lose_answers = True
    approved = await house.approve(house.moderator, pending)
    assert approved.state == "Approved"
    assert approved.orders[0].decision_id == approved.decision.decision_id
    assert core.done == ["seal", "start"]
    core.lose_answers = False
    for _ in range(3):
        assert await house.services.reconciler.run_once() == 0
    assert core.done == ["seal", "start"]
    assert (await house.services.campaigns.get(house.author, pending.id)).orders == ()


async def test_orders_that_wait_are_sent_in_order(house: Any, core: Any) -> None:
    campaigns, pending = house.services.campaigns, await house.pending()
    core.away = True
    await house.approve(house.moderator, pending)
    for control in ("pause", "resume", "cancel"):
        await campaigns.command(house.author, pending.id, control)
    core.away = False
    assert await house.services.reconciler.run_once() == 0
    assert core.done == ["seal", "start", "pause", "resume", "cancel"]


async def test_withdrawn_with_the_engine_away_and_submitted_again_nothing_is_left(
    house: Any, core: Any
) -> None:
    campaigns, pending = house.services.campaigns, await house.pending()
    core.away = True
    await campaigns.withdraw(house.author, pending.id)
    core.away = False
    again = await campaigns.submit(house.author, pending.id)
    assert (again.state, again.orders) == ("Pending", ())
    assert core.done == ["seal", "return", "seal"]
    assert (await core.campaign(pending.engine_id)).state == "Returned"


async def test_a_refused_seal_gives_it_back_with_the_reason(house: Any, core: Any) -> None:
    draft = await house.draft()
    problem = schema.Problem(
        type="urn:heliograph:problem:x", title="No", status=409, detail="no such channel"
    )

    async def refuse(spec: Any) -> Any:
        raise CoreError(problem)

    core.seal_campaign = refuse
    with pytest.raises(Invalid, match="no such channel"):
        await house.services.campaigns.submit(house.author, draft.id)
    after = await house.services.campaigns.get(house.author, draft.id)
    assert (after.state, after.orders, after.engine_id) == ("New", (), None)
    assert after.note.text == "The engine refused it: no such channel"


async def test_a_refused_start_gives_it_back_and_voids_the_approval(house: Any, core: Any) -> None:
    pending = await house.pending()
    problem = schema.Problem(
        type="urn:heliograph:problem:x", title="No", status=409, detail="another manifest"
    )
    command = core.command

    async def refuse(campaign_id: Any, wanted: Any) -> Any:
        if wanted.command == "start":
            raise CoreError(problem)
        return await command(campaign_id, wanted)

    core.command = refuse
    with pytest.raises(Conflict, match="another manifest"):
        await house.approve(house.moderator, pending)
    after = await house.services.campaigns.get(house.author, pending.id)
    assert (after.state, after.decision, after.orders) == ("New", None, ())
    assert core.done == ["seal", "return"]


async def test_a_start_refused_because_it_runs_is_a_start(house: Any, core: Any) -> None:
    pending = await house.pending()
    start = schema.CampaignCommand(decision_id=uuid4(), command="start", manifest_hash=pending.manifest_hash)
    await core.command(pending.engine_id, start)
    approved = await house.approve(house.moderator, pending)
    assert (approved.state, approved.orders) == ("Approved", ())


@pytest.mark.parametrize("status", [429, 500, 502])
async def test_a_refusal_that_may_pass_is_tried_again(house: Any, core: Any, status: int) -> None:
    pending = await house.pending()
    command = core.command

    async def busy(campaign_id: Any, wanted: Any) -> Any:
        raise CoreError(schema.Problem(type="urn:heliograph:problem:x", title="later", status=status))

    core.command = busy
    approved = await house.approve(house.moderator, pending)
    assert approved.outstanding
    core.command = command
    assert await house.services.reconciler.run_once() == 0
    assert core.done == ["seal", "start"]


async def test_an_answer_to_an_order_that_is_gone_changes_nothing(house: Any) -> None:
    now = datetime.now(UTC)
    pending = await house.services.store.get(CAMPAIGNS, (await house.pending()).id)
    stray = order("seal", pending.id, "x", now)
    answer = await house.services.core.campaign(pending.engine_id)
    assert settled(pending, stray, answer, now) is pending


async def test_a_late_seal_of_a_withdrawn_submission_does_not_make_it_pending(house: Any) -> None:
    now = datetime.now(UTC)
    pending = await house.services.store.get(CAMPAIGNS, (await house.pending()).id)
    answer = await house.services.core.campaign(pending.engine_id)
    late = order("seal", uuid4(), "x", now)
    building = msgspec.structs.replace(pending, state="Building", orders=(), outstanding=None)
    after = settled(with_order(building, late), late, answer, now)
    assert (after.state, after.orders, after.outstanding) == ("Building", (), None)


async def test_the_gauge_shows_what_waits(house: Any, core: Any) -> None:
    pending = await house.pending()
    core.away = True
    await house.services.campaigns.withdraw(house.author, pending.id)
    await house.services.reconciler.run_once()
    metrics: Metrics = house.services.metrics
    assert metrics.registry.get_sample_value("heliograph_core_orders_outstanding") == 1


async def test_an_order_that_is_put_off_holds_up_no_other_campaigns(house: Any, core: Any) -> None:
    campaigns = [await house.pending() for _ in range(3)]
    core.away = True
    for campaign in campaigns:
        await house.services.campaigns.withdraw(house.author, campaign.id)
    core.away, command = False, core.command
    first = min(campaigns, key=lambda campaign: campaign.id)

    async def busy(campaign_id: Any, wanted: Any) -> Any:
        if campaign_id == first.engine_id:
            raise CoreError(schema.Problem(type="urn:heliograph:problem:x", title="later", status=500))
        return await command(campaign_id, wanted)

    core.command = busy
    assert await house.services.reconciler.run_once() == 1
    assert core.done.count("return") == 2


async def test_the_reconciler_outlives_what_nobody_foresaw(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []
    twice = asyncio.Event()

    async def broken() -> int:
        rounds.append(1)
        if len(rounds) > 1:
            twice.set()
        raise RuntimeError("a bad document")

    monkeypatch.setattr(house.services.reconciler, "run_once", broken)
    task = asyncio.create_task(house.services.reconciler.run(0.001))
    async with asyncio.timeout(5):
        await twice.wait()
    task.cancel()
