"""`python -m control_plane`: the pages and the API, each on its port, until SIGTERM.

Prints one JSON line when it answers, {"ui": port, "api": port, "first_logins": [...]}; logs go to stderr.
`--issue-password EMAIL` prints a new one-time password instead: the way back in for a person who lost theirs.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError
from starlette.applications import Starlette

from control_plane.app import CertificatesError, api_app, opened, ui_app
from control_plane.documents.migrate import SchemaTooNew
from control_plane.errors import NotFound, StoreUnavailable
from control_plane.identity.model import FirstLogin
from control_plane.services import Services
from control_plane.settings import PREFIX, ControlPlaneSettings
from control_plane.workspaces.key_file import KeyFileError

BACKLOG = 512
DRAIN_S = 1  # open requests may end within this after SIGTERM; then they are cut
STOP_S = 2.5  # the whole of it


class StartError(Exception):
    """Why it does not start, in one line."""


# What a person is told in one line instead of a traceback.
TOLD = (
    StartError,
    StoreUnavailable,
    SchemaTooNew,
    KeyFileError,
    CertificatesError,
    NotFound,
    tomllib.TOMLDecodeError,
)


class Server(uvicorn.Server):
    """uvicorn, with the signals left to this program: two of them share it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m control_plane", description=__doc__.splitlines()[0])
    arguments.add_argument("--issue-password", metavar="EMAIL", help="print a new one-time password")
    chosen = arguments.parse_args()
    _configure_logs()
    try:
        settings = ControlPlaneSettings()
        work = _issue(settings, chosen.issue_password) if chosen.issue_password else _serve(settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except ValidationError as error:
        for fault in error.errors():
            name = ".".join(str(part) for part in fault["loc"]).upper()
            print(f"control plane: {PREFIX}{name}: {fault['msg']}", file=sys.stderr)
        return 1
    except (*TOLD, OSError) as error:
        print(f"control plane: {error}", file=sys.stderr)
        return 1
    return 0


async def _issue(settings: ControlPlaneSettings, email: str) -> None:
    async with opened(settings) as services:
        print(await services.identity.issue_password(email), flush=True)
        await services.audit.sweep()


async def _serve(settings: ControlPlaneSettings) -> None:
    ui_socket = _listen(settings.ui_host, settings.ui_port, "UI_PORT")
    api_socket = _listen(settings.api_host, settings.api_port, "API_PORT")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with opened(settings) as services:
        logins = await services.bootstrap.run(demo=settings.demo_workspace)
        servers = [
            Server(_config(ui_app(services), settings)),
            Server(_config(api_app(services), settings)),
        ]
        serving = [
            asyncio.create_task(server.serve(sockets=[listening]))
            for server, listening in zip(servers, (ui_socket, api_socket), strict=True)
        ]
        await _until_answering(servers, serving)
        _announce(ui_socket, api_socket, logins)
        await _until_stopped(stop, serving)
        await _stop(services, servers, serving)


async def _all_answering(servers: list[Server]) -> None:
    for server in servers:
        await server.answering.wait()


async def _until_answering(servers: list[Server], serving: list[asyncio.Task[None]]) -> None:
    answering = asyncio.ensure_future(_all_answering(servers))
    await asyncio.wait({answering, *serving}, return_when=asyncio.FIRST_COMPLETED)
    if not answering.done():
        answering.cancel()
        raise StartError("the web server did not start: see the log")


async def _until_stopped(stop: asyncio.Event, serving: list[asyncio.Task[None]]) -> None:
    asked = asyncio.create_task(_set(stop))
    await asyncio.wait({asked, *serving}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()


async def _set(stop: asyncio.Event) -> None:
    await stop.wait()


async def _stop(services: Services, servers: list[Server], serving: list[asyncio.Task[None]]) -> None:
    services.stopping.set()
    for server in servers:
        server.should_exit = True
    _, late = await asyncio.wait(serving, timeout=STOP_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


def _announce(ui: socket.socket, api: socket.socket, logins: list[FirstLogin]) -> None:
    """The only place a one-time password is shown: standard output, never a log."""
    line = {
        "ui": ui.getsockname()[1],
        "api": api.getsockname()[1],
        "first_logins": [asdict(login) for login in logins],
    }
    print(json.dumps(line), flush=True)


def _config(app: Starlette, settings: ControlPlaneSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips or None,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=DRAIN_S,
    )


def _listen(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise StartError(
            f"cannot listen on {host} port {port} ({error.strerror or error}): "
            f"stop what uses it, or choose another with {PREFIX}{setting}"
        ) from error
    listening.setblocking(False)
    return listening


def _configure_logs() -> None:
    """One JSON object a line on standard error, ours and the libraries'."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=render, foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared]
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[libraries])


if __name__ == "__main__":
    sys.exit(main())
