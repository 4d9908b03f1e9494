"""What the tests of sessions and links share: batches to submit, both builds of `_fast`, an SMSC."""

import asyncio
import importlib
import ssl
import struct
from array import array
from collections.abc import AsyncIterator, Callable
from types import ModuleType

import pytest
import uvloop

from engine._fast.columns import EncodedBatch, ReceiptBatch, ResultBatch
from engine.smpp import codec, session
from engine.smpp.gate import AccountGate
from engine.smpp.link import Link, LinkConfig, LinkState
from engine.smpp.tables import PDUS


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every asynchronous test here runs on both loops: their transports differ."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["engine._fast", "engine._fast.pure"], ids=["c", "pure"])
def fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Runs the session on the C modules and on their twins."""
    modules = {name: importlib.import_module(f"{request.param}.{name}") for name in _USED}
    for name in ("pdu", "window", "receipts"):
        monkeypatch.setattr(session, name, modules[name])
    return modules


_USED = ("pdu", "window", "receipts", "text")


@pytest.fixture
def submits(fast: dict[str, ModuleType]) -> Callable[..., EncodedBatch]:
    """(count, first_sequence, text) -> the submit_sm PDUs of that many recipients."""

    def make(count: int, first_sequence: int, text: str = "hello") -> EncodedBatch:
        encoder = fast["pdu"].SubmitEncoder(
            template=fast["text"].Template([text.encode()]), source=b"Shop", source_ton=5, source_npi=0
        )
        numbers = array("q", (15550100000 + row for row in range(count)))
        return encoder.encode(numbers, [], array("i", range(count)), 0, 7, first_sequence)

    return make


@pytest.fixture
def responses() -> Callable[..., bytes]:
    """(sequences, status) -> submit_sm_resp octets, the message id being `id-<sequence>`."""

    def make(sequences: list[int], status: int = 0) -> bytes:
        out = b""
        for sequence in sequences:
            body = b"" if status else b"id-%d\0" % sequence
            out += struct.pack(">IIII", 16 + len(body), 0x80000004, status, sequence) + body
        return out

    return make


class Recorder:
    """A link's owner that keeps what it is told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.results: list[tuple[int, int]] = []  # row, status
        self.batches: list[ResultBatch] = []
        self.receipts: list[ReceiptBatch] = []
        self.states: list[tuple[LinkState, str]] = []
        self.down: list[str] = []
        self.levels: list[int] = []
        self.when_bound: Callable[[Link], None] = lambda link: None
        self.when_receipts: Callable[[Link, ReceiptBatch], None] = lambda link, batch: None
        self._told = asyncio.Event()

    def on_bound(self, link: Link) -> None:
        self._note("bound")
        self.when_bound(link)

    def on_results(self, link: Link, batch: ResultBatch) -> None:
        self.batches.append(batch)
        self.results += zip(batch.row, batch.status, strict=True)
        self._note("results")

    def on_receipts(self, link: Link, batch: ReceiptBatch) -> None:
        self.receipts.append(batch)
        self._note("receipts")
        self.when_receipts(link, batch)

    def on_down(self, link: Link, reason: str) -> None:
        self.down.append(reason)
        self._note("down")

    def on_state(self, link: Link, state: LinkState, reason: str) -> None:
        self.states.append((state, reason))
        self._note(f"state {state}")

    def on_congestion(self, link: Link, level: int) -> None:
        self.levels.append(level)
        self._note("congestion")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self._told.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Returns once the condition holds; checked after every call. Fails after 10 s."""
        async with asyncio.timeout(10):
            while not condition():
                self._told.clear()
                await self._told.wait()


class Smsc:
    """A small SMSC on a free port; `answers` decides what a request gets."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[codec.Pdu] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.answers: Callable[[codec.Pdu], bytes | None] = self.accept
        self._server: asyncio.Server | None = None
        self._told = asyncio.Event()

    @staticmethod
    def accept(pdu: codec.Pdu) -> bytes | None:
        """The friendly answer to each request."""
        answer = PDUS[pdu.command_id].answer
        if answer is None:
            return None
        if pdu.name == "submit_sm":
            return codec.encode(answer, pdu.sequence, fields={"message_id": b"id-%d" % pdu.sequence})
        return codec.encode(answer, pdu.sequence)

    async def start(self, port: int = 0, ssl: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=ssl)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self.writers:
            writer.transport.abort()
        if self._server is not None:
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readexactly(4)
                pdu = codec.decode(head + await reader.readexactly(int.from_bytes(head, "big") - 4))
                self.received.append(pdu)
                answer = self.answers(pdu)
                if answer:
                    writer.write(answer)
                self._told.set()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            writer.close()
            self._told.set()

    def names(self) -> list[str]:
        return [pdu.name for pdu in self.received]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._told.clear()
                await self._told.wait()


@pytest.fixture
async def smsc() -> AsyncIterator[Smsc]:
    server = Smsc()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def links(recorder: Recorder) -> AsyncIterator[Callable[..., Link]]:
    """(port, **LinkConfig) -> a started link owned by `recorder`; all are stopped after the test."""
    made: list[Link] = []

    def make(
        port: int,
        wall_us: Callable[[], int] | None = None,
        gate: AccountGate | None = None,
        after: Link | None = None,
        **config: object,
    ) -> Link:
        settings = {"reconnect_min_s": 0.01, "reconnect_max_s": 0.02, "window_size": 100} | config
        clock = {"wall_us": wall_us} if wall_us else {}
        link = Link(
            LinkConfig(
                **(
                    {"name": "test", "host": "127.0.0.1", "system_id": "esme", "password": "secret"}
                    | {"port": port}
                    | settings
                )
            ),
            recorder,
            gate=gate,
            after=after,
            **clock,
        )
        made.append(link)
        link.start()
        return link

    yield make
    for link in made:
        await link.stop(timeout_s=0.5)
