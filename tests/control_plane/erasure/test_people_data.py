"""One number: found wherever it stands, given out, erased with a certificate; and named nowhere by it."""

import hashlib
import json
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from control_plane.access import MASTER_ID, Actor, Member, Membership, Role, enter
from control_plane.audit.outbox import AUDIT, event
from control_plane.core_fake import FakeCore
from control_plane.erasure.model import ERASURES
from control_plane.erasure.people_data import digits_of
from control_plane.errors import Conflict, EngineUnavailable, Forbidden, Invalid, NotFound
from control_plane.exports.model import EXPORTS
from control_plane.services import Services
from engine.core_api import schema

NUMBER = "+49 1510-000001"
DIGITS = "491510000001"


async def ended(house: Any, state: str = "Done") -> Any:
    pending = await house.pending()
    await house.approve(house.moderator, pending)
    core: Any = house.services.core
    found = await house.services.campaigns.get(house.author, pending.id)
    core._campaigns[found.engine_id] = msgspec.structs.replace(core._campaigns[found.engine_id], state=state)
    return found


async def everything(services: Services) -> str:
    """All documents and all files of the control plane, as text."""
    await services.audit.sweep()
    store: Any = services.store
    texts = []
    async with store._pool.acquire() as connection:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        for row in tables:
            texts += [str(tuple(one)) for one in await connection.fetch(f'SELECT * FROM "{row[0]}"')]
    for path in services.settings.data_dir.rglob("*"):
        if path.is_file():
            texts.append(path.read_text(errors="replace"))
    return "\n".join(texts)


async def actions(services: Services) -> list[str]:
    await services.audit.sweep()
    found = (await services.store.find(AUDIT, {"target_kind": "person"}, limit=100)).records
    return [one.action for one in found]


async def test_it_is_found_given_out_and_erased_with_a_certificate(services: Services, house: Any) -> None:
    campaign = await ended(house)
    asked = await services.exports.ask_campaign(house.author, campaign.id)
    await services.export_writer.run_once()
    people = services.people_data
    found = await people.find(house.admin, NUMBER)
    assert (found.counts, found.in_use, len(found.exports)) == ({"recipient_chunks": 1}, [], 1)
    assert found.audit_numbers == 0
    given = json.loads(await people.give_out(house.admin, NUMBER))
    assert given["number"] == f"+{DIGITS}"
    assert given["records"]["recipient_chunks"][0]["msisdn"] == DIGITS
    decision = uuid4()
    done = await people.erase(house.admin, NUMBER, decision_id=decision, reason=f"letter of {DIGITS}")
    certificate = done.certificate
    assert certificate is not None
    assert (certificate.erased, certificate.left, certificate.exports_removed) == (
        {"recipient_chunks": 1},
        {},
        1,
    )
    assert certificate.by == "admin@house.example"
    assert DIGITS not in certificate.reason
    content = json.loads(msgspec.json.encode(certificate))
    del content["hash"]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(canonical).hexdigest() == certificate.hash
    removed = await services.store.get(EXPORTS, asked.id)
    assert (removed.state, removed.reason) == ("removed", "A person's number in it was erased.")
    done_so = ["person.erase", "person.erased", "person.export", "person.find"]
    assert sorted(await actions(services)) == done_so
    (told,) = (await services.store.find(AUDIT, {"action": "person.erased"})).records
    assert told.details["certificate"] == certificate.hash
    assert told.details["ctn_hash"] == certificate.ctn_hash
    assert (await people.find(house.admin, NUMBER)).total == 0
    again = await people.erase(house.admin, NUMBER, decision_id=decision)
    assert again.certificate == certificate
    left = await everything(services)
    assert DIGITS not in left
    assert certificate.ctn_hash in left


async def test_while_a_campaign_may_send_to_it_nothing_is_erased(services: Services, house: Any) -> None:
    campaign = await ended(house, "Sending")
    await services.exports.ask_campaign(house.author, campaign.id)
    await services.export_writer.run_once()
    found = await services.people_data.find(house.admin, NUMBER)
    assert found.in_use == ["campaign “Spring” (Sending)"]
    decision = uuid4()
    with pytest.raises(Conflict, match="Spring"):
        await services.people_data.erase(house.admin, NUMBER, decision_id=decision)
    again = await services.people_data.find(house.admin, NUMBER)
    assert (again.counts, again.exports) == (found.counts, found.exports)
    (refused,) = (await services.people_data.list(house.admin)).records
    assert (refused.state, refused.certificate) == ("refused", None)
    assert "person.erase_refused" in await actions(services)
    core: Any = services.core
    core._campaigns[campaign.engine_id] = msgspec.structs.replace(
        core._campaigns[campaign.engine_id], state="Cancelled"
    )
    assert (await services.people_data.erase(house.admin, NUMBER, decision_id=decision)).state == "done"


