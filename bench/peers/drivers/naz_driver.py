"""naz: a queue that its sender empties; it has no window of its own, a semaphore keeps it."""

import asyncio
import logging
from typing import Any

import naz
from driving import Work

work = Work()


class Counting(naz.hooks.BaseHook):  # type: ignore[misc]
    def __init__(self, window: asyncio.Semaphore, done: asyncio.Event) -> None:
        self.window, self.done = window, done

    async def to_smsc(self, *_: Any, **__: Any) -> None:
        pass

    async def from_smsc(self, smpp_command: str, *_: Any, **__: Any) -> None:
        if smpp_command == "submit_sm_resp":
            work.answered += 1
            self.window.release()
        elif smpp_command == "deliver_sm":
            work.receipts += 1
        if work.done:
            self.done.set()


async def main() -> None:
    window, done = asyncio.Semaphore(work.window), asyncio.Event()
    quiet = logging.getLogger("naz.quiet")
    quiet.setLevel(logging.CRITICAL + 1)
    broker = naz.broker.SimpleBroker(maxsize=work.window)
    client = naz.Client(
        smsc_host="127.0.0.1",
        smsc_port=work.port,
        system_id="bench",
        password="pass",  # noqa: S106 - of the simulator, which asks for none
        broker=broker,
        hook=Counting(window, done),
        logger=quiet,
        rate_limiter=naz.ratelimiter.SimpleRateLimiter(logger=quiet, send_rate=1e9),
        drain_duration=0.1,
    )
    await client.connect()
    await client.tranceiver_bind()
    running = [asyncio.create_task(client.dequeue_messages()), asyncio.create_task(client.receive_data())]
    work.begin()
    for place, message in enumerate(work.messages):
        await window.acquire()
        await client.send_message(
            naz.protocol.SubmitSM(
                short_message=message.text,
                source_addr="HELIOGRAPH",
                destination_addr=message.number,
                log_id=str(place),
                encoding="utf_16_be" if message.data_coding else "gsm0338",
                registered_delivery=0b00000001,
            )
        )
    waiting = asyncio.create_task(done.wait())
    await asyncio.wait([waiting, *running], return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        raise SystemExit("its receiver ended early")
    work.end()
    await client.shutdown()


asyncio.run(main())
