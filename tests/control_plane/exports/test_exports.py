"""Exports: whole or not there, whatever is killed; to whom they leave; when they go."""

import asyncio
import resource
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from control_plane.access import Member, Membership, Role, enter
from control_plane.audit.outbox import AUDIT
from control_plane.core_fake import FakeCore
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound
from control_plane.exports import files as files_module
from control_plane.exports import writer as writer_module
from control_plane.exports.files import Files
from control_plane.exports.model import EXPORTS, Export
from control_plane.exports.writer import Writer
from control_plane.services import Services
from control_plane.workspaces.key_file import KeyFile
from engine.core_api import schema

NUMBER = "491510000001"


async def sent(house: Any) -> Any:
    """An approved campaign of twenty recipients."""
    pending = await house.pending()
    return await house.approve(house.moderator, pending)


def as_seer(member: Member) -> Member:
    actor = msgspec.structs.replace(
        member.actor,
        memberships={member.workspace_id: Membership(role=member.role, sees_numbers=True)},
    )
    return enter(actor, member.workspace_id)


def other_session(member: Member) -> Member:
    return msgspec.structs.replace(member, actor=msgspec.structs.replace(member.actor, session_id=uuid4()))


async def events(services: Services, action: str) -> list[Any]:
    await services.audit.sweep()
    return (await services.store.find(AUDIT, {"action": action})).records


async def test_it_is_asked_for_written_and_downloaded_and_each_is_audited(
    services: Services, house: Any
) -> None:
    campaign = await sent(house)
    asked = await services.exports.ask_campaign(house.author, campaign.id)
    assert (asked.state, asked.rows_all, asked.rows_done) == ("queued", 20, 0)
    with pytest.raises(NotFound):
        await services.exports.file(house.author, asked.id)
    assert await services.export_writer.run_once() == 1
    ready, path = await services.exports.file(house.author, asked.id)
    assert (ready.state, ready.rows_done, ready.size_bytes) == ("ready", 20, path.stat().st_size)
    lines = path.read_text().splitlines()
    assert len(lines) == 21
    assert NUMBER not in path.read_text()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    for action in ("export.ask", "export.finish", "export.download"):
        (happened,) = await events(services, action)
        assert happened.target_id == asked.id
        assert happened.workspace_id == house.workspace.id
    (download,) = await events(services, "export.download")
    assert download.details["sha256"] == ready.digest
    assert download.actor_id == house.author.actor.user_id


async def test_it_leaves_to_nobody_else_and_in_no_other_session(services: Services, house: Any) -> None:
    asked = await services.exports.ask_campaign(house.author, (await sent(house)).id)
    await services.export_writer.run_once()
    for who in (other_session(house.author), house.moderator, house.admin, house.stranger):
        with pytest.raises(NotFound):
            await services.exports.file(who, asked.id)
        if who is not house.stranger and who.actor.user_id != house.author.actor.user_id:
            assert (await services.exports.list(who)).records == []
    for who in (house.moderator, house.stranger):
        with pytest.raises(NotFound):
            await services.exports.remove(who, asked.id)
    await services.exports.file(house.author, asked.id)


async def test_who_may_not_gets_none(services: Services, house: Any) -> None:
    campaign = await sent(house)
    analyst = await house.person("Analyst", house.workspace.id, Role.ANALYST)
    with pytest.raises(Forbidden):
        await services.exports.ask_campaign(analyst, campaign.id)
    with pytest.raises(Forbidden):
        await services.exports.ask_campaign(house.author, campaign.id, numbers=True)
    seer = as_seer(house.author)
    asked = await services.exports.ask_campaign(seer, campaign.id, numbers=True)
    await services.export_writer.run_once()
    _, path = await services.exports.file(seer, asked.id)
    assert NUMBER in path.read_text()
    with pytest.raises(Forbidden):  # the right was taken back meanwhile, the session is the same
        await services.exports.file(house.author, asked.id)
    with pytest.raises(NotFound):
        await services.exports.ask_campaign(house.stranger, campaign.id)
    with pytest.raises(Conflict):
        await services.exports.ask_campaign(house.author, (await house.draft()).id)


class Killed(BaseException):
    """The process ends here."""