async def test_an_engine_that_goes_away_in_the_middle_is_asked_again(
    services: Services, house: Any, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended(house)
    decision = uuid4()
    erase = core.erase

    async def lost(spec: schema.ErasureSpec) -> schema.Erasure:
        await erase(spec)
        core.away = True
        return await erase(msgspec.structs.replace(spec, decision_id=uuid4()))

    monkeypatch.setattr(core, "erase", lost)
    with pytest.raises(EngineUnavailable):
        await services.people_data.erase(house.admin, NUMBER, decision_id=decision)
    assert (await services.store.get(ERASURES, decision)).state == "begun"
    core.away = False
    monkeypatch.setattr(core, "erase", erase)
    done = await services.people_data.erase(house.admin, NUMBER, decision_id=decision)
    assert done.certificate is not None
    assert done.certificate.erased == {"recipient_chunks": 1}, "as the engine did it, once"
    with pytest.raises(Conflict):
        await services.people_data.erase(house.admin, "+4915100000002", decision_id=decision)


async def test_an_export_that_is_being_written_begins_anew(
    services: Services, house: Any, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first pages may have the number: it was read before the erasure."""
    campaign = await ended(house)
    asked = await services.exports.ask_campaign(house.author, campaign.id)
    whole, erased = core.records, []

    async def erased_meanwhile(*given: Any) -> schema.DeliveryRecords:
        page = await whole(*given)
        if not erased:
            erased.append(await services.people_data.erase(house.admin, NUMBER, decision_id=uuid4()))
        return page

    monkeypatch.setattr(core, "records", erased_meanwhile)
    await services.export_writer.run_once()
    assert erased[0].certificate.exports_begun_anew == 1
    ready, path = await services.exports.file(house.author, asked.id)
    assert (ready.rows_done, erased[0].ctn_hash in path.read_text()) == (19, False)


async def test_only_who_may_and_only_their_own_workspace(services: Services, house: Any) -> None:
    await ended(house)
    for who in (house.author, house.moderator):
        for act in (
            services.people_data.find(who, NUMBER),
            services.people_data.give_out(who, NUMBER),
            services.people_data.erase(who, NUMBER, decision_id=uuid4()),
            services.people_data.retention(who),
        ):
            with pytest.raises(Forbidden):
                await act
    assert (await services.people_data.find(house.stranger, NUMBER)).total == 0
    done = await services.people_data.erase(house.stranger, NUMBER, decision_id=uuid4())
    assert done.certificate is not None
    assert done.certificate.erased == {}
    with pytest.raises(NotFound):
        await services.people_data.get(house.admin, str(done.id))
    found = await services.people_data.find(house.admin, NUMBER)
    assert found.total == 1
    assert found.ctn_hash != done.ctn_hash, "another workspace's hash of the same number tells nothing here"
    with pytest.raises(Forbidden):
        await services.people_data.find(house.admin, NUMBER, everywhere=True)
    assert [one for one in await actions(services) if one == "person.erased"] == ["person.erased"]


async def test_who_runs_the_installation_erases_everywhere(services: Services, house: Any) -> None:
    asked = await services.exports.ask_campaign(house.author, (await ended(house)).id)
    await services.export_writer.run_once()
    memberships = {MASTER_ID: Membership(role=Role.ADMIN), **house.stranger.actor.memberships}
    actor: Actor = msgspec.structs.replace(house.stranger.actor, memberships=memberships)
    root: Member = enter(actor, house.stranger.workspace_id)
    found = await services.people_data.find(root, NUMBER, everywhere=True)
    assert (found.counts, len(found.exports)) == ({"recipient_chunks": 1}, 1), (
        "masked by another workspace's key"
    )
    done = await services.people_data.erase(root, NUMBER, decision_id=uuid4(), everywhere=True)
    assert done.certificate is not None
    assert (done.certificate.everywhere, done.certificate.erased) == (True, {"recipient_chunks": 1})
    assert (await services.people_data.find(house.admin, NUMBER)).total == 0
    assert (await services.store.get(EXPORTS, asked.id)).state == "removed"


async def test_an_audit_entry_that_holds_a_number_would_be_found(services: Services, house: Any) -> None:
    """Entries are masked as they are written, also where somebody types a number into a name or a reason."""
    masked = event(
        "x.y", services.clock(), workspace_id=house.workspace.id, details={"note": f"call {NUMBER}"}
    )
    await services.audit.record(masked)
    assert (await services.people_data.find(house.admin, NUMBER)).audit_numbers == 0
    unmasked = msgspec.structs.replace(masked, id=uuid4(), details={"note": f"call +{DIGITS}"})
    await services.audit.record(unmasked)
    assert (await services.people_data.find(house.admin, NUMBER)).audit_numbers == 1
    done = await services.people_data.erase(house.admin, NUMBER, decision_id=uuid4())
    assert done.certificate is not None
    assert any("hold the number itself: 1." in note for note in done.certificate.notes)


@pytest.mark.parametrize(
    "number", ["", "12", "0151 23456789", "+49 151 x", "1" * 16, "١٢٣٤٥٦٧٨", "49 151 1; 49 152 2"]
)
async def test_what_is_no_number_is_refused_before_anything_is_asked(
    services: Services, house: Any, number: str
) -> None:
    with pytest.raises(Invalid):
        await services.people_data.find(house.admin, number)
    assert await actions(services) == []


@pytest.mark.parametrize(
    "number", ["+49 (1510) 000-001", "0049 1510 000001", "491510000001", "+49.1510.000001"]
)
def test_numbers_as_people_write_them(number: str) -> None:
    assert digits_of(number) == DIGITS
