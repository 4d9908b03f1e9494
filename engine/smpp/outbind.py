"""The listening side of outbind (SMPP 3.4 §2.2.1): an SMSC connects, says who it is, gets a bind_receiver.

Off unless the engine listens. A connection from an address that nobody allows is closed unread; one that says
anything but the right outbind in time is closed without a word.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import cast

import structlog

from engine.smpp import codec
from engine.smpp.codec import BadLength
from engine.smpp.link import Link
from engine.smpp.tables import HEADER_SIZE, OUTBIND

_log = structlog.get_logger(__name__)

SAY_WITHIN_S = 10.0
LARGEST = 256  # an outbind: header, system_id, password


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An SMSC that may say outbind, and the link (a receiver's) that it gets."""

    allow: tuple[str, ...]  # addresses or networks
    system_id: str
    password: str
    link: Link

    def allows(self, address: str) -> bool:
        peer = ip_address(address)
        return any(peer in ip_network(each) for each in self.allow)

    def is_named(self, system_id: bytes, password: bytes) -> bool:
        """Compared in constant time."""
        same_id = hmac.compare_digest(system_id, self.system_id.encode("latin-1", "replace"))
        same_password = hmac.compare_digest(password, self.password.encode("latin-1", "replace"))
        return same_id and same_password and bool(self.system_id)


class OutbindListener:
    """Listens between `start` and `stop`; `callers` says who may call now."""

    def __init__(
        self, callers: Callable[[], Iterable[Caller]], *, say_within_s: float = SAY_WITHIN_S
    ) -> None:
        self.port = 0
        self._callers = callers
        self._say_within_s = say_within_s
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Greeting(self._callers, self._say_within_s), host, port
        )
        self.port = self._server.sockets[0].getsockname()[1]
        _log.info("outbind_listening", host=host, port=self.port)

    def stop(self) -> None:
        """Takes no more callers; links that were made end with their own `stop`."""
        if self._server is not None:
            self._server.close()
            self._server = None


class _Greeting(asyncio.Protocol):
    """A connection until its outbind is in; then it is the link's."""

    def __init__(self, callers: Callable[[], Iterable[Caller]], say_within_s: float) -> None:
        self._callers = callers
        self._say_within_s = say_within_s
        self._allowed: list[Caller] = []
        self._read = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")[0]
        self._allowed = [caller for caller in self._callers() if caller.allows(address)]
        if not self._allowed:
            self._refuse("address not allowed")
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._say_within_s, self._refuse, "no outbind in time")

    def data_received(self, data: bytes) -> None:
        if not self._allowed or self._transport is None:
            return
        self._read += data
        if len(self._read) < HEADER_SIZE:
            return
        length = int.from_bytes(self._read[:4], "big")
        if int.from_bytes(self._read[4:8], "big") != OUTBIND or not HEADER_SIZE <= length <= LARGEST:
            self._refuse("no outbind")
        elif len(self._read) >= length:
            self._greeted(self._read[:length], self._read[length:])

    def connection_lost(self, error: Exception | None) -> None:
        self._end()

    def _greeted(self, octets: bytes, rest: bytes) -> None:
        try:
            said = codec.decode(octets)
        except BadLength:
            self._refuse("no outbind")
            return
        named = (said.octets("system_id"), said.octets("password"))
        for caller in self._allowed:
            if said.fault is None and caller.is_named(*named):
                transport = self._transport
                self._end()
                assert transport is not None
                if not caller.link.adopt(transport, rest):
                    _log.info("outbind_refused", reason="bound already")
                    transport.abort()
                return
        self._refuse("wrong credentials")

    def _refuse(self, reason: str) -> None:
        _log.warning("outbind_refused", reason=reason)
        self._allowed = []
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
