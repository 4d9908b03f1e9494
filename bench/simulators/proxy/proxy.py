"""A proxy between ESME and SMSC that knows where a PDU begins and ends, and does to it what rules say."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from bench.simulators.proxy.rules import RESPONSE, Rule, Trigger

HEADER = struct.Struct(">IIII")
MAX_PDU = 1 << 20
READ_BYTES = 1 << 16
LINGER_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Piece:
    """What goes out next: not before `due` (loop time), in pieces of `step` octets (0: whole)."""

    data: bytes
    due: float = 0.0
    step: int = 0
    reset: bool = False


class FaultProxy:
    """`await start()`, then `port`; `await stop()`. `target` may be changed for connections to come.

    Rules may be added and removed while it runs; the same seed and the same PDUs draw the same faults.
    """

    def __init__(self, host: str, port: int, rules: Sequence[Rule] = (), *, seed: int = 0) -> None:
        self.target = (host, port)
        self.connections = 0
        self.refused = False  # new connections are closed at once
        self._random = random.Random(seed)
        self._triggers = [Trigger(rule, self._random) for rule in rules]
        self._past: dict[str, int] = {}
        self._server: asyncio.Server | None = None
        self._pairs: set[Pair] = set()
        self._began = 0.0

    @property
    def port(self) -> int:
        assert self._server is not None, "the proxy is not started"
        return cast(int, self._server.sockets[0].getsockname()[1])

    def add(self, rule: Rule) -> None:
        self._triggers.append(Trigger(rule, self._random))

    def clear(self) -> None:
        """No more faults; black holes and half-open connections stay what they are."""
        for trigger in self._triggers:
            self._past[trigger.rule.name] = self._past.get(trigger.rule.name, 0) + trigger.struck
        self._triggers.clear()

    def counters(self) -> dict[str, int]:
        """How often each fault struck."""
        counts = dict(self._past)
        for trigger in self._triggers:
            counts[trigger.rule.name] = counts.get(trigger.rule.name, 0) + trigger.struck
        return counts | {"connections": self.connections}

    async def start(self, port: int = 0) -> None:
        self._began = asyncio.get_running_loop().time()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()
        while self._pairs:
            await asyncio.gather(*(pair.done.wait() for pair in self._pairs))

    def drop(self) -> None:
        """Resets every connection there is."""
        for pair in list(self._pairs):
            pair.reset()

    def faults(self, command: int) -> list[Rule]:
        at_s = asyncio.get_running_loop().time() - self._began
        return [trigger.rule for trigger in self._triggers if trigger.strikes(command, at_s)]

    def noise(self, octets: int) -> bytes:
        return self._random.randbytes(octets)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refused:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = Pair(self, Side.of(reader, writer), Side.of(far_reader, far_writer))
        self._pairs.add(pair)
        try:
            await pair.run()
        finally:
            self._pairs.discard(pair)


@dataclass(eq=False)
class Side:
    """One of the two connections, and what waits to be written to it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer: socket.socket
    queue: "asyncio.Queue[Piece | None]" = field(default_factory=asyncio.Queue)
    held: bytes = b""  # a reordered PDU: goes behind the next
    deaf: bool = False  # nothing is written to it any more
    gone: bool = False  # closed by a fault: its other side is not told

    @classmethod
    def of(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> "Side":
        return cls(reader, writer, writer.get_extra_info("socket"))


class Pair:
    """An ESME's connection and the one to the SMSC that was opened for it."""

    def __init__(self, proxy: FaultProxy, near: Side, far: Side) -> None:
        self._proxy = proxy
        self._sides = (near, far)
        self.done = asyncio.Event()
        self._hole = asyncio.Event()  # never set: a task that waits for it is cancelled at the end
        self._over = asyncio.Event()

    async def run(self) -> None:
        near, far = self._sides
        tasks = [
            asyncio.create_task(coroutine)
            for coroutine in (
                self._pump(near, far),
                self._pump(far, near),
                self._write(near),
                self._write(far),
                self._over.wait(),
            )
        ]
        try:
            # either side's end ends both, unless a fault pretends otherwise
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for side in self._sides:
                side.writer.close()
            self.done.set()

    def reset(self) -> None:
        """RST to both, not a polite end."""
        for side in self._sides:
            with contextlib.suppress(OSError, ValueError):  # it may have been closed
                side.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            side.writer.transport.abort()
        self._over.set()

    async def _pump(self, source: Side, sink: Side) -> None:
        data = b""
        framed = True
        while received := await self._read(source):
            data += received
            while framed and len(data) >= HEADER.size:
                length = int.from_bytes(data[:4], "big")
                if not HEADER.size <= length <= MAX_PDU:
                    framed = False  # no SMPP any more: passed on as it is
                elif len(data) < length:
                    break
                else:
                    self._strike(data[:length], source, sink)
                    data = data[length:]
            if not framed:
                self._put(sink, Piece(data))
                data = b""
        if source.gone or (source.deaf and not sink.gone):
            await self._hole.wait()  # the other side is not told
        sink.queue.put_nowait(None)
        await self._hole.wait()  # until what is queued is written

    async def _read(self, side: Side) -> bytes:
        try:
            return await side.reader.read(READ_BYTES)
        except OSError:
            return b""

    def _strike(self, pdu: bytes, source: Side, sink: Side) -> None:
        length, command, status, sequence = HEADER.unpack_from(pdu)
        piece: Piece | None = Piece(pdu)
        twice = False
        for rule in self._proxy.faults(command):
            match rule.action:
                case "delay" if piece is not None:
                    piece.due = asyncio.get_running_loop().time() + rule.value / 1000
                case "slice" if piece is not None:
                    piece.step = rule.value
                case "drop":
                    piece = None
                case "duplicate":
                    twice = True
                case "reorder" if piece is not None:
                    sink.held, piece = sink.held + piece.data, None
                case "sequence" if piece is not None:
                    changed = (sequence + rule.value) & 0xFFFFFFFF
                    piece.data = HEADER.pack(length, command, status, changed) + pdu[16:]
                case "status" if piece is not None:
                    piece.data = HEADER.pack(16, command, rule.value, sequence)
                case "nack":
                    nack = Piece(HEADER.pack(16, RESPONSE, rule.value or 0x03, sequence))
                    self._put(sink if command & RESPONSE else source, nack)
                    piece = None
                case "answer":
                    self._put(source, Piece(HEADER.pack(16, command | RESPONSE, rule.value, sequence)))
                    piece = None
                case "garbage":
                    self._put(sink, Piece(self._proxy.noise(rule.value)))
                case "oversized" if piece is not None:
                    piece.data = HEADER.pack(rule.value, command, status, sequence) + pdu[16:]
                case "reset" if piece is not None:
                    piece = Piece(pdu[: length // 2], reset=True)
                case "black_hole":
                    source.deaf = sink.deaf = True
                case "half_open":
                    source.deaf = sink.deaf = sink.gone = True
                    sink.writer.close()
        if piece is None:
            return
        self._put(sink, piece)
        if twice:
            self._put(sink, Piece(piece.data))
        if sink.held:
            self._put(sink, Piece(sink.held))
            sink.held = b""

    def _put(self, side: Side, piece: Piece) -> None:
        if not side.deaf:
            side.queue.put_nowait(piece)

    async def _write(self, side: Side) -> None:
        loop = asyncio.get_running_loop()
        while (piece := await side.queue.get()) is not None:
            if side.deaf:
                continue
            if (wait_s := piece.due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            step = piece.step or len(piece.data)
            for start in range(0, len(piece.data), step):
                side.writer.write(piece.data[start : start + step])
                if piece.step:
                    await asyncio.sleep(0)  # each piece its own segment: the transport writes at once
            if piece.reset:
                await asyncio.sleep(0)
                self.reset()
                return
            with contextlib.suppress(OSError):
                await side.writer.drain()
