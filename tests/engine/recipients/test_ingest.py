import asyncio
import random
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.scenarios.recipients_file import write_recipients
from engine.recipients import ingest
from engine.recipients.chunk import read_chunk, upload_digest
from engine.recipients.dialect import UnusableFile
from engine.recipients.ingest import Ingest, UploadConflict, UploadInUse, UploadNotFound, UploadNotOpen

pytestmark = pytest.mark.system
on_one_database = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def created(pool, country: str = "") -> UUID:
    upload_id = uuid4()
    await pool.execute(
        """INSERT INTO uploads (upload_id, workspace_id, file_name, default_country)
        VALUES ($1, $1, 'f.csv', $2)""",
        upload_id,
        country,
    )
    return upload_id


async def taken(pool, data: bytes, country: str = "", *, piece: int = 1 << 20) -> UUID:
    upload_id = await created(pool, country)
    target = await Ingest.open(pool, upload_id)
    for at in range(0, len(data), piece):
        await target.feed(data[at : at + piece])
    await target.finish()
    return upload_id


async def upload(pool, upload_id: UUID) -> dict[str, object]:
    return dict(await pool.fetchrow("SELECT * FROM uploads WHERE upload_id = $1", upload_id))


async def recipients(pool, upload_id: UUID) -> list[tuple[object, ...]]:
    rows = await pool.fetch(
        "SELECT data FROM recipient_chunks WHERE upload_id = $1 ORDER BY chunk_no", upload_id
    )
    batches = [read_chunk(row["data"]) for row in rows]
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


async def everything(pool, upload_id: UUID) -> dict[str, object]:
    """All that an upload leaves behind, without ids, times and the cut into chunks."""
    found = await upload(pool, upload_id)
    for name in ("upload_id", "workspace_id", "created_at", "completed_at", "digest"):
        del found[name]
    errors = "SELECT line_no, code, detail FROM job_errors WHERE upload_id = $1 ORDER BY job_error_id"
    counts = "SELECT code, count FROM job_error_counts WHERE upload_id = $1 ORDER BY code"
    return {
        **found,
        "recipients": await recipients(pool, upload_id),
        "errors": [tuple(row) for row in await pool.fetch(errors, upload_id)],
        "counts": [tuple(row) for row in await pool.fetch(counts, upload_id)],
    }


async def chunks(pool, upload_id: UUID) -> list[tuple[object, ...]]:
    query = """SELECT chunk_no, row_count, byte_end, digest
    FROM recipient_chunks WHERE upload_id = $1 ORDER BY chunk_no"""
    return [tuple(row) for row in await pool.fetch(query, upload_id)]


async def test_a_small_file_becomes_a_complete_upload(pool):
    data = "\ufeffname;phone\r\nZoë;07911 123456\r\nBob;+447911123457\r\nZoe;+44 7911 123456\r\n;x\r\n"
    upload_id = await taken(pool, data.encode(), "GB")
    found = await everything(pool, upload_id)
    assert found["recipients"] == [(447911123456, "Zoë"), (447911123457, "Bob")]
    assert (found["rows"], found["accepted"], found["duplicates"], found["job_errors"]) == (4, 2, 1, 1)
    assert (found["state"], found["lines"], found["byte_offset"]) == ("complete", 5, len(data.encode()))
    assert found["errors"] == [(5, "not_a_number", "“x” is not a phone number.")]
    stored = await upload(pool, upload_id)
    assert stored["digest"] == upload_digest(digest for *_, digest in await chunks(pool, upload_id))


async def test_a_file_of_bare_numbers(pool):
    upload_id = await taken(pool, b"447911123456\n\n447911123457\nnope")
    found = await everything(pool, upload_id)
    assert found["recipients"] == [(447911123456,), (447911123457,)]
    assert found["errors"] == [(4, "not_a_number", "“xxxx” is not a phone number.")]


async def test_a_file_with_only_a_header_is_complete_and_empty(pool):
    found = await everything(pool, await taken(pool, b"phone,name\n"))
    assert (found["state"], found["rows"], found["lines"], found["recipients"]) == ("complete", 0, 1, [])


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
async def test_hostile_lines_become_job_errors_with_their_numbers(pool, line_end):
    lines = [
        b"phone,name",
        b"+447911123456,a",
        b'+447911123457,"open',
        b"+447911123458,\xff",
        b"+447911123459,\0",
    ]
    lines += [b"+447911123460," + b"x" * 300_000, b"", b"+447911123461,b,c", b"+447911123462,d"]
    found = await everything(pool, await taken(pool, line_end.join(lines), piece=1000))
    assert found["recipients"] == [(447911123456, "a"), (447911123462, "d")]
    assert [(line, code) for line, code, _ in found["errors"]] == [
        (3, "open_quote"),
        (4, "not_utf8"),
        (5, "nul_byte"),
        (6, "line_too_long"),
        (8, "column_count"),
    ]
    assert found["lines"] == 9


