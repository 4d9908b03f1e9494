"""The simulated SMSC on TCP: binds, control PDUs and timers around a carrier."""

import asyncio
import contextlib
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.witness import ReceiptFile, WitnessFile

PURE = os.environ.get("HELIOGRAPH_PURE", "") not in ("", "0")

if TYPE_CHECKING or PURE:
    from bench.simulators.smsc.pure.carrier import Carrier
else:
    try:
        from bench.simulators.smsc.carrier import Carrier
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "bench.simulators.smsc.carrier is not built: run `make build`, or set HELIOGRAPH_PURE=1"
        ) from error

HEADER = struct.Struct(">IIII")
RESPONSE = 0x80000000
GENERIC_NACK, ENQUIRE_LINK, UNBIND = 0x80000000, 0x15, 0x6
BIND_MODES = {0x1: (False, True), 0x2: (True, False), 0x9: (True, True)}  # command: (transmit, receive)
QUERY_ANSWERS = {0x3: 0x67, 0x7: 0x13, 0x8: 0x11}  # query_sm, replace_sm, cancel_sm: never found here
RINVCMDLEN, RINVCMDID, RINVBNDSTS, RALYBND = 0x2, 0x3, 0x4, 0x5
RINVPASWD, RINVSYSID = 0xE, 0xF
MAX_PDU = 65536
TICK_S = 0.002
OVERDUE_S = 0.05
STATE_COUNTERS = ("receipts_queued", "receipts_unanswered", "delayed")  # what is, not what was
WRITE_HIGH_WATER = 4 << 20


@dataclass(frozen=True, slots=True)
class Door:
    """Where it listens and whom it lets in. An empty system_id lets everyone in. Port 0 takes a free one.

    `version` is the sc_interface_version of its bind responses, None: left out. `max_binds` (of a system_id,
    0: any number) and a session that was dropped less than `stale_bind_s` ago answer ESME_RALYBND.
    `refused_binds` are the statuses of the first binds.
    """

    host: str = "127.0.0.1"
    port: int = 0
    system_id: str = ""
    password: str = ""
    enquire_link_s: float = 30.0
    version: int | None = 0x34
    max_binds: int = 0
    stale_bind_s: float = 0.0
    refused_binds: tuple[int, ...] = ()