async def test_killed_in_the_middle_it_is_written_anew_and_never_shown_half(
    services: Services, house: Any, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.export_writer, "_page", 3)
    monkeypatch.setattr(services.export_writer, "_tell_s", 0.0)
    asked = await services.exports.ask_campaign(house.author, (await sent(house)).id)
    whole = core.records

    async def dies(
        campaign_id: UUID, cursor: str | None = None, limit: int = 5_000
    ) -> schema.DeliveryRecords:
        if cursor == "9":
            raise Killed
        return await whole(campaign_id, cursor, limit)

    monkeypatch.setattr(core, "records", dies)
    # the finally of a process that is killed does not run
    monkeypatch.setattr(files_module.Draft, "drop", lambda _self: None)
    with pytest.raises(Killed):
        await services.export_writer.run_once()
    left = await services.store.get(EXPORTS, asked.id)
    assert (left.state, left.rows_done) == ("running", 9)
    part = services.settings.data_dir / "exports" / f"{asked.id}.part"
    assert part.exists()
    with pytest.raises(NotFound):
        await services.exports.file(house.author, asked.id)
    monkeypatch.undo()
    services.export_writer._files.release()
    again = other_writer(services, page=7)
    assert await again.run_once() == 1
    ready, path = await services.exports.file(house.author, asked.id)
    rows = path.read_text().splitlines()[1:]
    assert (len(rows), len(set(rows)), ready.rows_done) == (20, 20, 20)
    assert not part.exists()
    assert len(await events(services, "export.finish")) == 1


def other_writer(services: Services, **changed: Any) -> Writer:
    settings = services.settings
    return Writer(
        services.store, services.core, Files(settings.data_dir), KeyFile(settings.data_dir), services.clock,
        keep_s=settings.exports_keep_s, **changed,
    )  # fmt: skip


async def test_two_processes_do_not_write_the_same_file(services: Services, house: Any) -> None:
    await services.exports.ask_campaign(house.author, (await sent(house)).id)
    other = other_writer(services)
    assert await asyncio.to_thread(other._files.take)
    assert await services.export_writer.run_once() == 0
    assert await other.run_once() == 1
    other._files.release()


async def test_an_engine_that_is_away_is_waited_for(
    services: Services, house: Any, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.export_writer, "_retry_s", 0.01)
    asked = await services.exports.ask_campaign(house.author, (await sent(house)).id)
    core.away = True
    tell = services.export_writer._tell
    told: list[str] = []

    async def telling(export: Export, rows: int, reason: str) -> None:
        await tell(export, rows, reason)
        told.append((await services.store.get(EXPORTS, asked.id)).reason)
        core.away = len(told) < 3

    monkeypatch.setattr(services.export_writer, "_tell", telling)
    await services.export_writer.run_once()
    assert told == ["It waits for the engine, which does not answer."] * 3
    ready = await services.store.get(EXPORTS, asked.id)
    assert (ready.state, ready.reason) == ("ready", "")


