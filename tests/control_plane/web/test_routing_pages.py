"""Routes through the pages: kept, changed by the first who saves, asked; every change in the audit."""

from typing import Any
from uuid import uuid4

from control_plane.access import Role
from control_plane.audit.outbox import AUDIT
from control_plane.core_fake import FakeCore
from control_plane.services import Services
from engine.core_api import schema

JSON = {"accept": "application/json"}
FORM = {
    "name": "India", "prefix": "+91", "position": "100", "enabled": "1", "c.0.channel": "Demo SMSC",
    "c.0.tier": "1", "c.0.weight": "1", "c.1.channel": "", "c.1.tier": "1", "c.1.weight": "1",
}  # fmt: skip
NUMBER = "919876543210"


async def add(core: FakeCore, name: str = "India", prefix: str = "91", **fields: Any) -> schema.Route:
    spec = schema.RouteSpec(
        decision_id=uuid4(),
        name=name,
        prefix=prefix,
        channels=[schema.RouteChannel(channel="Demo SMSC")],
        **fields,
    )
    route = await core.put_route(None, spec)
    core.done.clear()
    return route


async def told(services: Services, action: str) -> Any:
    events = (await services.store.find(AUDIT, {}, limit=500)).records
    (found,) = [event for event in events if event.action == action]
    return found


async def test_without_routes_the_page_says_what_they_are_for(root: Any, author: Any) -> None:
    for browser in (root, author):
        page = (await browser.get("/routes")).text
        assert "Without routes a campaign names its channel" in page
        assert "/routes/explain" not in page
    assert 'href="/routes/new"' in (await root.get("/routes")).text
    assert "/routes/new" not in (await author.get("/routes")).text


async def test_a_route_is_created_once_and_told(services: Services, core: FakeCore, root: Any) -> None:
    form = {**FORM, "decision": str(uuid4()), "category": "OTP", "c.0.weight": "3"}
    answer = await root.submit("/routes", **form)
    assert answer.headers["location"] == "/routes?done=route-created"
    (route,) = await core.routes()
    assert (route.name, route.prefix, route.category, route.channels[0].weight) == ("India", "91", "otp", 3)
    assert (await root.submit("/routes", **form)).status_code == 303
    assert core.done == ["put route"]
    events = (await services.store.find(AUDIT, {"action": "route.create"}, limit=9)).records
    assert events[0].actor == "admin@heliograph.example"
    assert events[0].details["channels"] == "1: Demo SMSC × 3"


async def test_the_list_says_conditions_and_shares_in_words(core: FakeCore, house: Any, root: Any) -> None:
    await core.put_channel(schema.ChannelSpec(name="Second", account="demo"))
    channels = [
        schema.RouteChannel(channel="Demo SMSC", weight=3),
        schema.RouteChannel(channel="Second", weight=1),
    ]
    spec = schema.RouteSpec(
        decision_id=uuid4(),
        name="Codes",
        channels=channels,
        workspace_id=house.workspace.id,
        category="otp",
        sender_kind="short_code",
        lane="express",
        enabled=False,
    )
    await core.put_route(None, spec)
    page = (await root.get("/routes")).text
    for said in (
        "Every number",
        "of Demo, category otp, from a short code, express only",
        "75 %",
        "25 %",
        "Off",
    ):
        assert said in page, said


async def test_a_form_that_is_wrong_names_the_field_and_keeps_what_was_typed(
    core: FakeCore, root: Any
) -> None:
    wrong = {**FORM, "prefix": "9x", "c.0.tier": "44", "name": "Kept <b>"}
    answer = await root.submit("/routes", **wrong)
    assert answer.status_code == 422
    assert 'id="prefix-error"' in answer.text
    assert 'id="c.0-error"' in answer.text
    assert 'value="Kept &lt;b&gt;"' in answer.text
    await add(core)
    for form, field in (({**FORM}, "name"), ({**FORM, "name": "x", "c.0.channel": "Nowhere"}, "channels")):
        refused = await root.submit("/routes", **form)
        assert refused.status_code == 422
        assert f'id="{field}-error"' in refused.text, field
    assert len(await core.routes()) == 1


