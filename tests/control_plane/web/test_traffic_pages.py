"""Error maps, orphan receipts, inbound messages and traces: shown masked, changed with an event."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from control_plane.audit.outbox import AUDIT
from control_plane.core_fake import FakeCore
from control_plane.core_fake_operations import CLASSES, STARTED
from control_plane.services import Services
from engine.core_api import schema

ERRORS = "/channels/Demo%20SMSC/errors"
NUMBER = "4915123456789"


@pytest.fixture
def unmapped(core: FakeCore) -> None:
    core.seen_codes["Demo SMSC"] = [
        schema.ErrorCode(
            context="response",
            code="0x00000405",
            name="0x00000405",
            error_class="permanent",
            effect=CLASSES["permanent"],
            meaning="",
            note="",
            mapped=False,
            built_in=False,
            count=4_321,
            last_at=STARTED,
            version=0,
        )
    ]


async def test_an_unmapped_code_is_classified_with_one_click(
    services: Services, core: FakeCore, unmapped: None, root: Any
) -> None:
    page = (await root.get(ERRORS)).text
    assert "4,321" in page
    assert "0x00000405 is Temporary: tried again, up to 3 times" in page
    form = {"context": "response", "code": "0x00000405", "error_class": "temporary"}
    assert (await root.submit(ERRORS, **form)).headers["location"] == f"{ERRORS}?done=classified"
    page = (await root.get(ERRORS)).text
    assert "Nothing unmapped" in page
    assert CLASSES["temporary"] in page
    events = (await services.store.find(AUDIT, {}, limit=500)).records
    (event,) = [one for one in events if one.action == "channel.classify_error"]
    assert event.details["class"] == "temporary"
    form = {"context": "response", "code": "0x00000405"}
    back = await root.submit(f"{ERRORS}/forget", **form)
    assert back.headers["location"] == f"{ERRORS}?done=unclassified"
    assert "0x00000405 is Temporary" in (await root.get(ERRORS)).text


async def test_what_was_accepted_without_an_id_is_said(
    core: FakeCore, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "without an id" not in (await root.get(ERRORS)).text
    errors = await core.channel_errors("Demo SMSC")

    async def some(_name: str) -> schema.ChannelErrors:
        return msgspec.structs.replace(errors, accepted_without_id=1234)

    monkeypatch.setattr(core, "channel_errors", some)
    assert "1,234 parts were accepted without an id this week" in (await root.get(ERRORS)).text


@pytest.mark.parametrize(
    "wrong", [{"error_class": "mild"}, {"context": "nowhere"}, {"code": " "}, {"error_class": ""}]
)
async def test_a_classification_that_is_wrong_changes_nothing(
    core: FakeCore, root: Any, wrong: dict[str, str]
) -> None:
    form = {"context": "response", "code": "0x405", "error_class": "temporary", **wrong}
    assert (await root.submit(ERRORS, **form)).status_code == 422
    assert core.done == []


async def test_a_table_is_imported_whole_or_not_at_all(core: FakeCore, root: Any) -> None:
    lines = "045,temporary,Absent subscriber\n050,mild,What"
    refused = await root.submit(f"{ERRORS}/import", context="receipt", csv=lines)
    assert refused.status_code == 422
    assert "045,temporary" in refused.text
    assert core.done == []
    lines = lines.replace("mild", "permanent")
    assert (await root.submit(f"{ERRORS}/import", context="receipt", csv=lines)).status_code == 303
    assert "Absent subscriber" in (await root.get(ERRORS)).text


async def test_orphans_are_masked_and_tried_again(core: FakeCore, root: Any) -> None:
    core.orphan_receipts.append(
        schema.Orphan(
            orphan_id=1,
            account="demo",
            smsc_id="abc-1",
            msisdn=NUMBER,
            sender="Heliograph",
            status="DELIVRD",
            verdict="delivered",
            done_raw="",
            arrived_at=STARTED,
            age_s=60,
            age="waiting",
            why="No message has this id.",
        )
    )
    page = (await root.get("/orphans")).text
    assert "abc-1" in page
    assert "No message has this id." in page
    assert "…789" in page
    assert NUMBER not in page
    assert "abc-1" not in (await root.get("/orphans?age=aged")).text
    assert (await root.submit("/orphans/retry")).headers["location"] == "/orphans?done=retried"
    assert core.done == ["retry orphans"]


async def test_what_people_write_is_masked_escaped_and_its_reading_told(
    services: Services, core: FakeCore, root: Any
) -> None:
    core.inbound_messages.append(
        schema.Inbound(
            inbound_id=uuid4(),
            account="demo",
            kind="message",
            msisdn=NUMBER,
            destination="12345",
            text="STOP <b>",
            part=1,
            parts=1,
            reference=None,
            received_at=STARTED,
            receipt_at=None,
        )
    )
    page = (await root.get("/inbound")).text
    assert "STOP &lt;b&gt;" in page
    assert NUMBER not in page
    events = (await services.store.find(AUDIT, {}, limit=500)).records
    assert [event.actor for event in events if event.action == "inbound.view"] == ["admin@heliograph.example"]


async def test_a_trace_starts_and_ends_and_is_told(services: Services, core: FakeCore, root: Any) -> None:
    answer = await root.submit("/traces", scope="bind", account="demo", bind="1", minutes="5")
    assert answer.headers["location"] == "/traces/1"
    assert "Nothing yet" in (await root.get("/traces/1")).text
    assert (await root.submit("/traces/1/end")).headers["location"] == "/traces/1?done=trace-ended"
    assert "Ended" in (await root.get("/traces/1")).text
    await root.submit("/traces", scope="number", msisdn=f"+{NUMBER}", minutes="1")
    events = (await services.store.find(AUDIT, {}, limit=500)).records
    started = [event for event in events if event.action == "trace.start"]
    assert len(started) == 2
    assert NUMBER not in repr(started)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "everything"},
        {"scope": "number", "msisdn": "12"},
        {"scope": "message", "message": "x"},
        {"minutes": "60"},
        {"minutes": "0"},
        {"account": ""},
    ],
)
async def test_a_trace_that_is_wrong_does_not_start(core: FakeCore, root: Any, wrong: dict[str, str]) -> None:
    form = {"scope": "bind", "account": "demo", "minutes": "5", **wrong}
    assert (await root.submit("/traces", **form)).status_code == 422
    assert core.done == []
