"""An engine without its HTTP face, as a process of its own that tests kill. Settings from the environment."""

import asyncio
import signal
import sys

from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.worker import Worker
from engine.ledger.pool import open_pool
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter
from engine.settings import EngineSettings

LEASE_LOST = 3


async def main() -> int:
    settings = EngineSettings()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    pool = await open_pool(settings.ledger_dsn.get_secret_value())
    worker = await Worker.register(pool, settings)
    writer = LedgerWriter(pool, worker.worker_id)
    dispatcher = Dispatcher(pool, settings, worker, writer, SecretBox(settings.secrets_key_file))
    writing = asyncio.create_task(writer.run())
    await dispatcher.start()
    print(worker.worker_id, flush=True)
    waiting = [asyncio.create_task(event.wait()) for event in (ended, dispatcher.lost)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await dispatcher.stop(settings.stop_timeout_s)
    await writer.stop()
    await writing
    await worker.leave()
    return LEASE_LOST if dispatcher.lost.is_set() else 0


sys.exit(asyncio.run(main()))
