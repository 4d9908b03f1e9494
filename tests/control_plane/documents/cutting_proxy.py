"""A connection to the document store that breaks at the worst moment: the write is made, its answer lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress


class CuttingProxy:
    """Forwards to a server. `cut` names what to break, once: the next command with these bytes in it."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._command: bytes | None = None
        self._sent = True
        self._then: Callable[[], Awaitable[object]] | None = None
        self.port = 0
        self.cuts = 0

    def cut(
        self, command: bytes, *, sent: bool = True, then: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """`sent`: the server does it, only the answer is lost. `then` happens before the client knows."""
        self._command, self._sent, self._then = command, sent, then

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        answers = asyncio.create_task(_copy(there, writer))
        with suppress(ConnectionError):
            while message := await _message(reader):
                hit = self._command is not None and self._command in message
                if hit:
                    self._command = None
                    self.cuts += 1
                    answers.cancel()
                    await asyncio.gather(answers, return_exceptions=True)
                if not hit or self._sent:
                    back.write(message)
                    await back.drain()
                if hit:
                    if self._sent:
                        await _message(there)
                    if self._then is not None:
                        await self._then()
                    break
        answers.cancel()
        await asyncio.gather(answers, return_exceptions=True)
        for end in (writer, back):
            end.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One whole message of the wire protocol: its first four bytes are its length."""
    try:
        length = await reader.readexactly(4)
        return length + await reader.readexactly(int.from_bytes(length, "little") - 4)
    except asyncio.IncompleteReadError:
        return b""


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while message := await _message(reader):
            writer.write(message)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def cutting_proxy(port: int) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(port)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
