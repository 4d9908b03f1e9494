"""aiosmpplib: a queue that its sender empties; a semaphore keeps the window."""

import asyncio
import logging

from aiosmpplib import (
    ESME,
    NPI,
    TON,
    AbstractHook,
    DeliverSm,
    PhoneNumber,
    SmppMessage,
    SubmitSm,
    SubmitSmResp,
)
from driving import Work

work = Work()


class Counting(AbstractHook):
    def __init__(self, window: asyncio.Semaphore, done: asyncio.Event) -> None:
        self.window, self.done = window, done

    async def sending(self, smpp_message: SmppMessage, pdu: bytes, client_id: str) -> None:
        pass

    async def received(self, smpp_message: "SmppMessage | None", pdu: bytes, client_id: str) -> None:
        if isinstance(smpp_message, SubmitSmResp):
            work.answered += 1
            self.window.release()
        elif isinstance(smpp_message, DeliverSm):
            work.receipts += 1
        if work.done:
            self.done.set()

    async def send_error(self, smpp_message: "SmppMessage | None", error: Exception, client_id: str) -> None:
        raise SystemExit(f"not sent: {error!r}")


async def main() -> None:
    window, done = asyncio.Semaphore(work.window), asyncio.Event()
    esme = ESME("127.0.0.1", work.port, "bench", "", hook=Counting(window, done), log_level=logging.CRITICAL)
    running = asyncio.create_task(esme.start())
    work.begin()
    for place, message in enumerate(work.messages):
        await window.acquire()
        await esme.broker.enqueue(
            SubmitSm(
                short_message=message.text,
                source=PhoneNumber("HELIOGRAPH", TON.ALPHANUMERIC, NPI.UNKNOWN),
                destination=PhoneNumber(message.number, TON.INTERNATIONAL, NPI.ISDN),
                encoding="ucs2" if message.data_coding else "gsm0338",
                log_id=str(place),
            )
        )
    await done.wait()
    work.end()
    await esme.stop()
    running.cancel()


asyncio.run(main())