async def test_a_change_tells_what_differs_and_who_is_late_is_shown_both(
    services: Services, core: FakeCore, root: Any
) -> None:
    await add(core)
    page = (await root.get("/routes/1")).text
    assert 'name="version" value="1"' in page
    first = {**FORM, "version": "1", "position": "50"}
    assert (await root.submit("/routes/1", **first)).headers["location"] == "/routes?done=route-saved"
    assert (await told(services, "route.change")).details == {"position": "100 → 50"}
    late = await root.submit("/routes/1", **{**FORM, "version": "1", "position": "70"})
    assert late.status_code == 409
    assert "somebody changed this route after you opened it" in late.text
    assert "position: 50 → 70" in late.text
    assert 'name="version" value="2"' in late.text
    assert 'value="70"' in late.text
    assert (await core.routes())[0].position == 50
    again = await root.submit("/routes/1", **{**FORM, "version": "2", "position": "70"})
    assert again.status_code == 303
    assert (await core.routes())[0].position == 70
    late_program = await root.post("/routes/1", data={"version": "1", "position": "9"}, headers=JSON)
    assert (late_program.status_code, late_program.json()["status"]) == (409, 409)


async def test_a_route_for_messages_without_a_category_stays_one(core: FakeCore, root: Any) -> None:
    await add(core, category="")
    assert (await root.submit("/routes/1", **{**FORM, "version": "1", "position": "3"})).status_code == 303
    assert (await core.routes())[0].category == ""


async def test_a_route_is_switched_duplicated_and_deleted(
    services: Services, core: FakeCore, root: Any
) -> None:
    await add(core)
    assert (await root.submit("/routes/1/disable", version="1")).status_code == 303
    assert not (await core.routes())[0].enabled
    assert (await told(services, "route.change")).details == {"state": "on → off"}
    assert "Off" in (await root.get("/routes")).text
    late = await root.submit("/routes/1/enable", version="1")
    assert late.status_code == 409
    assert (await root.submit("/routes/1/enable", version="2")).status_code == 303
    copy = (await root.get("/routes/new?of=1")).text
    assert 'value="India copy"' in copy
    assert "Delete the route India?" in (await root.get("/routes/1")).text
    assert (await root.submit("/routes/1/delete", version="1")).status_code == 409
    assert len(await core.routes()) == 1
    assert (await root.submit("/routes/1/delete", version="3")).headers["location"].endswith("route-deleted")
    assert await core.routes() == []
    tried = (await services.store.find(AUDIT, {"action": "route.delete"}, limit=9)).records
    assert [event.details["prefix"] for event in tried] == ["91", "91"]
    assert "is at version 3" in (await told(services, "route.delete_refused")).details["reason"]
    assert (await root.submit("/routes/1/delete", version="3")).status_code == 404


async def test_where_a_number_goes_is_answered_with_every_route_and_kept_nowhere(
    services: Services, core: FakeCore, root: Any
) -> None:
    await add(core)
    await add(core, "Germany", "49")
    before = len((await services.store.find(AUDIT, {}, limit=500)).records)
    page = await root.submit("/routes/explain", msisdn="+91 98765 43210")
    assert page.status_code == 200
    assert "It goes over Demo SMSC." in page.text
    assert "Longest prefix 91" in page.text
    assert "the number does not begin with 49" in page.text
    fragment = await root.post("/routes/explain", data={"msisdn": NUMBER}, headers={"hx-request": "true"})
    assert "It goes over Demo SMSC." in fragment.text
    assert "<html" not in fragment.text
    nowhere = await root.submit("/routes/explain", msisdn="+1 202 555 0100")
    assert "It goes nowhere." in nowhere.text
    assert "it is not sent and costs nothing" in nowhere.text
    wrong = await root.post("/routes/explain", data={"msisdn": "x"}, headers={"hx-request": "true"})
    assert (wrong.status_code, "<html" in wrong.text) == (422, False)
    assert 'id="msisdn-error"' in (await root.submit("/routes/explain", msisdn="x")).text
    found = await root.post("/routes/explain", data={"msisdn": NUMBER}, headers=JSON)
    assert found.json()["channel"] == "Demo SMSC"
    assert len((await services.store.find(AUDIT, {}, limit=500)).records) == before


