"""`python -m engine`: one engine process. Prints one JSON line when it is ready; SIGTERM ends it cleanly."""

import engine.memory  # noqa: F401, I001 - before anything imports pyarrow

import asyncio
import json
import signal
import socket
import sys

import asyncpg
import structlog
import uvloop
from pydantic import ValidationError

from engine import log
from engine.core_api.certs import make
from engine.core_api.server.app import CoreServer
from engine.core_api.server.state import EngineState
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.worker import Worker
from engine.ledger import retention
from engine.ledger.errors import LedgerError
from engine.ledger.journal import Journal, JournalUnusable
from engine.ledger.migrate import latest, migrate
from engine.ledger.pool import open_pool
from engine.ledger.secrets import SecretBox
from engine.ledger.verify import keep_daily
from engine.ledger.writer import LedgerWriter
from engine.settings import EngineSettings

logger = structlog.get_logger(__name__)


LEASE_LOST = 3  # the exit code


class StartRefused(Exception):
    """The engine cannot start; the message is one line for a person."""


def main() -> None:
    try:
        settings = EngineSettings()
    except (ValueError, OSError) as error:  # ValidationError, a file that is no TOML, no file
        sys.exit(f"the engine's settings are wrong (heliograph config check engine): {_one_line(error)}")
    log.configure(settings.log_level)
    try:
        uvloop.run(_run(settings))
    except (StartRefused, LedgerError) as error:
        sys.exit(str(error))


async def _run(settings: EngineSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = _listen(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    make(settings.certs_dir, [settings.core_api_host])
    dsn = settings.ledger_dsn.get_secret_value()
    try:
        await migrate(dsn)
        pool = await open_pool(dsn)
    except (OSError, asyncpg.PostgresError) as error:
        raise StartRefused(f"the ledger's database does not answer: {_one_line(error)}") from error
    secrets = SecretBox(settings.secrets_key_file)
    worker = await Worker.register(pool, settings)
    try:
        journal = await Journal.open(settings.data_dir / "journal", settings.journal_max_bytes)
    except JournalUnusable as error:
        raise StartRefused(str(error)) from error
    writer = LedgerWriter(
        pool,
        worker.worker_id,
        recent_capacity=settings.recent_ids,
        commit_interval_s=settings.commit_interval_ms / 1000,
        journal=journal,
    )
    dispatcher = Dispatcher(pool, settings, worker, writer, secrets)
    state = EngineState(
        settings=settings,
        pool=pool,
        secrets=secrets,
        dispatcher=dispatcher,
        worker=worker.name,
        schema_version=latest(),
        writer=writer,
    )
    server = CoreServer(state)
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(writer.run())
        await dispatcher.start()
        serving = tasks.create_task(server.run_on(listener))
        port = listener.getsockname()[1]
        print(json.dumps({"core_api": port, "worker": worker.name}), flush=True)
        verifying = tasks.create_task(keep_daily(pool, settings.verify_at, settings.daily_look_s))
        keeping = tasks.create_task(
            retention.keep(
                pool,
                settings.retention_at,
                retention_days=settings.retention_days,
                uploads_keep_days=settings.uploads_keep_days,
                look_s=settings.daily_look_s,
            )
        )
        logger.info("ready", core_api_port=port, worker=worker.name)
        await _first(stop, dispatcher.lost)

        logger.info("stopping", lease_lost=dispatcher.lost.is_set())
        state.stopping = True
        verifying.cancel()
        keeping.cancel()
        await dispatcher.stop(settings.stop_timeout_s)
        await writer.stop()
        server.should_exit = True
        await asyncio.gather(writing, serving)
    await worker.leave()
    await pool.close()
    logger.info("stopped")
    if dispatcher.lost.is_set():
        sys.exit(LEASE_LOST)


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def _listen(settings: EngineSettings) -> socket.socket:
    host, port = settings.core_api_host, settings.core_api_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise StartRefused(
            f"cannot listen on {host} port {port} ({error.strerror or error}): "
            "stop what uses it, or set HELIOGRAPH_ENGINE_CORE_API_PORT"
        ) from error
    listener.listen(128)
    return listener


def _one_line(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    main()