async def test_no_digit_of_a_number_is_in_a_job_error(pool):
    upload_id = await taken(pool, b"447911123456\n44791112345678901\n07911123457\n4479111234x6\n4479\n")
    found = await everything(pool, upload_id)
    assert len(found["errors"]) == 4
    assert not any(character.isdigit() for _, _, detail in found["errors"] for character in detail)


async def test_a_generated_file_gives_the_expected_counts_in_full_chunks(pool, tmp_path):
    expected = write_recipients(
        tmp_path / "f.csv", rows=200_000, seed=3, bad_share=0.02, duplicate_share=0.03
    )
    upload_id = await taken(pool, (tmp_path / "f.csv").read_bytes())
    found = await upload(pool, upload_id)
    assert (found["rows"], found["accepted"], found["duplicates"], found["job_errors"]) == (
        expected.rows,
        expected.accepted,
        expected.duplicates,
        expected.job_errors,
    )
    sizes = [row_count for _, row_count, *_ in await chunks(pool, upload_id)]
    assert sum(sizes) == expected.accepted
    assert all(40_000 < size <= 65_536 for size in sizes[:-1])
    details = await pool.fetchval("SELECT count(*) FROM job_errors WHERE upload_id = $1", upload_id)
    assert details == min(expected.job_errors, 10_000)


