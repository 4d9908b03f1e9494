"""After an erasure no table, octet string or chunk tells the number; what was sealed stays provable."""

from datetime import UTC, datetime
from hashlib import sha256
from uuid import uuid4

import pyarrow as pa
import pytest
from fold_world import settled
from ledger_world import FIRST_MSISDN, start_campaign

from engine.core_api import schema
from engine.ledger import doubts, errors, fold, reports
from engine.ledger.verify import sentence, verify
from engine.recipients import erasure
from engine.recipients.chunk import chunk_schema, read_chunk, write_chunk

NUMBER = FIRST_MSISDN + 61  # in doubt
DIGITS = str(NUMBER)


def chunk(rows=100):
    """With a column that has the number again, as people write it, and a row that names another's."""
    numbers = list(range(FIRST_MSISDN, FIRST_MSISDN + rows))
    names = [f"+{number // 10**10} {number % 10**10}" for number in numbers]
    names[5] = f"friend of {DIGITS}"
    fields = chunk_schema(["name"])
    return bytes(
        write_chunk(pa.record_batch([pa.array(numbers, pa.int64()), pa.array(names)], schema=fields))
    )


async def traces_of(pool, digits):
    """(table, column) where the digits stand, in every column of every table as text, chunks decoded."""
    found = set()
    columns = await pool.fetch(
        "SELECT c.relname, a.attname, t.typname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
    )
    for table, column, kind in columns:
        as_text = f"encode({column}, 'escape')" if kind == "bytea" else f"{column}::text"
        if await pool.fetchval(
            f"SELECT EXISTS (SELECT FROM {table} WHERE position($1 IN {as_text}) > 0)", digits
        ):
            found.add((table, column))
    for row in await pool.fetch("SELECT data FROM recipient_chunks WHERE data IS NOT NULL"):
        batch = read_chunk(row["data"])
        plain = repr(batch.to_pydict()).replace(" ", "")
        if digits in plain:
            found.add(("recipient_chunks", "decoded"))
    return found


async def scatter(driver):
    """The number wherever the engine may have written it."""
    data = chunk()
    await driver.pool.execute(
        "UPDATE recipient_chunks SET data = $1, digest = $2", data, sha256(data).digest()
    )
    await driver.pool.execute("UPDATE doubts SET msisdn = $1 WHERE row_no = 61", NUMBER)
    account, now = driver.account_id, datetime.now(UTC)
    await driver.pool.execute(
        "INSERT INTO orphan_receipts (account_id, smsc_id, msisdn, source, verdict, stat, received_at)"
        " VALUES ($1, 'a', $2, '', 2, 2, $3), ($1, 'b', 1, $4, 2, 2, $3)",
        account, NUMBER, now, "+" + DIGITS,
    )  # fmt: skip
    await driver.pool.execute(
        "INSERT INTO inbound (inbound_id, account_id, kind, source, destination, body, esm_class, "
        " data_coding, pdu, received_at) VALUES ($1, $2, 0, $3, '12345', 'STOP', 0, 0, $4, $5)",
        uuid4(), account, DIGITS, b"\x00\x01" + DIGITS.encode() + b"\x00", now,
    )  # fmt: skip
    await driver.pool.execute(
        "INSERT INTO test_messages (test_id, channel_id, account_id, msisdn, sender, body, state)"
        " SELECT $1, channel_id, $2, $3, 'ACME', 'x', 'answered' FROM channels",
        uuid4(), account, NUMBER,
    )  # fmt: skip
    await driver.pool.execute(
        "INSERT INTO traces (scope, msisdn, ends_at) VALUES ('number', $1, now() + interval '1 minute')",
        NUMBER,
    )
    await driver.pool.execute(
        "INSERT INTO job_errors (code, detail) VALUES ('x', $1)", f"+49 {DIGITS[2:6]}-{DIGITS[6:]} is strange"
    )
    await driver.pool.execute(
        "INSERT INTO decisions (decision_id, command, body_hash, answer) VALUES ($1, 'test', '',"
        " jsonb_build_object('msisdn', $2::text, 'number', $3::bigint))",
        uuid4(), DIGITS, NUMBER,
    )  # fmt: skip


def spec(number=DIGITS, **changed):
    return schema.ErasureSpec(decision_id=uuid4(), msisdn=number, reason="asked for", **changed)


