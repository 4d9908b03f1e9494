"""Migrations, named queries, partitions, message ids, secrets and accounts."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_world import make_driver

from engine.core_api import schema
from engine.ledger import accounts, errors, migrate, partitions, sql
from engine.ledger.message_id import message_id, slice_and_row
from engine.ledger.secrets import SecretBox


async def test_migrating_twice_and_at_once_is_one_migration(ledger_dsn):
    versions = await asyncio.gather(*(migrate.migrate(ledger_dsn) for _ in range(3)))
    assert versions == [migrate.latest()] * 3
    connection = await asyncpg.connect(ledger_dsn)
    try:
        assert await migrate.schema_version(connection) == migrate.latest()
    finally:
        await connection.close()


async def test_each_version_migrates_to_the_next(ledger_dsn):
    for version in (migration.version for migration in migrate.migrations()):
        assert await migrate.migrate(ledger_dsn, target=version) == version


async def test_a_newer_schema_is_refused(ledger_dsn):
    await migrate.migrate(ledger_dsn)
    connection = await asyncpg.connect(ledger_dsn)
    try:
        await connection.execute("INSERT INTO schema_versions VALUES (9999, 'later', '')")
        with pytest.raises(errors.SchemaTooNew):
            await migrate.migrate(ledger_dsn)
        await connection.execute("DELETE FROM schema_versions WHERE version = 9999")
        await connection.execute("UPDATE schema_versions SET digest = 'x' WHERE version = 1")
        with pytest.raises(errors.MigrationChanged):
            await migrate.migrate(ledger_dsn)
    finally:
        await connection.close()


async def test_an_empty_database_has_version_zero(ledger_dsn):
    connection = await asyncpg.connect(ledger_dsn)
    try:
        assert await migrate.schema_version(connection) == 0
    finally:
        await connection.close()


async def test_every_named_query_is_understood_by_the_database(pool):
    files = ("accounts", "campaigns", "commit", "decisions", "equation", "orphans", "recent_ids", "recovery",
             "reports", "settle")  # fmt: skip
    async with pool.acquire() as connection:
        await connection.execute(sql.load("commit")["stage"].replace("ON COMMIT DROP", ""))
        for file in files:
            for name, query in sql.load(file).items():
                if name not in ("stage", "memory"):
                    assert await connection.prepare(query), f"{file}.{name}"


async def test_slice_ids_count_up_and_a_full_partition_gives_way(pool):
    async with pool.acquire() as connection, connection.transaction():
        first = await partitions.allot(connection, [10, 20], day=2500, rotate_rows=25)
        second = await partitions.allot(connection, [5], day=2500, rotate_rows=25)
        tomorrow = await partitions.allot(connection, [5], day=2501, rotate_rows=25)
    assert first == [2500 << 40, (2500 << 40) + 1]
    assert second == [2500 << 40 | 1 << 28]
    assert tomorrow == [2501 << 40]
    assert [partitions.day_of(id_) for id_ in first + tomorrow] == [2500, 2500, 2501]
    rows = await pool.fetch("SELECT name, planned_rows FROM submission_partitions ORDER BY 1")
    assert [tuple(row) for row in rows] == [
        ("submissions_2500_0", 30), ("submissions_2500_1", 5), ("submissions_2501_0", 5)
    ]  # fmt: skip


async def test_two_planners_get_different_ids(pool):
    async def plan():
        async with pool.acquire() as connection, connection.transaction():
            return await partitions.allot(connection, [1] * 5)

    ids = [id_ for some in await asyncio.gather(*(plan() for _ in range(4))) for id_ in some]
    assert len(set(ids)) == 20


async def test_a_partition_is_indexed_when_it_takes_no_more(pool, box):
    driver = await make_driver(pool, box, 2)
    await driver.claim([1, 1])
    driver.accept(0, 1)
    await driver.writer.flush()
    assert await partitions.index_closed(pool) == []
    async with pool.acquire() as connection, connection.transaction():
        await partitions.allot(connection, [1], rotate_rows=1)
    (name,) = await partitions.index_closed(pool)
    indexes = await pool.fetch("SELECT indexname FROM pg_indexes WHERE tablename = $1", name)
    assert {f"{name}_smsc_id", f"{name}_msisdn"} <= {row["indexname"] for row in indexes}
    assert await partitions.index_closed(pool) == []


async def test_ensure_makes_the_days_first_partition_once(pool):
    await partitions.ensure(pool)
    await partitions.ensure(pool)
    assert await pool.fetchval("SELECT count(*) FROM submission_partitions") == 1


@given(st.integers(0, (1 << 60) - 1), st.integers(0, (1 << 32) - 1))
def test_a_message_id_holds_slice_and_row(slice_id, row):
    identifier = message_id(slice_id, row)
    assert (identifier.version, identifier.variant) == (8, "specified in RFC 4122")
    assert slice_and_row(identifier) == (slice_id, row)
    with pytest.raises(ValueError, match="not a message id"):
        slice_and_row(UUID(int=identifier.int ^ 1))


@given(st.integers(0, (1 << 60) - 2), st.integers(0, 65536), st.integers(0, 65536))
def test_message_ids_sort_by_slice(slice_id, row, other):
    assert message_id(slice_id, row) < message_id(slice_id + 1, other)


def test_a_foreign_uuid_is_no_message_id():
    with pytest.raises(ValueError, match="not a message id"):
        slice_and_row(uuid4())
    with pytest.raises(ValueError, match="no message"):
        message_id(1 << 60, 0)


def test_a_secret_comes_back_with_its_key_only(tmp_path):
    box = SecretBox(tmp_path / "key")
    token = box.encrypt("s3cret")
    assert b"s3cret" not in token
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert SecretBox(tmp_path / "key").decrypt(token) == "s3cret"
    with pytest.raises(errors.WrongKey):
        SecretBox(tmp_path / "other").decrypt(token)


def test_a_key_file_others_may_read_is_refused(tmp_path):
    path = tmp_path / "key"
    SecretBox(path)
    path.chmod(0o640)
    with pytest.raises(errors.KeyFileUnsafe):
        SecretBox(path)
    path.write_text("no key")
    path.chmod(0o600)
    with pytest.raises(errors.KeyFileUnsafe):
        SecretBox(path)


async def test_an_account_is_changed_by_name_and_its_password_is_encrypted(pool, box):
    spec = schema.AccountSpec(name="one", host="127.0.0.1", port=2775, system_id="esme", password="s3cret")
    async with pool.acquire() as connection:
        id_ = await accounts.upsert_account(connection, spec, box)
        assert await accounts.upsert_account(connection, spec, box) == id_
        assert b"s3cret" not in await connection.fetchval("SELECT password_encrypted FROM accounts")
        (account,) = await accounts.accounts(connection, box)
        assert (account.password, account.version, account.tps) == ("s3cret", 1, 10)
        assert "s3cret" not in repr(account)
        await accounts.upsert_account(connection, msgspec.structs.replace(spec, tps=99), box)
        (account,) = await accounts.accounts(connection, box)
        assert (account.tps, account.version) == (99, 2)


async def test_a_channel_needs_its_account(pool, box):
    async with pool.acquire() as connection:
        channel = schema.ChannelSpec(name="bulk", account="one", settings={"max_parts": 3})
        with pytest.raises(errors.NotFound):
            await accounts.upsert_channel(connection, channel)
        spec = schema.AccountSpec(name="one", host="127.0.0.1", port=2775, system_id="esme", password="x")
        account_id = await accounts.upsert_account(connection, spec, box)
        id_ = await accounts.upsert_channel(connection, channel)
        assert await accounts.upsert_channel(connection, channel) == id_
        (stored,) = await accounts.channels(connection)
        assert (stored.account_id, stored.settings, stored.version) == (account_id, {"max_parts": 3}, 1)
        await connection.execute(
            "INSERT INTO binds (account_id, number, state) VALUES ($1, 0, 'bound')", account_id
        )
        (published,) = await accounts.published_channels(connection)
        assert (published.account, published.tps, published.binds[0].state) == ("one", 10, "bound")
