"""Stop all sending: what may stop what, the banner, and that it works with the documents away."""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from control_plane.audit.outbox import AUDIT
from control_plane.core_fake import FakeCore
from control_plane.documents.postgres import PostgresStore
from control_plane.services import Services
from control_plane.web.session import SESSION_COOKIE, STOP_PATIENCE_S

JSON = {"accept": "application/json"}


async def events(services: Services, action: str) -> list[Any]:
    found = await services.store.find(AUDIT, {}, limit=500)
    return [event for event in found.records if event.action == action]


async def test_a_workspaces_moderator_stops_it_and_everybody_in_it_sees_the_banner(
    services: Services, core: FakeCore, house: Any, moderator: Any, author: Any
) -> None:
    page = await moderator.get("/stop")
    assert "Within a second nothing more is handed to operators" in page.text
    answer = await moderator.submit("/stop", scope="workspace", reason="wrong price in the text")
    assert answer.headers["location"] == "/stop?done=stopped"
    (stop,) = (await core.stops()).stops
    assert (stop.scope, stop.workspace_id) == ("workspace", house.workspace.id)
    seen = (await author.get("/")).text
    assert "Sending of Demo is stopped" in seen
    assert "wrong price in the text" in seen
    assert "Lift …" not in seen
    assert "Sending of Demo is stopped" in (await author.get("/pulse", headers={"hx-request": "true"})).text


async def test_a_lifted_stop_leaves_no_banner_and_both_are_in_the_audit(
    services: Services, moderator: Any, author: Any
) -> None:
    await moderator.submit("/stop", scope="workspace", reason="a mistake")
    assert "is stopped" in (await author.get("/")).text
    stop = (await moderator.get("/stop", headers=JSON)).json()["stops"][0]
    answer = await moderator.submit(f"/stop/{stop['stop_id']}/lift")
    assert answer.headers["location"] == "/stop?done=lifted"
    assert "is stopped" not in (await author.get("/")).text
    await services.spool.flush(services.audit, services.clock())
    (ordered,), (lifted,) = await events(services, "stop.order"), await events(services, "stop.lift")
    assert ordered.actor == lifted.actor == "moderator@house.example"
    assert ordered.details == {"scope": "workspace", "reason": "a mistake"}


async def test_what_the_installation_stopped_a_workspace_does_not_let_go_on(
    services: Services, core: FakeCore, house: Any, root: Any, moderator: Any, admin: Any
) -> None:
    await root.submit("/stop", scope="workspace", workspace=str(house.workspace.id), reason="under review")
    (stop,) = (await core.stops()).stops
    assert stop.made_by == "installation"
    for late in (moderator, admin):
        page = (await late.get("/stop")).text
        assert "under review" in page
        assert "Lift …" not in page
        assert "Only an administrator of the installation lifts it" in page
        assert (await late.submit(f"/stop/{stop.stop_id}/lift")).status_code == 403
    assert core.done == ["stop"]
    assert await events(services, "stop.lift") == []
    assert "Lift …" in (await root.get("/stop")).text
    assert (await root.submit(f"/stop/{stop.stop_id}/lift")).headers["location"] == "/stop?done=lifted"
    assert core.done == ["stop", "lift"]


async def test_what_a_workspace_stopped_the_installation_may_let_go_on(
    core: FakeCore, root: Any, moderator: Any
) -> None:
    await moderator.submit("/stop", scope="workspace")
    (stop,) = (await core.stops()).stops
    assert stop.made_by == "workspace"
    assert (await root.submit(f"/stop/{stop.stop_id}/lift")).status_code == 303


async def test_the_rank_of_a_stop_made_with_the_documents_away_holds(
    core: FakeCore, house: Any, root: Any, moderator: Any, documents: Any
) -> None:
    await root.get("/")
    documents.stop()
    await root.submit("/stop", scope="workspace", workspace=str(house.workspace.id))
    documents.start()
    (stop,) = (await core.stops()).stops
    assert (await moderator.submit(f"/stop/{stop.stop_id}/lift")).status_code == 403
    assert core.done == ["stop"]


@pytest.mark.parametrize("scope", ["everything", "channel"])
async def test_only_the_installations_admins_stop_more_than_their_workspace(
    core: FakeCore, admin: Any, root: Any, scope: str
) -> None:
    form = {"scope": scope, "channel": "Demo SMSC"}
    assert (await admin.submit("/stop", **form)).status_code == 403
    assert core.done == []
    assert (await root.submit("/stop", **form)).headers["location"] == "/stop?done=stopped"
    assert core.done == ["stop"]


async def test_another_workspace_can_neither_be_stopped_nor_seen_stopped(
    services: Services, core: FakeCore, house: Any, admin: Any, author: Any
) -> None:
    foreign = str(house.stranger.workspace_id)
    assert (await admin.submit("/stop", scope="workspace", workspace=foreign)).status_code == 404
    assert (await admin.submit("/stop", scope="workspace", workspace="x")).status_code == 404
    assert core.done == []
    stop = await services.stops.stop(
        house.stranger.actor, "workspace", workspace_id=house.stranger.workspace_id, reason="theirs"
    )
    assert stop is not None
    assert "is stopped" not in (await author.get("/")).text
    assert (await admin.submit(f"/stop/{stop.stop_id}/lift")).status_code == 404


async def test_authors_and_analysts_do_not_stop(core: FakeCore, author: Any) -> None:
    assert (await author.get("/stop")).status_code == 403
    assert (await author.submit("/stop", scope="workspace")).status_code == 403
    assert core.done == []