@pytest.mark.parametrize("is_folded", [False, True])
async def test_an_erasure_leaves_no_trace_of_the_number(driver, box, is_folded):
    await settled(driver)
    await scatter(driver)
    await driver.pool.execute("UPDATE submissions SET msisdn = $1 WHERE row_no = 7", NUMBER)
    if is_folded:
        await fold.fold_due(driver.pool)
    before = await traces_of(driver.pool, DIGITS)
    assert {"submissions", "doubts", "orphan_receipts", "inbound", "test_messages", "traces", "decisions",
            "recipient_chunks"} <= {table for table, _ in before}  # fmt: skip
    assert (("messages_done", "msisdn") in before) == is_folded
    done = await erasure.erase(driver.pool, box, spec("+" + DIGITS))
    assert await traces_of(driver.pool, DIGITS) == set()
    assert done.erased["recipient_chunks"] == 1
    assert DIGITS not in repr(done)
    assert done.number_hash == box.keyed_hash(DIGITS).hex()
    result = await verify(driver.pool)
    assert result.first is None, sentence(result.first)
    page = await reports.recipients(driver.pool, driver.campaign.campaign_id)
    assert page.recipients[61].msisdn == ""
    assert page.recipients[60].msisdn == str(FIRST_MSISDN + 60)


async def test_the_others_of_the_file_and_its_sealed_digest_stay(driver, box):
    await settled(driver)
    await scatter(driver)
    digest = await driver.pool.fetchval("SELECT digest FROM recipient_chunks")
    await erasure.erase(driver.pool, box, spec())
    row = await driver.pool.fetchrow("SELECT digest, data_digest, data FROM recipient_chunks")
    assert (row["digest"], row["data_digest"]) == (digest, sha256(row["data"]).digest())
    was, left = read_chunk(chunk()).to_pylist(), read_chunk(row["data"]).to_pylist()
    assert left[61] == {"msisdn": 0, "name": ""}
    assert left[5] == {"msisdn": FIRST_MSISDN + 5, "name": ""}
    assert [row for i, row in enumerate(left) if i not in (5, 61)] == [
        row for i, row in enumerate(was) if i not in (5, 61)
    ]
    await driver.pool.execute(
        "UPDATE recipient_chunks SET data = set_byte(data, 300, get_byte(data, 300) # 1)"
    )
    assert not (await verify(driver.pool)).holds, "a chunk that was changed after its erasure is found"


async def test_it_may_be_repeated_and_is_recorded_each_time(driver, box):
    await settled(driver)
    await scatter(driver)
    order = spec()
    first = await erasure.erase(driver.pool, box, order)
    assert await erasure.erase(driver.pool, box, order) == first
    again = await erasure.erase(driver.pool, box, spec())
    assert again.erased == {}
    assert [one.erasure_id for one in (await erasure.listed(driver.pool, 10)).erasures] == [
        again.erasure_id,
        first.erasure_id,
    ]


async def test_a_number_that_a_running_campaign_holds_is_not_erased(driver, box):
    await settled(driver)
    await scatter(driver)
    running, _ = await start_campaign(driver.pool, 70)
    before = await traces_of(driver.pool, DIGITS)
    with pytest.raises(errors.NumberInUse, match=str(running.campaign_id)):
        await erasure.erase(driver.pool, box, spec())
    assert await traces_of(driver.pool, DIGITS) == before
    assert (await erasure.listed(driver.pool, 10)).erasures == []


async def test_a_number_that_a_test_message_is_about_to_go_to_is_not_erased(driver, box):
    await settled(driver)
    await scatter(driver)
    await driver.pool.execute("UPDATE test_messages SET state = 'queued'")
    with pytest.raises(errors.NumberInUse, match="test message"):
        await erasure.erase(driver.pool, box, spec())


async def test_a_campaign_with_an_erased_recipient_sends_nothing_again(driver, box):
    await settled(driver)
    await scatter(driver)
    await erasure.erase(driver.pool, box, spec())
    (group,) = (await doubts.groups(driver.pool)).groups
    resend = schema.DoubtResolution(decision_id=uuid4(), key=group.key, action="resend")
    with pytest.raises(errors.WrongState):
        await doubts.resolve(driver.pool, resend, driver.writer.worker_id)


@pytest.mark.parametrize("number", ["", "12", "+49 151", "x" * 10, "1" * 16, "١٢٣٤٥٦٧٨"])
async def test_what_is_no_number_is_refused(pool, box, number):
    with pytest.raises(errors.Unfit):
        await erasure.erase(pool, box, spec(number))
