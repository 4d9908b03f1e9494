"""smpp34: Rust below asyncio; as many senders as the window has places."""

import asyncio

import smpp34
from driving import Message, Work

work = Work()


async def main() -> None:
    client = smpp34.Client(
        "127.0.0.1",
        work.port,
        "bench",
        "",
        bind_type="TRX",
        window_size=work.window,
        inbound_capacity=work.count + 1,
    )
    smsc = await client.connect()
    left = iter(work.messages)

    async def send() -> None:
        message: Message
        for message in left:
            answer = await smsc.submit_sm(
                message.number,
                message.octets,
                source_addr="HELIOGRAPH",
                source_addr_ton=5,
                dest_addr_ton=1,
                dest_addr_npi=1,
                registered_delivery=1,
                data_coding=message.data_coding,
            )
            if not answer.is_success:
                raise RuntimeError("a message was refused")
            work.answered += 1

    async def receive() -> None:
        while work.receipts < work.count:
            event = await smsc.next()
            if not isinstance(event, smpp34.DeliverSmEvent):
                raise RuntimeError("disconnected")
            work.receipts += 1

    work.begin()
    await asyncio.gather(receive(), *(send() for _ in range(work.window)))
    work.end()
    await smsc.unbind()


asyncio.run(main())