@pytest.mark.parametrize("fault", ["gone", "full", "broken"])
async def test_what_cannot_be_written_says_why_and_leaves_no_file(
    services: Services, house: Any, core: FakeCore, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    asked = await services.exports.ask_campaign(house.author, (await sent(house)).id)
    if fault == "gone":
        core._campaigns.clear()
    elif fault == "full":
        monkeypatch.setattr(files_module, "KEEP_FREE", 1 << 62)
    else:
        monkeypatch.setattr(writer_module.Sheet, "rows", lambda *_: 1 / 0)
    await services.export_writer.run_once()
    failed = await services.store.get(EXPORTS, asked.id)
    assert (failed.state, failed.open, failed.kept) == ("failed", None, None)
    assert failed.reason
    folder = services.settings.data_dir / "exports"
    assert [path.name for path in folder.iterdir()] == [".lock"]
    assert len(await events(services, "export.fail")) == 1


async def test_a_file_goes_at_its_time_and_its_record_later(
    services: Services, house: Any, clock: Any
) -> None:
    asked = await services.exports.ask_campaign(house.author, (await sent(house)).id)
    await services.export_writer.run_once()
    _, path = await services.exports.file(house.author, asked.id)
    clock.move(services.settings.exports_keep_s)
    with pytest.raises(NotFound):  # also before anybody swept
        await services.exports.file(house.author, asked.id)
    assert await services.export_writer.expire() == 1
    assert not path.exists()
    assert (await services.store.get(EXPORTS, asked.id)).state == "removed"
    assert len(await events(services, "export.expire")) == 1
    clock.move(timedelta(days=8).total_seconds())
    await services.export_writer.expire()
    with pytest.raises(NotFound):
        await services.store.get(EXPORTS, asked.id)


async def test_files_that_no_record_knows_are_swept(services: Services, house: Any) -> None:
    asked = await services.exports.ask_campaign(house.author, (await sent(house)).id)
    await services.export_writer.run_once()
    folder = services.settings.data_dir / "exports"
    (folder / str(uuid4())).write_text("a number")
    (folder / f"{uuid4()}.part").write_text("half")
    await services.export_writer.expire()
    assert sorted(path.name for path in folder.iterdir()) == [".lock", str(asked.id)]


async def test_removed_while_it_is_written_it_is_not_there(
    services: Services, house: Any, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await services.exports.ask_campaign(house.author, (await sent(house)).id)
    whole = core.records

    async def removed_meanwhile(*given: Any) -> schema.DeliveryRecords:
        await services.exports.remove(house.author, asked.id)
        return await whole(*given)

    monkeypatch.setattr(core, "records", removed_meanwhile)
    await services.export_writer.run_once()
    assert (await services.store.get(EXPORTS, asked.id)).state == "removed"
    assert [path.name for path in (services.settings.data_dir / "exports").iterdir()] == [".lock"]
    assert await events(services, "export.finish") == []


async def test_a_period_has_every_campaign_of_its_days_and_an_author_their_own(
    services: Services, house: Any, clock: Any
) -> None:
    first = await sent(house)
    begin, end = clock() - timedelta(hours=1), clock() + timedelta(hours=1)
    clock.move(7200)
    await sent(house)
    asked = await services.exports.ask_period(house.moderator, begin, end, title="records")
    assert [one.campaign_id for one in asked.sources] == [first.id]
    both = await services.exports.ask_period(
        house.author, begin, end + timedelta(hours=5), title="../../etc/x"
    )
    assert (len(both.sources), both.rows_all, both.file_name) == (2, 40, "etc-x.csv")
    second = await house.person("Other", house.workspace.id, Role.AUTHOR)
    with pytest.raises(Invalid):
        await services.exports.ask_period(second, begin, end, title="records")
    with pytest.raises(Invalid):
        await services.exports.ask_period(house.author, end, begin, title="records")


async def test_one_person_does_not_fill_the_queue(services: Services, house: Any) -> None:
    campaign = await sent(house)
    for _ in range(5):
        await services.exports.ask_campaign(house.author, campaign.id)
    with pytest.raises(Conflict):
        await services.exports.ask_campaign(house.author, campaign.id)
    await services.exports.ask_campaign(house.moderator, campaign.id)


def resident_pages() -> int:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1])


class Millions:
    """An engine with as many records as are asked of it, and nothing kept."""

    def __init__(self, rows: int, now: datetime) -> None:
        self.rows, self.now = rows, now
        self.resident: list[int] = []  # pages of this process, at each question

    async def records(
        self, _id: UUID, cursor: str | None = None, limit: int = 5_000
    ) -> schema.DeliveryRecords:
        self.resident.append(resident_pages())
        first = int(cursor or 0)
        end = min(first + limit, self.rows)
        now = self.now
        return schema.DeliveryRecords(
            records=[
                schema.DeliveryRecord(
                    message_id=UUID(int=row), msisdn=str(4915100000000 + row), channel="bulk",
                    state="DELIVERED", parts=1, attempts=1, cost=500, created_at=now, sent_at=now,
                    done_at=now, error="",
                )
                for row in range(first, end)
            ],
            next=str(end) if end < self.rows else None,
        )  # fmt: skip


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_rows(
    services: Services, house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page at a time is in memory, here and in the engine (test_records): at the last of 400,000 rows it is
    what it was at the 40,000th, though the file is of 80 MB."""
    engine = Millions(400_000, services.clock())
    asked = await services.exports.ask_campaign(house.author, (await sent(house)).id)
    monkeypatch.setattr(services.export_writer, "_core", engine)
    await services.export_writer.run_once()
    export = await services.store.get(EXPORTS, asked.id)
    assert export.rows_done == 400_000
    path = services.settings.data_dir / "exports" / str(export.id)
    assert path.stat().st_size == export.size_bytes > 60_000_000
    early, late = max(engine.resident[8:16]), max(engine.resident[-8:])
    assert (late - early) * resource.getpagesize() < 8 << 20