async def test_a_channel_that_is_not_there_is_not_found(root: Any) -> None:
    assert (await root.submit("/stop", scope="channel", channel="Nowhere")).status_code == 404
    assert (await root.submit("/stop", scope="channel")).status_code == 422
    assert (await root.submit("/stop", scope="all")).status_code == 422


@pytest.mark.parametrize("how", ["stop", "hang"])
async def test_with_the_documents_away_it_stops_within_a_second_and_the_gap_is_recorded(
    services: Services, core: FakeCore, root: Any, documents: Any, how: str
) -> None:
    """Gone or hanging: nobody waits for the store, and once it is back the audit has it all."""
    assert (await root.get("/")).status_code == 200
    getattr(documents, how)()
    begin = time.monotonic()
    answer = await root.submit("/stop", scope="everything", reason="the operator called")
    took_s = time.monotonic() - begin
    assert answer.headers["location"] == "/stop?done=stopped"
    assert core.done == ["stop"]
    assert took_s < 1.0
    page = await root.get("/stop")
    assert page.status_code == 200
    assert "The documents cannot be reached" in page.text
    assert "All sending is stopped" in page.text
    documents.start()
    moved = await services.spool.flush(services.audit, services.clock())
    assert moved == 1
    (ordered,), (gap,) = await events(services, "stop.order"), await events(services, "audit.gap")
    assert ordered.actor == "admin@heliograph.example"
    assert gap.details["events"] == "1"
    assert await services.spool.flush(services.audit, services.clock()) == 0
    assert len(await events(services, "stop.order")) == 1


async def test_with_the_documents_away_everything_else_stays_closed(
    core: FakeCore, root: Any, moderator: Any, documents: Any
) -> None:
    """A remembered session opens the stop and nothing more: no page, no lifting, no channel."""
    await root.get("/")
    await root.submit("/stop", scope="everything")
    stop = (await core.stops()).stops[0]
    documents.stop()
    for path in ("/", "/channels", "/accounts/demo", "/campaigns", "/stop/x"):
        assert (await root.get(path)).status_code in (404, 503), path
    for path in (f"/stop/{stop.stop_id}/lift", "/accounts/demo/drain", "/accounts/demo/disable"):
        assert (await root.submit(path)).status_code == 503, path
    assert core.done == ["stop"]
    error = await root.get("/campaigns")
    assert 'href="/stop"' in error.text


async def test_who_was_never_confirmed_stops_nothing(
    core: FakeCore, visitor: Any, root: Any, documents: Any
) -> None:
    documents.stop()
    visitor.cookies.set(SESSION_COOKIE, "made-up-token")
    assert (await visitor.submit("/stop", scope="everything")).status_code == 503
    assert core.done == []


async def test_a_slow_store_is_waited_for_where_nobody_is_remembered(
    services: Services, core: FakeCore, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await root.get("/")
    services.remembered.forget(root.cookies[SESSION_COOKIE])
    answered, actor = asyncio.Event(), services.identity.actor

    async def slow(token: str | None, **request: str) -> Any:
        await answered.wait()
        return await actor(token, **request)

    monkeypatch.setattr(services.identity, "actor", slow)
    asyncio.get_running_loop().call_later(2 * STOP_PATIENCE_S, answered.set)
    assert (await root.submit("/stop", scope="everything")).status_code == 303
    assert len((await core.stops()).stops) == 1


async def test_a_remembered_session_is_forgotten_in_time_and_at_logout(
    services: Services, core: FakeCore, clock: Any, root: Any, moderator: Any, documents: Any
) -> None:
    await moderator.get("/")
    token = moderator.cookies[SESSION_COOKIE]
    await moderator.submit("/logout")
    moderator.cookies.set(SESSION_COOKIE, token)
    await root.get("/")
    documents.stop()
    assert (await moderator.submit("/stop", scope="workspace")).status_code == 503
    clock.move(services.settings.stop_session_s + 1)
    assert (await root.submit("/stop", scope="everything")).status_code == 503
    assert core.done == []


async def test_an_engine_that_is_away_is_told_as_soon_as_it_is_back(
    services: Services, core: FakeCore, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.stops.stops.AGAIN_S", 0.01)
    core.away = True
    answer = await root.submit("/stop", scope="everything")
    assert answer.headers["location"] == "/stop?done=stop-asked"
    assert "has not confirmed it yet" in (await root.get("/stop")).text
    core.away = False
    await asyncio.gather(*services.stops._asking)
    assert core.done == ["stop"]


async def test_a_stopped_database_is_met_by_the_real_store_too(
    services: Services, core: FakeCore, root: Any, postgres_store: PostgresStore, fresh_database: str
) -> None:
    """The pool itself against a database that refuses every connection."""
    assert (await root.get("/")).status_code == 200
    name = urlsplit(fresh_database).path[1:]
    server = await asyncpg.connect(fresh_database.replace(f"/{name}?", "/postgres?", 1))
    try:
        await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        begin = time.monotonic()
        answer = await root.submit("/stop", scope="everything")
        assert answer.headers["location"] == "/stop?done=stopped"
        assert time.monotonic() - begin < 1.0
        assert core.done == ["stop"]
        assert (await root.get("/campaigns")).status_code == 503
    finally:
        await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await server.close()
    assert await services.spool.flush(services.audit, services.clock()) == 1
    assert len(await events(services, "audit.gap")) == 1
