"""An engine without its HTTP face, as a process of its own that tests kill. Settings from the environment."""

import asyncio

from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.worker import Worker
from engine.ledger.pool import open_pool
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter
from engine.settings import EngineSettings


async def main() -> None:
    settings = EngineSettings()
    pool = await open_pool(settings.ledger_dsn.get_secret_value())
    worker = await Worker.register(pool, settings)
    writer = LedgerWriter(pool, worker.worker_id)
    dispatcher = Dispatcher(pool, settings, worker, writer, SecretBox(settings.secrets_key_file))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.run())
        await dispatcher.start()


asyncio.run(main())
