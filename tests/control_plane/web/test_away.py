"""With the documents away: pausing, cancelling and logging out work, for those who might; all else waits."""

from typing import Any
from uuid import UUID

import pytest

from control_plane.access import Role
from control_plane.audit.outbox import AUDIT, WITHOUT_STORE
from control_plane.campaigns.model import CAMPAIGNS
from control_plane.core_fake import FakeCore
from control_plane.identity.model import SESSIONS
from control_plane.services import Services
from control_plane.web.session import SESSION_COOKIE
from engine.core_api import schema

JSON = {"accept": "application/json"}


@pytest.fixture
async def sending(services: Services, house: Any) -> Any:
    pending = await house.pending()
    await house.approve(house.moderator, pending)
    return await services.store.get(CAMPAIGNS, pending.id)


async def state(core: FakeCore, campaign: Any) -> str:
    return (await core.campaign(campaign.engine_id)).state


async def events(services: Services, action: str) -> list[Any]:
    await services.spool.flush(services.audit, services.clock())
    return (await services.store.find(AUDIT, {"action": action}, limit=100)).records


@pytest.mark.parametrize("how", ["stop", "hang"])
async def test_it_pauses_and_cancels_and_the_audit_has_it_once_the_documents_are_back(
    services: Services,
    core: FakeCore,
    house: Any,
    sending: Any,
    author: Any,
    moderator: Any,
    documents: Any,
    how: str,
) -> None:
    await services.campaigns.live(house.author, sending.id)
    await author.get(f"/campaigns/{sending.id}")
    await moderator.get("/campaigns")
    getattr(documents, how)()
    named = {"x-request-id": "of-this-request", "user-agent": "another"}
    answer = await author.post(f"/campaigns/{sending.id}/pause", headers=named)
    assert answer.status_code == 200
    assert f"Paused: {sending.name}" in answer.text
    assert "The documents cannot be reached" in answer.text
    assert await state(core, sending) == "Paused"
    answer = await moderator.post(f"/campaigns/{sending.id}/cancel", headers=JSON)
    assert answer.json()["state"] == "Cancelled"
    documents.start()
    (paused,), (cancelled,) = (
        await events(services, "campaign.pause"),
        await events(services, "campaign.cancel"),
    )
    assert (paused.actor, cancelled.actor) == ("author@house.example", "moderator@house.example")
    assert paused.target_id == cancelled.target_id == sending.id
    assert paused.workspace_id == house.workspace.id
    assert WITHOUT_STORE in paused.details
    assert (paused.request_id, paused.user_agent) == ("of-this-request", "another")
    (gap,) = await events(services, "audit.gap")
    assert gap.details["events"] == "2"


async def test_nobody_pauses_what_they_could_not_before(
    services: Services, core: FakeCore, house: Any, sending: Any, browser_of: Any, documents: Any
) -> None:
    """A stranger, another author, an analyst; and a campaign that nobody has read here."""
    stranger = await browser_of(Role.ADMIN, house.stranger.workspace_id)
    other, analyst = await browser_of(Role.AUTHOR), await browser_of(Role.ANALYST)
    for browser in (stranger, other, analyst):
        await browser.get("/")
    documents.stop()
    for known in (True, False):
        if not known:
            services.emergencies._known.clear()
        for browser, told in ((stranger, 404), (other, 404), (analyst, 403)):
            answer = await browser.submit(f"/campaigns/{sending.id}/pause")
            assert answer.status_code == told, (known, told)
    assert await state(core, sending) == "Sending"
    assert (await other.submit("/campaigns/no-id/pause")).status_code == 404


async def test_a_campaign_that_was_not_read_here_is_the_workspaces_by_the_engines_word(
    services: Services, core: FakeCore, sending: Any, moderator: Any, documents: Any
) -> None:
    await moderator.get("/")
    services.emergencies._known.clear()
    documents.stop()
    assert (await moderator.submit(f"/campaigns/{sending.id}/pause")).status_code == 200
    assert await state(core, sending) == "Paused"


