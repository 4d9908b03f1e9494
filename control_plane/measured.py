"""Counts requests and the time until their answers begin (a stream's length is not a slow answer)."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.metrics import Metrics

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Measured:
    """ASGI middleware. `face`: ui or api."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, face: str) -> None:
        self._app = app
        self._metrics = metrics
        self._face = face

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        method = scope["method"] if scope["method"] in METHODS else "other"
        answered = False

        async def measure(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                self._count(method, message["status"], started)
            await send(message)

        try:
            await self._app(scope, receive, measure)
        finally:
            if not answered:
                self._count(method, 500, started)

    def _count(self, method: str, status: int, started: float) -> None:
        self._metrics.requests.labels(self._face, method, f"{status // 100}xx").inc()
        self._metrics.request_seconds.labels(self._face).observe(time.monotonic() - started)