def mixed_file(seed: int) -> bytes:
    """Long and short lines, bad ones, duplicates far apart."""
    random_ = random.Random(seed)
    lines = [b"name,phone"]
    for _ in range(400):
        number = b"+4479111%05d" % random_.randrange(250)
        name = random_.choice([b"a", "Zoë".encode(), b'"x, ""y"""', b"z" * random_.randrange(400)])
        lines.append(name + b"," + number)
        if random_.random() < 0.1:
            lines.append(
                random_.choice([b"", b"bad", b'"open,1', b"\xff,1", b"x,12", b"w" * 3000 + b",1", b"n,\0"])
            )
    return random_.choice([b"\n", b"\r\n", b"\r"]).join(lines)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks, chunks and lines small enough for a file of some KiB to have many of each."""
    monkeypatch.setattr(ingest, "BLOCK_BYTES", 2048)
    monkeypatch.setattr(ingest, "MAX_ROWS", 60)
    monkeypatch.setattr(ingest, "CHUNK_BYTES", 6000)
    monkeypatch.setattr(ingest, "BEHIND_BYTES", 9000)
    scan = ingest.lines.scan
    monkeypatch.setattr(
        ingest.lines,
        "scan",
        lambda *args, **options: scan(*args, **{"max_line": 1000, **options}),
        raising=True,
    )


@on_one_database
@given(st.integers(0, 3), st.data())
async def test_an_upload_broken_off_anywhere_ends_as_an_unbroken_one(pool, small_blocks, seed, data):
    content = mixed_file(seed)
    whole = await taken(pool, content)
    broken = await created(pool)
    for _ in range(data.draw(st.integers(1, 4), label="breaks")):
        target = await Ingest.open(pool, broken)
        begin = target.offset
        upto = data.draw(st.integers(begin, len(content)), label="break at")
        await target.feed(content[begin:upto])
    target = await Ingest.open(pool, broken)
    for at in range(target.offset, len(content), 777):
        await target.feed(content[at : at + 777])
    await target.finish()
    assert await everything(pool, broken) == await everything(pool, whole)
    assert await chunks(pool, broken) == await chunks(pool, whole)


@on_one_database
@given(st.integers(0, 3), st.lists(st.integers(1, 9000), max_size=12))
async def test_committing_anywhere_changes_the_cut_into_chunks_only(pool, small_blocks, seed, pieces):
    content = mixed_file(seed)
    whole = await taken(pool, content)
    upload_id = await created(pool)
    for size in pieces:
        target = await Ingest.open(pool, upload_id)
        await target.feed(content[target.offset : target.offset + size])
        await target.commit()
    target = await Ingest.open(pool, upload_id)
    await target.feed(content[target.offset :])
    await target.finish()
    assert await everything(pool, upload_id) == await everything(pool, whole)


async def test_a_committed_upload_goes_on_where_it_says(pool):
    upload_id = await created(pool)
    target = await Ingest.open(pool, upload_id)
    await target.feed(b"447911123456\n447911")
    await target.commit()
    assert (target.committed_offset, target.offset) == (13, 19)
    assert (await upload(pool, upload_id))["accepted"] == 1
    again = await Ingest.open(pool, upload_id)
    assert again.offset == 13


async def test_two_readers_of_one_upload_cannot_count_twice(pool):
    upload_id = await created(pool)
    one, two = await Ingest.open(pool, upload_id), await Ingest.open(pool, upload_id)
    await one.feed(b"447911123456\n")
    await two.feed(b"447911123456\n")
    await one.commit()
    with pytest.raises(UploadConflict):
        await two.commit()
    found = await upload(pool, upload_id)
    assert (found["rows"], found["accepted"]) == (1, 1)


async def test_a_reader_that_was_followed_by_another_does_not_spoil_its_numbers(pool):
    upload_id = await created(pool)
    one = await Ingest.open(pool, upload_id)
    await one.feed(b"447911123456\n")
    await one.commit()
    two = await Ingest.open(pool, upload_id)
    with pytest.raises(UploadConflict):
        await one.feed(b"447911123457\n")
    await two.feed(b"447911123457\n")
    await two.finish()
    assert await recipients(pool, upload_id) == [(447911123456,), (447911123457,)]


@pytest.mark.parametrize("end", ["finish", "commit"])
async def test_a_reader_that_was_followed_by_another_cannot_end_the_upload(pool, end):
    upload_id = await created(pool)
    one = await Ingest.open(pool, upload_id)
    await one.feed(b"447911123456\n44791112345")
    await one.commit()
    two = await Ingest.open(pool, upload_id)
    with pytest.raises(UploadConflict):
        await getattr(one, end)()
    await two.feed(b"447911123457\n44791112345\n")  # the number that was half of one
    await two.finish()
    assert (447911123457,) in await recipients(pool, upload_id)
    assert (await upload(pool, upload_id))["duplicates"] == 0


async def test_a_last_line_whose_commit_failed_is_no_duplicate_of_itself(pool, monkeypatch):
    upload_id = await created(pool)
    one = await Ingest.open(pool, upload_id)
    await one.feed(b"447911123456\n447911123457")
    await one.commit()

    async def failing(self, pieces):
        raise OSError("the database is away")

    with monkeypatch.context() as away:
        away.setattr(Ingest, "_write", failing)
        with pytest.raises(OSError, match="away"):
            await one.finish()
    two = await Ingest.open(pool, upload_id)
    await two.feed(b"447911123457")
    await two.finish()
    assert await recipients(pool, upload_id) == [(447911123456,), (447911123457,)]


def lines_of(count: int) -> bytes:
    return b"".join(b"+4479%08d\n" % place for place in range(count))


async def test_a_slow_database_bounds_what_is_read_ahead_and_then_takes_several_chunks_at_once(
    pool, monkeypatch
):
    monkeypatch.setattr(ingest, "BLOCK_BYTES", 2048)
    monkeypatch.setattr(ingest, "CHUNK_BYTES", 4096)
    monkeypatch.setattr(ingest, "BEHIND_BYTES", 20_000)
    content, transactions = lines_of(20_000), []
    write = Ingest._write

    async def counted(self, pieces):
        transactions.append(len(pieces))
        await write(self, pieces)

    monkeypatch.setattr(Ingest, "_write", counted)
    upload_id = await created(pool)
    target = await Ingest.open(pool, upload_id)
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM uploads WHERE upload_id = $1 FOR UPDATE", upload_id)
        feeding = asyncio.create_task(target.feed(content))
        while not await waits_for_a_lock(pool):
            pass
        for _ in range(200):
            await asyncio.sleep(0)
        assert not feeding.done()
        read_ahead = target.offset - target.committed_offset
        assert 4096 < read_ahead <= 20_000 + 2 * (4096 + 2048) + 2048
    await feeding
    await target.finish()
    assert max(transactions) > 1
    found = await upload(pool, upload_id)
    assert (found["accepted"], found["byte_offset"]) == (20_000, len(content))


async def waits_for_a_lock(pool) -> bool:
    return await pool.fetchval(
        """SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database())"""
    )


async def test_a_reader_whose_commit_failed_is_lost_and_the_next_goes_on(pool, small_blocks, monkeypatch):
    content = mixed_file(2)
    whole = await taken(pool, content)
    upload_id = await created(pool)
    target = await Ingest.open(pool, upload_id)
    write, left = Ingest._write, [2]
    monkeypatch.setattr(ingest, "BEHIND_BYTES", 0)  # a chunk a transaction

    async def failing(self, pieces):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("the database is away")
        await write(self, pieces)

    monkeypatch.setattr(Ingest, "_write", failing)
    with pytest.raises(OSError, match="away"):
        await target.feed(content)
    with pytest.raises(OSError, match="away"):
        await target.commit()
    monkeypatch.setattr(Ingest, "_write", write)
    again = await Ingest.open(pool, upload_id)
    assert 0 < again.offset < len(content)
    await again.feed(content[again.offset :])
    await again.finish()
    assert await everything(pool, upload_id) == await everything(pool, whole)
    assert await chunks(pool, upload_id) == await chunks(pool, whole)


async def test_an_unusable_file_fails_the_upload_with_its_reason(pool):
    upload_id = await created(pool)
    target = await Ingest.open(pool, upload_id)
    await target.feed("phone\n+447911123456\n".encode("utf-16"))
    with pytest.raises(UnusableFile):
        await target.finish()
    found = await upload(pool, upload_id)
    assert (found["state"], found["rows"]) == ("failed", 0)
    assert "UTF-8" in found["reason"]
    with pytest.raises(UploadNotOpen):
        await Ingest.open(pool, upload_id)


async def test_an_empty_file_is_unusable(pool):
    target = await Ingest.open(pool, await created(pool))
    with pytest.raises(UnusableFile, match="no lines"):
        await target.finish()


async def test_a_first_line_without_an_end_is_unusable(pool):
    target = await Ingest.open(pool, await created(pool))
    with pytest.raises(UnusableFile, match="first line"):
        await target.feed(b"x" * 300_000)


async def test_an_unknown_upload_and_an_unknown_country_are_refused(pool):
    with pytest.raises(UploadNotFound):
        await Ingest.open(pool, uuid4())
    with pytest.raises(UnusableFile, match="unknown country"):
        await Ingest.open(pool, await created(pool, "XX"))


async def test_a_discarded_upload_leaves_nothing(pool):
    upload_id = await taken(pool, b"447911123456\nbad\n")
    await ingest.discard(pool, upload_id)
    await ingest.discard(pool, upload_id)
    found = await everything(pool, upload_id)
    assert (found["state"], found["rows"], found["byte_offset"], found["dialect"]) == (
        "discarded",
        0,
        0,
        None,
    )
    assert (found["recipients"], found["errors"], found["counts"]) == ([], [], [])
    with pytest.raises(UploadNotOpen):
        await Ingest.open(pool, upload_id)
    with pytest.raises(UploadNotFound):
        await ingest.discard(pool, uuid4())


async def test_an_upload_discarded_under_a_reader_takes_no_more(pool):
    upload_id = await created(pool)
    target = await Ingest.open(pool, upload_id)
    await target.feed(b"447911123456\n")
    await ingest.discard(pool, upload_id)
    with pytest.raises(UploadConflict):
        await target.finish()
    assert (await everything(pool, upload_id))["recipients"] == []


async def test_an_upload_of_a_campaign_is_not_discarded(pool):
    upload_id = await taken(pool, b"447911123456\n")
    await pool.execute(
        """
        INSERT INTO accounts (name, host, port, system_id, password_encrypted) VALUES ('a', 'h', 1, 's', '');
        INSERT INTO channels (name, kind, account_id) SELECT 'c', 'smpp', account_id FROM accounts;
        """
    )
    await pool.execute(
        """
        WITH m AS (INSERT INTO manifests (manifest_hash, campaign_id, body) VALUES ('x', $1, '') RETURNING 1)
        SELECT 1 FROM m
        """,
        upload_id,
    )
    await pool.execute(
        """
        INSERT INTO campaigns (campaign_id, workspace_id, name, channel_id, sender, sender_revision_id, text,
                               upload_id, manifest_hash, state, accepted)
        SELECT $1, $1, 'n', channel_id, 's', $1, 't', $1, 'x', 'Pending', 1 FROM channels
        """,
        upload_id,
    )
    with pytest.raises(UploadInUse):
        await ingest.discard(pool, upload_id)
    assert (await upload(pool, upload_id))["state"] == "complete"


async def test_the_loop_is_given_back_between_blocks(pool, small_blocks):
    content, turns, done = mixed_file(1), 0, False

    async def count():
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await taken(pool, content)
    done = True
    await counting
    assert turns > len(content) // ingest.BLOCK_BYTES