async def test_what_does_not_send_is_not_paused_and_nothing_is_resumed(
    services: Services, core: FakeCore, house: Any, sending: Any, moderator: Any, documents: Any
) -> None:
    pending = await house.pending()
    await moderator.get("/campaigns")
    documents.stop()
    assert (await moderator.submit(f"/campaigns/{pending.id}/cancel")).status_code == 409
    assert (await moderator.submit(f"/campaigns/{sending.id}/pause")).status_code == 200
    assert (await moderator.submit(f"/campaigns/{sending.id}/pause")).status_code == 409
    assert (await moderator.submit(f"/campaigns/{sending.id}/resume")).status_code == 503
    core.away = True
    assert (await moderator.submit(f"/campaigns/{sending.id}/cancel")).status_code == 503
    assert await state_after(core, sending) == "Paused"


async def state_after(core: FakeCore, campaign: Any) -> str:
    core.away = False
    return await state(core, campaign)


async def test_a_resume_that_waited_does_not_undo_a_later_pause(
    services: Services, core: FakeCore, clock: Any, house: Any, sending: Any, moderator: Any, documents: Any
) -> None:
    """The engine was away when it was resumed, the documents when it was paused again."""
    await services.campaigns.command(house.moderator, sending.id, "pause")
    core.away = True
    await services.campaigns.command(house.moderator, sending.id, "resume")
    core.away = False
    clock.move(1)
    await core.command(sending.engine_id, schema.CampaignCommand(decision_id=UUID(int=1), command="resume"))
    await moderator.get("/campaigns")
    documents.stop()
    assert (await moderator.submit(f"/campaigns/{sending.id}/pause")).status_code == 200
    documents.start()
    assert await services.reconciler.run_once() == 0
    assert await state(core, sending) == "Paused"
    clock.move(1)
    await services.campaigns.command(house.moderator, sending.id, "resume")
    assert await state(core, sending) == "Sending"


@pytest.mark.parametrize("how", ["stop", "hang"])
async def test_it_logs_out_for_good(
    services: Services, house: Any, moderator: Any, documents: Any, how: str
) -> None:
    await moderator.get("/")
    token = moderator.cookies[SESSION_COOKIE]
    session = (await services.store.find(SESSIONS, {}, limit=10)).records
    getattr(documents, how)()
    answer = await moderator.submit("/logout")
    assert answer.headers["location"] == "/login?done=logged-out"
    assert SESSION_COOKIE not in moderator.cookies
    moderator.cookies.set(SESSION_COOKIE, token)
    answer = await moderator.submit("/stop", scope="workspace")
    assert answer.headers["location"] == "/login"
    documents.start()
    assert (await moderator.get("/campaigns", headers=JSON)).status_code == 401  # at once
    (ended,) = await events(services, "login.ended")
    assert ended.actor == "moderator@house.example"
    left = (await services.store.find(SESSIONS, {}, limit=10)).records
    assert {one.id for one in session} - {one.id for one in left} == {ended.target_id}
    assert (await moderator.get("/campaigns", headers=JSON)).status_code == 401


async def test_a_logout_outlives_the_process_that_took_it(
    services: Services, control_settings: Any, core: FakeCore, clock: Any, moderator: Any, documents: Any
) -> None:
    from control_plane.app import build

    await moderator.get("/")
    token = moderator.cookies[SESSION_COOKIE]
    documents.stop()
    await moderator.submit("/logout")
    documents.start()
    after = build(control_settings, services.store, core, clock)
    assert await after.identity.actor(token) is not None  # the store has not heard of it
    await after.spool.flush(after.audit, clock())
    assert await after.identity.actor(token) is None


async def test_logging_out_needs_no_session_and_fills_no_file(
    services: Services, visitor: Any, moderator: Any, documents: Any
) -> None:
    """Of a session that is not remembered either, the event is written when the store knows whose it was."""
    token = moderator.cookies[SESSION_COOKIE]
    services.remembered.forget(token)
    documents.stop()
    for cookie in ("made-up", token):
        visitor.cookies.set(SESSION_COOKIE, cookie)
        assert (await visitor.submit("/logout")).status_code == 303
        visitor.cookies.clear()
    assert services.spool.view().waiting_bytes == 0
    documents.start()
    assert (await moderator.get("/campaigns", headers=JSON)).status_code == 401
    await services.identity.end_logged_out(())
    (ended,) = await events(services, "login.ended")
    assert ended.target_id is not None