async def test_a_workspaces_people_ask_for_their_own_messages_only(
    core: FakeCore, house: Any, browser_of: Any
) -> None:
    """Whatever workspace they name; and of routes they were not sent over they hear nothing."""
    await add(core, "Ours", "91", workspace_id=house.workspace.id)
    await add(core, "Theirs", "9198", workspace_id=house.stranger.workspace_id)
    for role in Role:
        browser = await browser_of(role)
        page = (await browser.get("/routes")).text
        assert "Where does a number go" in page
        assert "Theirs" not in page
        assert 'name="workspace"' not in page.split('id="question-title"')[1]
        asked = {"msisdn": NUMBER, "workspace": str(house.stranger.workspace_id)}
        answer = (await browser.post("/routes/explain", data=asked)).text
        assert "route &#39;Ours&#39;" in answer
        assert "Theirs" not in answer
        assert (await browser.get("/routes", headers=JSON)).status_code == 403
    assert core.done == []


async def test_with_the_engine_away_the_page_says_so(core: FakeCore, root: Any, author: Any) -> None:
    await add(core)
    core.away = True
    for browser in (root, author):
        page = await browser.get("/routes")
        assert (page.status_code, "cannot be reached" in page.text) == (200, True)
        assert (await browser.submit("/routes/explain", msisdn=NUMBER)).status_code == 503
    assert (await root.submit("/routes", **FORM)).status_code == 503
    assert (await root.post("/routes", data=FORM, headers=JSON)).status_code == 503


async def test_where_the_engine_does_not_answer_a_route_can_be_sent_again(core: FakeCore, root: Any) -> None:
    """Under its decision: saved once, whether or not the first time arrived."""
    decision = str(uuid4())
    core.away = True
    answer = await root.submit("/routes", **FORM, decision=decision)
    assert answer.status_code == 503
    assert "It is not known whether it was saved" in answer.text
    assert f'name="decision" value="{decision}"' in answer.text
    assert 'value="India"' in answer.text
    assert "<option selected>Demo SMSC</option>" in answer.text
    core.away = False
    assert (await root.submit("/routes", **FORM, decision=decision)).status_code == 303
    assert core.done == ["put route"]


async def test_a_copy_of_a_route_for_messages_without_a_category_is_one_too(
    core: FakeCore, root: Any
) -> None:
    await add(core, category="")
    form = (await root.get("/routes/new?of=1")).text
    assert 'name="without_category" value="1"' in form
    assert "only messages without one" in form
    await root.submit("/routes", **{**FORM, "name": "Copy", "without_category": "1"})
    await root.submit("/routes", **{**FORM, "name": "Otp", "without_category": "1", "category": "otp"})
    assert [route.category for route in await core.routes()] == ["", "", "otp"]
    await add(core, "Any")
    assert "without_category" not in (await root.get("/routes/new?of=4")).text


async def test_the_changes_of_a_route_follow_it_and_not_its_name(core: FakeCore, root: Any) -> None:
    await add(core)
    await root.submit("/routes/1", **{**FORM, "name": "Bharat", "version": "1"})
    await add(core)
    assert "Nobody has changed it here" not in (await root.get("/routes/1")).text
    assert "Nobody has changed it here" in (await root.get("/routes/2")).text