class Simulator:
    """One SMSC: `await start()`, then `port`; `await stop()` unbinds everyone and closes.

    Its clock is the wall clock at its start plus monotonic time, so it never goes back.
    """

    def __init__(
        self, door: Door, behaviour: Behaviour, witness: Path | None = None, receipts: Path | None = None
    ) -> None:
        """`witness` gets every accepted part, `receipts` every receipt that was acknowledged."""
        self._door = door
        self._plan = behaviour.plan()
        self._began_us = time.time_ns() // 1000
        self._began_ns = time.monotonic_ns()
        self.carrier = Carrier(self._plan, self._began_us)
        self._witness = WitnessFile(witness) if witness is not None else None
        self._receipts = ReceiptFile(receipts) if receipts is not None else None
        self.carrier.noting = self._receipts is not None
        self._accounts: dict[str, int] = {}
        self._connections: dict[int, Connection] = {}
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._keepalive: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._stopped = False
        self._refused_binds = list(door.refused_binds)
        self._stale: dict[str, list[float]] = {}  # when sessions that were not unbound are forgotten
        self._forgotten: dict[str, int] = {}  # counters of the carriers before restarts
        self.counts = {
            "connections": 0,
            "binds": 0,
            "binds_refused": 0,
            "binds_dropped": 0,
            "nacks": 0,
            "restarts": 0,
        }

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the simulator is not started")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        await self._listen(self._door.port)
        loop = asyncio.get_running_loop()
        if self._door.enquire_link_s:
            self._keepalive = loop.call_later(self._door.enquire_link_s, self._keep_alive)
        if self._plan.unanswered_us:
            self._overdue = loop.call_later(OVERDUE_S, self._drop_overdue)

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), self._door.host, port, backlog=128
        )

    async def restart(self, *, memory: bool, down_s: float = 0.0) -> None:
        """Dies and comes back on the same port: with its receipts and ids, or without any memory of them."""
        port = self.port
        await self.shut()
        if not memory:
            for name, count in self.carrier.counters().items():
                if name not in STATE_COUNTERS:
                    self._forgotten[name] = self._forgotten.get(name, 0) + count
            self.carrier = Carrier(self._plan, self.now_us())
            self.carrier.noting = self._receipts is not None
            self._accounts.clear()
        self._stale.clear()
        self.counts["restarts"] += 1
        await asyncio.sleep(down_s)
        await self._listen(port)

    async def shut(self) -> None:
        """No more connections, and those there are reset."""
        assert self._server is not None
        self._server.close()
        if self._connections:
            self._emptied = asyncio.Event()
            for connection in list(self._connections.values()):
                connection.abort()
            await self._emptied.wait()
            self._emptied = None
        self._flush_witness()

    async def stop(self, timeout_s: float = 1.0) -> None:
        """Unbinds the bound, waits for their answers at most `timeout_s`, closes everything."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            connection.say_goodbye()
        if self._connections:
            self._emptied = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), timeout_s)
        for connection in list(self._connections.values()):
            connection.abort()
        self._stopped = True
        for timer in (self._timer, self._keepalive, self._overdue):
            if timer is not None:
                timer.cancel()
        self._flush_witness()
        if self._witness is not None:
            self._witness.close()
            self._witness = None
        if self._receipts is not None:
            self._receipts.close()
            self._receipts = None

    def counters(self) -> dict[str, int]:
        now = self.carrier.counters()
        return (
            self.counts
            | {"bound": self._bound()}
            | {name: count + self._forgotten.get(name, 0) for name, count in now.items()}
        )

    def _bound(self) -> int:
        return sum(connection.bound for connection in self._connections.values())

    def now_us(self) -> int:
        return self._began_us + (time.monotonic_ns() - self._began_ns) // 1000

    def admit(self, system_id: str, password: str) -> int:
        """command_status for a bind: its credentials, then how many are bound already."""
        door = self._door
        if self._refused_binds:
            return self._refused_binds.pop(0)
        if door.system_id:
            if system_id != door.system_id:
                return RINVSYSID
            if password != door.password:
                return RINVPASWD
        stale = self._stale_sessions(system_id)
        if door.max_binds:
            live = sum(one.bound and one.system_id == system_id for one in self._connections.values())
            return RALYBND if live + stale >= door.max_binds else 0
        return RALYBND if stale else 0

    def _stale_sessions(self, system_id: str) -> int:
        now = asyncio.get_running_loop().time()
        kept = [until for until in self._stale.get(system_id, ()) if until > now]
        self._stale[system_id] = kept
        return len(kept)

    def dropped(self, system_id: str) -> None:
        """A bound session ended without an unbind: an SMSC that is slow to notice still counts it."""
        self.counts["binds_dropped"] += 1
        if self._door.stale_bind_s and self._server is not None and self._server.is_serving():
            until = asyncio.get_running_loop().time() + self._door.stale_bind_s
            self._stale.setdefault(system_id, []).append(until)

    @property
    def version(self) -> int | None:
        return self._door.version

    def account(self, system_id: str) -> int:
        return self._accounts.setdefault(system_id, len(self._accounts))

    def joined(self, handle: int, connection: "Connection") -> None:
        self._connections[handle] = connection
        self.counts["connections"] += 1

    def left(self, handle: int) -> None:
        del self._connections[handle]
        self.carrier.disconnect(handle)
        if self._emptied is not None and not self._connections:
            self._emptied.set()
        self.work()

    def work(self) -> None:
        """Hands out what is due; the witness is on disk before any answer leaves."""
        ready = self.carrier.advance(self.now_us())
        self._flush_witness()
        for handle in ready:
            self._connections[handle].write(self.carrier.output(handle))
        if self._timer is None and self.carrier.pending and not self._stopped:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.work()

    def _flush_witness(self) -> None:
        records = self.carrier.witness()
        if records and self._witness is not None:
            self._witness.append(records)
        if self._receipts is not None:
            self._receipts.append(self.carrier.acknowledged())

    def _drop_overdue(self) -> None:
        """Ends the binds that leave a deliver_sm unanswered for too long."""
        self._overdue = asyncio.get_running_loop().call_later(OVERDUE_S, self._drop_overdue)
        for handle in self.carrier.overdue(self.now_us()):
            if handle in self._connections:
                self._connections[handle].abort()

    def _keep_alive(self) -> None:
        interval_s = self._door.enquire_link_s
        loop = asyncio.get_running_loop()
        self._keepalive = loop.call_later(interval_s, self._keep_alive)
        now = loop.time()
        for connection in list(self._connections.values()):
            connection.keep_alive(now, interval_s)
        self.work()


class Connection(asyncio.Protocol):
    """One TCP connection: cuts control PDUs out of the stream and leaves the traffic to the carrier."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._carrier = simulator.carrier
        self.system_id = ""
        self._handle = 0
        self._tail = b""
        self._heard_at = 0.0
        self._closing = False
        self.bound = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._handle = self._carrier.connect()
        self._heard_at = asyncio.get_running_loop().time()
        self._simulator.joined(self._handle, self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.bound:
            self._simulator.dropped(self.system_id)
        self._simulator.left(self._handle)

    def pause_writing(self) -> None:
        self._carrier.pause(self._handle, True)
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._carrier.pause(self._handle, False)
        if not self._closing:
            self._transport.resume_reading()
        self._simulator.work()

    def data_received(self, data: bytes) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if self._tail:
            data = self._tail + data
        position = self._consume(data)
        self._tail = data[position:] if not self._closing else b""
        self._simulator.work()
        if self._closing:
            self._transport.close()

    def _consume(self, data: bytes) -> int:
        position, size = 0, len(data)
        while not self._closing:
            position = self._carrier.receive(self._handle, data, position, self._simulator.now_us())
            if position + 16 > size:
                break
            length, command, status, sequence = HEADER.unpack_from(data, position)
            if not 16 <= length <= MAX_PDU:
                self._send(GENERIC_NACK, RINVCMDLEN, sequence)
                self._simulator.counts["nacks"] += 1
                self._closing = True
            elif position + length > size:
                break
            else:
                self._control(command, status, sequence, data[position + 16 : position + length])
                position += length
        return position

    def _control(self, command: int, status: int, sequence: int, body: bytes) -> None:
        if command in BIND_MODES:
            self._bind(command, sequence, body)
        elif command == ENQUIRE_LINK:
            self._send(ENQUIRE_LINK | RESPONSE, 0, sequence)
        elif command == UNBIND:
            self._send(UNBIND | RESPONSE, 0 if self.bound else RINVBNDSTS, sequence)
            self._leave()
            self._closing = True
        elif command == UNBIND | RESPONSE:
            self._closing = True
        elif command in QUERY_ANSWERS:
            self._send(command | RESPONSE, QUERY_ANSWERS[command] if self.bound else RINVBNDSTS, sequence)
        elif not command & RESPONSE:
            self._simulator.counts["nacks"] += 1
            self._send(GENERIC_NACK, RINVCMDID, sequence)

    def _bind(self, command: int, sequence: int, body: bytes) -> None:
        fields = body.split(b"\0", 2)
        simulator = self._simulator
        system_id, password = [*fields, b"", b""][:2]
        name = system_id.decode("latin-1")
        if len(fields) < 3:
            status = RINVCMDLEN
        elif self.bound:
            status = RALYBND
        else:
            status = simulator.admit(name, password.decode("latin-1"))
        if status:
            simulator.counts["binds_refused"] += 1
            self._send(command | RESPONSE, status, sequence)
            self._closing = not self.bound
            return
        simulator.counts["binds"] += 1
        self.bound = True
        self.system_id = name
        # bind_resp: the SMSC's system_id and sc_interface_version (SMPP 3.4 §4.1.2, §5.3.2.25)
        version = simulator.version
        tlv = b"" if version is None else b"\x02\x10\x00\x01" + bytes((version,))
        self._send(command | RESPONSE, 0, sequence, b"heliograph\0" + tlv)
        transmit, receive = BIND_MODES[command]
        self._carrier.bind(self._handle, simulator.account(name), transmit, receive)

    def _send(self, command: int, status: int, sequence: int, body: bytes = b"") -> None:
        header = HEADER.pack(16 + len(body), command, status, sequence)
        self._carrier.append(self._handle, header + body)

    def _leave(self) -> None:
        self.bound = False
        self._carrier.unbind(self._handle)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def say_goodbye(self) -> None:
        """unbind for the bound, a plain close for the others."""
        if self.bound:
            self._leave()
            self._send(UNBIND, 0, self._carrier.next_sequence(self._handle))
            self.write(self._carrier.output(self._handle))
        else:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def keep_alive(self, now: float, interval_s: float) -> None:
        """enquire_link to the silent; three silent intervals end the connection."""
        silent_s = now - self._heard_at
        if silent_s > 3 * interval_s:
            self.abort()
        elif silent_s >= interval_s and self.bound:
            self._send(ENQUIRE_LINK, 0, self._carrier.next_sequence(self._handle))
