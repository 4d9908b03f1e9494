"""Dispatch for measuring: an engine in this process on an embedded PostgreSQL, a simulated SMSC in another.

Rows are synthesised: one chunk is written and repeated by the database, so ten million stand there in
seconds.
"""

import asyncio
import contextlib
import hashlib
import tempfile
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa

from bench.scenarios.embedded_ledger import embedded_postgres
from bench.simulators.smsc.witness import RECORD, Accepted, records
from engine.core_api import schema
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.worker import Worker
from engine.ledger import accounts, campaigns
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter
from engine.settings import EngineSettings

CHUNK_ROWS = 65_536
FIRST_NUMBER = 447_700_000_000
_LOOK_S = 0.02
_PASSWORD = "bench"  # noqa: S105 - the simulated SMSC takes any


@contextlib.contextmanager
def room() -> Iterator[tuple[str, Path]]:
    """The URI of an empty ledger, and a folder; both are gone afterwards."""
    with embedded_postgres() as dsn, tempfile.TemporaryDirectory(prefix="heliograph-bench-") as folder:
        (Path(folder) / "engine").mkdir()
        yield dsn, Path(folder)


class Lab:
    """One engine without its HTTP face; verbs on accounts, uploads and campaigns."""

    def __init__(self, pool: Pool, settings: EngineSettings) -> None:
        self.pool = pool
        self.settings = settings
        self.secrets = SecretBox(settings.secrets_key_file)

    async def start(self) -> None:
        self._worker = await Worker.register(self.pool, self.settings)
        self._writer = LedgerWriter(self.pool, self._worker.worker_id)
        self.dispatcher = Dispatcher(self.pool, self.settings, self._worker, self._writer, self.secrets)
        self._writing = asyncio.create_task(self._writer.run())
        await self.dispatcher.start()

    async def stop(self) -> None:
        await self.dispatcher.stop(1.0)
        await self._writer.stop()
        await self._writing
        await self._worker.leave()

    async def channel(self, name: str, port: int, **given: Any) -> str:
        """An account and a channel of one name; returns when it is bound."""
        spec = schema.AccountSpec(
            name=name, host="127.0.0.1", port=port, system_id="esme", password=_PASSWORD, **given
        )
        async with self.pool.acquire() as connection:
            await accounts.upsert_account(connection, spec, self.secrets)
            await accounts.upsert_channel(connection, schema.ChannelSpec(name=name, account=name))
        self.dispatcher.wake()
        await _until(
            lambda: any(bind.account == name and bind.state == "bound" for bind in self.dispatcher.binds())
        )
        return name

    async def upload(self, workspace: UUID, rows: int, first: int = FIRST_NUMBER) -> UUID:
        """`rows` numbers from `first` on; those of the second chunk are those of the first again."""
        upload_id = uuid4()
        await self.pool.execute(
            "INSERT INTO uploads"
            " (upload_id, workspace_id, file_name, state, rows, accepted, lines, digest, dialect)"
            " VALUES ($1, $2, 'numbers.csv', 'complete', $3, $3, $3, $4, '{\"columns\": []}')",
            upload_id,
            workspace,
            rows,
            hashlib.sha256(upload_id.bytes).digest(),
        )
        whole, rest = divmod(rows, CHUNK_ROWS)
        for start, stop, count in ((0, whole, CHUNK_ROWS), (whole, whole + (rest > 0), rest)):
            if start < stop:
                data = _chunk(first, count)
                await self.pool.execute(
                    "INSERT INTO recipient_chunks (upload_id, chunk_no, row_count, byte_end, digest, data)"
                    " SELECT $1, n, $2, n, $3, $4 FROM generate_series($5::int, $6::int) n",
                    upload_id,
                    count,
                    hashlib.sha256(data).digest(),
                    data,
                    start,
                    stop - 1,
                )
        return upload_id

    async def seal(self, channel: str, upload_id: UUID, workspace: UUID, **given: Any) -> schema.Campaign:
        """A campaign in Pending."""
        spec = schema.CampaignSpec(
            decision_id=uuid4(),
            campaign_id=uuid4(),
            workspace_id=workspace,
            name="bench",
            channel=channel,
            sender="Heliograph",
            sender_revision_id=uuid4(),
            text="Your parcel arrives today.",
            upload_id=upload_id,
            **given,
        )
        return await campaigns.create(self.pool, spec)

    async def begin(self, sealed: schema.Campaign) -> None:
        await self.command(sealed, "start")

    async def command(self, sealed: schema.Campaign, command: Any) -> None:
        order = schema.CampaignCommand(
            decision_id=uuid4(),
            command=command,
            manifest_hash=sealed.manifest_hash if command == "start" else None,
        )
        await campaigns.command(self.pool, sealed.campaign_id, order)
        await self.dispatcher.changed()


@contextlib.asynccontextmanager
async def lab(dsn: str, folder: Path, **settings: Any) -> AsyncIterator[Lab]:
    """An engine at work on an empty ledger."""
    await migrate(dsn)
    pool = await open_pool(dsn)
    opened = Lab(pool, EngineSettings(ledger_dsn=dsn, data_dir=folder, **settings))
    try:
        await opened.start()
        try:
            yield opened
        finally:
            await opened.stop()
    finally:
        await pool.close()


async def accepted(witness: Path, parts: int) -> None:
    """Returns when the SMSC has accepted so many parts."""
    await _until(lambda: _size(witness) // RECORD.size - 1 >= parts)


async def _until(holds: Callable[[], bool]) -> None:
    while True:
        if holds():
            return
        await asyncio.sleep(_LOOK_S)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def seen(witness: Path) -> list[Accepted]:
    """What the SMSC accepted, in order."""
    return list(records(witness))


def _chunk(first: int, rows: int) -> bytes:
    numbers = array("q", range(first, first + rows))
    batch = pa.record_batch({"msisdn": pa.array(numbers, pa.int64())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())
