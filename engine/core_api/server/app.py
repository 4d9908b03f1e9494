"""The Core API's application, and the server that carries it."""

import socket

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from engine.core_api import schema
from engine.core_api.server import (
    campaigns,
    channels,
    doubts,
    errors,
    metrics,
    money,
    receipts,
    rendered,
    retention,
    routes,
    stops,
    texts,
    trials,
    uploads,
    verify,
)
from engine.core_api.server.answers import Refused, problem
from engine.core_api.server.state import EngineState
from engine.core_api.tls import CoreProtocol, server_context
from engine.ledger.errors import LedgerError
from engine.ledger.pool import AWAY
from engine.recipients.ingest import UploadError


def application(state: EngineState) -> Starlette:
    all_routes = [
        *channels.routes,
        *trials.routes,
        *uploads.routes,
        *texts.routes,
        *campaigns.routes,
        *rendered.routes,
        *doubts.routes,
        *errors.routes,
        *money.routes,
        *receipts.routes,
        *retention.routes,
        *routes.routes,
        *stops.routes,
        *verify.routes,
    ]
    app = Starlette(
        routes=[*metrics.routes, Mount(schema.PREFIX, routes=all_routes)],
        exception_handlers={
            HTTPException: _http_problem,
            Exception: problem,
            **dict.fromkeys((Refused, LedgerError, UploadError, *AWAY), problem),
        },
    )
    app.state.engine = state
    return app


def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(request, Refused("not-found", error.status_code, error.detail))


class CoreServer(uvicorn.Server):
    """Serves on a socket that is bound already; the program that holds it owns the signals."""

    def __init__(self, state: EngineState) -> None:
        certs = state.settings.certs_dir
        super().__init__(
            uvicorn.Config(
                application(state),
                http=CoreProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
                ssl_context_factory=lambda _config, _default: server_context(certs),
            )
        )

    async def run_on(self, listener: socket.socket) -> None:
        """Until `should_exit` is set."""
        await self._serve([listener])
