"""A real SMTP server on a free port, and services that send over it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope

from control_plane.app import build
from control_plane.services import Services


@dataclass
class Inbox:
    """What the server was given; `refuses` an answer that it gives instead."""

    port: int = 0
    refuses: str = ""
    got: list[Envelope] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        if self.refuses:
            return self.refuses
        self.got.append(envelope)
        return "250 OK"

    def text(self) -> str:
        content = self.got[-1].content
        assert isinstance(content, bytes)
        return content.decode().replace("=\r\n", "").replace("=3D", "=").replace("\r\n", "\n")


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    found, loop = Inbox(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(found, loop=loop), "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    await server.wait_closed()


@pytest.fixture
def mailing(services: Services, core: Any, clock: Any, inbox: Inbox) -> Callable[..., Services]:
    """Services over the same store, with settings of an SMTP server."""

    def of(**settings: Any) -> Services:
        given = {
            "smtp_host": "127.0.0.1",
            "smtp_port": inbox.port,
            "smtp_tls": "none",
            "smtp_from": "Heliograph <heliograph@house.example>",
            "public_url": "https://sms.house.example/",
            **settings,
        }
        return build(services.settings.model_copy(update=given), services.store, core, clock)

    return of
