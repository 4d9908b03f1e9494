"""Mutual TLS 1.3 of the Core API: contexts for both ends, and the connection rules of the server.

A changed certificate file is picked up by the next handshake: a fresh context is swapped in, since changing
a live one keeps trusting the old CA. Session tickets are off and connections end after five minutes, so that
a replaced certificate stops working soon.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engine.core_api.certs import CONTROL_PLANE, ENGINE

CONNECTION_LIFE_S = 300.0


def server_context(folder: Path) -> ssl.SSLContext:
    """A context that demands a client certificate of our CA and follows changes of the files in `folder`."""
    current = _context(folder, ENGINE, ssl.PROTOCOL_TLS_SERVER)
    stamp = _stamp(folder, ENGINE)

    def follow(sock: Any, _name: str | None, _context_of_listener: ssl.SSLContext) -> None:
        nonlocal current, stamp
        now = _stamp(folder, ENGINE)
        if now != stamp:
            try:
                current, stamp = _context(folder, ENGINE, ssl.PROTOCOL_TLS_SERVER), now
            except (OSError, ssl.SSLError):
                return  # half-replaced files: the old ones serve until the new ones are whole
        sock.context = current

    listener = _context(folder, ENGINE, ssl.PROTOCOL_TLS_SERVER)
    listener.sni_callback = follow
    return listener


def client_context(folder: Path) -> ssl.SSLContext:
    """The control plane's end: trusts our CA alone and shows its own certificate."""
    return _context(folder, CONTROL_PLANE, ssl.PROTOCOL_TLS_CLIENT)


def _context(folder: Path, name: str, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "ca.crt")
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    return context


def _stamp(folder: Path, name: str) -> tuple[int, ...]:
    try:
        return tuple((folder / file).stat().st_mtime_ns for file in ("ca.crt", f"{name}.crt", f"{name}.key"))
    except OSError:
        return ()


class CoreProtocol(HttpToolsProtocol):
    """HTTP over a connection whose peer is the control plane, for at most five minutes."""

    _ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if not is_control_plane(transport.get_extra_info):
            transport.abort()
            self.transport = transport
            return
        super().connection_made(transport)
        self._ends = self.loop.call_later(CONNECTION_LIFE_S, self.shutdown)

    def data_received(self, data: bytes) -> None:
        if self._ends is not None:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ends is not None:
            self._ends.cancel()
            super().connection_lost(exc)


def is_control_plane(extra_info: Callable[[str], Any]) -> bool:
    """Our CA signed the engine's certificate too: the name in the client's must be the control plane's."""
    certificate = extra_info("peercert") or {}
    return ("DNS", CONTROL_PLANE) in certificate.get("subjectAltName", ())
