"""A dispatcher on a real ledger, and an SMSC whose every answer a test decides."""

import asyncio
import hashlib
import re
import struct
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import msgspec
import pyarrow as pa
import pytest

from engine.core_api import schema
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.worker import Worker
from engine.ledger import accounts, campaigns, equation, routes
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter
from engine.settings import EngineSettings

HEADER = struct.Struct(">IIII")
PATIENCE_S = 30.0


async def wait_until(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Looks every few milliseconds until the condition holds; fails after half a minute."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                holds = condition()
                if not isinstance(holds, bool):
                    holds = await holds
                if holds:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited in vain: {what}") from None


class Smsc:
    """`answer(number, destination)` gives the status of the number-th submit_sm; None holds the response."""

    def __init__(self) -> None:
        self.answer: Callable[[int, str], int | None] = lambda number, destination: 0
        self.receipts = False
        self.seen: list[str] = []  # destination of every submit_sm, in order
        self.bodies: list[bytes] = []  # of every submit_sm
        self.accepted: Counter[str] = Counter()
        self.at: list[float] = []  # when each came, monotonic
        self.binds = 0
        self.bound: Counter[str] = Counter()  # sessions now, by system_id
        self.most_bound = 0
        self.by_session: Counter[int] = Counter()  # submit_sm, by session in order of their binds
        self._held: list[tuple[asyncio.StreamWriter, int, str]] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()

    def drop(self) -> None:
        """Every connection ends here, without an unbind."""
        self._held.clear()
        for writer in list(self._writers):
            writer.transport.abort()

    def release(self, status: int = 0) -> int:
        """Answer what is held; returns how many."""
        held, self._held = self._held, []
        for writer, sequence, destination in held:
            self._respond(writer, sequence, destination, status)
        return len(held)

    @property
    def held(self) -> int:
        return len(self._held)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        system_id, session = "", 0
        try:
            while True:
                length, command, _, sequence = HEADER.unpack(await reader.readexactly(16))
                body = await reader.readexactly(length - 16)
                if command in (0x1, 0x2, 0x9):
                    self.binds += 1
                    system_id = body[: body.index(b"\0")].decode()
                    session = self.binds
                    self.bound[system_id] += 1
                    self.most_bound = max(self.most_bound, self.bound[system_id])
                    self._write(writer, command | 0x80000000, 0, sequence, b"smsc\0")
                elif command == 0x4:
                    self.by_session[session] += 1
                    self._submitted(writer, sequence, body)
                elif command in (0x6, 0x15):
                    self._write(writer, command | 0x80000000, 0, sequence)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.bound[system_id] -= 1
            self._writers.discard(writer)
            writer.close()

    def _submitted(self, writer: asyncio.StreamWriter, sequence: int, body: bytes) -> None:
        source_at = body.index(b"\0") + 3
        destination_at = body.index(b"\0", source_at) + 3
        destination = body[destination_at : body.index(b"\0", destination_at)].decode()
        number = len(self.seen)
        self.seen.append(destination)
        self.bodies.append(body)
        self.at.append(asyncio.get_running_loop().time())
        status = self.answer(number, destination)
        if status is None:
            self._held.append((writer, sequence, destination))
        else:
            self._respond(writer, sequence, destination, status)

    def _respond(self, writer: asyncio.StreamWriter, sequence: int, destination: str, status: int) -> None:
        if status:
            self._write(writer, 0x80000004, status, sequence)
            return
        self.accepted[destination] += 1
        identifier = f"{uuid4().hex[:16]}"
        self._write(writer, 0x80000004, 0, sequence, identifier.encode() + b"\0")
        if self.receipts:
            text = f"id:{identifier} sub:001 dlvrd:001 stat:DELIVRD err:000 text:".encode()
            body = b"\0\1\1" + destination.encode() + b"\0\1\1me\0" + bytes((4, 0, 0, 0, 0, 0, 0, 0, 0))
            self._write(writer, 0x5, 0, sequence, body + bytes((len(text),)) + text)

    def _write(
        self, writer: asyncio.StreamWriter, command: int, status: int, sequence: int, body: bytes = b""
    ) -> None:
        writer.write(HEADER.pack(16 + len(body), command, status, sequence) + body)


@dataclass
class Engine:
    """One running engine without its HTTP face."""

    worker: Worker
    writer: LedgerWriter
    dispatcher: Dispatcher
    writing: asyncio.Task[None]

    async def stop(self, timeout_s: float = 3.0) -> None:
        await self.dispatcher.stop(timeout_s)
        await self.writer.stop()
        await self.writing
        await self.worker.leave()


@dataclass
class Room:
    """What a test has: the ledger, its settings, and verbs on campaigns."""

    pool: Pool
    settings: EngineSettings
    secrets: SecretBox
    workspace: UUID = field(default_factory=uuid4)
    engines: list[Engine] = field(default_factory=list)

    async def engine(self, **changed: Any) -> Engine:
        settings = self.settings.model_copy(update=changed)
        worker = await Worker.register(self.pool, settings)
        writer = LedgerWriter(self.pool, worker.worker_id)
        dispatcher = Dispatcher(self.pool, settings, worker, writer, self.secrets)
        started = Engine(worker, writer, dispatcher, asyncio.create_task(writer.run()))
        self.engines.append(started)
        await dispatcher.start()
        return started

    async def channel(self, port: int, name: str = "Test", **given: Any) -> str:
        """An account and a channel of one name."""
        wanted: dict[str, Any] = {"tps": 100_000, "window_size": 20} | given
        settings = wanted.pop("settings", {})
        wanted["settings"] = wanted.pop("account_settings", {})
        spec = schema.AccountSpec(
            name=name, host="127.0.0.1", port=port, system_id="esme", password="secret", **wanted
        )
        async with self.pool.acquire() as connection:
            await accounts.upsert_account(connection, spec, self.secrets)
            await accounts.upsert_channel(
                connection, schema.ChannelSpec(name=name, account=name, settings=settings)
            )
        return name

    async def route(self, name: str, *channels: str | tuple[str, int, int], **given: Any) -> schema.Route:
        """Over channels by name, or (name, tier, weight)."""
        over = [(each, 1, 1) if isinstance(each, str) else each for each in channels]
        listed = [schema.RouteChannel(channel=each, tier=tier, weight=weight) for each, tier, weight in over]
        spec = schema.RouteSpec(decision_id=uuid4(), name=name, channels=listed, **given)
        return await routes.put(self.pool, None, spec)

    async def upload(self, rows: int, chunk_rows: int = 1000, names: list[str] | None = None) -> UUID:
        """Numbers from 447700000000 on, and a column `name`."""
        upload_id = uuid4()
        await self.pool.execute(
            "INSERT INTO uploads"
            " (upload_id, workspace_id, file_name, state, rows, accepted, lines, digest, dialect)"
            " VALUES ($1, $2, 'numbers.csv', 'complete', $3, $3, $3, $4, $5)",
            upload_id,
            self.workspace,
            rows,
            hashlib.sha256(upload_id.bytes).digest(),
            msgspec.json.encode({"columns": ["name"]}).decode(),
        )
        for number, start in enumerate(range(0, rows, chunk_rows)):
            data = chunk(start, min(chunk_rows, rows - start), names)
            await self.pool.execute(
                "INSERT INTO recipient_chunks (upload_id, chunk_no, row_count, byte_end, digest, data)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                upload_id,
                number,
                min(chunk_rows, rows - start),
                start,
                hashlib.sha256(data).digest(),
                data,
            )
        return upload_id

    async def campaign(
        self,
        channel: str,
        upload_id: UUID,
        text: str = "Hello {{name}}",
        *,
        start: bool = True,
        **given: Any,
    ) -> UUID:
        campaign_id = uuid4()
        sealed = await campaigns.create(
            self.pool,
            schema.CampaignSpec(
                decision_id=uuid4(),
                campaign_id=campaign_id,
                workspace_id=self.workspace,
                name="test",
                channel=channel,
                sender="Heliograph",
                sender_revision_id=uuid4(),
                text=text,
                upload_id=upload_id,
                **given,
            ),
        )
        if start:
            await self.command(campaign_id, "start", sealed.manifest_hash)
        return campaign_id

    async def command(self, campaign_id: UUID, command: Any, manifest_hash: str | None = None) -> None:
        order = schema.CampaignCommand(decision_id=uuid4(), command=command, manifest_hash=manifest_hash)
        await campaigns.command(self.pool, campaign_id, order)
        for engine in self.engines:
            engine.dispatcher.wake()

    async def get(self, campaign_id: UUID) -> schema.Campaign:
        return await campaigns.get(self.pool, campaign_id)

    async def reaches(self, campaign_id: UUID, state: str) -> schema.Campaign:
        async def there() -> bool:
            return (await self.get(campaign_id)).state == state

        await wait_until(there, f"campaign in {state}")
        return await self.get(campaign_id)

    async def balanced(self, campaign_id: UUID) -> schema.Counts:
        """Recounts the ledger, and that nothing is claimed twice or left open."""
        found = await equation.recount(self.pool, campaign_id)
        assert found.balanced, found.first_difference
        return found.statistics

    async def open_claims(self) -> int:
        return int(await self.pool.fetchval("SELECT count(*) FROM claims WHERE closed_at IS NULL"))


def chunk(first: int, rows: int, names: list[str] | None = None) -> bytes:
    numbers = array("q", range(447_700_000_000 + first, 447_700_000_000 + first + rows))
    texts = [(names or ["Ada", "Zoë", "Bo"])[i % len(names or "abc")] for i in range(rows)]
    batch = pa.record_batch({"msisdn": pa.array(numbers, pa.int64()), "name": pa.array(texts, pa.string())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


@asynccontextmanager
async def open_room(dsn: str, folder: Path) -> AsyncIterator[Room]:
    await migrate(dsn)
    pool = await open_pool(dsn)
    settings = EngineSettings(ledger_dsn=dsn, data_dir=folder, poll_interval_ms=200)
    room = Room(pool, settings, SecretBox(folder / "secrets.key"))
    try:
        yield room
    finally:
        for engine in room.engines:
            if not engine.writing.done():
                await engine.stop(0.2)
        await pool.close()


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    return wait_until


@pytest.fixture
def room_at(ledger_dsn: str, tmp_path: Path) -> Callable[[str], AbstractAsyncContextManager[Room]]:
    """A room whose engine reaches the same database under another DSN."""
    return lambda dsn: open_room(dsn, tmp_path)


@pytest.fixture
async def room(ledger_dsn: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with open_room(ledger_dsn, tmp_path) as opened:
        yield opened


@pytest.fixture
async def smsc() -> AsyncIterator[Smsc]:
    started = Smsc()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def other_smsc() -> AsyncIterator[Smsc]:
    """Another operator."""
    started = Smsc()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def two(room: Room, smsc: Smsc, other_smsc: Smsc) -> Room:
    """Channels "one" and "two" to two operators."""
    await room.channel(smsc.port, "one")
    await room.channel(other_smsc.port, "two")
    return room


class Proxy:
    """TCP in front of PostgreSQL, to cut."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        port = int(query.get("port", [parts.port or 5432])[0])
        host = query.get("host", [parts.hostname or "localhost"])[0]
        self._target = (host, port)
        self._dsn = dsn
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def dsn(self) -> str:
        parts = urlsplit(self._dsn)
        user = re.sub(r"@.*", "", parts.netloc) or "postgres"
        return f"postgresql://{user}@127.0.0.1:{self.port}{parts.path}?sslmode=disable"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._target
        if host.startswith("/"):
            theirs = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            theirs = await asyncio.open_connection(host, port)
        self._writers |= {writer, theirs[1]}
        await asyncio.gather(self._copy(reader, theirs[1]), self._copy(theirs[0], writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@pytest.fixture
async def proxy(ledger_dsn: str) -> AsyncIterator[Proxy]:
    opened = Proxy(ledger_dsn)
    await opened.open()
    yield opened
    await opened.cut()
