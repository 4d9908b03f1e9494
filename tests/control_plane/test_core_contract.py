"""The fake engine keeps the real one's word, as far as the control plane relies on it."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from control_plane.core import Core
from control_plane.core_fake import FakeCore
from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient, CoreError, CoreUnavailable

FILE = b"number,name\n4915112345670,Ann\n4915112345671,Bob\n4915112345671,Bob\nnonsense,x\n"
WORKSPACE = uuid4()
Body = Callable[[bytes], AsyncIterator[bytes]]


@pytest.fixture(params=["fake", pytest.param("engine", marks=pytest.mark.system)])
def address(request: pytest.FixtureRequest) -> tuple[str, Path] | None:
    """Where the engine is, and its certificates; None: the fake."""
    return request.getfixturevalue("engine_process") if request.param == "engine" else None


@pytest.fixture
async def either(address: tuple[str, Path] | None) -> AsyncIterator[Core]:
    """A Core with one channel, `Demo SMSC`."""
    if address is None:
        yield FakeCore()
        return
    client = CoreClient(*address)
    await client.put_account(
        schema.AccountSpec(name="demo", host="127.0.0.1", port=1, system_id="x", password="x")
    )
    await client.put_channel(schema.ChannelSpec(name="Demo SMSC", account="demo"))
    yield client
    await client.close()


@pytest.fixture
def engine_process(fresh_database: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    certs = tmp_path / "certs"
    make(certs)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HELIOGRAPH_ENGINE_")}
    settings = {
        "HELIOGRAPH_ENGINE_LEDGER_DSN": fresh_database,
        "HELIOGRAPH_ENGINE_DATA_DIR": str(tmp_path / "engine"),
        "HELIOGRAPH_ENGINE_CERTS_DIR": str(certs),
        "HELIOGRAPH_ENGINE_CORE_API_PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "engine"], env={**kept, **settings}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"https://127.0.0.1:{json.loads(process.stdout.readline())['core_api']}", certs
    finally:
        process.terminate()
        process.communicate()


async def filled(core: Core, body: Body) -> schema.Upload:
    spec = schema.UploadSpec(
        upload_id=uuid4(),
        workspace_id=WORKSPACE,
        file_name="a.csv",
        size_bytes=len(FILE),
        default_country="DE",
    )
    await core.create_upload(spec)
    return await core.send_upload(spec.upload_id, 0, body(FILE), final=True)


def spec_of(upload_id: UUID, **fields: object) -> schema.CampaignSpec:
    spec = schema.CampaignSpec(
        decision_id=uuid4(),
        campaign_id=uuid4(),
        workspace_id=WORKSPACE,
        name="Spring",
        channel="Demo SMSC",
        sender="Heliograph",
        sender_revision_id=uuid4(),
        text="Hello",
        upload_id=upload_id,
    )
    return msgspec.structs.replace(spec, **fields)


def told(command: schema.Command, manifest_hash: str | None = None) -> schema.CampaignCommand:
    return schema.CampaignCommand(decision_id=uuid4(), command=command, manifest_hash=manifest_hash)


async def test_health_and_channels(either: Core) -> None:
    assert (await either.health()).status == "ok"
    assert [channel.name for channel in await either.channels()] == ["Demo SMSC"]


async def test_an_upload_is_created_once_and_fed_from_its_offset(either: Core, body: Body) -> None:
    spec = schema.UploadSpec(
        upload_id=uuid4(), workspace_id=WORKSPACE, file_name="a.csv", size_bytes=len(FILE)
    )
    created = await either.create_upload(spec)
    assert (created.state, created.byte_offset) == ("open", 0)
    assert await either.create_upload(spec) == created
    half = await either.send_upload(spec.upload_id, 0, body(FILE[:40]), final=False)
    assert half.state == "open"
    with pytest.raises(CoreError) as refused:
        await either.send_upload(spec.upload_id, half.byte_offset + 1, body(b""), final=True)
    assert refused.value.problem.status == 409
    offset = (await either.upload(spec.upload_id)).byte_offset
    whole = await either.send_upload(spec.upload_id, offset, body(FILE[offset:]), final=True)
    assert (whole.state, whole.accepted, whole.duplicates, whole.job_errors) == ("complete", 2, 1, 1)


async def test_what_is_unknown_is_404(either: Core) -> None:
    for act in (
        either.upload(uuid4()),
        either.campaign(uuid4()),
        either.command(uuid4(), told("pause")),
        either.discard_upload(uuid4()),
    ):
        with pytest.raises(CoreError) as refused:
            await act
        assert refused.value.problem.status == 404
    assert await either.campaigns([uuid4()]) == []


async def test_unknown_columns_are_named(either: Core, body: Body) -> None:
    upload = await filled(either, body)
    count = await either.count_text(schema.TextSpec(text="{{name}} {{nmae}}", upload_id=upload.upload_id))
    assert count.unknown_columns == ["nmae"]
    count = await either.count_text(schema.TextSpec(text="Dear {{name}}", upload_id=upload.upload_id))
    assert (count.recipients, count.parts, count.unknown_columns) == (2, 2, [])
    assert count.samples[0].msisdn == "4915112345670"


async def test_a_seal_happens_once_a_decision(either: Core, body: Body) -> None:
    spec = spec_of((await filled(either, body)).upload_id)
    sealed = await either.seal_campaign(spec)
    assert (sealed.state, sealed.counts.accepted, len(sealed.manifest_hash)) == ("Pending", 2, 64)
    assert await either.seal_campaign(spec) == sealed
    with pytest.raises(CoreError) as refused:
        await either.seal_campaign(msgspec.structs.replace(spec, decision_id=uuid4()))
    assert refused.value.problem.status == 409


async def test_an_unfinished_upload_is_not_sealed(either: Core) -> None:
    upload = schema.UploadSpec(upload_id=uuid4(), workspace_id=WORKSPACE, file_name="a.csv")
    await either.create_upload(upload)
    with pytest.raises(CoreError) as refused:
        await either.seal_campaign(spec_of(upload.upload_id))
    assert refused.value.problem.status == 409


async def test_a_start_needs_the_sealed_hash_and_happens_once(either: Core, body: Body) -> None:
    sealed = await either.seal_campaign(spec_of((await filled(either, body)).upload_id))
    for wrong in ("0" * 64, None):
        with pytest.raises(CoreError) as refused:
            await either.command(sealed.campaign_id, told("start", wrong))
        assert refused.value.problem.status == 409
    start = told("start", sealed.manifest_hash)
    assert (await either.command(sealed.campaign_id, start)).state == "Sending"
    assert (await either.command(sealed.campaign_id, told("pause"))).state == "Paused"
    assert (await either.command(sealed.campaign_id, start)).state == "Sending"  # the answer as it was
    assert (await either.campaign(sealed.campaign_id)).state == "Paused"
    with pytest.raises(CoreError) as refused:
        await either.command(sealed.campaign_id, told("start", sealed.manifest_hash))
    assert refused.value.problem.status == 409
    assert (await either.command(sealed.campaign_id, told("cancel"))).state == "Cancelled"


async def test_a_returned_campaign_can_go_again_under_another_id(either: Core, body: Body) -> None:
    upload = await filled(either, body)
    first = await either.seal_campaign(spec_of(upload.upload_id))
    assert (await either.command(first.campaign_id, told("return"))).state == "Returned"
    again = await either.seal_campaign(spec_of(upload.upload_id))
    assert (again.state, again.manifest_hash != first.manifest_hash) == ("Pending", True)


async def test_a_campaigns_file_is_not_discarded_and_another_is(either: Core, body: Body) -> None:
    used, free = await filled(either, body), await filled(either, body)
    await either.seal_campaign(spec_of(used.upload_id))
    with pytest.raises(CoreError) as refused:
        await either.discard_upload(used.upload_id)
    assert refused.value.problem.status == 409
    await either.discard_upload(free.upload_id)


async def test_recipients_come_with_their_numbers(either: Core, body: Body) -> None:
    sealed = await either.seal_campaign(spec_of((await filled(either, body)).upload_id))
    page = await either.recipients(sealed.campaign_id)
    assert all(one.msisdn in {"4915112345670", "4915112345671"} for one in page.recipients)
    assert (await either.job_errors(sealed.campaign_id)).total == 1


async def test_records_of_an_unknown_campaign_are_404(either: Core) -> None:
    with pytest.raises(CoreError) as refused:
        await either.records(uuid4())
    assert refused.value.problem.status == 404


async def test_a_number_is_erased_once_nothing_needs_it(either: Core, body: Body) -> None:
    sealed = await either.seal_campaign(spec_of((await filled(either, body)).upload_id))
    ours = schema.PersonQuestion(msisdn="4915112345670", workspace_id=WORKSPACE)
    found = await either.find_person(ours)
    assert (found.counts, found.cut) == ({"recipient_chunks": 1}, False)
    assert [str(sealed.campaign_id) in one for one in found.in_use] == [True]
    foreign = await either.find_person(schema.PersonQuestion(msisdn="4915112345670", workspace_id=uuid4()))
    assert foreign.counts == {}
    order = schema.ErasureSpec(decision_id=uuid4(), msisdn="4915112345670", workspace_id=WORKSPACE)
    with pytest.raises(CoreError) as refused:
        await either.erase(order)
    assert refused.value.problem.status == 409
    await either.command(sealed.campaign_id, told("return"))
    done = await either.erase(order)
    assert done.erased == {"recipient_chunks": 1}
    assert await either.erase(order) == done
    assert (await either.find_person(ours)).counts == {}


async def test_a_file_that_waits_for_a_campaign_needs_its_numbers(either: Core, body: Body) -> None:
    upload = await filled(either, body)
    found = await either.find_person(schema.PersonQuestion(msisdn="4915112345671", workspace_id=WORKSPACE))
    assert [str(upload.upload_id) in one for one in found.in_use] == [True]
    with pytest.raises(CoreError) as refused:
        await either.find_person(schema.PersonQuestion(msisdn="nobody"))
    assert refused.value.problem.status == 422


async def test_what_is_kept_is_told(either: Core) -> None:
    report = await either.retention(WORKSPACE)
    assert (report.messages_days, report.files_days, report.at) == (400, 30, "04:15")


async def test_an_engine_that_is_not_there_is_unavailable(tmp_path: Path, unused_tcp_port: int) -> None:
    make(tmp_path)
    client = CoreClient(f"https://127.0.0.1:{unused_tcp_port}", tmp_path)
    fake = FakeCore()
    fake.away = True
    for core in (client, fake):
        with pytest.raises(CoreUnavailable):
            await core.health()
    await client.close()


async def test_the_texts_of_a_sealed_campaign_are_listed_and_searched(either: Core, body: Body) -> None:
    upload = await filled(either, body)
    sealed = await either.seal_campaign(spec_of(upload.upload_id, text="Hello {{name}}"))
    found = await either.campaign_texts(sealed.campaign_id)
    assert (found.recipients, found.scanned, found.distinct, found.used) == (2, 2, 2, ["name"])
    assert sorted((one.text, one.recipients, one.parts) for one in found.texts) == [
        ("Hello Ann", 1, 1), ("Hello Bob", 1, 1),
    ]  # fmt: skip
    assert found.manifest_hash == sealed.manifest_hash
    assert [(one.calling_code, one.recipients) for one in found.countries] == [("49", 2)]
    assert (found.parts, found.price, found.hosts) == (2, None, [])
    match = await either.search_texts(sealed.campaign_id, schema.RenderedSearch(query="BOB", column="name"))
    assert [(one.text, one.msisdn) for one in match.texts] == [("Hello Bob", "4915112345671")]
    assert (match.looked_through, match.next) == (2, None)
    page = await either.search_texts(sealed.campaign_id, schema.RenderedSearch(query="hello", limit=1))
    assert [one.text for one in page.texts] == ["Hello Ann"]
    rest = await either.search_texts(
        sealed.campaign_id, schema.RenderedSearch(query="hello", limit=1, cursor=page.next)
    )
    assert [one.text for one in rest.texts] == ["Hello Bob"]
    with pytest.raises(CoreError) as refused:
        await either.search_texts(sealed.campaign_id, schema.RenderedSearch(query="x", column="nothing"))
    assert refused.value.problem.status == 422
    with pytest.raises(CoreError) as refused:
        await either.campaign_texts(uuid4())
    assert refused.value.problem.status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"text": "Other"},
        {"sender": "Other", "sender_revision_id": uuid4()},
        {"sender_revision_id": uuid4()},
        {"options": schema.MessageOptions(flash=True)},
        {"options": schema.MessageOptions(validity_s=3600)},
        {"in_doubt": "resend"},
        {"category": "otp"},
        {"channel": ""},
    ],
    ids=lambda change: " ".join(change),
)
async def test_a_start_needs_the_approval_of_what_is_sealed(
    either: Core, body: Body, change: dict[str, object]
) -> None:
    """Whatever is changed and sealed anew, the hash that was approved starts nothing."""
    upload = await filled(either, body)
    spec = spec_of(upload.upload_id)
    first = await either.seal_campaign(spec)
    await either.command(spec.campaign_id, told("return"))
    again = await either.seal_campaign(msgspec.structs.replace(spec, decision_id=uuid4(), **change))
    assert again.manifest_hash != first.manifest_hash
    with pytest.raises(CoreError) as refused:
        await either.command(spec.campaign_id, told("start", first.manifest_hash))
    assert refused.value.problem.type.endswith("manifest-mismatch")


async def test_another_name_is_the_same_seal(either: Core, body: Body) -> None:
    upload = await filled(either, body)
    spec = spec_of(upload.upload_id)
    first = await either.seal_campaign(spec)
    await either.command(spec.campaign_id, told("return"))
    again = await either.seal_campaign(msgspec.structs.replace(spec, decision_id=uuid4(), name="Other"))
    assert again.manifest_hash == first.manifest_hash
